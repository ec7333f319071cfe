"""Restarts in the maintenance windows: what was taken up, what still waits and since when, what went wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.applying.restart_candidates import objection
from orchestrator.applying.restart_outcome import IN_WINDOW, RestartEnding
from orchestrator.applying.update_candidates import window_in_words
from orchestrator.counting import counted
from orchestrator.errors import Reason, told
from orchestrator.history.restarts import written_at
from orchestrator.nightly.restart_round import RestartLine, RestartPlan, RestartRound, plan_restarts
from orchestrator.nightly.result import LineOfMachine
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import MACHINE, Failures, Urgency, key
from orchestrator.nightly.update_step import UpdateStep
from orchestrator.planning.window import current_or_next
from orchestrator.planning.words import setting_words
from orchestrator.reports.page import Cell, Column, Row, Section, Table, table_of
from orchestrator.resources.attributes import attributes_of

if TYPE_CHECKING:
    from orchestrator.history import Entry
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.figures import Figures

RESTARTS_LIMIT = dt.timedelta(hours=2)
"""The report waits so long for restarts once the last window has closed."""

_LOOK_AGAIN_SECONDS = 0.1

_SINCE = dt.timedelta(hours=24)
"""Restarts that other runs made since then are told, too: those of the timer for windows outside the night."""

_TROUBLES: Mapping[RestartEnding, Urgency] = {
    "broken": Urgency.SERVICE,
    "put-back": Urgency.SERVICE,
    "stubborn": Urgency.LATER,
    "untouched": Urgency.LATER,
    "not-started": Urgency.LATER,
}


_AS: Mapping[RestartEnding, RestartEnding] = {"busy": "not-started", "blocked": "untouched"}
"""Endings that are told as another one: the reason tells them apart."""


@dataclass(frozen=True, kw_only=True)
class WaitingRestart(LineOfMachine):
    """A machine whose settings still wait for a restart after the night, or were taken back.

    Attributes:
        settings: Proxmox's keys and values; empty if they are cloud-init's.
        since: when they were written (aware); None if nobody knows.
        opens: when its next window opens (aware); None if none was agreed.
        held: why its restart is held back; empty if it is not.
        missed: a window that opened and closed since then, without anybody restarting it.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    since: dt.datetime | None = None
    opens: dt.datetime | None = None
    held: str = ""
    missed: tuple[dt.datetime, dt.datetime] | None = None

    @property
    def failed(self) -> bool:
        """Whether the client was promised that window, and nobody kept it."""
        return self.missed is not None


