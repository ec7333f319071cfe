"""Observing every machine of ours at every site, once: what was seen becomes intervals beside the history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError, RequestRefused, told
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.history.intervals import Seen, Span
from orchestrator.operations.computer import state_directory
from orchestrator.operations.inputs import open_sound_desired, selection
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider, site_of
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history
from orchestrator.operations.watch_causes import find_reasons
from orchestrator.operations.watch_outages import record_outages
from orchestrator.operations.watch_round import (
    Reading,
    Reason,
    Wanted,
    outcome_of,
    read_site,
    unexplained,
    wanted_of,
    with_listing,
)
from orchestrator.sites.secrets import SecretUnavailable, resolve

if TYPE_CHECKING:
    from orchestrator.history import Entry
    from orchestrator.history.observations import Observations, SiteSeen
    from orchestrator.history.observed_site import Known, Outcome, SiteState
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider, Site

_ASKED_SECONDS = 600
"""How long it is asked why a machine is down: the task, the entry or the log that says so may come late."""


@dataclass(frozen=True, kw_only=True)
class WatchRequest:
    """What a round is asked for.

    Attributes:
        inventory: where the site file is.
        paths: subscription files or folders; the usual folder if there are none.
        sites: only these; all if there are none.
        history: a file or URL; None: the usual one.
    """

    inventory: str | None
    paths: tuple[Path, ...] = ()
    sites: tuple[str, ...] = ()
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A machine that is in another state than before.

    Attributes:
        client, machine: which.
        span: the interval that began.
    """

    client: str
    machine: str
    span: Span


@dataclass(frozen=True, kw_only=True)
class SiteRound:
    """A round at one site.

    Attributes:
        site: which.
        states: how many machines are ``up``, ``down`` and ``unknown``.
        turns: machines that are in another state than before, or whose cause became known.
        source: ``export`` or ``resources``.
        gap: how long nothing was observed before it; None if there was no gap.
        problem: why nothing was observed; empty if it was.
    """

    site: str
    states: Mapping[str, int]
    turns: tuple[Turn, ...] = ()
    source: str = ""
    gap: dt.timedelta | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round.

    Attributes:
        at: when it began (aware).
        sites: what was found at each.
        problems: what is wrong with the files.
        notices: what a person should know.
    """

    at: dt.datetime
    sites: tuple[SiteRound, ...]
    problems: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether every site was observed."""
        return not any(site.problem for site in self.sites)


def watch(
    request: WatchRequest, events: Events = SILENT, clock: Callable[[], dt.datetime] | None = None
) -> Round:
    """Observe every site once. It may be run at any time, by several at once, and be killed at any moment.

    Args:
        request: what it is asked for.
        events: who is told what.
        clock: gives the time (aware).

    Raises:
        OrchestratorError: the request cannot be fulfilled, or the database cannot be used: nothing was recorded.
    """
    clock = clock or (lambda: dt.datetime.now(dt.UTC))
    provider = open_provider(request.inventory)
    for name in request.sites:
        site_of(provider, name)
    desired, problems = _desired(request, events, provider)
    at = clock()
    with ExitStack() as opened:
        clusters = opened.enter_context(
            open_clusters(provider, only=request.sites or None, notice=events.notice)
        )
        from orchestrator.history.observations import Observations

        place = request.history or state_directory() / "history.db"
        observations = opened.enter_context(Observations(place))
        round_ = _Round(
            observations=observations,
            desired=desired,
            wanted=wanted_of(desired, at),
            sites=provider.sites,
            clock=clock,
            place=request.history,
        )
        with ThreadPoolExecutor(max(len(clusters), 1), thread_name_prefix="site") as pool:
            done = list(pool.map(lambda item: round_.at(*item), clusters.items()))
    notices = dict.fromkeys(text for _, texts in done for text in texts)
    return Round(
        at=at,
        sites=tuple(site for site, _ in done),
        problems=tuple(problems),
        notices=tuple(notices),
    )


