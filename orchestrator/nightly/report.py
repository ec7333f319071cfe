"""The night's report for people, in Markdown or HTML: the first screen says whether the night was good."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.nightly.failures import culprits, failures_section
from orchestrator.nightly.result import LineOfMachine, NightReport
from orchestrator.nightly.steps import REPORT
from orchestrator.nightly.telling import Telling
from orchestrator.pages import Form, fill
from orchestrator.reports.language import Speech, seconds_between
from orchestrator.reports.page import Cell, Page

if TYPE_CHECKING:
    from orchestrator.reports.spelling import Language

_NAMED_AT_ONCE = 5
"""How many failures the first screen names."""


def render_night(
    report: NightReport, *, form: Form, language: Language = "fr", client: str | None = None
) -> str:
    """Return the report of a night as text: :func:`night_page` in a form."""
    return render_page(night_page(report, language=language, client=client), form)


def render_page(page: Page, form: Form) -> str:
    """Return a report as Markdown as GitLab and GitHub read it, or as one HTML file that needs nothing else."""
    return fill("reports", "night", form, page=page)


def night_page(
    report: NightReport, *, language: Language = "fr", client: str | None = None, file: str = "night"
) -> Page:
    """Return the report of a night, in words but in no form yet.

    Args:
        report: what the night did.
        language: of our own words; reasons of failures are shown as they came.
        client: only this client's lines, as the client receives them; None: everything, for the provider.
        file: the name of the report's files without its ending.
    """
    shown = report if client is None else only(report, client)
    incomplete = client is not None and bool(report.problems)
    return _page(Telling(report=shown, speech=Speech(language), client=client, incomplete=incomplete), file)


def only(report: NightReport, client: str) -> NightReport:
    """Return the report with one client's lines, and nothing about storages, sites or others."""
    own = replace(report, problems=(), lines=tuple(line for line in report.lines if line.concerns(client)))
    more = (line for step in REPORT for line in step.lines_for_client(own))
    sites = {line.site for line in own.of(LineOfMachine)}
    return replace(own, sites=tuple(sorted(sites)), lines=(*own.lines, *more))


def _page(telling: Telling, file: str) -> Page:
    speech, words, report = telling.speech, telling.speech.words, telling.report
    title = words.title if telling.provider else words.client_title
    verdict = words.all_well
    if report.failures:
        verdict = words.failures_count(report.failures)
    elif telling.unknown:
        verdict = words.nothing_known
    sections = (section for step in REPORT for section in step.sections(telling))
    return Page(
        language=words.language,
        title=title.format(night=speech.day(report.night), client=telling.client),
        well=report.well and not telling.unknown,
        verdict=verdict,
        culprits=culprits(telling, _NAMED_AT_ONCE),
        facts=_facts(telling),
        sections=(failures_section(telling), *sections),
        footer=words.drawn_up.format(moment=speech.moment(report.ended_at)),
        file=file,
    )


def _facts(telling: Telling) -> tuple[tuple[str, Cell], ...]:
    speech, words, report = telling.speech, telling.speech.words, telling.report
    span = words.run_span.format(
        start=speech.moment(report.started_at),
        end=speech.moment(report.ended_at),
        duration=speech.duration(seconds_between(report.started_at, report.ended_at)),
    )
    facts = [fact for step in REPORT for fact in step.facts(telling)]
    facts += [(words.run, Cell(span)), (words.sites, Cell(", ".join(report.sites) or words.nothing))]
    if telling.incomplete:
        facts.append((words.remark, Cell(words.incomplete, "bad")))
    if telling.provider:
        facts.append((words.history_name, Cell(report.run)))
    return tuple(facts)
