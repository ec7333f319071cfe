"""What a night leaves behind: its report, one for each client, figures, a ping. One that fails stops no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from orchestrator.counting import counted
from orchestrator.errors import told
from orchestrator.nightly.context import Tell
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.metrics import write_metrics
from orchestrator.nightly.report import night_page, render_page
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.summary import summary_of
from orchestrator.operations.computer import replace_file
from orchestrator.reports.page import Page
from orchestrator.reports.ping import ping

_FOLDER = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_FORMS: tuple[Literal["md", "html"], ...] = ("md", "html")


@dataclass(frozen=True, kw_only=True)
class Outlets:
    """Where a night's result goes.

    Attributes:
        folder: the report, as Markdown and HTML, with a summary as JSON.
        clients: a folder for one report per client; None: none are written.
        metrics: a file for Prometheus' node exporter; None: none is written.
        ping: the dead man's switch; None: none is called.
        language: of the reports.
    """

    folder: Path
    clients: Path | None = None
    metrics: Path | None = None
    ping: str | None = None
    language: Literal["fr", "en"] = "fr"


def publish(report: NightReport, outlets: Outlets, tell: Tell, notice: Callable[[str], None]) -> NightReport:
    """Write report and metrics, ping, and tell the summary.

    Args:
        report: the night.
        outlets: where it goes.
        tell: told of the report and the summary.
        notice: told of what could not be written.

    Returns:
        The report with what could not be written as its problems.
    """
    name = f"night-{report.night}" + ("" if len(report.sites) != 1 else f"-{report.sites[0]}")
    problems = _write_client_reports(report, outlets, name)
    if trouble := _write_report(_with_problems(report, problems), outlets, name):
        problems.append(trouble)
    else:
        tell("report-written", file=f"{outlets.folder / name}.html")
    if outlets.metrics is not None:
        try:
            write_metrics(_with_problems(report, problems), outlets.metrics)
        except Exception as error:
            problems.append(f"the metrics could not be written: {_problem(error)}")
    report = _with_problems(report, problems)
    for problem in problems:
        notice(problem)
    if outlets.ping and (unsent := ping(outlets.ping, well=report.well)):
        notice(unsent)
    wanted = [line for line in report.of(BackupLine) if line.result != "not-created"]
    done = sum(line.made for line in wanted)
    ending = "all went well" if report.well else f"{counted(report.failures, 'failure')}: see the report"
    tell("summary", text=f"night of {report.night}: {done} of {counted(len(wanted), 'backup')}, {ending}")
    return report


def _with_problems(report: NightReport, problems: list[str]) -> NightReport:
    return replace(report, problems=(*report.problems, *problems))


def _problem(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) else told(error)


def _write_report(report: NightReport, outlets: Outlets, name: str) -> str:
    """Write the provider's report. If it cannot be made of all that is known, it says so and tells the problems."""
    for form in _FORMS:
        path = outlets.folder / f"{name}.{form}"
        try:
            try:
                page = night_page(report, language=outlets.language, file=name)
                text = render_page(page, form)
            except Exception as error:
                why = f"the whole report could not be made ({_problem(error)}): this is what is known of it"
                bare = replace(report, lines=(), problems=(why, *report.problems))
                replace_file(path, render_page(night_page(bare, language=outlets.language), form))
                return why
            replace_file(path, text)
        except Exception as error:
            return f"the report could not be written: {_problem(error)}"
    try:
        summary = summary_of(report).model_dump_json(indent=2)
        replace_file(outlets.folder / f"{name}.json", f"{summary}\n")
    except Exception as error:
        return f"the summary of the report could not be written: {_problem(error)}"
    try:
        _write_pictures(page, outlets.folder)
    except Exception as error:
        return f"the pictures of the report could not be written: {_problem(error)}"
    return ""


def _write_pictures(page: Page, folder: Path) -> None:
    """Write the pictures that the Markdown names."""
    for picture in page.pictures:
        if not _FOLDER.fullmatch(picture.name):
            raise ValueError("this is not the name of a picture")
        replace_file(folder / page.file_of(picture), picture.png)


def _write_client_reports(report: NightReport, outlets: Outlets, name: str) -> list[str]:
    """Write one report for each client. One that cannot be written is a problem of its own."""
    if outlets.clients is None:
        return []
    problems = []
    for client in sorted(report.clients):
        try:
            if not _FOLDER.fullmatch(client):
                raise ValueError("this is not the name of a client")
            page = night_page(report, language=outlets.language, client=client, file=name)
            for form in _FORMS:
                replace_file(outlets.clients / client / f"{name}.{form}", render_page(page, form))
            _write_pictures(page, outlets.clients / client)
        except Exception as error:
            problems.append(f"the report for the client {client} could not be written: {_problem(error)}")
    return problems