@dataclass(frozen=True, kw_only=True)
class _Round:
    """What the sites of one round share."""

    observations: Observations
    desired: Sequence[DesiredMachine]
    wanted: Mapping[tuple[str, str], Wanted]
    sites: Mapping[str, Site]
    clock: Callable[[], dt.datetime]
    place: str | None

    def at(self, site: str, cluster: Cluster) -> tuple[SiteRound, tuple[str, ...]]:
        """Observe one site. One that cannot be read has a reason, and the others go on."""
        before = self.observations.state(site)
        try:
            reading = read_site(cluster, site, before, self.desired, self.clock())
            reading = self._with_probes(site, reading)
            if reading.listing is None and self._to_explain(outcome_of(reading, before, self.wanted, {})):
                # The number may have become another machine's, or the machine another node's.
                reading = with_listing(cluster, site, before, self.desired, reading)
            reasons, notices = self._reasons(cluster, reading, before)
            outcome = self.observations.record(
                site, lambda state: outcome_of(reading, state, self.wanted, reasons)
            )
        except HistoryUnavailable:
            raise
        except OrchestratorError as error:
            self.observations.fail(site, str(error))
            return SiteRound(site=site, states={}, problem=str(error)), ()
        refused = record_outages(
            self.observations, site, self.wanted, outcome.until, lambda: open_history(self.place)
        )
        return _told(site, before, outcome), (*reading.notices, *notices, *refused)

    def _with_probes(self, site: str, reading: Reading) -> Reading:
        """The reading with what the site's Prometheus says, if it has one. Its silence is unknown."""
        probes = self.sites[site].probes
        if probes is None:
            return reading
        from orchestrator.guests.probes import ProbesUnread, read_probes

        try:
            token = resolve(probes.token) if probes.token else ""
            answers = read_probes(probes.url, probes.query, probes.ca_file, token)
        except (ProbesUnread, SecretUnavailable) as error:
            text = f"{site}: the probes could not be read, so what they would say is unknown: {error}"
            return replace(reading, notices=(*reading.notices, text))
        return replace(reading, answers=answers)

    def _reasons(
        self, cluster: Cluster, reading: Reading, before: SiteState
    ) -> tuple[Mapping[int, Reason], tuple[str, ...]]:
        first = outcome_of(reading, before, self.wanted, {})
        asked = self._to_explain(first)
        if not asked:
            return {}, ()
        found = find_reasons(cluster, reading, asked, self.wanted, self._entries)
        return found.reasons, found.notices

    @staticmethod
    def _to_explain(outcome: Outcome) -> dict[int, tuple[Known, Span]]:
        spans = unexplained(outcome, outcome.until - _ASKED_SECONDS)
        return {vmid: (outcome.machines[vmid], span) for vmid, span in spans.items()}

    def _entries(self, since: int) -> Iterable[Entry]:
        try:
            with open_history(self.place, create=False) as history:
                return history.entries(since=dt.datetime.fromtimestamp(since, dt.UTC))
        except HistoryUnavailable:  # nothing was done yet
            return []


def _desired(
    request: WatchRequest, events: Events, provider: Provider
) -> tuple[Sequence[DesiredMachine], list[str]]:
    """What the sound files ask for. Machines are observed whatever the files say."""
    chosen = request.paths or (DEFAULT_FOLDER,)
    there = [path for path in chosen if path.exists()]
    problems = [
        f"{path} does not exist, so it is not known which of its machines are to run"
        for path in chosen
        if not path.exists()
    ]
    if not there:
        return (), problems
    try:
        desired, more = open_sound_desired(there, provider, events.problems)
    except (OSError, ValueError, RecursionError) as error:
        return (), [
            *problems,
            f"the files could not be read, so it is not known what is to run: {told(error)}",
        ]
    return desired, [*problems, *more]


def _told(site: str, before: SiteState, outcome: Outcome) -> SiteRound:
    states = {"up": 0, "down": 0, "unknown": 0}
    turns: list[Turn] = []
    for vmid, known in outcome.machines.items():
        spans = outcome.spans.get(vmid, ())
        if not spans:
            continue
        states[spans[-1].state] += 1
        turns += _turns(known, before.spans.get(vmid), spans)
    gap = None if outcome.gap is None else dt.timedelta(seconds=outcome.gap[1] - outcome.gap[0])
    return SiteRound(site=site, states=states, turns=tuple(turns), source=outcome.source, gap=gap)


def _turns(known: Known, was: Span | None, spans: Sequence[Span]) -> list[Turn]:
    """What is new of a machine; nothing of one that was up when it was first seen."""
    fresh = [span for span in spans if was is None or (span.start, span.cause) != (was.start, was.cause)]
    if was is None and all(span.state == "up" for span in fresh):
        return []
    return [Turn(client=known.client, machine=known.machine, span=span) for span in fresh]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was observed.

    Attributes:
        start, end: of the time that is shown (aware).
        machines: what was seen of each, by client and machine.
        sites: how each site is observed.
    """

    start: dt.datetime
    end: dt.datetime
    machines: Mapping[tuple[str, str], Sequence[Seen]]
    sites: Sequence[SiteSeen]


def watched(
    target: str | None, *, hours: int, history: str | None, now: dt.datetime | None = None
) -> Watched:
    """What was observed of everybody's machines, of a client's, or of one, in the last hours.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        hours: how far back.
        history: a file or URL; None: the usual one.
        now: aware; None: the time.

    Raises:
        RequestRefused: nothing was ever observed of that machine.
        HistoryUnavailable: it cannot be read.
    """
    from orchestrator.history.observations import Observations

    end = now or dt.datetime.now(dt.UTC)
    start = end - dt.timedelta(hours=hours)
    chosen = selection(target)
    with Observations(history or state_directory() / "history.db", create=False) as opened:
        sites = opened.sites()
        if chosen.client is None:
            machines = opened.seen_of_all(start, end)
        else:
            seen = opened.seen_of_client(chosen.client, start, end, machine=chosen.machine)
            machines = {(chosen.client, name): spans for name, spans in seen.items()}
    if chosen.client is not None and not machines:
        raise RequestRefused(f"no machine {target} was ever observed: `orchestrator watch` observes")
    return Watched(start=start, end=end, machines=machines, sites=sites)
