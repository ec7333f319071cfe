"""The guest agent of a VM, asked through the hypervisor."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a program that the guest agent started has ended.

    Attributes:
        code: its exit code; None if a signal killed it.
        signal: the signal; None if none did.
        output: what it wrote to its standard output, at most 16 MiB of it; bytes that are no UTF-8 are replaced.
    """

    code: int | None
    signal: int | None
    output: str


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


def execute(cluster: Cluster, node: str, vmid: int, command: Sequence[str]) -> int:
    """Start a program in the guest, as root and without a shell.

    Args:
        cluster: the API.
        node, vmid: the machine.
        command: the program's path and its arguments.

    Returns:
        Its process id in the guest.

    Raises:
        AgentNotRunning: the agent does not answer.
        ServerError: there is no such program, or the agent starts none.
        PermissionDenied: the token lacks VM.GuestAgent.Unrestricted (8.x: VM.Monitor).
        Uncertain: the answer got lost: it may have been started.
        ProxmoxError: the hypervisor could not be asked.
    """
    call = f"/nodes/{node}/qemu/{vmid}/agent/exec"
    return int(cluster.post(call, params={"command": list(command)})["pid"])


def execution(cluster: Cluster, node: str, vmid: int, pid: int) -> Execution | None:
    """How a program ended that :func:`execute` started; None while it runs. The agent tells it once.

    Raises:
        AgentNotRunning: the agent does not answer.
        ServerError: the agent knows no such program: it was restarted.
        ProxmoxError: the hypervisor could not be asked.
    """
    answer = cluster.get(f"/nodes/{node}/qemu/{vmid}/agent/exec-status", pid=pid)
    if not int(answer["exited"]):
        return None
    code, signal = answer.get("exitcode"), answer.get("signal")
    return Execution(
        code=None if code is None else int(code),
        signal=None if signal is None else int(signal),
        output=_as_utf8(answer.get("out-data") or ""),
    )


def _as_utf8(text: str) -> str:
    """Output of a program: Proxmox takes the agent's base64 apart, and hands on each byte as a character."""
    try:
        return text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text


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
