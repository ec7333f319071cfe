"""The automatic updates of managed machines: what went wrong, what was installed, what is still due (article 3.8.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from orchestrator.applying.update_candidates import window_in_words
from orchestrator.contract.calendar import UPDATE_DELAY_HOURS
from orchestrator.counting import counted
from orchestrator.errors import Reason
from orchestrator.nightly.beside import GuestWork
from orchestrator.nightly.guest_look import GuestLine, GuestsSeen, UpdateDelay, WaitingUpdate
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import MACHINE, Failures, Urgency, key
from orchestrator.nightly.update_round import UpdateLine, UpdatePlan, plan_updates
from orchestrator.reports.page import Cell, Column, Row, Section, Table, Tone, table_of

if TYPE_CHECKING:
    from orchestrator.guests.packages import InstalledPackage
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.figures import Figures

_HOUR = 3600

_LISTED = 8
"""How many packages of a machine are listed; of the others there is a number."""

Trouble = Literal["broken", "unreachable", "rolled-back", "untouched", "held", "not-started"]

_HARMING: tuple[Trouble, ...] = ("broken", "unreachable", "rolled-back")
"""Updates after which a machine's services may not run now: told before what only fails tomorrow."""

_WAITING: tuple[Trouble, ...] = ("untouched", "not-started")

_TROUBLES: tuple[Trouble, ...] = ("broken", "unreachable", "rolled-back", "held", "untouched", "not-started")


