"""What was seen inside a machine when somebody looked: what differs there from what was applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.guests.alerts import FirewallAlerts
    from orchestrator.guests.packages import DueUpdates


@dataclass(frozen=True, kw_only=True)
class InsideReading:
    """A look into one machine, by the same playbooks in check mode that bring it to what its file says.

    Attributes:
        problem: why it could not be looked at; empty if it was.
        other_host_key: the problem is that its SSH host key is not the one known.
        firewall: how the loaded rules differ: ``+ rule`` is loaded and should not be, ``- rule`` the other way round.
        keys: the file's SSH keys that are missing (``- TYPE FINGERPRINT NAME``), former ones that are there (``+ …``).
        foreign_keys: keys that are in no file (``? TYPE FINGERPRINT NAME``): told, left alone.
        supervision: what is not as it should be with the node exporter.
        due: updates that are due; None if that was not seen.
        alerts: what the firewall dropped since its counters began; None if it does not count, or was not asked.
    """

    problem: str = ""
    other_host_key: bool = False
    firewall: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    foreign_keys: tuple[str, ...] = ()
    supervision: tuple[str, ...] = ()
    due: DueUpdates | None = None
    alerts: FirewallAlerts | None = None
