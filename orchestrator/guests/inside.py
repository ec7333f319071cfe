"""What was seen inside a machine when somebody looked: what differs there from what was applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.guests.alerts import FirewallAlerts
    from orchestrator.guests.packages import DueUpdates

FIREWALL, KEYS, SUPERVISION = "firewall", "SSH keys", "supervision"
"""The parts of what is cared for, as messages and the history name them."""


@dataclass(frozen=True, kw_only=True)
class InsideReading:
    """A look into one machine, by the same playbooks in check mode that bring it to what its file says.

    Attributes:
        problem: why it could not be looked at; empty if it was.
        other_host_key: the problem is that its SSH host key is not the one known.
        differs: what differs from what is wanted, by part: ``+ rule`` is loaded and should not be, ``- rule`` the other
            way round; ``- TYPE FINGERPRINT NAME`` is a key of the file that is missing, ``+ …`` a former one.
        foreign_keys: keys that are in no file (``? TYPE FINGERPRINT NAME``): told, left alone.
        due: updates that are due; None if that was not seen.
        alerts: what the firewall dropped since its counters began; None if it does not count, or was not asked.
    """

    problem: str = ""
    other_host_key: bool = False
    differs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    foreign_keys: tuple[str, ...] = ()
    due: DueUpdates | None = None
    alerts: FirewallAlerts | None = None
