"""One round of observation at one site: what is read, and what it makes of the intervals. One call, as a rule.

Proxmox's samples (:mod:`orchestrator.proxmox.metrics`) say of every guest whether it ran, every ten seconds. The
cluster's list is read besides once an hour, and where the samples lack a machine: it knows which nodes are off. Where
there are no samples (Proxmox VE before 8.2.5, or the token lacks Sys.Audit on /) the list alone is read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.contract.life import Standing
from orchestrator.errors import OrchestratorError
from orchestrator.history.intervals import GAP_SECONDS, Cause, Look, Span, follow, without_hole
from orchestrator.history.observed_site import Known, Outcome, SiteState
from orchestrator.proxmox import NotImplementedByServer, PermissionDenied, ServerError
from orchestrator.proxmox.cluster_reading import read_listing
from orchestrator.proxmox.cluster_state import ClusterState
from orchestrator.proxmox.metrics import EVERY_SECONDS, Samples, read_samples
from orchestrator.resources.roster import OurVm, roster

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine

LISTED_SECONDS = 3600
"""How often the cluster's list is read although the samples lack nobody: machines come and go, and move."""

MOST_SKEW = 60
"""Seconds by which the clocks of this computer and of the site may differ: else it is not known when something was."""

_MOST_SAMPLES = 30_000
"""Of one answer, ten rows of a hundred bytes each: what a large cluster would answer beyond that is not asked for."""

_SHORTEST, _LONGEST = 3 * EVERY_SECONDS, 1700
"""Seconds of samples in one answer: a daemon that is late by one round is still seen; Proxmox keeps half an hour."""

_OVERLAP = 2 * EVERY_SECONDS
"""Seconds that two rounds both read: the samples of another node may come late."""

_STALE = 90
"""Seconds after which the last sample of a machine says nothing of now."""


class ClocksDiffer(OrchestratorError):
    """The time is not known: nothing is recorded of this round."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a machine's file says.

    Attributes:
        running: whether it is to run now: its contract is in service, and its file does not want it stopped.
        full: whether the client has no access to it (``level: full``): then its own faults count, too (article 6).
        storage: where its disks are.
    """

    running: bool
    full: bool
    storage: str


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a machine went down, or its process began anew.

    Attributes:
        cause: as the interval keeps it; none: it moved to another node, and was never away.
    """

    cause: Cause
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a round read of a site.

    Attributes:
        at: when, by this computer's clock (seconds since the epoch).
        shift: how far that clock is ahead of the site's.
        source: ``export`` or ``resources``.
        looks: by number.
        guests: how many guests there were samples of.
        listing: the cluster's list, if it was read.
        ours: our machines of that list.
        notices: what a person should know.
        answers: whether machines answer the provider's probes, by client and machine, as far as it is known.
    """

    at: int
    shift: int
    source: str
    looks: Mapping[int, Sequence[Look]]
    guests: int
    listing: ClusterState | None
    ours: Mapping[int, OurVm]
    notices: tuple[str, ...] = ()
    answers: Mapping[tuple[str, str], bool] = field(default_factory=dict)


def wanted_of(desired: Iterable[DesiredMachine], now: dt.datetime) -> dict[tuple[str, str], Wanted]:
    """What the files say of their machines at a moment (aware)."""
    return {
        item.key: Wanted(
            running=item.power == "running" and item.life.standing(now) in (Standing.ACTIVE, Standing.ENDING),
            full=not item.direct_access,
            storage=item.storage,
        )
        for item in desired
    }