class RestartStep(Step):
    """Takes up, in each machine's window, the settings that wait for a restart; this waits for the end.

    Attributes:
        plan: the machines that wait, and those whose turn comes tonight.
        begun: the round that goes on beside the other work; None if nothing was begun.
    """

    name = "restarts"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.plan = RestartPlan()
        self.begun: RestartRound | None = None

    def decide(self) -> None:
        """Choose the machines."""
        self.plan = plan_restarts(self.work.night, self.work.readings)

    def preview(self) -> Iterator[Text]:
        """The machines whose turn it is, and those that are held back."""
        for item in self.plan.planned:
            machine = item.machine
            what = (
                "goes on with what an earlier run began"
                if machine.unfinished
                else setting_words(machine.waiting)
            )
            when = "" if machine.unfinished else f", in the window {window_in_words(item.opens, item.closes)}"
            if why := objection(machine):
                yield Text(f"  ! restart {'/'.join(machine.key)}   {why}", "magenta")
                continue
            yield Text(f"  ~ restart {'/'.join(machine.key)}   {what}{when}", "yellow")
        for machine in self.plan.held:
            yield Text(f"  ! restart {'/'.join(machine.key)}   {machine.why_held}", "magenta")

    def summary(self) -> str:
        """How many machines."""
        return f"{counted(len(self.plan.planned), 'machine')} to restart" if self.plan.planned else ""

    @property
    def wanted(self) -> bool:
        """In any case: what waits is told."""
        return True

    def run(self) -> None:
        """Wait for the restarts, for a limited time, and tell what still waits."""
        work = self.work
        lines: list[RestartLine] = []
        if self.begun is not None:
            closes = max([work.night.closes_at, *(item.closes for item in self.plan.planned)])
            while (
                not self.begun.ended() and work.night.clock() < max(closes, work.started_at) + RESTARTS_LIMIT
            ):
                self.begun.wait(_LOOK_AGAIN_SECONDS)
            lines, problem = self.begun.outcome()
            if problem is not None:
                work.problems.append(f"restarts: the step was aborted: {told(problem)}")
        elif self.plan.planned:
            why = "changes are stopped (frozen)" if work.frozen else "restarts were not started"
            lines = [item.line(item.machine.ended("not-started", message=why)) for item in self.plan.planned]
        work.lines += lines
        work.lines += self._made_by_others(lines)
        work.lines += self._still_waiting({(line.client, line.machine): line for line in lines})

    def _made_by_others(self, lines: list[RestartLine]) -> Iterator[RestartLine]:
        """What the timer for windows outside the night has restarted since the last one."""
        work = self.work
        mine = {(line.client, line.machine) for line in lines}
        for entry in work.history.entries(action=IN_WINDOW, since=work.started_at - _SINCE):
            known = entry.run != work.night.journal.run and (entry.client, entry.machine or "") not in mine
            if known and entry.result == "ok" and entry.site in work.night.clusters:
                yield _line_of(entry)

    def _still_waiting(self, tonight: Mapping[tuple[str, str], RestartLine]) -> Iterator[WaitingRestart]:
        done = ("restarted", "nothing-due", "put-back")
        left = [m for m in self.plan.waiting if m.key not in tonight or tonight[m.key].result not in done]
        since = written_at(self.work.history, {m.key: attributes_of(m.waiting) for m in left})
        now = self.work.night.clock()
        for machine in left:
            written, window = since.get(machine.key), machine.desired.window
            if not machine.waiting and machine.mark.restart_due is not None:
                written = dt.datetime.fromtimestamp(machine.mark.restart_due, dt.UTC)
            held = machine.why_held
            missed = None
            if window is not None and written is not None and not held and machine.key not in tonight:
                opens, closes = current_or_next(window, written)
                if opens < written:  # written while it was open: the next one was the first that was promised
                    opens, closes = current_or_next(window, closes)
                missed = (opens, closes) if closes <= now else None
            yield WaitingRestart(
                client=machine.desired.client,
                machine=machine.desired.name,
                site=machine.observed.site,
                settings=dict(machine.waiting),
                since=written,
                opens=current_or_next(window, now)[0] if window is not None else None,
                held=held,
                missed=missed,
            )
        for machine in self.plan.held:
            if machine.key not in {item.key for item in left}:
                yield WaitingRestart(
                    client=machine.desired.client,
                    machine=machine.desired.name,
                    site=machine.observed.site,
                    settings=dict(machine.mark.restart.settings) if machine.mark.restart else {},
                    since=machine.mark.restart.since if machine.mark.restart else None,
                    held=machine.why_held,
                )

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Restarts that went wrong tonight, and windows that passed without one."""
        words = telling.speech.words
        for trouble, urgency in _TROUBLES.items():
            name, remedy, _ = _trouble_words(telling, trouble)
            lines = (
                line for line in telling.report.of(RestartLine) if line.failed and _trouble(line) == trouble
            )
            found = ((line, _reason(telling, line)) for line in lines)
            yield telling.failures(name, remedy if telling.provider else "", found, urgency)
        missed = (
            (waiting, _missed(telling, waiting))
            for waiting in telling.report.of(WaitingRestart)
            if waiting.failed
        )
        remedy = words.restart_overdue_remedy if telling.provider else ""
        yield telling.failures(words.restart_overdue, remedy, missed)

    @staticmethod
    def facts(telling: Telling) -> Iterator[tuple[str, Cell]]:
        """How many were made, how many wait."""
        words, report = telling.speech.words, telling.report
        made = sum(line.result == "restarted" for line in report.of(RestartLine))
        waiting = sum(not line.held for line in report.of(WaitingRestart))
        held = sum(bool(line.held) for line in report.of(WaitingRestart))
        parts = [words.restarts_done_count(made)] if made else []
        parts += [words.restarts_waiting_count(waiting)] if waiting else []
        parts += [words.restarts_held_count(held)] if held else []
        if parts:
            yield words.restarts, Cell(", ".join(parts), "warn" if held else "plain")

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """Only if something was restarted, or waits for it."""
        report, words = telling.report, telling.speech.words
        if any(report.of(kind) for kind in (RestartLine, WaitingRestart)):
            tables = _made_table(telling) + _waiting_table(telling)
            yield Section(title=words.restarts, empty=words.no_restarts, tables=tables)

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """What waits and since when, what is held back, what failed."""
        since = figures.gauge(
            "orchestrator_restart_waiting_since_timestamp_seconds",
            "When settings of a machine were written that still wait for a restart; 0: not known",
            MACHINE,
        )
        held = figures.gauge(
            "orchestrator_restart_held",
            "1 if a machine is not restarted in its window until somebody has looked; machines that wait",
            MACHINE,
        )
        failed = figures.gauge(
            "orchestrator_restart_failed_tonight",
            "1 if a machine's restart failed or was not begun in the last night; machines whose turn it was",
            MACHINE,
        )
        for waiting in report.of(WaitingRestart):
            since.labels(*key(waiting)).set(waiting.since.timestamp() if waiting.since else 0)
            held.labels(*key(waiting)).set(bool(waiting.held))
        for line in report.of(RestartLine):
            failed.labels(*key(line)).set(line.failed)


class BeginRestartsStep(Step):
    """Begins to restart the machines whose turn it is, beside the other work."""

    name = "restarts begin"
    changes = True

    @property
    def wanted(self) -> bool:
        """Whether any has its turn."""
        return super().wanted and bool(self.work.step(RestartStep).plan.planned)

    def run(self) -> None:
        """Begin."""
        work, restarts = self.work, self.work.step(RestartStep)
        beside = work.step(UpdateStep).beside
        looked = beside.looked if beside is not None else _nobody_looks
        restarts.begun = RestartRound(
            work.night, restarts.plan.planned, work.limits, looked, restarts.plan.unwell
        )


def _nobody_looks() -> bool:
    return True


def _line_of(entry: Entry) -> RestartLine:
    return RestartLine(
        client=entry.client,
        machine=entry.machine or "",
        site=entry.site,
        result="restarted",
        seconds=entry.seconds,
    )


def _trouble(line: RestartLine) -> RestartEnding:
    return _AS.get(line.result, line.result)


def _trouble_words(telling: Telling, trouble: RestartEnding) -> tuple[str, str, str]:
    """What went wrong: its name, what the provider does about it, what a client is told instead of the reason."""
    words = telling.speech.words
    return {
        "broken": (words.restart_broken, words.restart_broken_remedy, words.restart_broken_client),
        "put-back": (words.restart_put_back, words.restart_put_back_remedy, words.restart_put_back_client),
        "stubborn": (words.restart_stubborn, words.restart_stubborn_remedy, words.restart_stubborn_client),
        "untouched": (words.restart_untouched, words.restart_untouched_remedy, words.restart_missed_client),
    }.get(trouble, (words.restart_not_started, words.restart_not_started_remedy, words.restart_missed_client))


def _reason(telling: Telling, line: RestartLine) -> Reason:
    """Why a restart went wrong. A client is told in our own words: the messages are the provider's."""
    if telling.provider:
        return line.message or telling.speech.words.no_reason
    return _trouble_words(telling, _trouble(line))[2]


