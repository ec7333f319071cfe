"""Named formats of Proxmox's parameters. Each checks a text and raises `ValueError` in Proxmox's words.

The texts end with the newline that clients see in `errors`.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

from lab.api.errors import Refused
from lab.api.values import split_list

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}", re.ASCII)
_TAG = re.compile(r"[a-z0-9_][a-z0-9_+.-]*", re.ASCII | re.IGNORECASE)
_CONFIG_ID = re.compile(r"[a-z][a-z0-9_-]+", re.ASCII | re.IGNORECASE)
_STORAGE_ID = re.compile(r"[a-z][a-z0-9_.-]*[a-z0-9]", re.ASCII | re.IGNORECASE)
_POOL_ID = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}", re.ASCII)
_SSH_KEY = re.compile(
    r"(?:[^\s#]\S*\s+)?(ssh-(?:dss|rsa|ed25519)|ecdsa-sha2-nistp\d+|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com)\s+[A-Za-z0-9+/]{8,}={0,2}(?:\s.*)?",
    re.ASCII,
)


def vmid(text: str) -> None:
    """A VM's number: 100 to 999999999."""
    if not re.fullmatch(r"[1-9][0-9]{2,8}", text, re.ASCII):
        raise ValueError("value does not look like a valid VM ID\n")


def dns_name(text: str) -> None:
    """A VM's name: a DNS name, without underscores."""
    if not _DNS_NAME.fullmatch(text):
        raise ValueError("value does not look like a valid DNS name\n")


def configuration_id(text: str) -> None:
    """A snapshot's name: a letter, then at least one letter, digit, `_` or `-`."""
    if not _CONFIG_ID.fullmatch(text):
        raise ValueError(f"invalid configuration ID '{text}'\n")


def storage_id(text: str) -> None:
    """The name of a storage."""
    if not _STORAGE_ID.fullmatch(text):
        raise ValueError(f"storage ID '{text}' contains illegal characters\n")


def pool_id(text: str) -> None:
    """The name of a pool; up to three levels."""
    if not _POOL_ID.fullmatch(text):
        raise ValueError(f"value '{text}' does not look like a valid pool ID\n")


def tag_list(text: str) -> None:
    """Tags, in any order."""
    if not all(_TAG.fullmatch(tag) for tag in split_list(text)):
        raise ValueError("invalid characters in tag\n")


def vmid_list(text: str) -> None:
    """Numbers of VMs."""
    for item in split_list(text):
        vmid(item)


def url_encoded(text: str) -> None:
    """Text that is percent-encoded throughout, as `sshkeys` must be."""
    if not re.fullmatch(r"[-%a-zA-Z0-9_.!~*'()]*", text, re.ASCII):
        raise ValueError(f"invalid urlencoded string: {text}\n")


def ipv4_network(text: str) -> None:
    """An IPv4 address with its prefix length, or `dhcp`."""
    if text != "dhcp" and not _interface(text, 4):
        raise ValueError("value does not look like a valid ipv4 network configuration\n")


def ipv6_network(text: str) -> None:
    """An IPv6 address with its prefix length, `dhcp` or `auto`."""
    if text not in ("dhcp", "auto") and not _interface(text, 6):
        raise ValueError("value does not look like a valid ipv6 network configuration\n")


def ipv4(text: str) -> None:
    """An IPv4 address."""
    if not _address(text, 4):
        raise ValueError("value does not look like a valid IPv4 address\n")


def ipv6(text: str) -> None:
    """An IPv6 address."""
    if not _address(text, 6):
        raise ValueError("value does not look like a valid IPv6 address\n")


def address_list(text: str) -> None:
    """IP addresses of name servers."""
    if not all(_address(item, 4) or _address(item, 6) for item in split_list(text)):
        raise ValueError("value does not look like a valid IP address\n")


def mac_address(text: str) -> None:
    """A unicast MAC address."""
    if not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", text, re.ASCII | re.IGNORECASE):
        raise ValueError("value does not look like a valid unicast MAC address\n")


def check_ssh_keys(encoded: str) -> None:
    """Refuse `sshkeys` that do not hold one public key a line.

    Raises:
        Refused: as a node does, without saying which line.
    """
    lines = [line.strip() for line in unquote(encoded).splitlines()]
    if not all(_SSH_KEY.fullmatch(line) for line in lines if line and not line.startswith("#")):
        raise Refused("SSH public key validation error")


def unique_tags(text: str) -> str:
    """Tags as Proxmox keeps them: lower-case, each once, sorted, joined by `;`."""
    return ";".join(sorted({tag.lower() for tag in split_list(text)}))


def _address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _interface(text: str, version: int) -> bool:
    try:
        return "/" in text and ipaddress.ip_interface(text).version == version
    except ValueError:
        return False
