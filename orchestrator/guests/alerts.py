"""What the firewalls of machines dropped (articles 3.6 and 7: with managed services the provider watches it)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.guests.playbooks import TaskResult

READ = "Read the alerts of the firewall"
"""The task that reads them."""


@dataclass(frozen=True, kw_only=True)
class FirewallAlerts:
    """The counters of one machine's firewall.

    Attributes:
        dropped: packets.
        dropped_bytes: their bytes.
        refused_ssh: new connections to SSH from addresses that may not.
        since: names the counters: with another one they began anew (a reboot, rules loaded).
        top: of the last day's log, a sample: how often, and what (``203.0.113.9 tcp 3389``).
    """

    dropped: int = 0
    dropped_bytes: int = 0
    refused_ssh: int = 0
    since: str = ""
    top: tuple[tuple[int, str], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """As the history keeps it."""
        return {**asdict(self), "top": [list(item) for item in self.top]}

    @classmethod
    def from_details(cls, details: str) -> FirewallAlerts | None:
        """Read what the history kept; None if it is something else."""
        try:
            data = json.loads(details)
            top = tuple((int(count), str(what)) for count, what in data.pop("top"))
            return cls(**data, top=top)
        except (ValueError, KeyError, TypeError):
            return None


def parse_alerts(lines: Iterable[str]) -> FirewallAlerts | None:
    """Read the lines of ``orchestrator-firewall alerts``; None if they are something else (an older program)."""
    counters: dict[str, tuple[int, int]] = {}
    since, top = "", []
    for line in lines:
        word, _, rest = line.partition(" ")
        fields = rest.split()
        if word in ("dropped", "refused_ssh") and len(fields) == 2 and all(map(str.isdigit, fields)):
            counters[word] = int(fields[0]), int(fields[1])
        elif word == "since":
            since = rest
        elif word == "top" and len(fields) == 4 and fields[0].isdigit():
            top.append((int(fields[0]), " ".join((_shortened(fields[1]), *fields[2:]))))
    if not since or "dropped" not in counters:
        return None
    packets, size = counters["dropped"]
    return FirewallAlerts(
        dropped=packets,
        dropped_bytes=size,
        refused_ssh=counters.get("refused_ssh", (0, 0))[0],
        since=since,
        top=tuple(top),
    )


def _shortened(address: str) -> str:
    """An address as people write it: the kernel's log writes all eight groups of IPv6."""
    try:
        return ipaddress.ip_address(address).compressed
    except ValueError:
        return address


def since_last(now: FirewallAlerts, before: FirewallAlerts | None) -> FirewallAlerts:
    """What came since an earlier reading; all of it if there was none, or the counters began anew."""
    if before is None or before.since != now.since or before.dropped > now.dropped:
        return now
    return replace(
        now,
        dropped=now.dropped - before.dropped,
        dropped_bytes=now.dropped_bytes - before.dropped_bytes,
        refused_ssh=max(now.refused_ssh - before.refused_ssh, 0),
    )


def alerts_in(results: Mapping[str, TaskResult]) -> FirewallAlerts | None:
    """What the task read in one guest; None if it did not, or the firewall there does not count yet.

    Args:
        results: the last result of each task on it by the task's name, without starts and skipped ones.
    """
    result = results.get(READ)
    if result is None or result.kind != "ok":
        return None
    return parse_alerts(str(result.result.get("stdout") or "").splitlines())
