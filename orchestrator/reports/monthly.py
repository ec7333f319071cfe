"""The report that a client receives on its month: what was promised, done and is owed. Words, no decisions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.alarms.events import is_silent
from orchestrator.pages import fill
from orchestrator.reports.graph_svg import svg
from orchestrator.reports.language import Speech
from orchestrator.reports.monthly_words import MonthlyWords
from orchestrator.reports.page import Cell, Column, table_of
from orchestrator.reports.reasons import reason_name
from orchestrator.reports.reversibility import Part
from orchestrator.reports.service_level import service_level_parts
from orchestrator.reports.spelling import Language
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.alarms.recorded import Known
    from orchestrator.history.declared import Request
    from orchestrator.history.delays import Delays
    from orchestrator.reports.client_month import ClientMonth
    from orchestrator.reports.monthly_facts import BackupMonth, MonthFacts
    from orchestrator.reports.series import MachineGraphs

_MOST_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Monthly:
    """What the report is made from.

    Attributes:
        level: availability, outages, excusable events and credits.
        facts: what the history says of the month.
        delays: of the month's updates, counted up to its end.
        alarms: those that began in the month, the oldest first.
        requests: those that came in the month.
        graphs: of each machine; of the month alone.
        graphs_asked: whether the hypervisors were asked for the machines' figures.
        graphs_bought: whether some machine of the client has graphs.
        no_graphs: why some are missing, for the provider: it names hypervisors; empty if there are all.
        data_centre: where the site of the client's contract is, as the site file names it; empty if it does not.
    """

    level: ClientMonth
    facts: MonthFacts
    delays: Delays
    alarms: tuple[Known, ...] = ()
    requests: tuple[Request, ...] = ()
    graphs: tuple[MachineGraphs, ...] = ()
    graphs_asked: bool = False
    graphs_bought: bool = False
    no_graphs: str = ""
    data_centre: str = ""


def render_monthly(monthly: Monthly, *, language: Language = "fr") -> str:
    """The report as one HTML file, from which the PDF is made. The same month gives the same file, but for its date."""
    from markupsafe import Markup

    told = _Told(monthly, language)
    pictures = [
        Markup(svg(graphs, language=language, prefix=f"machine-{number}"))  # noqa: S704  (every text is escaped)
        for number, graphs in enumerate(monthly.graphs)
    ]
    return fill(
        "reports",
        "monthly",
        "html",
        language=language,
        title=told.words.monthly_title.format(month=told.month, client=monthly.level.client),
        facts=told.facts(),
        parts=told.parts(),
        pictures={told.words.graphs_part: pictures},
        footer=told.words.drawn_up.format(moment=told.speech.moment(monthly.level.at)),
    )


class _Told:
    """A month in one language."""

    def __init__(self, monthly: Monthly, language: Language) -> None:
        self.monthly, self.language = monthly, language
        self.words, self.speech = MonthlyWords(language), Speech(language)

    @property
    def month(self) -> str:
        return self.speech.month(self.monthly.level.month)

    def facts(self) -> list[tuple[str, str]]:
        words, level, facts = self.words, self.monthly.level, self.monthly.facts
        managed = words.monthly_managed if facts.free_per_month is not None else words.monthly_not_managed
        state = words.in_force
        if facts.suspended_since is not None and facts.suspended_since < level.month.following.first_day:
            state = words.monthly_suspended.format(day=self.speech.day(facts.suspended_since))
        elif facts.probation_until is not None and facts.probation_until > level.month.first_day:
            state = words.monthly_probation.format(day=self.speech.day(facts.probation_until))
        final = words.level_provisional.format(moment=self.speech.moment(level.at))
        return [
            (words.client, level.client),
            (words.contract, level.contract),
            *([(words.data_centre, self.monthly.data_centre)] if self.monthly.data_centre else []),
            (words.level_month, self.month),
            (words.monthly_services, managed),
            (words.monthly_state, state),
            (words.level_state, words.level_final if level.final else final),
        ]

    def parts(self) -> list[Part]:
        return [
            *service_level_parts(self.monthly.level, self.language),
            self.changes(),
            self.updates(),
            *self.backups(),
            self.tests(),
            self.snapshots(),
            self.firewall(),
            self.alarms(),
            self.requests(),
            self.dates(),
            self.graphs(),
        ]

    def part(
        self, title: str, columns: Sequence[Column | str], rows: Sequence[Sequence[Cell | str]], empty: str
    ) -> Part:
        """A table, or the one line that there is nothing."""
        tables = table_of(title, columns, rows[:_MOST_ROWS])
        more = (f"… + {self.speech.number(len(rows) - _MOST_ROWS)}",) if len(rows) > _MOST_ROWS else ()
        return Part(title=title, paragraphs=more if tables else (empty,), tables=tables)

    def changes(self) -> Part:
        words, facts = self.words, self.monthly.facts
        said = words.changes_unmanaged
        if facts.free_per_month is not None:
            said = words.changes_free.format(used=facts.free_used, agreed=facts.free_per_month)
        rows = [
            (
                self.speech.short_day(one.day),
                one.machine,
                visible(one.what),
                self.named(_CLASSES, one.change_class),
                self.named(_CHARGES, one.charge) + (f" ({visible(one.reference)})" if one.reference else ""),
            )
            for one in facts.changes
        ]
        columns = (words.monthly_day, words.machine, words.what_changed, words.change_class, words.charge)
        found = self.part(words.changes_part, columns, rows, words.no_changes)
        return Part(title=found.title, paragraphs=(said, *found.paragraphs), tables=found.tables)

    def named(self, names: dict[str, str], recorded: str) -> str:
        """A word of the history in the reader's language."""
        return str(getattr(self.words, names[recorded])) if recorded in names else visible(recorded)

    def updates(self) -> Part:
        words, delays = self.words, self.monthly.delays
        month, mean = self.monthly.level.month.span, delays.average_hours
        installed = [one for one in delays.installed if month.start <= one.at < month.end]
        if mean is None and not installed:
            return Part(title=words.updates_part, paragraphs=(words.monthly_no_updates,))
        hours = [
            (
                one.machine,
                self.moment(one.since),
                self.moment(one.at),
                words.nothing if one.hours is None else self.speech.decimal(one.hours),
            )
            for one in installed
        ]
        waiting = [
            (
                one.machine,
                self.moment(one.since),
                words.monthly_updates_waiting,
                self.speech.decimal(one.hours),
            )
            for one in delays.waiting
        ]
        columns = (
            words.machine,
            words.since_when,
            words.installed_at,
            Column(words.delay_hours, figures=True),
        )
        said = words.updates_mean.format(
            n=len(installed), mean=words.nothing if mean is None else self.speech.decimal(mean)
        )
        return Part(
            title=words.updates_part,
            paragraphs=(said,),
            tables=table_of(words.monthly_updates_installed, columns, [*hours, *waiting]),
        )

    def moment(self, moment: dt.datetime | None) -> str:
        return self.words.nothing if moment is None else self.speech.moment(moment)

    def backups(self) -> list[Part]:
        words, backups = self.words, self.monthly.facts.backups
        twice = any(one.second is not None for one in backups)
        columns: tuple[Column | str, ...] = (
            words.machine,
            Column(words.backups_made, figures=True),
            *([Column(words.second_copies_made, figures=True)] if twice else []),
            Column(words.last_volume, figures=True),
            Column(words.month_volume, figures=True),
        )
        made = self.part(
            words.monthly_backups,
            columns,
            [self.backup(one, twice=twice) for one in backups],
            words.no_backups,
        )
        if any(one.deduplicated for one in backups):
            made = replace(made, paragraphs=(*made.paragraphs, words.before_deduplication))
        rows = [
            (one.machine, self.speech.day(night), Cell(self.reason(why) or words.missing_unknown, "bad"))
            for one in backups
            for night, why in one.missing
        ]
        rows += [
            (
                words.second_copy_of.format(machine=one.machine),
                self.speech.day(night),
                Cell(self.reason(why) or words.second_unknown, "bad"),
            )
            for one in backups
            if one.second is not None
            for night, why in one.second.missing
        ]
        missing = table_of(
            words.backups_missing, (words.machine, words.missing_night, words.missing_why), rows
        )
        return [made, *([Part(title=words.backups_missing, tables=missing)] if missing else [])]

    def reason(self, said: str) -> str:
        """Why something failed, in the client's language: what Proxmox says is English and names nodes and storages."""
        if not said:
            return ""
        return str(getattr(self.words, reason_name(said)))

    def backup(self, one: BackupMonth, *, twice: bool) -> tuple[Cell, ...]:
        made = [self.nights(one.good, one.expected)]
        if twice:
            second = one.second
            made.append(self.nights(second.good, second.expected) if second else Cell(self.words.nothing))
        sizes = (
            self.speech.size(size) if size else self.words.nothing for size in (one.last_size, one.volume)
        )
        return (Cell(one.machine), *made, *map(Cell, sizes))

    def nights(self, good: Sequence[dt.date], expected: Sequence[dt.date]) -> Cell:
        said = self.words.backups_of.format(good=len(good), expected=len(expected))
        return Cell(said, "plain" if len(good) == len(expected) else "bad")

    def tests(self) -> Part:
        words = self.words
        rows = [
            (
                machine,
                self.speech.moment(at),
                Cell(words.result_ok if result == "ok" else words.result_failed),
                self.tested(result, said, check),
            )
            for at, machine, result, said, check in self.monthly.facts.restore_tests
        ]
        columns = (words.machine, words.monthly_when, words.monthly_result, words.remark)
        return self.part(words.tests_part, columns, rows, words.monthly_no_tests)

    def tested(self, result: str, said: str, check: str) -> str:
        """What a restore test found, for the client."""
        words = self.words
        if check == "failed":
            return words.reason_check
        if result != "ok":
            return self.reason(said)
        return words.test_checked if check == "passed" else words.test_booted

    def snapshots(self) -> Part:
        words = self.words
        rows = [
            (
                machine,
                self.speech.moment(at),
                self.named(_SNAPSHOTS, action),
                words.result_ok if result == "ok" else words.result_failed,
            )
            for at, machine, action, result in self.monthly.facts.snapshots
        ]
        columns = (words.machine, words.monthly_when, words.what_changed, words.monthly_result)
        return self.part(words.monthly_snapshots, columns, rows, words.monthly_no_snapshots)

    def firewall(self) -> Part:
        words = self.words
        rows = [
            (machine, self.speech.number(dropped))
            for machine, dropped in sorted(self.monthly.facts.dropped.items())
        ]
        columns = (words.machine, Column(words.packets_dropped, figures=True))
        return self.part(words.firewall_part, columns, rows, words.monthly_no_firewall)

    def alarms(self) -> Part:
        words = self.words
        columns = (
            words.alarm_rule,
            words.machine,
            words.alarm_begin,
            words.alarm_end,
            words.alarm_acknowledged,
            words.alarm_actions,
        )
        rows = [self.alarm(known) for known in self.monthly.alarms]
        return self.part(words.alarms_part, columns, rows, words.no_alarms)

    def alarm(self, known: Known) -> tuple[str, ...]:
        words, alarm = self.words, known.alarm
        results = {
            "done": words.action_done,
            "failed": words.action_failed,
            "no-effect": words.action_no_effect,
        }
        actions = [
            words.alarm_action.format(
                moment=self.speech.moment(one.said.at),
                by=visible(one.said.by),
                what=visible(one.said.text),
                result=results[one.said.result],
            )
            for one in known.actions
        ]
        if is_silent(alarm, self.monthly.level.at):
            actions.append(words.alarm_silent)
        elif not alarm.acted_on:
            actions.append(words.alarm_told)
        return (
            visible(alarm.rule),
            ", ".join(alarm.machines) or words.nothing,
            self.speech.moment(alarm.start),
            words.alarm_open if alarm.end is None else self.speech.moment(alarm.end),
            visible(alarm.acknowledged_by or words.nothing),
            "; ".join(actions) or words.nothing,
        )

    def requests(self) -> Part:
        words = self.words
        rows = [
            (
                visible(one.text) if one.text else self.named(_REQUESTS, one.kind),
                ", ".join(one.machines) or words.nothing,
                self.speech.moment(one.came),
                self.moment(one.closed),
            )
            for one in self.monthly.requests
        ]
        columns = (words.request_kind, words.machine, words.request_came, words.request_closed)
        return self.part(words.requests_part, columns, rows, words.no_requests)

    def dates(self) -> Part:
        words, level = self.words, self.monthly.level
        last = level.month.following.first_day
        kinds = {"quote": words.ending_quote, "contract": words.ending_contract}
        coming = sorted(
            (one for one in self.monthly.facts.dates if one.last_day >= last),
            key=lambda one: (one.last_day, one.name),
        )
        rows = [
            (kinds.get(one.kind, one.kind), visible(one.name), self.speech.day(one.last_day))
            for one in coming
        ]
        until = self.monthly.facts.probation_until
        if until is not None and until > last:
            ends = until - dt.timedelta(days=1)
            rows.insert(0, (words.ending_probation, words.nothing, self.speech.day(ends)))
        columns = (words.ending_what, words.ending_name, words.last_day)
        return self.part(words.dates_part, columns, rows, words.no_dates)

    def graphs(self) -> Part:
        words, monthly = self.words, self.monthly
        said: tuple[str, ...] = ()
        if not monthly.graphs_asked:
            said = (words.graphs_left_out,)
        elif not monthly.graphs_bought:
            said = (words.graphs_not_bought,)
        elif monthly.no_graphs or not monthly.graphs:
            said = (words.no_graphs,)
        return Part(title=words.graphs_part, paragraphs=said)


_CLASSES = {name: f"class_{name}" for name in ("standard", "significant", "major")}
_CHARGES = {name: f"charge_{name}" for name in ("free", "quoted", "catalogue", "ordered", "included")}
_REQUESTS = {name: f"request_{name}" for name in ("update", "change", "hardware", "restart", "snapshot")}
_SNAPSHOTS = {
    "snapshot": "monthly_snapshot_taken",
    "expire snapshot": "monthly_snapshot_removed",
    "delete snapshot": "monthly_snapshot_removed",
    "roll back": "snapshot_back",
}
