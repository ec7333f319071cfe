"""Article 3.8.1: alert rules without a procedure are listed every month, by the night."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.nightly.bare_rule import BareRule
from orchestrator.nightly.report import render_night
from tests.api.desk import Desk
from tests.api.night_desk import NightDesk
from tests.unit import night_samples

_RULES = """
groups:
  - name: own
    rules:
      - { alert: OwnDisk, expr: "vector(1)", labels: { severity: warning }, annotations: { procedure: own-disk } }
      - { alert: OwnRaid, expr: "vector(1)", annotations: { procedure: own-raid } }
      - { alert: OwnFan, expr: "vector(1)" }
"""


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    found = NightDesk(desk)
    found.deliver("web-1")
    return found


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    rules, pages = tmp_path / "own.yml", tmp_path / "pages"
    rules.write_text(_RULES)
    pages.mkdir()
    (pages / "own-disk.md").write_text("# Own disk")
    return rules, pages


def _preview(night: NightDesk, at: str, *arguments: str, **environment: str) -> str:
    shown = night.desk.run("nightly", "--dry-run", "--at", at, *arguments, environment=environment)
    return shown.out + shown.err


def test_the_first_night_of_a_month_lists_rules_without_a_procedure(
    night: NightDesk, own: tuple[Path, Path]
) -> None:
    rules, pages = own
    told = _preview(
        night, "2026-12-01T22:00", ORCHESTRATOR_RULES=str(rules), ORCHESTRATOR_PROCEDURES=str(pages)
    )
    assert "alert rule OwnRaid has no procedure" in told and "alert rule OwnFan has no procedure" in told, (
        told
    )
    assert "OwnDisk" not in told, "its page is in the provider's folder"
    options = ("--rules", str(rules), "--procedures", str(pages))
    assert "OwnFan" in _preview(night, "2026-12-02T04:00", *options), "the same night, after midnight"
    assert "OwnFan" not in _preview(night, "2026-12-02T22:00", *options), "once a month"
    assert "no procedure" not in _preview(night, "2026-12-01T22:00"), "nothing is configured"


def test_rules_that_cannot_be_read_are_a_problem_and_end_no_night(
    night: NightDesk, own: tuple[Path, Path]
) -> None:
    rules, _ = own
    rules.write_text("groups: [")
    told = _preview(night, "2026-12-01T22:00", "--rules", str(rules))
    assert "is not valid YAML" in told and "+ backup dupont/web-1" in told, told


def test_the_report_lists_them_to_the_provider_alone() -> None:
    report = night_samples.night(bare=(BareRule(rule="OwnRaid", severity="", procedure="own-raid"),))
    told = render_night(report, form="md", language="en")
    assert "Alert rules without a procedure" in told and "OwnRaid" in told and "own-raid" in told
    assert report.well, "it is no failure"
    assert "OwnRaid" not in render_night(report, form="md", language="en", client="dupont")
