"""Before anything is removed the clocks must agree: with a wrong one everything looks old.

Three are compared: this computer's, each site's (the ``Date`` of its answers), and the last entry of the history. Where
they disagree nothing is removed: no archive, no snapshot, no copy of a restore test, no machine. Backups are made all
the same, dated by the site's clock.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.applying.clock import TOLERANCE
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.errors import Reason, told
from orchestrator.proxmox import ProxmoxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.history import History
    from orchestrator.proxmox import Cluster

LONGEST_GAP = dt.timedelta(days=30)
"""After so long without an entry in the history the first night removes nothing: perhaps the clock has jumped."""

_READERS = 8
_REMEDY = "nothing is removed {where} tonight; set the wrong clock (chronyc tracking, timedatectl), then run it again"


class Clocks:
    """What one night knows of the clocks. Thread-safe. What was found wrong once counts for the whole night.

    Args:
        tolerance: by how much a site's clock may differ.
    """

    def __init__(self, tolerance: dt.timedelta = TOLERANCE) -> None:
        self._tolerance = tolerance
        self._guard = threading.Lock()
        self._own = ""
        self._sites: dict[str, str] = {}
        self._ahead: dict[str, dt.timedelta] = {}
        self._began: dt.datetime | None = None

    def objection(self, site: str) -> Reason:
        """Why nothing may be removed at a site; empty if the clocks agree."""
        with self._guard:
            return self._own or self._sites.get(site, "")

    def anywhere(self) -> Reason:
        """Why nothing may be removed that concerns every site; empty if all clocks agree."""
        with self._guard:
            return self._own or "; ".join(self._sites.values())

    def at(self, site: str, now: dt.datetime) -> dt.datetime:
        """The time at a site when it is ``now`` (aware) here."""
        with self._guard:
            return now + self._ahead.get(site, dt.timedelta())

    def compare_with_history(self, history: History, now: dt.datetime) -> list[str]:
        """Compare this computer's clock with the last entry of the history, before this run adds any.

        Returns:
            What is wrong, human-readable.
        """
        try:
            last = next(iter(history.entries(limit=1)), None)
        except Exception as error:
            return self._own_is_wrong(f"the history's last entry could not be read: {told(error)}")
        if last is None:
            return []
        if last.at > now + self._tolerance:
            return self._own_is_wrong(
                f"this computer's clock says {_words(now)}, but the history's last entry is of {_words(last.at)}"
            )
        if now - last.at > LONGEST_GAP:
            return self._own_is_wrong(
                f"this computer's clock says {_words(now)}, {counted((now - last.at).days, 'day')} after the history's "
                "last entry (if that is right, the next night removes what is over)"
            )
        return []

    def _own_is_wrong(self, why: str) -> list[str]:
        with self._guard:
            self._own = f"{why}: {_REMEDY.format(where='anywhere')}"
            return [self._own]

    def look(self, clusters: Mapping[str, Cluster], clock: Callable[[], dt.datetime]) -> list[str]:
        """Compare the sites' clocks with this computer's: one call a site.

        Args:
            clusters: the API of the sites.
            clock: this computer's time, aware.

        Returns:
            What is wrong and was not told before, human-readable.
        """
        if not clusters:
            return []
        with ThreadPoolExecutor(min(_READERS, len(clusters)), thread_name_prefix="clock") as pool:
            found = pool.map(lambda site: self._one(site, clusters[site], clock), clusters)
            new = [why for why in found if why]
        return [*self._gone_back(clock()), *new]

    def _one(self, site: str, cluster: Cluster, clock: Callable[[], dt.datetime]) -> str:
        try:
            ahead = dt.timedelta(seconds=cluster.clock_offset(lambda: clock().timestamp()))
        except (ProxmoxError, ValueError, OverflowError) as error:
            why = f"the clock of {site} could not be read ({told(error)})"
        else:
            now = clock()
            with self._guard:
                self._ahead[site] = ahead
            if abs(ahead) <= self._tolerance:
                return ""
            try:
                theirs = _words(now + ahead)
            except OverflowError:
                theirs = f"{ahead} more"
            why = f"the clock of {site} says {theirs}, this computer's {_words(now)}"
        with self._guard:
            if site in self._sites:
                return ""
            self._sites[site] = f"{why}: {_REMEDY.format(where='there')}"
            return self._sites[site]

    def _gone_back(self, now: dt.datetime) -> list[str]:
        with self._guard:
            latest, self._began = self._began, max(now, self._began or now)
        if latest is None or now >= latest - self._tolerance or self._own:
            return []
        return self._own_is_wrong(f"this computer's clock went back from {_words(latest)} to {_words(now)}")


def _words(moment: dt.datetime) -> str:
    return paris_time(moment, seconds=True)
