"""The guest agent of a VM, asked through the hypervisor."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.errors import AgentNotRunning, BadAnswer, NotRunning, ServerError, Uncertain, tidy
from orchestrator.proxmox.shapes import LINE, Listed, Record, Scalar, wrong

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
        raise ServerError(f"{tidy(path, 100)} is larger than 16 MiB", site=cluster.site, call=f"GET {call}")
    return str(answer["content"])


def interfaces(cluster: Cluster, node: str, vmid: int) -> tuple[GuestInterface, ...]:
    """Read the guest's network interfaces, the loopback one included. The guest says what it likes: it is checked.

    Raises:
        AgentNotRunning: the agent does not answer, or it refuses to.
        BadAnswer: it answered with something else.
        ProxmoxError: the hypervisor could not be asked.
    """
    call = f"/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces"
    result = cluster.get(call)["result"]
    refusal = result.get("error", result) if isinstance(result, dict) else None
    if refusal is not None:
        # Old agents, and agents told to block the command, answer with an error object where a list is due.
        why = refusal.get("desc") or refusal.get("class") if isinstance(refusal, dict) else refusal
        raise AgentNotRunning(
            f"the guest agent did not report the network interfaces: {tidy(str(why), 200)}",
            site=cluster.site,
            call=f"GET {call}",
            remedy="see which commands the agent in the guest blocks, and how old it is",
        )
    if told := wrong(result, _INTERFACES):
        raise BadAnswer(
            f"the guest agent does not say what it should: {told}",
            site=cluster.site,
            call=f"GET {call}",
            remedy="look into the guest: the answer is made there",
        )
    return tuple(
        GuestInterface(
            name=str(entry["name"]),
            mac=str(entry.get("hardware-address") or "").lower(),
            addresses=tuple(f"{ip['ip-address']}/{ip['prefix']}" for ip in entry.get("ip-addresses") or ()),
        )
        for entry in result
    )


def _is_address(value: Any) -> bool:
    try:
        ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return isinstance(value, str) and len(value) < 100


def _is_prefix(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= 128


_ADDRESS = Record(
    needs={"ip-address": Scalar("an address", _is_address), "prefix": Scalar("a prefix", _is_prefix)}
)
_INTERFACES = Listed(
    Record(needs={"name": LINE}, may={"hardware-address": LINE, "ip-addresses": Listed(_ADDRESS)})
)
