"""The night's report for people, in Markdown or HTML: the first screen says whether the night was good."""

from __future__ import annotations

from orchestrator.nightly.result import Forecast, MachineLine, NightReport
from orchestrator.pages import Form, fill
from orchestrator.reports.contracts import contracts_section
from orchestrator.reports.failures import culprits, failures_section
from orchestrator.reports.firewall import firewall_section
from orchestrator.reports.language import Speech, seconds_between
from orchestrator.reports.machines import foreign_section, machines_section
from orchestrator.reports.page import Cell, Page
from orchestrator.reports.scope import Telling, made, only
from orchestrator.reports.sections import (
    drift_section,
    retention_section,
    snapshots_section,
    storages_section,
    tests_section,
)
from orchestrator.reports.updates import updates_fact, updates_section
from orchestrator.reports.words import Language

_NAMED_AT_ONCE = 5
"""How many failures the first screen names."""


def render_night(
    report: NightReport, *, form: Form, language: Language = "fr", client: str | None = None
) -> str:
    """Return the report of a night as text.

    Args:
        report: what the night did.
        form: Markdown as GitLab and GitHub read it, or one HTML file that needs nothing else.
        language: of our own words; reasons of failures are shown as they came.
        client: only this client's lines, as the client receives them; None: everything, for the provider.
    """
    shown = report if client is None else only(report, client)
    incomplete = client is not None and bool(report.problems)
    page = _page(Telling(report=shown, speech=Speech(language), client=client, incomplete=incomplete))
    return fill("reports", "night", form, page=page)


def _page(telling: Telling) -> Page:
    speech, words, report = telling.speech, telling.speech.words, telling.report
    sections = [failures_section(telling)]
    if telling.client is None:
        sections.append(storages_section(telling))
    if report.contracts:
        sections.append(contracts_section(telling))
    if telling.managed:
        sections += [updates_section(telling), firewall_section(telling)]
    sections += [
        tests_section(telling),
        snapshots_section(telling),
        retention_section(telling),
        drift_section(telling),
        machines_section(telling),
    ]
    if telling.client is None:
        sections.append(foreign_section(telling))
    title = words.title if telling.client is None else words.client_title
    verdict = words.all_well
    if telling.failures:
        verdict = words.failures_count(telling.failures)
    elif telling.unknown:
        verdict = words.nothing_known
    return Page(
        language=words.language,
        title=title.format(night=speech.day(report.night), client=telling.client),
        well=telling.failures == 0 and not telling.unknown,
        verdict=verdict,
        culprits=culprits(telling, _NAMED_AT_ONCE),
        facts=_facts(telling),
        sections=tuple(sections),
        footer=words.drawn_up.format(moment=speech.moment(report.ended_at)),
    )


def _facts(telling: Telling) -> tuple[tuple[str, Cell], ...]:
    speech, words, report = telling.speech, telling.speech.words, telling.report
    good = [line for line in report.backups if made(line)]
    earlier = sum(line.result == "earlier" for line in good)
    planned = sum(line.result != "not-created" for line in report.backups) + len(telling.unmade)
    backups = words.of.format(part=speech.number(len(good)), whole=speech.number(planned))
    if earlier and telling.client is None:
        backups += f", {words.made_earlier(earlier)}"
    span = words.run_span.format(
        start=speech.moment(report.started_at),
        end=speech.moment(report.ended_at),
        duration=speech.duration(seconds_between(report.started_at, report.ended_at)),
    )
    facts = [
        (words.backups, Cell(backups, "good" if len(good) == planned else "bad")),
        (words.run, Cell(span)),
        (words.night_volume, Cell(speech.size(sum(line.size for line in good)))),
        (words.oldest, _oldest(telling)),
        *([(words.updates, updates_fact(telling))] if telling.managed else []),
        (words.sites, Cell(", ".join(report.sites) or words.nothing)),
    ]
    if report.forecast is not None:
        facts.append((words.forecast, _expected(speech, report.forecast)))
    if telling.incomplete:
        facts.append((words.remark, Cell(words.incomplete, "bad")))
    if telling.client is None:
        facts.append((words.history_name, Cell(report.run)))
    return tuple(facts)


def _oldest(telling: Telling) -> Cell:
    speech, words = telling.speech, telling.speech.words
    due = [line for line in telling.report.machines if line.retention_days is not None]
    if not due:
        return Cell(words.no_machine_backed_up)
    without = [line for line in due if line.newest_good is None]
    if without:
        text = words.oldest_none.format(machine=telling.name(without[0]))
        more = len(without) - 1
        return Cell(f"{text} {words.others(more)}" if more else text, "bad")

    def age(line: MachineLine) -> float:
        assert line.newest_good is not None  # noqa: S101  (those without were told above)
        return seconds_between(line.newest_good, telling.report.ended_at)

    worst = max(due, key=age)
    assert worst.newest_good is not None  # noqa: S101
    return Cell(
        words.oldest_one.format(
            machine=telling.name(worst),
            moment=speech.moment(worst.newest_good),
            age=speech.duration(age(worst)),
        )
    )


def _expected(speech: Speech, forecast: Forecast) -> Cell:
    words = speech.words
    text = words.forecast_fits if forecast.fits else words.forecast_late
    said = text.format(
        backups=words.backups_count(forecast.backups),
        planned=speech.duration(forecast.planned_seconds),
        bound=speech.duration(forecast.bound_seconds),
        ends=speech.moment(forecast.ends_at),
        closes=speech.moment(forecast.closes_at),
    )
    return Cell(said, "plain" if forecast.fits else "bad")
