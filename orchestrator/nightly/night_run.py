"""A whole night: the sites are read, every step decides, then each does its work in its turn, and the report is made.

One failed machine never stops the night, nor does one failed step: a night ends with a report, whatever happens.
Everything is decided from what the hypervisors have, so a run that was killed is resumed by starting it again: what is
done is seen, and not done twice. Nothing is removed where the clocks disagree (:mod:`orchestrator.nightly.clocks`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.applying.freezing import Frozen
from orchestrator.errors import told
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.steps import STEPS
from orchestrator.resources.survey import Asked, SitesRead, observe_sites

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.resources.unreadable import Unreadable


def plan_night(night: Night, history: History) -> Work:
    """Read every site and decide what this night has to do. Changes nothing.

    What cannot be decided is a problem of the plan: the rest is decided all the same.
    """
    work = Work(night, history, STEPS)
    asked = Asked(
        desired=tuple(night.desired.values()),
        everybody=True,
        snapshots=True,
        archives=night.provider.backup_storage_names,
    )
    nothing = SitesRead(readings={}, failures=dict.fromkeys(night.clusters, "reading it was aborted"))
    read = work.decided("reading", lambda: observe_sites(night.clusters, asked), nothing)
    work.readings, work.failures = dict(read.readings), read.failures
    work.problems += _unread(night, read)
    for step in work.steps:
        work.decided(step.name, step.decide, None)
    return work


def _unread(night: Night, read: SitesRead) -> list[str]:
    """What of the sites could not be read, or is not to be touched."""
    problems = [
        f"site {site} could not be read, nothing is done there: {why}"
        for site, why in sorted(read.failures.items())
    ]
    for site, reading in read.readings.items():
        if who := reading.observed.state.frozen:
            problems.append(f"{Frozen(site, who)}: this night changes nothing anywhere, and makes no backup")
        problems += [
            f"backup storage {storage} of {site} could not be listed: {why}"
            for storage, why in reading.unread.items()
        ]
        problems += [f"{site}: {told}" for told in reading.bad_archives]
        problems += [
            f"{item.kind} {item.name} of {site} could not be read: {item.reason}"
            for item in reading.observed.unreadable
            if item.kind != "machine"
        ]
        problems += [
            f"{item.subject} at {site} is not touched: {item.reason}"
            for item in reading.observed.unreadable
            if item.kind == "machine" and _told_nowhere_else(night, item)
        ]
    return problems


def _told_nowhere_else(night: Night, item: Unreadable) -> bool:
    """Whether a machine that claims to be ours is in no file: of others the report tells why they have no backup."""
    if item.copy:
        return True
    clients = {client for client, _ in night.desired}
    return item.client in clients and (item.client, item.machine or "") not in night.desired


def carry_out(work: Work) -> NightReport:
    """Do what was decided, step by step, and say what became of it."""
    night = work.night
    announced: dict[str, object] = {}
    for step in work.steps:
        announced |= step.announcement()
    night.tell(
        "night-started",
        night=str(work.tonight),
        sites=sorted(work.readings),
        closes_at=night.closes_at.isoformat(),
        **announced,
    )
    for kind in STEPS:
        step = work.step(kind)
        if step.wanted:
            _run(work, step)
    report = NightReport(
        night=work.tonight,
        run=night.journal.run,
        started_at=work.started_at,
        ended_at=night.clock(),
        sites=night.sites,
        problems=tuple(work.problems),
        lines=tuple(work.lines),
    )
    seconds = round((report.ended_at - report.started_at).total_seconds(), 1)
    night.tell("night-ended", failures=report.failures, seconds=seconds)
    return report


def _run(work: Work, step: Step) -> None:
    """Run one step. Whatever it stumbles over is reported, and the night goes on with the next one."""
    work.night.tell("step", name=step.name)
    try:
        step.run()
    except Exception as error:
        work.problems.append(f"{step.name}: the step was aborted: {told(error)}")
        work.night.tell("step-failed", name=step.name, reason=told(error))
