"""Why work on a machine cannot go on in this run."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class Stopped(OrchestratorError):
    """The machine cannot be brought further in this run: reason and remedy are in the text."""
