"""Copies: machines that a restore made beside the original. Marked as what they are, never as the original.

A restored VM carries the notes of the machine it was made of. So every restore asks Proxmox to write a copy's mark in
their place: the original's mark must stand in the notes of the original alone.

A mark is a claim. It names the VM that it was written for, so notes that were copied with a VM (``qm clone``) are not
its own; and a copy stands in the pool of the client whose archive it was made of, with the tag of copies.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary

COPY_TAG = "orchestrator-copy"
"""The tag on every copy."""

Purpose = Literal["restore-test", "restored", "in-place"]

_MARK = re.compile(r"<!-- orchestrator-copy (\{.*?\}) -->", re.DOTALL)
_OPENING = re.compile(r"<!--\s*orchestrator-copy\b")
_LONGEST_NOTES = 8192
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VOLID = re.compile(r"[!-~]{1,512}")
_BOOT = re.compile(r"[A-Za-z0-9=;,]{0,512}")


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
        vmid: the VM that the mark was written for; None in marks of version 1.
    """

    purpose: Purpose
    client: str
    machine: str
    volid: str
    made_at: dt.datetime
    boot: str | None = None
    vmid: int | None = None

    def objection(self, vm: VmSummary) -> str:
        """Why a VM that carries this mark is not the copy it speaks of; empty if it is."""
        if self.vmid is not None and self.vmid != vm.vmid:
            return f"its mark was written for VM {self.vmid}"
        if COPY_TAG not in vm.tags:
            return f"it does not have the tag {COPY_TAG}"
        if vm.pool != (pool := f"client-{self.client}"):
            return f"its mark names the client {self.client}, but it is not in the pool {pool}"
        if self.vmid is None and self.purpose == "restore-test":
            return "its mark is of an earlier version, which does not name its VM"
        return ""


def copy_notes(mark: CopyMark) -> str:
    """The notes of a copy: a line for people, and the mark."""
    data: dict[str, Any] = {
        "v": 1 if mark.vmid is None else 2,
        "purpose": mark.purpose,
        "client": mark.client,
        "machine": mark.machine,
        "volid": mark.volid,
        "made_at": mark.made_at.isoformat(),
        "boot": mark.boot,
    }
    if mark.vmid is not None:
        data["vmid"] = mark.vmid
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
    """The mark in a copy's notes; None if there is none that can be believed: none, two, or one not written by us."""
    found = _MARK.search(notes)
    if not found or len(_OPENING.findall(notes)) != 1 or len(notes) > _LONGEST_NOTES:
        return None
    try:
        return _parse(json.loads(found[1]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _parse(data: Any) -> CopyMark:
    """Check every value of a mark. Raises ValueError, KeyError or TypeError."""
    if type(data["v"]) is not int or data["v"] not in (1, 2):
        raise ValueError("version")
    vmid = data["vmid"] if data["v"] == 2 else None
    if vmid is not None and (type(vmid) is not int or not 100 <= vmid <= 999_999_999):
        raise ValueError("vmid")
    if type(data["purpose"]) is not str or data["purpose"] not in get_args(Purpose):
        raise ValueError("purpose")
    boot = data.get("boot")
    made_at = dt.datetime.fromisoformat(_text(data, "made_at", re.compile(r"[0-9T:.+Z-]{1,40}", re.ASCII)))
    if made_at.utcoffset() is None:
        raise ValueError("made_at")
    return CopyMark(
        purpose=cast("Purpose", data["purpose"]),
        client=_text(data, "client", _LABEL),
        machine=_text(data, "machine", _LABEL),
        volid=_text(data, "volid", _VOLID),
        made_at=made_at,
        boot=None if boot is None else _text(data, "boot", _BOOT),
        vmid=vmid,
    )


def _text(data: Any, key: str, pattern: re.Pattern[str]) -> str:
    value = data[key]
    if type(value) is not str or not pattern.fullmatch(value):
        raise ValueError(key)
    return value
