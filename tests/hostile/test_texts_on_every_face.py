"""Any text, from any source, on every face: what is shown is all that is there, and nothing of it means anything."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, example, given, settings
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.cli import progress, session
from orchestrator.cli.diagnostics import LogFormat, begin
from orchestrator.cli.history import history as history_command
from orchestrator.cli.night_events import events
from orchestrator.cli.outlet import outlets
from orchestrator.cli.plan import print_plan
from orchestrator.history import open_history
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.nightly.metrics import write_metrics
from orchestrator.nightly.report import render_night
from orchestrator.nightly.result import NightReport
from orchestrator.planning.charges import Allowance, Charge, Intervention
from orchestrator.planning.document import to_document
from orchestrator.planning.plan import MachinePlan, Plan, SiteFailure
from orchestrator.planning.review import render_html, render_markdown
from orchestrator.planning.risk import Risk
from orchestrator.planning.shared import SharedChange
from orchestrator.proxmox import VmSummary
from orchestrator.resources.change import Change, ChangeClass, Effect
from orchestrator.resources.desired import DesiredClient
from orchestrator.shown import markdown
from orchestrator.yaml_reader import Problem
from tests.hostile_texts import ATTACKS, CONTROLS, HOSTILE, assert_only_text, shape, unseen
from tests.unit.night_samples import any_night
from tests.unit.plan_worlds import desired
from tests.unit.report_readers import Reader

_QUIET = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_ALL_CONTROLS = "".join(CONTROLS)
_ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "code", "small"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "details", "summary", "span"),
    *("header", "footer", "main", "section", "div", "ul", "li", "dl", "dt", "dd", "meter"),
}


class _Said:
    """What a face said, on both streams."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()

    @property
    def text(self) -> str:
        return self.out.getvalue() + self.err.getvalue()


@contextmanager
def _face() -> Iterator[_Said]:
    said = _Said()
    with redirect_stdout(said.out), redirect_stderr(said.err), outlets():
        yield said


def _owner(text: str) -> DesiredClient:
    """A client of that name at a site of that name."""
    disks = [{"name": "system", "size": "2GiB"}]
    only = {"name": "web-1", "image": "debian-12", "vcpus": 1, "memory": "1GiB", "disks": disks}
    file = {
        "client": "x",
        "contract": {"reference": "C-1", "starts": "2026-03-01", "site": "paris"},
        "services": [{"offer": "cloud-vm-advanced", "machines": [only]}],
    }
    (machine,) = desired([file])
    return replace(machine.owner, client=text, site=text)


def _plan_of(text: str) -> Plan:
    """A plan that has the text in every place that a file, a mark or an answer fills."""
    change = Change(effect=Effect.UPDATE, what=text, before=text, after=text, why=text, drift=True)
    changes = (change, Change(effect=Effect.REFUSED, what=text, before=None, after=text, why=text))
    machine = MachinePlan(
        client=text,
        machine=text,
        site=text,
        offer=text,
        contract=text,
        vmid=100,
        node=text,
        digest=text,
        address=None,
        changes=changes,
        desired=None,
        observed=None,
        intervention=Intervention(
            change_class=ChangeClass.STANDARD, charge=Charge.QUOTED, quote=text, reason=text
        ),
    )
    vm = VmSummary(
        vmid=9, name=text, node=text, status=text, template=False, tags=frozenset(), pool=None, lock=text,
        maxmem=1, maxcpu=1,
    )  # fmt: skip
    return Plan(
        made_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC),
        machines=(machine,),
        shared=(
            SharedChange(
                owner=_owner(text),
                change=Change(effect=Effect.CREATE, what="pool", thing="pool", part=text, after=text),
                by_itself=False,
            ),
            SharedChange(owner=_owner(text), change=replace(change, thing="network", part=text)),
        ),
        unmanaged={text: (vm,)},
        failures=(SiteFailure(site=text, reason=text),),
        frozen={text: text},
        risks=(
            Risk(risk="erase", where=text, words=text),
            Risk(risk="change", where=text, words=text, allowed=True),
        ),
        allowances={text: Allowance(per_month=5, used=1, planned=1)},
    )


@_QUIET
@example(_ALL_CONTROLS)
@given(HOSTILE)
def test_a_plan_for_people(text: str) -> None:
    text = text or "x"
    with _face() as benign:
        print_plan(_plan_of("x"), show_unmanaged=True)
    with _face() as said:
        print_plan(_plan_of(text), show_unmanaged=True)
    assert unseen(said.text) == []
    assert len(said.text.splitlines()) == len(benign.text.splitlines()), "no value ends a line"


