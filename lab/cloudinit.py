"""The cloud-init drive that Proxmox attaches to a machine, text for text.

Proxmox writes an ISO file system labelled `cidata` with four files for cloud-init's NoCloud source.
The texts here have the same lines in the same order as those of `PVE::QemuServer::Cloudinit`, since
`GET …/cloudinit/dump` shows them to clients. One difference: Proxmox falls back to its own resolver
addresses where the machine has none; the lab's guests have no network to resolve anything on, so that
the entry is left out.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

import pycdlib

_MASKED = "**********"


@dataclass(frozen=True)
class CloudInitNic:
    """What `netN` and `ipconfigN` say about one network card."""

    index: int
    mac: str
    ip: str | None = None
    """`dhcp` or an address with its prefix length, e.g. `10.77.1.20/24`."""
    gateway: str | None = None
    ip6: str | None = None
    """`dhcp`, `auto` or an address with its prefix length."""
    gateway6: str | None = None


@dataclass(frozen=True)
class CloudInitSettings:
    """A machine's settings that reach cloud-init. Values are decoded: `ssh_keys` is one key an item."""

    name: str
    user: str | None = None
    password: str | None = None
    ssh_keys: tuple[str, ...] = ()
    upgrade: bool = True
    """`ciupgrade`; on unless the machine says otherwise."""
    nics: tuple[CloudInitNic, ...] = ()
    """Cards with an `ipconfigN` only, in the order of their numbers."""
    nameservers: tuple[str, ...] = ()
    search_domains: tuple[str, ...] = ()


def user_data(settings: CloudInitSettings, *, mask_password: bool = False) -> str:
    """The file `user-data`; with `mask_password` as a dump shows it."""
    host, fqdn = _host_and_fqdn(settings)
    lines = ["#cloud-config", f"hostname: {host}", "manage_etc_hosts: true", f"fqdn: {fqdn}"]
    if settings.user is not None:
        lines.append(f"user: {settings.user}")
    if settings.user == "root":
        lines.append("disable_root: False")
    if settings.password is not None:
        lines.append(f"password: {_MASKED if mask_password else settings.password}")
    if settings.ssh_keys:
        lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in settings.ssh_keys)]
    lines += ["chpasswd:", "  expire: False"]
    if settings.user != "root":
        lines += ["users:", "  - default"]
    if settings.upgrade:
        lines.append("package_upgrade: true")
    return "\n".join(lines) + "\n"


def network_config(settings: CloudInitSettings) -> str:
    """The file `network-config`, in cloud-init's version 1."""
    lines = ["version: 1", "config:"]
    for nic in settings.nics:
        lines += [
            "    - type: physical",
            f"      name: eth{nic.index}",
            f"      mac_address: '{nic.mac.lower()}'",
        ]
        lines += ["      subnets:", *_subnet4(nic), *_subnet6(nic)]
    if settings.nameservers or settings.search_domains:
        lines.append("    - type: nameserver")
        lines += _listed("address", settings.nameservers)
        lines += _listed("search", settings.search_domains)
    return "\n".join(lines) + "\n"


def meta_data(settings: CloudInitSettings) -> str:
    """The file `meta-data`: an instance id that follows the other two files, so that changes are noticed."""
    content = user_data(settings) + network_config(settings)
    return f"instance-id: {hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()}\n"


def build_drive(path: Path, settings: CloudInitSettings) -> None:
    """Write the drive to `path`, in place of what was there: qcow2 where the name says so, else a raw ISO.

    The file is complete or absent: it is built beside its place and renamed. A running guest goes on
    reading the file it has opened.
    """
    files = {
        "user-data": user_data(settings),
        "network-config": network_config(settings),
        "meta-data": meta_data(settings),
        "vendor-data": "",
    }
    with tempfile.TemporaryDirectory(prefix=".cloudinit-", dir=path.parent) as scratch:
        drive = Path(scratch) / "drive.iso"
        drive.write_bytes(_iso(files))
        if path.suffix == ".qcow2":
            converted = drive.with_suffix(".qcow2")
            subprocess.run(
                ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(drive), str(converted)],
                check=True,
                capture_output=True,
            )
            drive = converted
        drive.replace(path)


def _iso(files: Mapping[str, str]) -> bytes:
    """An ISO 9660 image (level 3, Rock Ridge, Joliet, label `cidata`) of `files`."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        iso.add_fp(
            io.BytesIO(content), len(content), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}"
        )
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()


def _host_and_fqdn(settings: CloudInitSettings) -> tuple[str, str]:
    host, dot, _ = settings.name.partition(".")
    if dot:
        return host, settings.name
    if settings.search_domains:
        return host, f"{host}.{settings.search_domains[0]}"
    return host, host


def _subnet4(nic: CloudInitNic) -> list[str]:
    if nic.ip is None:
        return []
    if nic.ip == "dhcp":
        return ["      - type: dhcp4"]
    interface = IPv4Interface(nic.ip)
    lines = [
        "      - type: static",
        f"        address: '{interface.ip}'",
        f"        netmask: '{interface.netmask}'",
    ]
    return lines + ([f"        gateway: '{nic.gateway}'"] if nic.gateway else [])


def _subnet6(nic: CloudInitNic) -> list[str]:
    if nic.ip6 is None:
        return []
    if nic.ip6 in ("dhcp", "auto"):
        return [f"      - type: {'dhcp6' if nic.ip6 == 'dhcp' else 'ipv6_slaac'}"]
    lines = ["      - type: static6", f"        address: '{nic.ip6}'"]
    return lines + ([f"        gateway: '{nic.gateway6}'"] if nic.gateway6 else [])


def _listed(key: str, values: tuple[str, ...]) -> list[str]:
    return [f"      {key}:", *(f"      - '{value}'" for value in values)] if values else []
