"""One broken part is one broken part: what a step stumbles over becomes a reason in the report, whatever it was."""

from __future__ import annotations

from orchestrator.applying.lock import Held
from orchestrator.applying.vm import Stopped
from orchestrator.history import HistoryUnavailable
from orchestrator.proxmox import ProxmoxError

_LENGTH = 500


def reason(error: BaseException) -> str:
    """Why something failed, for the report. What nobody expected is told as a defect of the program."""
    text = str(error)[:_LENGTH]
    if isinstance(error, ProxmoxError | Stopped | HistoryUnavailable | Held):
        return str(error)
    return f"internal error, please report it: {type(error).__name__}: {text}"