@_QUIET
@example(_ALL_CONTROLS)
@given(HOSTILE)
def test_a_plan_for_reviewers_and_programs(text: str) -> None:
    text = text or "x"
    document, benign = to_document(_plan_of(text)), to_document(_plan_of("x"))
    page = render_markdown(document)
    assert unseen(page) == []
    assert_only_text(page)
    if len(markdown(text)) < 1000:  # longer ones may not fit into a comment: tests/unit/test_review_size.py
        assert shape(page) == shape(render_markdown(benign))
    html_page = render_html(document)
    assert unseen(html_page) == []
    assert {tag for tag, _ in Reader(html_page).elements} <= _ELEMENTS
    with _face() as said:
        session.echo_json(document.model_dump_json(indent=2))
    assert unseen(said.text) == []
    read = json.loads(said.text)["unmanaged"][0]["name"]
    assert read == text or re.search("[\ud800-\udfff]", text)


@settings(_QUIET, max_examples=8)
@given(any_night)
def test_a_nights_reports_and_figures(report: NightReport) -> None:
    clients: list[str | None] = [None, *sorted({line.client for line in report.of(MachineLine)})[:1]]
    for client in clients:
        page = render_night(report, form="md", language="en", client=client)
        assert unseen(page) == []
        assert_only_text(page)
        html_page = render_night(report, form="html", client=client)
        assert unseen(html_page) == []
        elements = Reader(html_page).elements
        assert {tag for tag, _ in elements} <= _ELEMENTS | {"figure", "figcaption", "img"}
        pictures = [attributes["src"] or "" for tag, attributes in elements if tag == "img"]
        assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "night.prom"
        write_metrics(report, path)
        text = path.read_text("utf-8")
    assert unseen(text) == [] and "\t" not in text
    names = {family.name for family in text_string_to_metric_families(text)}
    assert all(re.fullmatch(r"orchestrator_[a-z_]+", name) for name in names)


@pytest.mark.parametrize("form", [LogFormat.TEXT, LogFormat.JSON])
def test_messages_events_steps_and_logs(form: LogFormat, tmp_path: Path) -> None:
    for text in (*ATTACKS, _ALL_CONTROLS):
        with _face() as said:
            try:
                begin(form, quiet=False, verbose=True)
                session.complain(text)
                with pytest.raises(typer.Exit):
                    session.fail(text)
                session.tell_problems([_problem(text)])
                logging.getLogger("orchestrator.steps").error("step", extra={"fields": {"message": text}})
                logging.getLogger("urllib3.connection").warning("bad header: %s", text)
                with events() as tell:
                    tell("backup-failed", client=text, machine=text, reason=text)
                    tell("summary", text=text)
                with progress.progress() as told:
                    told.expect([(text, text)])
                    told.step(text, text, text)
                    told.share(text, text, 0.5)
                    told.ended(text, text, "failed", text)
                session.console().print(f"{text} has no snapshots")
            finally:
                begin(LogFormat.TEXT, quiet=False, verbose=False)
        assert unseen(said.text) == []
        if form is LogFormat.JSON:
            lines = [json.loads(line) for line in said.err.getvalue().splitlines() if line.startswith("{")]
            assert text in {line.get("message") for line in lines}
        else:
            errors = [line for line in said.err.getvalue().splitlines() if line.startswith("error  ")]
            assert len(errors) == 1, "no text passes for another message"


def _problem(text: str) -> Problem:
    return Problem(
        file=text, line=1, column=1, end_column=2, severity="error", message=text, allowed=text,
        article=None, source_line=text,
    )  # fmt: skip


@_QUIET
@example(_ALL_CONTROLS)
@given(HOSTILE)
def test_the_history(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.db"
        with open_history(path) as history:
            history.append(
                who=text, why=text, client=text, machine=text, site=text, action=text, result="failed",
                message=text, upid=text, run=text, details={text: [text]},
            )  # fmt: skip
            assert history.verify().ok
        with _face() as said:
            history_command(None, 50, session.OutputFormat.TEXT, None, str(path))
        assert unseen(said.text) == []
        assert len(said.text.splitlines()) <= 3
        with _face() as for_programs:
            history_command(None, 50, session.OutputFormat.JSON, None, str(path))
        (entry,) = json.loads(for_programs.text)
        assert unseen(for_programs.text) == [] and len(entry["details"]) < 70_000


def test_the_terminal_keeps_its_colours_and_gets_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for text in (*ATTACKS, _ALL_CONTROLS):
        with _face() as said:
            print_plan(_plan_of(text), show_unmanaged=True)
        left = re.sub(r"\x1b\[[0-9;]*m", "", said.text)
        assert "\x1b[" in said.text and unseen(left) == []
        assert text not in ATTACKS[:3] or r"\x" in left, "an escape sequence is shown, not obeyed"
