"""The laws of the night's steps: each is in the list, and what the report counts is told."""

from __future__ import annotations

import importlib
from pathlib import Path

from hypothesis import given

import orchestrator.nightly
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.step import Step
from orchestrator.nightly.steps import REPORT, STEPS
from orchestrator.nightly.telling import Telling
from orchestrator.reports.language import Speech
from tests.unit.night_samples import any_night

_TELLS = ("failure_kinds", "facts", "sections", "lines_for_client", "figures")


def test_every_step_has_its_place_and_what_it_tells_is_in_the_report() -> None:
    for path in Path(orchestrator.nightly.__path__[0]).glob("*.py"):
        importlib.import_module(f"orchestrator.nightly.{path.stem}")
    for step in Step.__subclasses__():
        assert step in STEPS, step
        tells = any(getattr(step, name) is not getattr(Step, name) for name in _TELLS)
        assert (step in REPORT) == tells, step


@given(report=any_night)
def test_every_failure_that_is_counted_is_told_once(report: NightReport) -> None:
    telling = Telling(report=report, speech=Speech("en"), client=None, incomplete=False)
    told = sum(len(kind.found) for step in REPORT for kind in step.failure_kinds(telling))
    assert told + len(report.problems) == report.failures
