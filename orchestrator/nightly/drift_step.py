"""Drift: what differs from the files although nobody changed them, by the same reading as a plan's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.errors import told
from orchestrator.nightly.guest_look import GuestsSeen
from orchestrator.nightly.result import LineOfMachine
from orchestrator.nightly.step import Step
from orchestrator.nightly.update_step import UpdateStep
from orchestrator.planning.inside import inside_changes
from orchestrator.planning.plan import Plan, SiteFailure, make_plan
from orchestrator.planning.words import sides
from orchestrator.reports.page import Section, table_of
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.renaming import with_renames
from orchestrator.resources.survey import read_for_plan

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.telling import Telling
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedSite


@dataclass(frozen=True, kw_only=True)
class DriftLine(LineOfMachine):
    """One difference that nobody asked for in a file.

    Attributes:
        notice: whether it is no drift, but worth knowing or refused: a machine that its client shut down.
    """

    what: str
    before: str | None
    after: str | None
    why: str | None
    notice: bool = False


class DriftStep(Step):
    """Compares the files with the hypervisors."""

    name = "drift"

    def decide(self) -> None:
        """Find what differs."""
        work = self.work
        work.lines += drift_lines(work.night, work.readings, work.failures, work.started_at, work.problems)

    def preview(self) -> Iterator[Text]:
        """What differs."""
        for line in self.work.lines:
            if isinstance(line, DriftLine):
                sides = " → ".join(side for side in (line.before, line.after) if side)
                why = line.why or "changed outside"
                yield Text(f"  ! {line.what} {line.client}/{line.machine}   {sides}   {why}", "cyan")

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """What was changed outside the files, and what else a plan would say."""
        words = telling.speech.words
        columns = (words.machine, words.site, words.setting, words.found, words.in_the_file, words.why)
        lines = telling.report.of(DriftLine)
        for title, empty, notice in (
            (words.drift, words.no_drift, False),
            (words.notices, words.no_notices, True),
        ):
            rows = [
                (
                    telling.name(line),
                    line.site,
                    line.what,
                    line.before or words.nothing,
                    line.after or words.nothing,
                    line.why or "",
                )
                for line in lines
                if line.notice is notice
            ]
            if rows or not notice:
                yield Section(title=title, empty=empty, tables=table_of(title, columns, rows))


class DriftInsideStep(Step):
    """Compares what was seen in the managed machines with what is to be there."""

    name = "drift inside machines"

    def run(self) -> None:
        """Tell what somebody changed in them."""
        seen = self.work.step(UpdateStep).seen
        if isinstance(seen, GuestsSeen):
            self.work.lines += drift_inside(seen)


def drift_lines(
    night: Night,
    readings: Mapping[str, SiteReading],
    failures: Mapping[str, str],
    now: dt.datetime,
    problems: list[str],
) -> list[DriftLine]:
    """What a plan would show as drift, refuse, or give notice of.

    Args:
        night: the run.
        readings: the sites as the night read them.
        failures: why the others could not be read.
        now: the time, aware.
        problems: what could not be judged is added here.
    """
    observed = _read_for_plan(night, readings, problems)
    here = [machine for machine in night.desired.values() if machine.site in observed]
    unread = [SiteFailure(site=site, reason=why) for site, why in failures.items()]
    try:
        return list(_lines(make_plan(here, observed, now, failures=unread)))
    except Exception:  # one machine's: the others' are found one by one
        lines: list[DriftLine] = []
        for machine in here:
            try:
                found = list(_lines(make_plan([machine], observed, now, failures=unread)))
            except Exception as error:
                problems.append(f"drift of {machine.client}/{machine.name}: {told(error)}")
                continue
            lines += [line for line in found if (line.client, line.machine) == machine.key]
        return lines


def _read_for_plan(
    night: Night, readings: Mapping[str, SiteReading], problems: list[str]
) -> dict[str, ObservedSite]:
    """The sites with what a plan needs besides. The other steps do without it, so its failure is drift's alone."""
    # Nothing is made or repaired for a client that is out of service, so nothing more is read for it.
    wanted = [machine for machine in night.desired.values() if not night.out_of_service(machine.client)]
    observed = {}
    for site, reading in readings.items():
        try:
            observed[site] = read_for_plan(night.clusters[site], reading.observed, wanted)
        except Exception as error:  # whatever one site answers, the others' drift is told
            problems.append(f"drift at {site} is not known: {told(error)}")
            continue
        problems += [
            f"drift of {item.subject} at {site} is not known: {item.reason}"
            for item in observed[site].unreadable
            if item not in reading.observed.unreadable
        ]
    return with_renames(observed, wanted)


def _lines(plan: Plan) -> Iterable[DriftLine]:
    for item in plan.shared:
        if item.change.drift or item.change.effect in (*_TOLD, Effect.UNABLE):
            yield _line(item.client, f"{item.address.kind}/{item.address.name}", item.site, item.change)
    for machine in plan.machines:
        for change in machine.changes:
            if change.drift or change.effect in _TOLD:
                yield _line(machine.client, machine.machine, machine.site, change)


def _line(client: str, machine: str, site: str, change: Change) -> DriftLine:
    before, after = sides(change)
    return DriftLine(
        client=client,
        machine=machine,
        site=site,
        what=change.what,
        before=before,
        after=after,
        why=change.why,
        notice=not change.drift,
    )


_TOLD = (Effect.NOTICE, Effect.REFUSED)
"""What the night tells of a plan besides drift."""


def drift_inside(seen: GuestsSeen) -> list[DriftLine]:
    """What somebody changed in the managed machines by hand: rules, keys, supervision."""
    lines = []
    for machine in seen.machines:
        try:
            changes = inside_changes(
                machine.desired, machine.observed, machine.mark, seen.of(machine.key), reachable=True
            )
        except Exception as error:
            changes = [Change(effect=Effect.NOTICE, what="guest", why=told(error), drift=True)]
        lines += [
            DriftLine(
                client=machine.desired.client,
                machine=machine.desired.name,
                site=machine.observed.site,
                what=change.what,
                before=sides(change)[0],
                after=sides(change)[1],
                why=change.why or "changed inside the machine: orchestrator apply --guests undoes it",
            )
            for change in changes
            if change.drift
        ]
    return lines
