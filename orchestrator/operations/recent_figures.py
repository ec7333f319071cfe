"""Graphs of machines for pages: read when somebody looks at one, by one call, and kept while they do not change.

A page knows from the last look where a machine is, so nothing is searched for at the sites. When a hypervisor is away,
the figures that were read last are still there, with their time. What is kept is limited, and so is how long anybody
waits.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestrator.contract.offers import Offer
from orchestrator.errors import OrchestratorError
from orchestrator.operations.connecting import connect
from orchestrator.operations.inventory import open_provider, site_of
from orchestrator.proxmox import Patience, ProxmoxError
from orchestrator.proxmox.measurements import Consolidation, Timeframe, read_measurements
from orchestrator.reports.series import MachineGraphs, graphs_of
from orchestrator.sites.secrets import resolve

KEPT_SECONDS: Mapping[Timeframe, int] = {
    "hour": 60,
    "day": 60,
    "week": 1800,
    "month": 1800,
    "year": 21_600,
}
"""For how long the figures of a timeframe hold: as far apart as its rows are on Proxmox VE 9."""

_NOTHING_KEPT_SECONDS = 60
_AWAY_SECONDS = 15
"""After a site did not answer it is left alone for so long: the next visitors need not wait for it as well."""
_SILENCE_SECONDS = 4.0
"""How long an API may be silent; one attempt takes twice as long at most."""
_AT_ONCE = 4
"""Calls that a site is asked at the same time."""
_TURN_SECONDS = 1.0
"""How long anybody waits for a turn: a slow site must not take the threads that other pages need."""
_MOST_SLOTS = 60_000
"""Intervals that are kept in memory, of all machines together: some forty graphs of a day, or two hundred of a week."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A machine as its figures are asked for, from the last look.

    Attributes:
        vmid: its number at the site.
        node: where it was then; every node knows the figures of all.
    """

    client: str
    machine: str
    site: str
    vmid: int
    node: str = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Graphs, and how fresh they are.

    Attributes:
        graphs: what was read last; None if it was never read since the program was started.
        read_at: when (aware).
        problem: why they could not be read just now, for the provider's people; empty if they are fresh.
    """

    graphs: MachineGraphs | None = None
    read_at: dt.datetime | None = None
    problem: str = ""


_Key = tuple[Measured, Timeframe, Consolidation]


@dataclass(kw_only=True)
class _Site:
    """What is known of one site's API."""

    calls: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_AT_ONCE))
    away_until: dt.datetime | None = None
    problem: str = ""


class RecentFigures:
    """The graphs that people looked at lately. Safe to use from several threads."""

    def __init__(
        self, inventory: str | None, *, most_slots: int = _MOST_SLOTS, silence: float = _SILENCE_SECONDS
    ) -> None:
        """Remember nothing yet.

        Args:
            inventory: where the site file is; read again for each call, so that a changed token is used.
            most_slots: intervals that are kept of all graphs together.
            silence: how many seconds a site may be silent; a call may take twice as long in all.
        """
        self._inventory = inventory
        self._silence = silence
        self._most_slots = most_slots
        self._guard = threading.Lock()
        self._kept: OrderedDict[_Key, Figures] = OrderedDict()
        self._reading: dict[_Key, threading.Lock] = {}
        self._sites: dict[str, _Site] = defaultdict(_Site)

    def of(
        self,
        measured: Measured,
        timeframe: Timeframe,
        now: dt.datetime,
        *,
        consolidation: Consolidation = "AVERAGE",
    ) -> Figures:
        """The graphs of a machine: kept ones while they hold, else read by one call. Never raises because of a site.

        Several visitors who ask for the same graph at once wait for one call.

        Args:
            measured: which machine, and where it is.
            timeframe: how far back.
            now: the time (aware).
            consolidation: the average of each interval, or the largest value in it.
        """
        key = (measured, timeframe, consolidation)
        with self._one_at_a_time(key):
            kept = self._fresh(key, now)
            if kept is not None:
                return kept
            problem = self._away(measured.site, now)
            if not problem:
                try:
                    return self._keep(key, Figures(graphs=self._read(key), read_at=now))
                except OrchestratorError as error:
                    problem = str(error)
                    if isinstance(error, ProxmoxError) and error.status is None:
                        self._leave_alone(measured.site, problem, now)
            with self._guard:
                last = self._kept.get(key, Figures())
            return Figures(graphs=last.graphs, read_at=last.read_at, problem=problem)

    def _read(self, key: _Key) -> MachineGraphs:
        """Ask the hypervisor, once.

        Raises:
            OrchestratorError: it did not answer, or the site file cannot be used.
        """
        measured, timeframe, consolidation = key
        site = site_of(open_provider(self._inventory), measured.site)
        cluster = connect(
            measured.site,
            site,
            resolve(site.api.token_secret),
            patience=Patience(attempts=1),
            timeout_seconds=min(site.api.timeout_seconds, self._silence),
        )
        try:
            with self._few_at_once(measured.site):
                rows = read_measurements(cluster, measured.node, measured.vmid, timeframe, consolidation)
        finally:
            cluster.close()
        return graphs_of(
            rows,
            client=measured.client,
            machine=measured.machine,
            timeframe=timeframe,
            consolidation=consolidation,
            disks=(),
        )

    @contextmanager
    def _one_at_a_time(self, key: _Key) -> Iterator[None]:
        with self._guard:
            lock = self._reading.setdefault(key, threading.Lock())
        with lock:
            try:
                yield
            finally:
                with self._guard:
                    self._reading.pop(key, None)

    @contextmanager
    def _few_at_once(self, site: str) -> Iterator[None]:
        with self._guard:
            calls = self._sites[site].calls
        if not calls.acquire(timeout=_TURN_SECONDS):
            raise SiteBusy(f"the site {site} is answering {_AT_ONCE} other requests for graphs: try again")
        try:
            yield
        finally:
            calls.release()

    def _fresh(self, key: _Key, now: dt.datetime) -> Figures | None:
        with self._guard:
            kept = self._kept.get(key)
            if kept is None or kept.read_at is None or kept.graphs is None:
                return None
            holds = KEPT_SECONDS[key[1]] if kept.graphs.slots else _NOTHING_KEPT_SECONDS
            if not dt.timedelta(0) <= now - kept.read_at < dt.timedelta(seconds=holds):
                return None
            self._kept.move_to_end(key)
            return kept

    def _keep(self, key: _Key, found: Figures) -> Figures:
        with self._guard:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(map(_weight, self._kept.values())) > self._most_slots:
                self._kept.popitem(last=False)
        return found

    def _away(self, site: str, now: dt.datetime) -> str:
        with self._guard:
            known = self._sites[site]
            return known.problem if known.away_until is not None and now < known.away_until else ""

    def _leave_alone(self, site: str, problem: str, now: dt.datetime) -> None:
        with self._guard:
            known = self._sites[site]
            known.away_until, known.problem = now + dt.timedelta(seconds=_AWAY_SECONDS), problem


class SiteBusy(OrchestratorError):
    """A site has as many requests for graphs as it is asked at once."""


def has_graphs(offer: str, *, managed: bool) -> bool:
    """Whether a machine's client has graphs: with the offer, or with managed services (articles 3.2, 3.3, 3.8.1).

    Args:
        offer: its name; one that is not known has none.
        managed: whether the client has managed services.
    """
    return managed or offer in [known.value for known in Offer if known.terms.graphs]


def _weight(figures: Figures) -> int:
    """What a graph takes of the room: its intervals, and a little for itself."""
    return 50 + (len(figures.graphs.slots) if figures.graphs else 0)
