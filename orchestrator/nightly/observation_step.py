"""Observation of the last day: when nobody looked, and which machines were down for a reason that nobody knows.

A time without observation is a gap: the service level of article 6 can say nothing of it, so it is told the next
morning. Nothing is read here but what ``orchestrator watch`` recorded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.history.intervals import Cause
from orchestrator.nightly.result import Line, LineOfMachine
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import Failures, Urgency
from orchestrator.reports.page import Cell, Section, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Telling

_DAY = dt.timedelta(days=1)
_LONGEST_GAP = dt.timedelta(hours=1)
"""In a day: more than that is no restart of the observer any more."""

_UNDECIDED = frozenset({str(Cause.UNKNOWN), str(Cause.PERSON)})


@dataclass(frozen=True, kw_only=True)
class ObservationLine(Line):
    """How long a site was not observed in the last day.

    Attributes:
        site: which.
        missing: how long, in all.
        gaps: from when to when (aware), and why.
    """

    site: str
    missing: dt.timedelta
    gaps: tuple[tuple[dt.datetime, dt.datetime, str], ...] = ()

    @property
    def failed(self) -> bool:
        """Whether somebody must look at the observer."""
        return self.missing > _LONGEST_GAP


@dataclass(frozen=True, kw_only=True)
class UndecidedLine(LineOfMachine):
    """A machine that its file wants running was down, and what is known does not say whose affair that is.

    Attributes:
        start, end: from when to when, as far as it was in the last day (aware).
        cause: as observed: ``unknown`` or ``person``.
        detail: what was found, for people.
    """

    start: dt.datetime
    end: dt.datetime
    cause: str
    detail: str = ""


class ObservationStep(Step):
    """Looks at what was observed in the last day."""

    name = "observation"

    def run(self) -> None:
        """Look: a few queries. Where nothing was ever observed, there is nothing to tell."""
        from orchestrator.history.observations import Observations

        work = self.work
        end = work.night.clock()
        start = end - _DAY
        observations = Observations.beside(work.history)
        for site, gaps in observations.gaps(start, end).items():
            if site in work.night.clusters:
                missing = sum((until - since for since, until, _ in gaps), dt.timedelta())
                work.lines.append(ObservationLine(site=site, missing=missing, gaps=tuple(gaps)))
        for (client, machine), seen in observations.seen_of_all(start, end).items():
            desired = work.night.desired.get((client, machine))
            if desired is None or desired.power != "running":
                continue
            work.lines += [
                UndecidedLine(
                    client=client,
                    machine=machine,
                    site=desired.site,
                    start=item.start,
                    end=item.end,
                    cause=item.cause,
                    detail=item.detail,
                )
                for item in seen
                if item.state == "down" and item.cause in _UNDECIDED and desired.direct_access
            ]

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Sites that were not observed for long."""
        words = telling.speech.words
        found = tuple(
            (words.observation, line.site, _gaps(telling, line))
            for line in telling.report.of(ObservationLine)
            if line.failed
        )
        yield Failures(words.not_observed, words.not_observed_remedy, found, Urgency.SERVICE)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """They are the provider's affair: a client is told by the month's report."""
        report, words, speech = telling.report, telling.speech.words, telling.speech
        if not telling.provider or not report.of(ObservationLine):
            return
        sites = [
            (
                line.site,
                Cell(speech.duration(line.missing.total_seconds())),
                Cell(_gaps(telling, line), "bad"),
            )
            for line in report.of(ObservationLine)
        ]
        causes = {str(Cause.PERSON): words.stopped_by_a_person}
        machines = [
            (
                telling.name(line),
                line.site,
                speech.moment(line.start),
                speech.moment(line.end),
                Cell(line.detail or causes.get(line.cause, words.cause_unknown), "bad"),
            )
            for line in report.of(UndecidedLine)
        ]
        tables = table_of(words.observation, (words.site, words.not_observed_for, words.remark), sites)
        tables += table_of(
            words.stops_to_decide,
            (words.machine, words.site, words.stopped_from, words.stopped_until, words.remark),
            machines,
        )
        yield Section(title=words.observation, empty="", tables=tables)


def _gaps(telling: Telling, line: ObservationLine) -> str:
    speech = telling.speech
    return "; ".join(
        f"{speech.moment(since)} - {speech.moment(until)}: {why}" for since, until, why in line.gaps
    )