class UpdateStep(Step):
    """Updates the machines whose turn it is, each in its window, beside the other work; this waits for their end.

    Attributes:
        plan: the machines whose automatic updates are tonight's.
        beside: what goes on beside the other work; None if nothing does.
        seen: what was seen in the managed machines, or why nothing was.
    """

    name = "updates"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.plan = UpdatePlan()
        self.beside: GuestWork | None = None
        self.seen: GuestsSeen | str = (
            "the machines could not be reached by SSH: see the problems of the night"
        )

    def decide(self) -> None:
        """Choose the machines."""
        self.plan = plan_updates(self.work.night, self.work.readings)

    def preview(self) -> Iterator[Text]:
        """The machines whose turn it is, and those that are held back."""
        for update in self.plan.planned:
            client, name = update.machine.key
            when = (
                "goes on with what an earlier run began"
                if update.unfinished
                else f"automatic, in the window {window_in_words(update.opens, update.closes)}"
            )
            yield Text(f"  ~ updates {client}/{name}   {when}", "yellow")
        for held in self.plan.held:
            yield Text(f"  ! updates {held.client}/{held.machine}   {held.message}", "magenta")

    def summary(self) -> str:
        """How many machines."""
        return f"{counted(len(self.plan.planned), 'machine')} to update" if self.plan.planned else ""

    @property
    def wanted(self) -> bool:
        """Whether anything was begun."""
        return self.beside is not None

    def run(self) -> None:
        """Wait for what goes on beside the backups, for a limited time."""
        assert self.beside is not None  # noqa: S101  (see wanted)
        self.seen = "the step was aborted"
        self.seen, lines, problems = self.beside.results()
        self.work.lines += lines
        self.work.problems += problems

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Updates that failed tonight; who is held back was a failure of an earlier night."""
        for trouble in (*_HARMING, *_WAITING):
            name, remedy = trouble_words(telling, trouble)
            urgency = Urgency.SERVICE if trouble in _HARMING else Urgency.LATER
            lines = (line for line in telling.report.of(UpdateLine) if line.failed and line.result == trouble)
            found = ((line, trouble_reason(telling, line)) for line in lines)
            yield telling.failures(name, remedy, found, urgency)

    @staticmethod
    def facts(telling: Telling) -> Iterator[tuple[str, Cell]]:
        """How many were installed, and what is left of them."""
        if managed(telling.report):
            yield telling.speech.words.updates, updates_fact(telling)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """Only if the night had to do with managed machines."""
        if managed(telling.report):
            yield updates_section(telling)

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """Failed updates, machines that are held back, and the delay."""
        held = figures.gauge(
            "orchestrator_updates_held",
            "1 if a managed machine gets no automatic updates until somebody has looked",
            MACHINE,
        )
        held_now = held_back(report)
        for labels in sorted({key(line) for line in (*report.of(GuestLine), *report.of(UpdateLine))}):
            held.labels(*labels).set(labels in held_now)
        failed = figures.gauge(
            "orchestrator_updates_failed_tonight",
            "1 if a machine's automatic updates failed or were not begun in the last night; machines whose turn it was",
            MACHINE,
        )
        for line in report.of(UpdateLine):
            failed.labels(*key(line)).set(line.failed)
        for delay in report.of(UpdateDelay):
            if delay.average_hours is not None:
                figures.gauge(
                    "orchestrator_updates_delay_average_working_seconds",
                    "Seconds of working hours from publication or request to installation, average of the updates of "
                    f"the last {counted(delay.days, 'day')} and of those that wait, with their age so far",
                ).set(delay.average_hours * _HOUR)


class LookStep(Step):
    """Begins to look into the managed machines, and then to update them, beside the other work."""

    name = "guests"

    @property
    def wanted(self) -> bool:
        """Whether machines can be reached."""
        return self.work.night.ssh is not None

    def run(self) -> None:
        """Begin."""
        work, updates = self.work, self.work.step(UpdateStep)
        updates.beside = GuestWork(
            work.night, work.readings, updates.plan, work.history, updating=not work.frozen
        )


def managed(report: NightReport) -> bool:
    """Whether the night had to do with managed machines."""
    return any(report.of(kind) for kind in (UpdateLine, GuestLine, WaitingUpdate))


def held_back(report: NightReport) -> set[tuple[str, str, str]]:
    """The machines that get no automatic updates until somebody has looked, those of tonight included."""
    held = {key(line) for line in report.of(GuestLine) if line.held_since is not None}
    stopped = ("held", "rolled-back", "broken")
    return held | {key(line) for line in report.of(UpdateLine) if line.result in stopped}


def updates_section(telling: Telling) -> Section:
    """The machines that somebody must look at first; then what was done, what is left to do, and the delay."""
    words, report = telling.speech.words, telling.report
    tables: tuple[Table, ...] = ()
    for trouble in _TROUBLES:
        tables += _trouble_table(telling, trouble)
    tables += _installed_table(telling) + _due_table(telling) + _waiting_table(telling)
    for delay in report.of(UpdateDelay):
        tables += _delay_table(telling, delay)
    return Section(title=words.updates, empty=words.no_updates, tables=tables)


def updates_fact(telling: Telling) -> Cell:
    """The updates in a few words: how many were installed, and what is left of them."""
    speech, words, report = telling.speech, telling.speech.words, telling.report
    updated = [line for line in report.of(UpdateLine) if line.installed]
    parts = [words.none_installed]
    if updated:
        packages = words.installed_count(sum(len(line.installed) for line in updated))
        parts = [words.installed_in.format(packages=packages, machines=words.machines_count(len(updated)))]
    if security := sum(line.security for line in report.of(GuestLine)):
        parts.append(words.security_left(security))
    if held := len(held_back(report)):
        parts.append(words.held_in.format(machines=words.machines_count(held)))
    for delay in report.of(UpdateDelay):
        if delay.average_hours is not None:
            parts.append(words.delay_average.format(hours=speech.working_hours(delay.average_hours)))
    return Cell(", ".join(parts), "warn" if held else "plain")


def trouble_words(telling: Telling, trouble: Trouble) -> tuple[str, str]:
    """What went wrong with updates, in the reader's language.

    Returns:
        Its name, and what the provider does about it; the second is empty for a client.
    """
    words = telling.speech.words
    name, remedy = {
        "broken": (words.update_broken, words.update_broken_remedy),
        "unreachable": (words.update_unreachable, words.update_unreachable_remedy),
        "rolled-back": (words.update_rolled_back, words.update_rolled_back_remedy),
        "untouched": (words.update_untouched, words.update_untouched_remedy),
        "held": (words.update_held, words.update_held_remedy),
        "not-started": (words.update_not_started, words.update_not_started_remedy),
    }[trouble]
    return name, remedy if telling.provider else ""


def trouble_reason(telling: Telling, line: UpdateLine) -> Reason:
    """Why a machine's updates went wrong.

    A client is told in our own words: the messages are the provider's, and that of a stopped wave, or of an Ansible run
    that broke off, names the machines of other clients.
    """
    words = telling.speech.words
    if telling.provider:
        return line.message or words.no_reason
    told = {
        "broken": words.update_broken_client,
        "unreachable": words.update_unreachable_client,
        "rolled-back": words.update_rolled_back_client,
        "untouched": words.update_untouched_client,
        "held": words.update_held_client,
        "not-started": words.update_not_started_client,
    }
    return told.get(line.result, "")


def _trouble_table(telling: Telling, trouble: Trouble) -> tuple[Table, ...]:
    words = telling.speech.words
    name, remedy = trouble_words(telling, trouble)
    begun = trouble != "not-started"
    columns = (
        words.machine,
        words.site,
        words.versions_tried if begun else words.maintenance_window,
        words.reason,
    )
    tone: Tone = "warn" if trouble == "held" else "bad"  # who is held back was a failure of an earlier night
    rows = [
        (
            telling.name(line),
            line.site,
            Cell(_shortened(telling, line.tried) or words.nothing) if begun else _window(telling, line),
            Cell(trouble_reason(telling, line), tone),
        )
        for line in telling.report.of(UpdateLine)
        if line.result == trouble
    ]
    return table_of(name, columns, rows, note=words.what_to_do.format(remedy=remedy) if remedy else "")


def _installed_table(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    good = [line for line in telling.report.of(UpdateLine) if line.result in ("installed", "nothing-due")]
    told = [line for line in good if line.result == "installed" or line.reboot or line.restarted]
    columns: list[Column | str] = [
        words.machine,
        words.site,
        words.maintenance_window,
        Column(words.wave, figures=True),
        words.packages,
        words.restart,
        words.duration,
        *([words.remark] if telling.provider else []),
    ]
    rows: list[Row] = [
        (
            telling.name(line),
            line.site,
            _window(telling, line),
            speech.number(line.wave) if line.wave else words.nothing,
            Cell(_packages(telling, line.installed), "good" if line.installed else "plain"),
            _restart(telling, line),
            speech.duration(line.seconds),
            *([Cell(line.message, "warn" if line.message else "plain")] if telling.provider else []),
        )
        for line in told
    ]
    rest = len(good) - len(told)
    return table_of(
        words.updates_installed, columns, rows, note=words.machines_up_to_date(rest) if rest else ""
    )


def _packages(telling: Telling, installed: Sequence[InstalledPackage]) -> str:
    """How many packages, and the first of them line by line; security updates first."""
    words = telling.speech.words
    if not installed:
        return words.nothing
    count = words.packages_count(len(installed))
    if security := sum(package.security for package in installed):
        count += f", {words.security_among(security)}"
    ordered = sorted(installed, key=lambda package: (not package.security, package.name))
    lines = [
        f"{package.name} {package.old} → {package.new}"
        + (f" ({words.security_update})" if package.security else "")
        for package in ordered
    ]
    return f"{count}\n{_shortened(telling, lines)}"


def _shortened(telling: Telling, lines: Sequence[str]) -> str:
    rest = len(lines) - _LISTED
    if rest <= 1:  # "and 1 more" takes the room of the one
        return "\n".join(lines)
    return "\n".join([*lines[:_LISTED], telling.speech.words.others(rest)])


def _window(telling: Telling, line: UpdateLine) -> Cell:
    if line.window is None:
        return Cell(telling.speech.words.nothing)
    return Cell(telling.speech.window(*line.window))


def _restart(telling: Telling, line: UpdateLine) -> Cell:
    words = telling.speech.words
    if line.reboot is not None:
        return Cell(words.to_be_restarted.format(reason=line.reboot or words.no_reason), "warn")
    return Cell(words.restarted if line.restarted else words.nothing)


def _due_table(telling: Telling) -> tuple[Table, ...]:
    words = telling.speech.words
    columns = (
        words.machine,
        words.site,
        words.updates_mode,
        Column(words.security_updates, figures=True),
        Column(words.other_updates, figures=True),
        Column(words.staying_updates, figures=True),
        words.oldest_waits,
        words.held_since,
        words.restart,
    )
    rows = [_due_row(telling, line) for line in telling.report.of(GuestLine)]
    hours = telling.speech.working_hours(UPDATE_DELAY_HOURS)
    return table_of(words.updates_due, columns, rows, note=words.staying_meaning.format(hours=hours))


def _due_row(telling: Telling, line: GuestLine) -> Row:
    speech, words = telling.speech, telling.speech.words
    counts: list[Cell | str] = [
        Cell(speech.number(line.security), "warn" if line.security else "plain"),
        speech.number(line.others),
        speech.number(line.staying),
    ]
    waits, restart = Cell(words.nothing), Cell(words.nothing)
    if line.waiting_hours is not None:
        # the contract counts those on request from the request on, not from when they came out
        late = line.automatic and line.waiting_hours > UPDATE_DELAY_HOURS
        waits = Cell(speech.working_hours(line.waiting_hours), "warn" if late else "plain")
    if line.reboot is not None:
        restart = Cell(words.to_be_restarted.format(reason=line.reboot or words.no_reason), "warn")
    if line.problem:  # zeros would say that it is up to date
        counts = [Cell(words.not_known, "bad" if line.unseen else "plain"), *[words.nothing] * 2]
    held = Cell(words.nothing)
    if line.held_since is not None:
        held = Cell(speech.moment(line.held_since), "warn")
    return (
        telling.name(line),
        line.site,
        words.updates_automatic if line.automatic else words.updates_on_request,
        *counts,
        waits,
        held,
        restart,
    )


def _waiting_table(telling: Telling) -> tuple[Table, ...]:
    """Article 3.8.3: what was asked for or published and is not installed yet, apart from what was."""
    speech, words = telling.speech, telling.speech.words
    columns = (words.machine, words.site, words.waits_since, words.waits_for, words.waited, words.over_at)
    rows = [
        (
            telling.name(line),
            line.site,
            speech.moment(line.since),
            words.on_clients_request if line.on_request else words.published,
            Cell(speech.working_hours(line.hours), "bad" if line.hours > UPDATE_DELAY_HOURS else "plain"),
            speech.moment(line.over_at),
        )
        for line in telling.report.of(WaitingUpdate)
    ]
    note = words.waiting_meaning.format(hours=speech.working_hours(UPDATE_DELAY_HOURS))
    return table_of(words.updates_waiting, columns, rows, note=note)


def _delay_table(telling: Telling, delay: UpdateDelay) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    waiting = len(telling.report.of(WaitingUpdate))
    average = Cell(words.not_known if delay.packages or waiting else words.nothing)
    if delay.average_hours is not None:
        kept = delay.average_hours <= UPDATE_DELAY_HOURS
        average = Cell(speech.working_hours(delay.average_hours), "good" if kept else "bad")
    columns = (
        words.period,
        Column(words.packages_installed, figures=True),
        Column(words.updates_counted, figures=True),
        Column(words.still_waiting, figures=True),
        words.average_delay,
        words.by_contract,
    )
    row = (
        words.last_days(delay.days),
        speech.number(delay.packages),
        speech.number(delay.updates),
        speech.number(waiting),
        average,
        speech.working_hours(UPDATE_DELAY_HOURS),
    )
    return table_of(words.delay, columns, [row])