def read_site(
    cluster: Cluster, site: str, state: SiteState, desired: Collection[DesiredMachine], now: dt.datetime
) -> Reading:
    """Read a site: one call, or two where the samples lack a machine or the list is an hour old.

    Args:
        cluster: its API.
        site: its name.
        state: what is known of it.
        desired: what the files ask for.
        now: aware, by this computer's clock.

    Raises:
        ClocksDiffer: this computer's clock and the site's differ by more than a minute.
        ProxmoxError: it could not be read.
    """
    at = int(now.timestamp())
    samples, notices = _samples(cluster, state, at)
    shift = _shift(cluster, at) if samples is not None else 0
    reading = Reading(
        at=at,
        shift=shift,
        source="resources" if samples is None else "export",
        looks=_looks_at(samples, shift, at) if samples is not None else {},
        guests=samples.guests if samples is not None else 0,
        listing=None,
        ours={},
        notices=notices,
    )
    if (
        samples is None
        or samples.guests != state.guests
        or state.listed is None
        or at - state.listed >= LISTED_SECONDS
        or not state.machines.keys() <= _fresh(reading)
    ):
        return with_listing(cluster, site, state, desired, reading)
    return reading


def with_listing(
    cluster: Cluster, site: str, state: SiteState, desired: Collection[DesiredMachine], reading: Reading
) -> Reading:
    """The reading, and what the cluster's list says of machines that there are no samples of: one call.

    Args:
        cluster, site, state, desired: as in :func:`read_site`.
        reading: what was read already.

    Raises:
        ClocksDiffer, ProxmoxError: as :func:`read_site`.
    """
    listing = read_listing(cluster)
    shift = _shift(cluster, reading.at)
    earlier = {vmid: (known.client, known.machine) for vmid, known in state.machines.items()}
    ours = roster(listing.vms, site, desired, earlier)
    more = _listed_looks(cluster, listing, ours, reading.at, set(ours) - _fresh(reading))
    looks = {**reading.looks, **{vmid: [*reading.looks.get(vmid, ()), look] for vmid, look in more.items()}}
    return replace(reading, shift=shift, looks=looks, listing=listing, ours=ours)


def _fresh(reading: Reading) -> set[int]:
    """The guests whose samples say something of now."""
    return {vmid for vmid, found in reading.looks.items() if found and found[-1].at >= reading.at - _STALE}


