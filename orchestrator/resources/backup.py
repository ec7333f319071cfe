"""Backups of machines: whose an archive is, what is kept and until when (article 3.5).

Proxmox names an archive after a VM's number, which says little once a number is used again. So each archive of ours
says in its notes whose it is, under which retention it was made, and how its restore test ended.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from sys import intern
from typing import TYPE_CHECKING, Any

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.retention import Verdict, judge

if TYPE_CHECKING:
    from orchestrator.proxmox import StoredArchive
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedMachine, ObservedSite

_MARK = re.compile(r"<!-- orchestrator-backup (\{.*?\}) -->", re.DOTALL)
_VERSION = 1
OFF = "off"
"""How a machine without backup reads in plans."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreTest:
    """How an archive's restore test ended.

    Attributes:
        on: the day.
        sound: whether the restored machine was sound and itself.
        found: what was found, in words.
    """

    on: dt.date
    sound: bool
    found: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveMark:
    """What the notes of an archive of ours say.

    Attributes:
        days: the retention it was made under, calendar days.
        test: its restore test; None if it was never restored.
    """

    client: str
    machine: str
    contract: str
    days: int
    test: RestoreTest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """An archive of ours."""

    stored: StoredArchive
    mark: ArchiveMark
    site: str

    @property
    def taken_at(self) -> dt.datetime:
        """When it was made."""
        return self.stored.taken_at

    @property
    def days(self) -> int:
        """The retention it was made under, calendar days."""
        return self.mark.days

    @property
    def protected(self) -> bool:
        """Whether somebody forbade its removal in Proxmox."""
        return self.stored.protected

    @property
    def good(self) -> bool:
        """Whether it can be counted on: it has a size, and no restore test of it failed."""
        return self.stored.size > 0 and (self.mark.test is None or self.mark.test.sound)


def archive_notes(mark: ArchiveMark) -> str:
    """The notes of an archive: words for people and the mark, in one line: lists of Proxmox show the first alone."""
    data: dict[str, Any] = {
        "v": _VERSION,
        "client": mark.client,
        "machine": mark.machine,
        "contract": mark.contract,
        "days": mark.days,
    }
    line = f"{mark.client} / {mark.machine}, contract {mark.contract}, kept {mark.days} days"
    if mark.test is not None:
        data |= {"tested": mark.test.on.isoformat(), "sound": mark.test.sound, "found": mark.test.found}
        line += (
            f"; restore test {mark.test.on}: {'sound' if mark.test.sound else 'FAILED'}, {mark.test.found}"
        )
    text = (
        json.dumps(data, sort_keys=True, separators=(",", ":"))
        .replace("--", "-\\u002d")
        .replace(">", "\\u003e")
    )
    return f"{' '.join(line.split())} <!-- orchestrator-backup {text} -->"


def notes_template(mark: ArchiveMark) -> str:
    r"""The notes as vzdump's ``notes-template`` wants them: at most 1,024 characters, ``\`` doubled."""
    return archive_notes(mark).replace("\\", "\\\\")


def read_archive_mark(notes: str) -> ArchiveMark | None:
    """The mark in an archive's notes; None if there is none that this version can read."""
    found = _MARK.search(notes)
    if not found:
        return None
    try:
        data = json.loads(found[1])
        if data["v"] != _VERSION:
            return None
        test = None
        if data.get("tested"):
            on = dt.date.fromisoformat(data["tested"])
            test = RestoreTest(on=on, sound=bool(data["sound"]), found=str(data["found"]))
        return ArchiveMark(
            client=intern(str(data["client"])),  # shared: a night holds tens of thousands of these
            machine=intern(str(data["machine"])),
            contract=intern(str(data["contract"])),
            days=int(data["days"]),
            test=test,
        )
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """The archives of a site's backup storages, by owner.

    Attributes:
        owned: by client and machine, the oldest first.
        foreign: those that belong to no machine of ours: shown, never touched.
    """

    owned: Mapping[tuple[str, str], tuple[Archive, ...]]
    foreign: tuple[StoredArchive, ...]


