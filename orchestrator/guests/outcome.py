"""How one part of a machine's inside (firewall, keys, supervision) fared in a playbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.guests.playbooks import TaskResult

_LONGEST_REASON = 2000
"""Characters: a guest says as much as it likes."""

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
    """What a failed task said: the guest's own words where there are any."""
    if is_other_host_key(result):
        return (
            "its SSH host key is not the one that the hypervisor told of, so nothing was sent: if the guest made new "
            "keys, orchestrator apply --guests learns them again; if not, another machine has its address"
        )
    return " ".join(_words(result)[:_LONGEST_REASON].split())


def is_other_host_key(result: TaskResult) -> bool:
    """Whether a task failed because the guest answered with another host key than the one known."""
    words = _words(result)
    return "Host key verification failed" in words or "IDENTIFICATION HAS CHANGED" in words


def _words(result: TaskResult) -> str:
    said = result.result
    return str(said.get("stderr") or said.get("stdout") or said.get("msg") or "no reason given")