def _samples(cluster: Cluster, state: SiteState, at: int) -> tuple[Samples | None, tuple[str, ...]]:
    """The samples since the last round; None where there are none, with what to do about it."""
    if state.source == "resources" and state.listed is not None and at // 3600 == state.listed // 3600:
        return None, ()  # asked for again once an hour
    longest = EVERY_SECONDS * (_MOST_SAMPLES // max(state.guests, 1))
    longest = min(max(longest, _SHORTEST), _LONGEST)
    since = at - 6 * EVERY_SECONDS if state.until is None else state.until - _OVERLAP
    try:
        return read_samples(cluster, min(max(since, at - longest), at - _SHORTEST)), ()
    except PermissionDenied:
        return None, (
            "the token may not read Proxmox's samples, so observation is coarser: give its role Sys.Audit on / "
            "(docs/observation.md)",
        )
    except NotImplementedByServer:
        return None, ()
    except ServerError:  # its own call to another node failed, or its clock is behind ours
        return None, ()


def _shift(cluster: Cluster, at: int) -> int:
    """How many seconds this computer's clock is ahead of the site's; 0 where both agree.

    Raises:
        ClocksDiffer: it is more than a minute.
    """
    theirs = cluster.answered_at()
    shift = 0 if theirs is None else round(at - theirs)
    if abs(shift) > MOST_SKEW:
        way = "ahead of" if shift > 0 else "behind"
        raise ClocksDiffer(
            f"{cluster.site}: this computer's clock is {abs(shift)} s {way} the site's, so nothing was recorded: set "
            "the clock that is wrong (NTP)"
        )
    return shift if abs(shift) > 2 else 0


def _looks_at(samples: Samples, shift: int, at: int) -> dict[int, list[Look]]:
    return {
        vmid: [
            Look(at=min(time + shift, at), state="up" if uptime else "down", uptime=uptime or None)
            for time, uptime in found
            if time + shift <= at + MOST_SKEW
        ]
        for vmid, found in samples.uptimes.items()
    }


def _listed_looks(
    cluster: Cluster, listing: ClusterState, ours: Mapping[int, OurVm], at: int, vmids: Collection[int]
) -> dict[int, Look]:
    """What the cluster's list says of some of our machines."""
    off = {node.name for node in listing.nodes if node.off}
    # A node that lost the others calls them all off.
    trusted = bool(off) and any(ours[vmid].vm.node in off for vmid in vmids) and _quorate(cluster)
    found: dict[int, Look] = {}
    for vmid in vmids:
        vm = ours[vmid].vm
        if vm.node in off:
            state, cause = ("down", Cause.NODE) if trusted else ("unknown", Cause.SILENT)
            found[vmid] = Look(
                at=at,
                state=state,  # type: ignore[arg-type]
                cause=cause,
                source="resources",
                detail=f"node {vm.node} is off" if trusted else f"node {vm.node}: the cluster has no quorum",
            )
        elif vm.status == "unknown":
            detail = f"node {vm.node} says nothing"
            found[vmid] = Look(at=at, state="unknown", cause=Cause.SILENT, source="resources", detail=detail)
        elif vm.status == "stopped":
            found[vmid] = Look(at=at, state="down", source="resources")
        else:
            found[vmid] = Look(at=at, state="up", uptime=vm.uptime or None, source="resources")
    return found


def _quorate(cluster: Cluster) -> bool:
    about = [entry for entry in cluster.get("/cluster/status") if entry["type"] == "cluster"]
    return bool(int(about[0].get("quorate") or 0)) if about else True


def outcome_of(
    reading: Reading,
    state: SiteState,
    wanted: Mapping[tuple[str, str], Wanted],
    reasons: Mapping[int, Reason],
) -> Outcome:
    """What a round makes of what is known. Pure; it is the same whether it was seen once or twice.

    Args:
        reading: the round.
        state: what is known at this moment.
        wanted: by client and machine; a machine that is not in it is in no file that could be read.
        reasons: why machines went down, as far as it was found out.

    Raises:
        ClocksDiffer: what is known lies in the future.
    """
    if state.until is not None and state.until - reading.at > MOST_SKEW:
        raise ClocksDiffer(
            f"this computer's clock went back by {state.until - reading.at} s, or had been ahead: nothing is recorded "
            "until it has passed the last observation"
        )
    until = max(reading.at, state.until or 0)
    machines = _machines(reading, state)
    first = min((look.at for vmid in machines for look in reading.looks.get(vmid, ())), default=reading.at)
    gap = None
    if state.until is not None and first - state.until > GAP_SECONDS:
        gap = (state.until, first)
    unanswered = _cause_of_silence(reading, machines)
    spans: dict[int, Sequence[Span]] = {}
    for vmid, known in machines.items():
        was = state.machines.get(vmid)
        same = was is not None and (was.client, was.machine) == (known.client, known.machine)
        current = state.spans.get(vmid) if same else None
        answers = reading.answers.get((known.client, known.machine))
        looks = _probed(reading.looks.get(vmid, ()), current, answers, unanswered, reading.at)
        found = _followed(reading, looks, current, state.until, gap)
        here = wanted.get((known.client, known.machine))
        running = None if here is None else here.running
        if vmid in reading.ours and reading.ours[vmid].retired:
            running = False
        spans[vmid] = _explained(found, current, running, reasons.get(vmid), until)
    return Outcome(
        until=until,
        machines=machines,
        spans=spans,
        listed=state.listed if reading.listing is None else reading.at,
        guests=reading.guests,
        source=reading.source,
        gap=gap,
    )


def _machines(reading: Reading, state: SiteState) -> dict[int, Known]:
    if reading.listing is None:
        return dict(state.machines)
    listed = {vm.vmid for vm in reading.listing.vms}
    # One that has samples is there, whatever the token may list.
    kept = {
        vmid: known
        for vmid, known in state.machines.items()
        if vmid not in listed and reading.looks.get(vmid)
    }
    ours = {
        vmid: Known(vmid=vmid, client=item.client, machine=item.machine, node=item.vm.node)
        for vmid, item in reading.ours.items()
    }
    return {**kept, **ours}


def _cause_of_silence(reading: Reading, machines: Mapping[int, Known]) -> Cause:
    """Whose affair it is that a machine that runs does not answer: where none of several answers, the network's."""
    running = [
        reading.answers[known.client, known.machine]
        for vmid, known in machines.items()
        if (known.client, known.machine) in reading.answers
        and (looks := reading.looks.get(vmid))
        and looks[-1].state == "up"
    ]
    return Cause.NETWORK if len(running) > 1 and not any(running) else Cause.UNANSWERED


def _probed(
    looks: Sequence[Look], current: Span | None, answers: bool | None, cause: Cause, at: int
) -> Sequence[Look]:
    """The looks at a machine, with what the probes say of it: one that runs and does not answer is down."""
    if not looks or looks[-1].state != "up":
        return looks
    silent = (
        current is not None and current.state == "down" and current.cause in (Cause.NETWORK, Cause.UNANSWERED)
    )
    if answers is False:
        down = Look(at=at, state="down", cause=cause, source="probe")
        return [down] if silent else [*looks, down]
    if not silent:
        return looks
    if answers:
        return [replace(looks[-1], at=at, source="probe")]
    detail = "it runs, and whether it answers again is not known"
    return [Look(at=at, state="unknown", cause=Cause.SILENT, source="probe", detail=detail)]


def _followed(
    reading: Reading,
    looks: Sequence[Look],
    current: Span | None,
    until: int | None,
    gap: tuple[int, int] | None,
) -> list[Span]:
    if current is None:
        return follow(None, [look for look in looks if until is None or look.at > until], None)
    if gap is not None:
        return [replace(current, end=gap[0]), *follow(None, looks, None)]
    silent = Look(at=reading.at, state="unknown", cause=Cause.SILENT, source=reading.source)
    return follow(current, looks or [silent], until)


def _explained(
    spans: list[Span], current: Span | None, running: bool | None, reason: Reason | None, at: int
) -> list[Span]:
    """The intervals with their causes; one whose file changed its mind is parted at that moment."""
    for hole in [span for span in spans if span.cause is Cause.RESTART and span != current]:
        if reason is not None and reason.cause is Cause.NONE:
            spans = without_hole(spans, hole)
        elif reason is not None and reason.cause in (Cause.OWN, Cause.PERSON):
            spans[spans.index(hole)] = replace(hole, cause=reason.cause, detail=reason.detail)
    for index, span in enumerate(spans):
        if span.state != "down" or span.cause is not Cause.UNKNOWN:
            continue
        if running is False and (current is None or span.start != current.start):
            spans[index] = replace(span, cause=Cause.PLANNED)
        elif reason is not None and reason.cause is not Cause.NONE:
            spans[index] = replace(span, cause=reason.cause, detail=reason.detail)
    if not spans or spans[-1].state != "down" or spans[-1].start >= at:
        return spans
    last = spans[-1]
    if running is False and last.cause is not Cause.PLANNED:
        return [*spans[:-1], *_parted(last, at, Cause.PLANNED, "")]
    if running is True and last.cause is Cause.PLANNED:
        return [*spans[:-1], *_parted(last, at, Cause.OWN, "not started yet: apply its file")]
    return spans


def _parted(span: Span, at: int, cause: Cause, detail: str) -> list[Span]:
    later = replace(span, start=at, cause=cause, detail=detail, confirmed=True, settled=0)
    return [replace(span, end=at), later]


def unexplained(outcome: Outcome, since: int) -> dict[int, Span]:
    """The newest interval of each machine that is to be asked about and began after a time, by number."""
    found: dict[int, Span] = {}
    for vmid, spans in outcome.spans.items():
        for span in spans:
            if span.unexplained and (span.end or span.start) >= since:
                found[vmid] = span
    return found
