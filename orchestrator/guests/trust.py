"""Trust in guests: their SSH host keys are learnt through the hypervisor, never on first use.

Whoever answers first on an address may be anybody; the guest agent's channel ends in the machine itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.proxmox import ServerError, read_guest_file
from orchestrator.yaml_reader.public_keys import parse_public_key

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

_KEY_FILES = tuple(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ed25519", "ecdsa", "rsa"))
_KEY_TYPES = ("ssh-ed25519", "ssh-rsa", *(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521)))


class NoHostKey(ServerError):
    """The guest has no SSH host key that could be trusted."""

    default_remedy = (
        "look whether its first boot went through (cloud-init status), or make keys in it: ssh-keygen -A, then "
        "systemctl restart ssh"
    )


def learn_host_keys(cluster: Cluster, node: str, vmid: int) -> tuple[str, ...]:
    """Read a guest's public SSH host keys through the guest agent.

    Returns:
        Keys such as ``ssh-ed25519 AAAA…`` without their comment, the preferred one first.

    Raises:
        NoHostKey: there is none. A guest stopped hard during its first boot can be left with empty files.
        AgentNotRunning: the agent does not answer.
        ProxmoxError: the hypervisor could not be asked.
    """
    keys: list[str] = []
    reasons: list[str] = []
    for path in _KEY_FILES:
        try:
            content = read_guest_file(cluster, node, vmid, path)
        except ServerError as error:  # this kind of key is not in use there
            reasons.append(error.text)
            continue
        if not content.strip():
            reasons.append(f"{path} is empty")
            continue
        try:
            key = parse_public_key(content.partition("\n")[0].removesuffix("\r"))
        except ValueError as error:  # its administrator wrote the file: nothing of it goes any further
            reasons.append(f"{path} holds no public key: {error}")
        else:
            keys.append(f"{key.type} {key.base64}")
    if not keys:
        raise NoHostKey(
            f"VM {vmid} has no SSH host key: {'; '.join(reasons)}",
            site=cluster.site,
            call=f"GET /nodes/{node}/qemu/{vmid}/agent/file-read",
        )
    return tuple(keys)


def is_host_key(key: str) -> bool:
    """Whether a text is a public host key, ``TYPE BASE64``, and nothing else: it comes from a guest, or a mark."""
    try:
        parsed = parse_public_key(key)
    except ValueError:
        return False
    return parsed.type in _KEY_TYPES and key == f"{parsed.type} {parsed.base64}"


def known_hosts_line(name: str, key: str) -> str:
    """Return the line of a ``known_hosts`` file that trusts a key (``TYPE BASE64``) of a machine of that name."""
    kind, blob = key.split()[:2]
    return f"{name} {kind} {blob}"
