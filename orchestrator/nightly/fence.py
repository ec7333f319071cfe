"""One broken part is one broken part: what a step stumbles over becomes a reason in the report, whatever it was."""

from __future__ import annotations

from orchestrator.errors import told as reason

__all__ = ["reason"]
