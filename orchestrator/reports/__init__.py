"""What a night leaves behind: the report for people, the figures for monitoring, the ping for a dead man's switch."""

from orchestrator.reports.metrics import write_metrics
from orchestrator.reports.night import render_night
from orchestrator.reports.ping import ping
from orchestrator.reports.words import Language

__all__ = ["Language", "ping", "render_night", "write_metrics"]
