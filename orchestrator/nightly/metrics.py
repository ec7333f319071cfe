"""A night's figures for Prometheus: a file for node exporter's textfile collector.

What a night leaves must still be right hours later: alerts compare timestamps with the time, for an age in a file
stands still. Where something never happened the timestamp is 0, so that the same alert tells of it.
"""

from __future__ import annotations

import math
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.nightly.result import NightReport
from orchestrator.nightly.steps import REPORT
from orchestrator.reports.figures import Figures

LAST_SUCCESS = "orchestrator_nightly_last_success_timestamp_seconds"

_FILE_MODE = 0o644
"""Node exporter runs as another user. The file holds names of clients and machines, and no secret."""

_LARGEST_BYTES = 64 * 1024 * 1024


def write_metrics(report: NightReport, path: Path) -> None:
    """Write the figures of a night, in one step: a reader sees the old file or the new one.

    The time of the last good night is taken over from the file that is there, if this night was not good.

    Args:
        report: the night.
        path: ends in ``.prom``, or node exporter does not read it.

    Raises:
        OSError: the file cannot be written.
    """
    last_success = report.ended_at.timestamp() if report.well else _last_success(path)
    registry = CollectorRegistry()
    figures = Figures(registry)
    _night(report, last_success, figures)
    for step in REPORT:
        step.figures(report, figures)
    draft = path.with_name(f"{path.name}.draft")  # its name has no .prom at its end: never read half written
    try:
        write_to_textfile(str(draft), registry)
        draft.chmod(_FILE_MODE)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _last_success(path: Path) -> float:
    """When the last good night ended, as the file says that is there; 0 if it says nothing sensible."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return 0.0
        families = list(text_string_to_metric_families(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, IndexError):
        return 0.0
    for family in families:
        for sample in family.samples:
            if sample.name == LAST_SUCCESS and math.isfinite(sample.value) and sample.value >= 0:
                return sample.value
    return 0.0


def _night(report: NightReport, last_success: float, figures: Figures) -> None:
    told = (
        (LAST_SUCCESS, "End of the last night without any failure, 0 if there was none", last_success),
        (
            "orchestrator_nightly_last_run_timestamp_seconds",
            "End of the last night, good or not",
            report.ended_at.timestamp(),
        ),
        (
            "orchestrator_nightly_duration_seconds",
            "How long the last night's run took",
            report.ended_at.timestamp() - report.started_at.timestamp(),
        ),
        ("orchestrator_nightly_failures", "How many things went wrong in the last night", report.failures),
    )
    for name, meaning, value in told:
        figures.gauge(name, meaning).set(value)
