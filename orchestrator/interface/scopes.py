"""What a token of the JSON API may be for."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a token is for."""

    READ = "read"
    """Reads what pages show."""
    REQUESTS = "requests"
    """Registers and closes requests."""
    PLANS = "plans"
    """Uploads plans."""
    ALARMS = "alarms"
    """Sends alarms and acknowledges them."""
