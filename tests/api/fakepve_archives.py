# SPDX-License-Identifier: AGPL-3.0-or-later
"""Backup archives: what one is, where a storage keeps tens of thousands, which of them a retention keeps.

Licensed as fakepve, with which it is used; it only ever runs in a process of its own.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fakepve.routing import die

from tests.api.fakepve_clock import stamp


@dataclass(slots=True)
class Archive:
    """A backup archive.

    Attributes:
        name: the volume's name, ``backup/vzdump-…``.
        broken: a restore fails while it unpacks.
        config: the machine's configuration in it; None: whatever the machine has when it is restored.
        agent: what the machine's guest agent answered when it was backed up.
        verification: of a backup server: the state that it found, ``ok`` or ``failed``.
        encrypted: of a backup server: the key's fingerprint.
    """

    storage: str
    name: str
    vmid: int
    ctime: int
    size: int
    notes: str = ""
    protected: bool = False
    broken: bool = False
    config: dict[str, Any] | None = None
    agent: dict[str, Any] | None = None
    verification: str | None = None
    encrypted: str | None = None
    _listed: str | None = None

    @property
    def volid(self) -> str:
        """The volume's id."""
        return f"{self.storage}:{self.name}"

    @property
    def format(self) -> str:
        """``vma``, ``vma.zst``, …; ``pbs-vm`` on a backup server."""
        return "pbs-vm" if self.name.startswith("backup/vm/") else self.name.partition(".")[2]

    def verified(self, state: str) -> None:
        """A verify job of the backup server has looked at it."""
        self.verification, self._listed = state, None

    def change(self, *, notes: str | None = None, protected: bool | None = None) -> None:
        """Change what can be changed."""
        self.notes = self.notes if notes is None else notes
        self.protected = self.protected if protected is None else protected
        self._listed = None

    def listed(self) -> str:
        """The entry in a listing, as JSON.

        Of the notes it has the first line: PVE::Storage::Plugin reads no more of their file for a listing.
        """
        if self._listed is None:
            entry: dict[str, Any] = {
                "volid": self.volid,
                "content": "backup",
                "subtype": "qemu",
                "format": self.format,
                "vmid": self.vmid,
                "ctime": self.ctime,
                "size": self.size,
            }
            if self.notes:
                entry["notes"] = self.notes.splitlines()[0]
            if self.protected:
                entry["protected"] = 1
            if self.verification:
                upid = f"UPID:pbs:0000C7E1:00F2D3B1:00000042:6567A0B2:verify:{self.storage}:root@pam:"
                entry["verification"] = {"state": self.verification, "upid": upid}
            if self.encrypted:
                entry["encrypted"] = self.encrypted
            self._listed = json.dumps(entry)
        return self._listed

    def shown(self) -> dict[str, Any]:
        """Everything a test may want to know."""
        return {
            "volid": self.volid,
            "vmid": self.vmid,
            "ctime": self.ctime,
            "size": self.size,
            "notes": self.notes,
            "protected": self.protected,
            "broken": self.broken,
            "format": self.format,
        }


def archive_name(vmid: int, ctime: float, extension: str = "vma.zst") -> str:
    """The name that Proxmox gives an archive."""
    return f"backup/vzdump-qemu-{vmid}-{stamp(ctime)}.{extension}"


def snapshot_name(vmid: int, ctime: float) -> str:
    """The name that an archive has on a backup server: its time is in UTC (PVE::Storage::PBSPlugin, print_volid)."""
    return f"backup/vm/{vmid}/{dt.datetime.fromtimestamp(int(ctime), dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(slots=True)
class Shelf:
    """The archives on one storage."""

    by_name: dict[str, Archive] = field(default_factory=dict)
    by_vmid: dict[int, dict[str, Archive]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, archive: Archive) -> None:
        """Put an archive there; one of the same name is overwritten."""
        self.by_name[archive.name] = archive
        self.by_vmid[archive.vmid][archive.name] = archive

    def remove(self, archive: Archive) -> None:
        """Take it away."""
        del self.by_name[archive.name]
        del self.by_vmid[archive.vmid][archive.name]

    def of(self, vmid: int | None) -> Iterable[Archive]:
        """The archives of one machine, or all."""
        if vmid is None:
            return self.by_name.values()
        return self.by_vmid[vmid].values() if vmid in self.by_vmid else ()


_PERIODS: tuple[tuple[str, Callable[[dt.datetime], object]], ...] = (
    ("keep-last", lambda at: at),
    ("keep-hourly", lambda at: (at.date(), at.hour)),
    ("keep-daily", lambda at: at.date()),
    ("keep-weekly", lambda at: at.isocalendar()[:2]),
    ("keep-monthly", lambda at: (at.year, at.month)),
    ("keep-yearly", lambda at: at.year),
)


def parse_retention(text: str) -> dict[str, int]:
    """``keep-daily=7,keep-last=2`` as numbers."""
    return {key: int(value) for key, _, value in (part.partition("=") for part in text.split(","))}


def mark(archives: Iterable[Archive], keep: dict[str, int]) -> dict[str, str]:
    """What a prune does with the archives of **one** machine, by name: ``keep``, ``remove`` or ``protected``.

    A period of each kind keeps its newest archive; only periods that hold one count.
    """
    newest_first = sorted(archives, key=lambda archive: -archive.ctime)
    marks = {archive.name: "protected" for archive in newest_first if archive.protected}
    if keep.get("keep-all") or not any(keep.values()):
        return {archive.name: marks.get(archive.name, "keep") for archive in newest_first}
    for kind, period in _PERIODS:
        if not keep.get(kind):
            continue
        times = {a.name: period(dt.datetime.fromtimestamp(a.ctime, dt.UTC)) for a in newest_first}
        covered = {times[name] for name, mark in marks.items() if mark == "keep"}
        chosen: set[object] = set()
        for archive in newest_first:
            at = times[archive.name]
            if archive.name in marks or at in covered:
                continue
            if at in chosen:
                marks[archive.name] = "remove"
                continue
            if len(chosen) >= keep[kind]:
                break
            chosen.add(at)
            marks[archive.name] = "keep"
    return {archive.name: marks.get(archive.name, "remove") for archive in newest_first}


def retention_of(store_name: str, store: dict[str, Any], asked: str | None) -> dict[str, int]:
    """The retention of a call, else the storage's own."""
    text = asked or store.get("prune-backups")
    if text is None:
        raise die(f"no prune-backups options configured for storage '{store_name}'")
    return parse_retention(str(text))