def attribute(
    stored: Iterable[StoredArchive],
    site: str,
    machines: Iterable[ObservedMachine],
    known: Iterable[tuple[str, str]],
) -> Holdings:
    """Say whose each archive is.

    By its notes, if that machine exists or is in a file. Else, if the VM of its number is ours and the same client's,
    it is that machine's: it was renamed since. Anything else belongs to nobody.

    Args:
        stored: what the storages list.
        site: the site they were read from.
        machines: ours.
        known: clients and machines of the files.
    """
    by_vmid = {machine.summary.vmid: machine.mark for machine in machines if machine.mark}
    keys = {(mark.client, mark.machine) for mark in by_vmid.values()} | set(known)
    owned: dict[tuple[str, str], list[Archive]] = defaultdict(list)
    foreign = []
    marks: dict[str, ArchiveMark | None] = {}
    for item in stored:
        # A machine's archives mostly have the same notes: they are read once, and share what they say.
        if item.notes not in marks:
            marks[item.notes] = read_archive_mark(item.notes)
        mark = marks[item.notes]
        holder = by_vmid.get(item.vmid)
        if mark and (mark.client, mark.machine) not in keys and holder and holder.client == mark.client:
            mark = replace(mark, machine=holder.machine)
        if mark and (mark.client, mark.machine) in keys:
            # The mark is all that is needed of the notes from here on.
            plain = replace(item, notes="")
            owned[mark.client, mark.machine].append(Archive(stored=plain, mark=mark, site=site))
        else:
            foreign.append(item)
    ordered = {key: tuple(sorted(found, key=lambda one: one.taken_at)) for key, found in owned.items()}
    return Holdings(owned=ordered, foreign=tuple(foreign))


def verdicts(
    archives: Iterable[Archive], now: dt.datetime, *, days: int | None, in_file: bool
) -> tuple[Verdict[Archive], ...]:
    """What retention says about one machine's archives.

    Args:
        archives: all of the machine.
        now: the time, aware.
        days: the file's retention; None if its backup is off, or the machine is in no file.
        in_file: whether a file has the machine. Without one its last good archive stays: that is not the end of a
            contract (article 10). With its backup switched off in the file, they run out their days.
    """
    return judge(archives, now, days=days, keep_last=days is not None or not in_file)


def newest_good(archives: Iterable[Archive]) -> Archive | None:
    """The newest archive that can be counted on."""
    good = [archive for archive in archives if archive.good]
    return max(good, key=lambda archive: archive.taken_at) if good else None


def backup_words(days: int | None) -> str:
    """How a retention reads in plans: ``31 days``, ``off``."""
    return OFF if days is None else f"{days} days"


def days_in_words(words: str | None) -> int | None:
    """The retention behind :func:`backup_words`; None for ``off``, and for None."""
    return int(words.split()[0]) if words and words != OFF else None


def what_retention_does(desired: DesiredMachine, archives: tuple[Archive, ...], now: dt.datetime) -> str:
    """Which archives a change of the retention lets go, and when, in words for the plan."""
    if not archives:
        if desired.backup_days is None:
            return "no archive is there"
        return f"from tonight on, to {' or '.join(storage.name for storage in desired.backup_storages)}"
    judged = verdicts(archives, now, days=desired.backup_days, in_file=True)
    if desired.backup_days is None:
        last = max(verdict.ends for verdict in judged)
        return f"no new ones; the {len(judged)} that are there run out their days, the last on {day_in_paris(last)}"
    going = archives_going(desired, archives, now)
    if not going:
        return f"none of the {len(judged)} archives goes tonight"
    first, last_one = (day_in_paris(archive.taken_at) for archive in (going[0], going[-1]))
    size = sum(archive.stored.size for archive in going) / 1024**3
    noun = "archive goes" if len(going) == 1 else "archives go"
    return f"{len(going)} of {len(judged)} {noun} tonight: {first} to {last_one}, {size:.1f} GiB"


def archives_going(desired: DesiredMachine, archives: tuple[Archive, ...], now: dt.datetime) -> list[Archive]:
    """The archives that go tonight, the oldest first, if they are kept as the file says now."""
    judged = verdicts(archives, now, days=desired.backup_days, in_file=True)
    return [verdict.archive for verdict in judged if verdict.goes]


def places(site: ObservedSite, names: Iterable[str]) -> list[tuple[str, str]]:
    """Where to list backup storages: each shared one once, by a node that reaches it; a local one on every node.

    Args:
        site: the cluster.
        names: the backup storages of the site's file.

    Returns:
        Pairs of node and storage.
    """
    wanted = set(names)
    online = {node.name for node in site.state.nodes if node.online}
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for storage in site.state.storages:
        if storage.name not in wanted or storage.node not in online or storage.status != "available":
            continue
        if storage.shared and storage.name in seen:
            continue
        seen.add(storage.name)
        found.append((storage.node, storage.name))
    return found
