"""Why something failed, for a client: what Proxmox says is English and names nodes and storages."""

from __future__ import annotations

import re

_REASONS = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"no space|disk full|is full|quota", "reason_space"),
        (r"not boot|did not answer after|does not start", "reason_no_boot"),
        (r"not online|not available|unreachable|could not be (?:read|reached)|refused", "reason_away"),
        (r"time[d -]*out|took longer|within \d", "reason_time"),
        (r"\block", "reason_busy"),
        (r"interrupt|abort|killed", "reason_interrupted"),
    )
)
"""What a recorded reason is for a client, the first that fits."""


def reason_name(said: str) -> str:
    """The name of the words for a recorded reason."""
    return next((name for pattern, name in _REASONS if pattern.search(said)), "reason_other")
