"""Copies: machines that a restore made beside the original. Marked as what they are, never as the original.

A restored VM carries the notes of the machine it was made of. So every restore asks Proxmox to write a copy's mark in
their place: the original's mark must stand in the notes of the original alone.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import Literal

COPY_TAG = "orchestrator-copy"
"""The tag on every copy."""

Purpose = Literal["restore-test", "restored", "in-place"]

_MARK = re.compile(r"<!-- orchestrator-copy (\{.*?\}) -->", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class CopyMark:
    """What the notes of a copy say.

    Attributes:
        purpose: ``restore-test`` copies are removed by the run that made them, or by the next one; ``in-place``
            copies give their disks to the original; ``restored`` ones are the engineer's.
        client, machine: whose archive it was made of.
        volid: the archive.
        made_at: when (aware).
        boot: for ``in-place``, the original's boot order: Proxmox shortens it while its disks change hands.
    """

    purpose: Purpose
    client: str
    machine: str
    volid: str
    made_at: dt.datetime
    boot: str | None = None


def copy_notes(mark: CopyMark) -> str:
    """The notes of a copy: a line for people, and the mark."""
    data = {
        "v": 1,
        "purpose": mark.purpose,
        "client": mark.client,
        "machine": mark.machine,
        "volid": mark.volid,
        "made_at": mark.made_at.isoformat(),
        "boot": mark.boot,
    }
    text = (
        json.dumps(data, sort_keys=True, separators=(",", ":"))
        .replace("--", "-\\u002d")
        .replace(">", "\\u003e")
    )
    kind = {
        "restore-test": "restore test, removed by itself",
        "restored": "restored beside the original",
        "in-place": "on its way into the original",
    }[mark.purpose]
    return f"Copy of {mark.client} / {mark.machine} from {mark.volid}: {kind}.\n\n<!-- orchestrator-copy {text} -->"


def read_copy_mark(notes: str) -> CopyMark | None:
    """The mark in a copy's notes; None if there is none that this version can read."""
    found = _MARK.search(notes)
    if not found:
        return None
    try:
        data = json.loads(found[1])
        if data["v"] != 1 or data["purpose"] not in ("restore-test", "restored", "in-place"):
            return None
        return CopyMark(
            purpose=data["purpose"],
            client=str(data["client"]),
            machine=str(data["machine"]),
            volid=str(data["volid"]),
            made_at=dt.datetime.fromisoformat(data["made_at"]),
            boot=data.get("boot"),
        )
    except (ValueError, KeyError, TypeError):
        return None
