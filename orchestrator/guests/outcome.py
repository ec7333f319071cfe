"""How one part of a machine's inside (firewall, keys, supervision) fared in a playbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.guests.limits import REASON_CHARACTERS
from orchestrator.guests.playbooks import TaskResult

Status = Literal["unchanged", "changed", "refused", "rolled-back", "unreachable", "failed"]


@dataclass(frozen=True, kw_only=True)
class PartOutcome:
    """How it went in one guest.

    Attributes:
        status: ``unchanged`` (it was right already), ``changed`` (made right, proven and kept across reboots; in check
            mode: it would be), ``refused`` (nothing was sent), ``rolled-back`` (as before), ``unreachable`` (nothing is
            known beyond that), ``failed``.
        message: the reason and what to do; empty when all went well.
        differences: what differs from what is wanted, a line each: ``+`` is there and should not be, ``-`` should be
            there and is not. Told in check mode.
        seconds: how long it took.
    """

    status: Status
    message: str = ""
    differences: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the guest is as it should be now."""
        return self.status in ("unchanged", "changed")


def reason_of(result: TaskResult) -> str:
    """What a failed task said: the end of the guest's own words where there are any."""
    if has_timed_out(result):
        return (
            "it was connected to but did not finish in time, or sends next to nothing: the machine, its login shell or "
            "its network hangs: look at its console"
        )
    if is_other_host_key(result):
        return (
            "its SSH host key is not the one that the hypervisor told of, so nothing was sent: if the guest made new "
            "keys, orchestrator apply --guests learns them again; if not, another machine has its address"
        )
    words = " ".join(_words(result).split())
    return words if len(words) <= REASON_CHARACTERS else f"… {words[-REASON_CHARACTERS:]}"


def has_timed_out(result: TaskResult) -> bool:
    """Whether Ansible gave up waiting for a task: what became of it is not known."""
    return result.kind == "failed" and result.result.get("timed_out") is True


def is_other_host_key(result: TaskResult) -> bool:
    """Whether a task failed because the guest answered with another host key than the one known."""
    words = _words(result)
    return "Host key verification failed" in words or "IDENTIFICATION HAS CHANGED" in words


def _words(result: TaskResult) -> str:
    said = result.result
    return str(said.get("stderr") or said.get("stdout") or said.get("msg") or "no reason given")