def _missed(telling: Telling, line: WaitingRestart) -> Reason:
    speech = telling.speech
    assert line.missed is not None  # noqa: S101  (failed)
    since = speech.moment(line.since) if line.since else speech.words.since_unknown
    return speech.words.restart_overdue_reason.format(since=since, window=speech.window(*line.missed))


def _settings(telling: Telling, settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or (
        telling.speech.words.settings_of_cloud_init
    )


def _made_table(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    columns: list[Column | str] = [
        words.machine,
        words.site,
        words.settings,
        words.maintenance_window,
        Column(words.wave, figures=True),
        words.duration,
        *([words.remark] if telling.provider else []),
    ]
    rows: list[Row] = [
        (
            telling.name(line),
            line.site,
            _settings(telling, line.settings) if line.window else words.nothing,
            speech.window(*line.window) if line.window else words.nothing,
            speech.number(line.wave) if line.wave else words.nothing,
            speech.duration(line.seconds),
            *([Cell(line.message, "warn" if line.message else "plain")] if telling.provider else []),
        )
        for line in telling.report.of(RestartLine)
        if line.result == "restarted"
    ]
    return table_of(words.restarts_done, columns, rows)


def _waiting_table(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    columns = (words.machine, words.site, words.settings, words.waits_since, words.next_window)
    rows: list[Row] = [
        (
            telling.name(line),
            line.site,
            _settings(telling, line.settings),
            speech.moment(line.since) if line.since else words.since_unknown,
            _next(telling, line),
        )
        for line in telling.report.of(WaitingRestart)
    ]
    return table_of(words.restarts_waiting, columns, rows)


def _next(telling: Telling, line: WaitingRestart) -> Cell:
    speech, words = telling.speech, telling.speech.words
    if line.held:
        text = words.restart_held.format(reason=line.held) if telling.provider else words.restart_held_client
        return Cell(text, "warn")
    return Cell(speech.moment(line.opens) if line.opens else words.no_window_agreed)
