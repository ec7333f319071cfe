"""The guest agent of a VM, asked through the hypervisor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.proxmox.errors import AgentNotRunning, NotRunning, ServerError, Uncertain

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster


@dataclass(frozen=True, kw_only=True)
class GuestInterface:
    """A network interface as the guest sees it.

    Attributes:
        mac: in lower case; empty if it has none.
        addresses: ``ADDRESS/PREFIX``, IPv4 and IPv6.
    """

    name: str
    mac: str
    addresses: tuple[str, ...]


def ping(cluster: Cluster, node: str, vmid: int) -> bool:
    """Return whether the guest agent answers.

    Raises:
        ProxmoxError: the hypervisor could not be asked.
    """
    try:
        cluster.post(f"/nodes/{node}/qemu/{vmid}/agent/ping")
    except (AgentNotRunning, NotRunning, Uncertain):
        # A ping that got lost changed nothing: it is no answer, and can be sent again.
        return False
    return True


def read_file(cluster: Cluster, node: str, vmid: int, path: str) -> str:
    """Read a file in the guest, at most 16 MiB of it.

    Raises:
        AgentNotRunning: the agent does not answer.
        ServerError: the file is larger than what can be read, or cannot be read.
        ProxmoxError: the hypervisor could not be asked.
    """
    call = f"/nodes/{node}/qemu/{vmid}/agent/file-read"
    answer = cluster.get(call, file=path)
    if answer.get("truncated"):
        raise ServerError(f"{path} is larger than 16 MiB", site=cluster.site, call=f"GET {call}")
    return str(answer["content"])


def interfaces(cluster: Cluster, node: str, vmid: int) -> tuple[GuestInterface, ...]:
    """Read the guest's network interfaces, the loopback one included.

    Raises:
        AgentNotRunning: the agent does not answer.
        ProxmoxError: the hypervisor could not be asked.
    """
    answer = cluster.get(f"/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces")
    return tuple(
        GuestInterface(
            name=str(entry["name"]),
            mac=str(entry.get("hardware-address") or "").lower(),
            addresses=tuple(f"{ip['ip-address']}/{ip['prefix']}" for ip in entry.get("ip-addresses") or ()),
        )
        for entry in answer["result"]
    )
