"""The report of a client's service level: every outage, the part that counts, why the rest does not, credits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.service_level import Accounted, Why, percentage_shown
from orchestrator.contract.service_level import Part as OutagePart
from orchestrator.history.declared import SUPERVISION, Outage
from orchestrator.pages import fill
from orchestrator.reports.client_month import ClientMonth, ServiceMonth
from orchestrator.reports.language import Speech
from orchestrator.reports.page import Cell, Column, Table, table_of
from orchestrator.reports.reversibility import Part
from orchestrator.reports.service_level_words import ServiceLevelWords
from orchestrator.reports.spelling import Language, euros, exact, percent, percent_exact
from orchestrator.shown import visible

_MOST_GAPS = 40


class _Told:
    """A client's month in one language."""

    def __init__(self, month: ClientMonth, language: Language) -> None:
        self.month = month
        self.words = ServiceLevelWords(language)
        self.speech = Speech(language)

    # Figures

    def percentage(self, share: Fraction | None) -> str:
        if share is None:
            return self.words.nothing
        return percent_exact(Decimal(percentage_shown(share)), self.words.language)

    def minutes(self, lasting: dt.timedelta) -> str:
        """Exact: ``64 min 49 s``."""
        whole, rest = divmod(lasting, dt.timedelta(minutes=1))
        text = f"{self.speech.number(whole)}\u00a0min"
        if rest:
            seconds = exact(Decimal(rest // dt.timedelta(microseconds=1)) / 1_000_000, self.words.language)
            text += f"\u00a0{seconds}\u00a0s"
        return text

    def moment(self, moment: dt.datetime) -> str:
        seconds = moment.second + Decimal(moment.microsecond) / 1_000_000
        text = self.speech.moment(moment)
        return f"{text} {exact(seconds, self.words.language)}\u00a0s" if seconds else text

    def month_name(self) -> str:
        return self.speech.month(self.month.month)

    def euros(self, amount: Decimal) -> str:
        return euros(amount, self.words.language)

    # Parts

    def facts(self) -> list[tuple[str, str]]:
        words, month = self.words, self.month
        minutes = self.speech.number(month.month.length // dt.timedelta(minutes=1))
        state = (
            words.level_final
            if month.final
            else words.level_provisional.format(moment=self.speech.moment(month.at))
        )
        return [
            (words.client, month.client),
            (words.contract, month.contract),
            (words.level_month, self.month_name()),
            (words.level_objective, words.level_objective_value),
            (words.level_minutes, minutes),
            (words.level_state, state),
        ]

    def parts(self) -> list[Part]:
        found = [
            Part(
                title=self.words.availability_part,
                paragraphs=(self.words.covered_note,),
                tables=self.summary(),
            )
        ]
        found += [self.machine(service) for service in self.month.services if service.level.outages]
        found += [*self.excused(), *self.gaps(), self.credits(), *self.corrections(), *self.unreadable()]
        return found

    def summary(self) -> tuple[Table, ...]:
        words = self.words
        columns = (
            words.machine,
            Column(words.availability, figures=True),
            words.objective,
            Column(words.counted_time, figures=True),
            Column(words.excused_time, figures=True),
            Column(words.over_covered, figures=True),
            Column(words.credit, figures=True),
        )
        return table_of(
            words.availability_part, columns, [self.summary_row(item) for item in self.month.services]
        )

    def summary_row(self, service: ServiceMonth) -> tuple[Cell, ...]:
        words, level = self.words, service.level
        excused = sum((time for _, time in level.excused), dt.timedelta(0))
        credit = percent(level.percent, words.language) if level.percent else words.nothing
        return (
            Cell(self.name(service)),
            Cell(self.availability(service)),
            Cell(words.nothing if level.met is None else words.met if level.met else words.missed),
            Cell(self.minutes(level.counted)),
            Cell(self.minutes(excused)),
            Cell(self.percentage(level.over_covered_hours)),
            Cell(credit),
        )

    def name(self, service: ServiceMonth) -> str:
        return service.machine if service.offer else self.words.gone.format(machine=service.machine)

    def availability(self, service: ServiceMonth) -> str:
        words, level = self.words, service.level
        if level.wholly_in_probation:
            return words.in_probation
        if not level.applies:
            return words.not_in_service
        if level.availability is None:
            return words.level_not_observed
        return self.percentage(level.availability)

    def machine(self, service: ServiceMonth) -> Part:
        words, level = self.words, service.level
        said = [self.outage(outage) for outage in level.outages]
        if level.availability is not None:
            said.append(
                words.reckoning.format(
                    minutes=self.speech.number(level.month.length // dt.timedelta(minutes=1)),
                    counted=self.minutes(level.counted),
                    percent=self.percentage(level.availability),
                )
            )
        columns = (
            words.outage_number,
            words.begins,
            words.ends,
            Column(words.lasts, figures=True),
            words.accounted,
        )
        title = words.outages_part.format(machine=self.name(service))
        rows = [row for outage in level.outages for row in self.rows(outage)]
        return Part(title=title, paragraphs=tuple(said), tables=table_of(title, columns, rows))

    def outage(self, accounted: Accounted) -> str:
        words, down = self.words, accounted.outage
        said = self.month.records[down.number].said
        assert isinstance(said, Outage)  # noqa: S101  (outages are made of these records)
        end = words.until.format(moment=self.moment(down.end)) if down.end else words.now_going_on
        text = words.outage_said.format(
            number=down.number, start=self.moment(down.start), end=end, notified=self.notified(said)
        )
        if said.reference:
            text += words.outage_reference.format(reference=visible(said.reference))
        return f"{text}{'. ' + visible(said.text) if said.text else '.'}"

    def notified(self, said: Outage) -> str:
        words = self.words
        if said.notified_at is None or said.notified_by is None:
            return words.notified_by_nobody
        moment = self.speech.moment(said.notified_at)
        if said.notified_by == SUPERVISION:
            return words.notified_by_supervision.format(moment=moment)
        if said.notified_by in ("client", "Client"):
            return words.notified_by_client.format(moment=moment)
        return words.notified_by_other.format(who=visible(said.notified_by), moment=moment)

    def rows(self, accounted: Accounted) -> Iterator[tuple[Cell, ...]]:
        for part in accounted.parts:
            tone = "bad" if part.why is Why.COUNTS else "plain"
            yield (
                Cell(str(accounted.outage.number)),
                Cell(self.moment(part.span.start)),
                Cell(self.moment(part.span.end)),
                Cell(self.minutes(part.span.end - part.span.start)),
                Cell(self.why(part), tone),  # type: ignore[arg-type]
            )

    def why(self, part: OutagePart) -> str:
        words = self.words
        record = None if part.by is None else self.month.records.get(part.by)
        if part.why is Why.MAINTENANCE and record is None:
            return words.planned_update
        reference = f" ({visible(record.said.reference)})" if record and record.said.reference else ""
        return words.accounted_as(part.why).format(
            by=part.by, reference=reference, cause=words.cause_named(part.cause) if part.cause else ""
        )

    def excused(self) -> list[Part]:
        words = self.words
        rows = [
            (service.machine, words.cause_named(cause), Cell(self.minutes(time)))
            for service in self.month.services
            for cause, time in service.level.excused
        ]
        columns = (words.machine, words.cause, Column(words.excused_time, figures=True))
        tables = table_of(words.excused_part, columns, rows)
        return [Part(title=words.excused_part, tables=tables)] if tables else []

    def gaps(self) -> list[Part]:
        words = self.words
        said: list[str] = []
        rows = []
        for service in self.month.services:
            level = service.level
            if not level.unobserved:
                continue
            if level.never_observed:
                said.append(words.gaps_all.format(machine=service.machine))
                continue
            rows += [
                (service.machine, self.moment(start), self.moment(end), Cell(self.minutes(end - start)))
                for start, end in level.unobserved
            ]
        if not said and not rows:
            return []
        columns = (words.machine, words.begins, words.ends, Column(words.lasts, figures=True))
        more = words.gaps_more.format(n=len(rows) - _MOST_GAPS) if len(rows) > _MOST_GAPS else ""
        tables = table_of(words.gaps_part, columns, rows[:_MOST_GAPS], note=more)
        return [
            Part(
                title=words.gaps_part,
                paragraphs=(words.gaps_said, *said, *([more] if more else [])),
                tables=tables,
            )
        ]

    def credits(self) -> Part:
        words = self.words
        columns = (
            words.machine,
            Column(words.credit_share, figures=True),
            Column(words.credit_fee, figures=True),
            Column(words.credit_amount, figures=True),
            words.credit_state,
        )
        rows = [self.credit(item) for item in self.month.services if item.credit_state != "none"]
        tables = table_of(words.credits_part, columns, rows)
        return Part(
            title=words.credits_part,
            paragraphs=(words.credits_note,) if tables else (words.no_credits,),
            tables=tables,
        )

    def credit(self, service: ServiceMonth) -> tuple[Cell, ...]:
        words = self.words
        issued, request = service.credit, service.request
        if issued is not None:
            said = issued.said
            share: int = said.percent
            fee, amount = self.euros(said.fee), self.euros(said.amount)
            state = words.credit_issued.format(day=self.speech.short_day(said.issued), number=issued.number)
            full = said.fee * said.percent / 100
            if full - said.amount >= 1 / 100:
                state += words.credit_lapsed.format(lapsed=self.euros(full - said.amount))
        else:
            share = service.level.percent
            fee = words.nothing if service.fee is None else self.euros(service.fee)
            due = service.amount(day_in_paris(self.month.at))
            amount = words.nothing if due is None else self.euros(due.uncapped)
            state = words.credit_open
            if request is not None:
                day = self.speech.short_day(day_in_paris(request.said.came))
                state = words.credit_requested.format(day=day, number=request.first.number)
        return (
            Cell(self.name(service)),
            Cell(percent(share, words.language)),
            Cell(fee),
            Cell(amount),
            Cell(state),
        )

    def corrections(self) -> list[Part]:
        words = self.words
        rows = []
        for number in sorted(self.used()):
            record = self.month.records.get(number)
            line = (*record.before, record) if record else ()
            rows += [
                (
                    str(item.number),
                    str(item.replaces),
                    self.speech.moment(item.at),
                    visible(item.why),
                )
                for item in line
                if item.replaces is not None
            ]
        columns = (words.record, words.replaces, words.recorded_on, words.correction_reason)
        tables = table_of(words.corrections_part, columns, rows)
        if not tables:
            return []
        return [Part(title=words.corrections_part, paragraphs=(words.corrections_note,), tables=tables)]

    def used(self) -> set[int]:
        """The records that the month's outages are, or are explained by."""
        outages = [outage for service in self.month.services for outage in service.level.outages]
        explained = {part.by for outage in outages for part in outage.parts if part.by is not None}
        return explained | {outage.outage.number for outage in outages}

    def unreadable(self) -> list[Part]:
        if not self.month.unreadable:
            return []
        words = self.words
        numbers = ", ".join(str(item.number) for item in self.month.unreadable)
        return [Part(title=words.unreadable_part, paragraphs=(f"{words.unreadable_said} {numbers}",))]


def service_level_parts(month: ClientMonth, language: Language) -> list[Part]:
    """The parts of the report, for a report that holds more."""
    return _Told(month, language).parts()


def service_level_facts(month: ClientMonth, language: Language) -> list[tuple[str, str]]:
    """Names and values that stand above the parts."""
    return _Told(month, language).facts()


def render_service_level(month: ClientMonth, *, language: Language = "fr") -> str:
    """The report as one HTML file."""
    told = _Told(month, language)
    return fill(
        "reports",
        "service-level",
        "html",
        language=language,
        title=told.words.level_title.format(month=told.month_name(), client=month.client),
        facts=told.facts(),
        parts=told.parts(),
        footer=told.words.drawn_up.format(moment=told.speech.moment(month.at)),
    )


def service_level_text(month: ClientMonth, *, language: Language = "fr") -> str:
    """The report as plain text, in columns, for a terminal or a mail."""
    told = _Told(month, language)
    title = told.words.level_title.format(month=told.month_name(), client=month.client)
    facts = told.facts()
    width = max(len(name) for name, _ in facts)
    lines = [title, "", *(f"{name:<{width}}  {text}" for name, text in facts)]
    for part in told.parts():
        lines += ["", part.title, *part.paragraphs]
        for table in part.tables:
            lines += ["", *_columns(table)]
    lines += ["", told.words.drawn_up.format(moment=told.speech.moment(month.at))]
    return "\n".join(visible(line).rstrip() for line in lines) + "\n"


def _columns(table: Table) -> Iterator[str]:
    rows = [tuple(column.heading for column in table.columns)]
    rows += [tuple(cell.text for cell in row) for row in table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    for row in rows:
        yield "  ".join(
            text.rjust(width) if column.figures else text.ljust(width)
            for text, width, column in zip(row, widths, table.columns, strict=True)
        )
