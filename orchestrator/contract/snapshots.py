"""How many snapshots a machine has at a time, and how long each lives (articles 3.2 and 3.3)."""

from __future__ import annotations

import datetime as dt
import re

from orchestrator.errors import Reason

SNAPSHOTS_AT_A_TIME = 2
"""Articles 3.2 and 3.3: at most two snapshots of a machine at a time."""

SNAPSHOT_DAYS = 7
"""Articles 3.2 and 3.3: a snapshot is kept seven days."""

SNAPSHOT_LIFE = dt.timedelta(days=SNAPSHOT_DAYS)

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{1,39}$"
"""What Proxmox takes as a snapshot's name."""

NAME_WORDS = "2 to 40 letters, digits, '-' and '_', a letter first"

RESERVED_NAMES = ("current", "pending")
"""Proxmox refuses both, whatever their case."""

_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))


def name_objection(name: str) -> Reason | None:
    """Why Proxmox would refuse a snapshot's name, and what to write; None if it takes it."""
    if not _NAME.match(name):
        return f"a snapshot cannot be called '{name}': a name has {NAME_WORDS}"
    if name.lower() in RESERVED_NAMES:
        return f"a snapshot cannot be called '{name}': Proxmox uses that name itself"
    return None
