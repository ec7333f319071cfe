"""Backups of machines: whose an archive is, what is kept and until when (article 3.5).

Proxmox names an archive after a VM's number, which says little once a number is used again. So each archive of ours
says in its notes whose it is, under which retention it was made, and how its restore test ended.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from sys import intern
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass as model

from orchestrator.contract.calendar import day_in_paris, night_of
from orchestrator.contract.retention import Verdict, dated_later, judge
from orchestrator.counting import counted, plural
from orchestrator.errors import Reason
from orchestrator.resources.marks import (
    EXACT,
    Codec,
    Contract,
    Day,
    Label,
    UnreadableMark,
    Version,
    Vmid,
    matching,
    printable,
    require,
    told,
)

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState, StoredArchive
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark

_Shared = Annotated[Label, AfterValidator(intern)]
"""A name that tens of thousands of archives have in common."""

LONGEST_TEMPLATE = 1024
"""Characters of vzdump's ``notes-template``."""

_MOST_DAYS = 3660
_FOUND_LENGTH = 200
_NIGHT_SLACK = dt.timedelta(days=1)


def _found(text: str) -> str:
    return printable(text[:_FOUND_LENGTH])


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class RestoreTest:
    """How an archive's restore test ended.

    Attributes:
        on: the day.
        sound: whether the restored machine was sound and itself.
        found: what was found, human-readable; printable, at most 200 characters.
        check: whether the check of the machine's file passed; None: there was none, or its turn did not come.
    """

    on: Day
    sound: bool
    found: Annotated[str, AfterValidator(_found)]
    check: bool | None = None


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class ArchiveMark:
    """What the notes of an archive of ours say.

    vzdump writes the notes before anybody knows the archive's name, so a mark names the VM and the night at first.
    When the notes are written again, they name the volume itself. Notes that were copied onto another archive
    therefore say so.

    Attributes:
        days: the retention it was made under, calendar days.
        test: its restore test; None if it was never restored.
        vmid: the VM that it was made of; None in marks of version 1.
        night: the night that it was asked for; None in marks of version 1.
        volume: the volume's name without its storage; None until the notes are written again.
    """

    v: Version = 3
    client: _Shared
    machine: _Shared
    contract: Annotated[Contract, AfterValidator(intern)]
    days: Annotated[int, Field(ge=1, le=_MOST_DAYS)]
    test: RestoreTest | None = None
    vmid: Vmid | None = None
    night: Day | None = None
    volume: Annotated[str, matching(re.compile(r"[!-~]{1,255}"), "the name of a volume")] | None = None

    def bound_to(self, stored: StoredArchive) -> ArchiveMark:
        """The same mark, naming the archive that carries it."""
        return replace(
            self, vmid=stored.vmid, night=night_of(stored.taken_at), volume=_volume_name(stored.volid)
        )

    def objection(self, stored: StoredArchive) -> Reason:
        """Why this is not the mark of that archive; empty if it may be."""
        if self.vmid is not None and self.vmid != stored.vmid:
            return f"its mark is that of an archive of VM {self.vmid}"
        if self.volume is not None:
            name = _volume_name(stored.volid)
            return "" if self.volume == name else f"its mark is that of {self.volume}"
        if self.night is not None and abs(night_of(stored.taken_at) - self.night) > _NIGHT_SLACK:
            return f"its mark is that of an archive of the night of {self.night}"
        return ""


def _volume_name(volid: str) -> str:
    return volid.partition(":")[2]


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
        """Whether it can be counted on: it is complete, and no restore test and no verification of it failed."""
        return (
            self.stored.size > 0
            and self.stored.verification != "failed"
            and (self.mark.test is None or self.mark.test.sound)
        )


def _earlier(version: int, data: dict[str, Any]) -> dict[str, Any]:
    """A mark of version 1, which named neither VM nor night, or 2; its restore test stood in three fields."""
    found: dict[str, Any] = {
        name: data[name] for name in ("client", "machine", "contract", "days") if name in data
    }
    if version > 1:
        require(data, "vmid", "night")
        found |= {name: data.get(name) for name in ("vmid", "night", "volume")}
    if data.get("tested") is not None:
        found["test"] = {"on": data["tested"], "sound": data.get("sound"), "found": told(data.get("found"))}
    return found


_CODEC = Codec(name="orchestrator-backup", form=ArchiveMark, earlier=_earlier)
parse_archive_mark = _CODEC.parse
read_archive_mark = _CODEC.read


_CLAIM = re.compile(
    r'<!-- orchestrator-backup \{[^<>]*?"client":"([a-z0-9-]+)"[^<>]*?"machine":"([a-z0-9-]+)"'
)


def claimed_owner(notes: str) -> tuple[str, str] | None:
    """Whose an archive says it is, at a glance and unchecked; None if that takes more than a glance."""
    found = _CLAIM.search(notes)
    return (found[1], found[2]) if found else None


def archive_notes(mark: ArchiveMark) -> str:
    """The notes of an archive: words for people and the mark, in one line: lists of Proxmox show the first alone.

    What a guest said about itself (the result of a restore test) stands in the JSON of the mark and nowhere else.
    """
    line = f"{mark.client} / {mark.machine}, contract {mark.contract}, kept {counted(mark.days, 'day')}"
    if mark.test is not None:
        line += f"; restore test {mark.test.on}: {'sound' if mark.test.sound else 'FAILED'}"
        if mark.test.check is not None:
            line += f", check {'passed' if mark.test.check else 'FAILED'}"
    return f"{re.sub('[^A-Za-z0-9 ._/#,:;-]', '?', line)} {_CODEC.comment(mark)}"


def notes_template(mark: ArchiveMark) -> str:
    r"""The notes as vzdump's ``notes-template`` wants them, which :data:`LONGEST_TEMPLATE` limits: ``\`` doubled."""
    return archive_notes(mark).replace("\\", "\\\\")


@dataclass(frozen=True, kw_only=True)
class Disbelieved:
    """An archive with a mark that is not believed: it belongs to nobody, whatever its notes say.

    Attributes:
        reason: why, human-readable.
    """

    stored: StoredArchive
    reason: str


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """The archives of a site's backup storages, by owner.

    Attributes:
        owned: by client and machine, the oldest first.
        foreign: those that belong to no machine of ours: shown, never touched.
        disbelieved: those among them whose notes claim to be ours, and why they are not believed.
        orphans: when the newest archive was made, by client and machine, of those that neither exist nor are in a file.
    """

    owned: Mapping[tuple[str, str], tuple[Archive, ...]]
    foreign: tuple[StoredArchive, ...]
    disbelieved: tuple[Disbelieved, ...] = ()
    orphans: Mapping[tuple[str, str], dt.datetime] = field(default_factory=dict)


def attribute(
    stored: Iterable[StoredArchive],
    site: str,
    marks: Mapping[int, Mark],
    known: Iterable[tuple[str, str]],
    *,
    holders: Mapping[int, frozenset[str]] | None = None,
) -> Holdings:
    """Say whose each archive is.

    By its VM, if that is a machine of ours that had the name of its notes before. By its notes, if they are the notes
    of that archive, that machine exists or is in a file, and the VM of its number is not another client's by now. Else,
    if that VM is ours and the same client's, it is that machine's: it was renamed since. Else, if a machine of the same
    client had that name before, it is that one's. Anything else belongs to nobody.

    A machine that was restored under a new number keeps the archives of its old one: their marks name the old number.

    Args:
        stored: what the storages list.
        site: the site they were read from.
        marks: of the machines that are ours, by VM id.
        known: clients and machines of the files.
        holders: the clients that each VM seems to belong to, whoever made it, by VM id.
    """
    keys = {mark.key for mark in marks.values()} | set(known)
    renamed = names_before(marks, keys)
    owned: dict[tuple[str, str], list[Archive]] = defaultdict(list)
    foreign, disbelieved = [], []
    orphans: dict[tuple[str, str], dt.datetime] = {}
    for item in stored:
        try:
            mark = owner_of(item, marks, keys, holders or {}, renamed)
        except UnreadableMark as error:
            disbelieved.append(Disbelieved(stored=item, reason=str(error)))
            mark = None
        if mark and (mark.client, mark.machine) in keys:
            # The mark is all that is needed of the notes from here on.
            plain = replace(item, notes="")
            owned[mark.client, mark.machine].append(Archive(stored=plain, mark=mark, site=site))
        else:
            foreign.append(item)
            if mark:
                key = mark.client, mark.machine
                orphans[key] = max(orphans.get(key, item.taken_at), item.taken_at)
    ordered = {key: tuple(sorted(found, key=lambda one: one.taken_at)) for key, found in owned.items()}
    return Holdings(owned=ordered, foreign=tuple(foreign), disbelieved=tuple(disbelieved), orphans=orphans)


def owner_of(
    item: StoredArchive,
    marks: Mapping[int, Mark],
    keys: Collection[tuple[str, str]],
    holders: Mapping[int, frozenset[str]],
    renamed: Mapping[tuple[str, str], str],
) -> ArchiveMark | None:
    """The mark of an archive, with the machine that it belongs to today (:func:`attribute`); None if it has none.

    Args:
        item: the archive.
        marks: of the machines that are ours, by VM id.
        keys: clients and machines that exist or are in a file.
        holders: the clients that each VM seems to belong to, by VM id.
        renamed: :func:`names_before`.

    Raises:
        UnreadableMark: its mark is not believed.
    """
    holder = marks.get(item.vmid)
    if holder is None:
        clients = holders.get(item.vmid, frozenset())
    else:
        clients = frozenset({holder.client, *(client for client, _ in holder.former)})
    mark = _believed(item, clients)
    if mark is None:
        return None
    key = mark.client, mark.machine
    if holder and key in holder.former:
        return replace(mark, client=holder.client, machine=holder.machine)
    if key not in keys and holder and holder.client == mark.client:
        return replace(mark, machine=holder.machine)
    return replace(mark, machine=renamed[key]) if key in renamed else mark


def names_before(marks: Mapping[int, Mark], keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The machines of today by the clients and names that they had before, where nobody has those now.

    Only within one client: a mark is a claim, and must not make another client's archives its own.

    Args:
        marks: of the machines that are ours, by VM id.
        keys: clients and machines that exist or are in a file.
    """
    return {
        former: mark.machine
        for mark in marks.values()
        for former in mark.former
        if former not in keys and former[0] == mark.client
    }


def _believed(stored: StoredArchive, clients: frozenset[str]) -> ArchiveMark | None:
    """The mark of an archive, if it is that archive's.

    Raises:
        UnreadableMark: it is not, or its VM belongs to another client.
    """
    try:
        mark = parse_archive_mark(stored.notes)
    except UnreadableMark as error:
        raise UnreadableMark(f"its mark cannot be read: {error}") from None
    if mark is None:
        return None
    if why := mark.objection(stored):
        raise UnreadableMark(why)
    if clients and mark.client not in clients:
        raise UnreadableMark(
            f"its mark names the client {mark.client}, but VM {stored.vmid} belongs to {', '.join(sorted(clients))}"
        )
    return mark


def verdicts(
    archives: Iterable[Archive], now: dt.datetime, *, days: int | None, in_file: bool, copies: int = 1
) -> tuple[Verdict[Archive], ...]:
    """What retention says about one machine's archives.

    Args:
        archives: all of the machine.
        now: the time, aware.
        days: the file's retention; None if its backup is off, or the machine is in no file.
        in_file: whether a file has the machine. Without one its last good archive stays: that is not the end of a
            contract (article 10). With its backup switched off in the file, they run out their days.
        copies: how many archives a night makes (article 3.2).
    """
    return judge(archives, now, days=days, keep_last=days is not None or not in_file, copies=copies)


def newest_good(archives: Iterable[Archive], now: dt.datetime) -> Archive | None:
    """The newest archive that can be counted on at a time (aware), which one that is dated later cannot."""
    good = [archive for archive in archives if archive.good and not dated_later(archive, now)]
    return max(good, key=lambda archive: archive.taken_at) if good else None


def retention_words(days: int | None) -> str:
    """How long backups are kept, for people: ``31 days``, ``off``."""
    return "off" if days is None else counted(days, "day")


def what_retention_does(
    desired: DesiredMachine, archives: tuple[Archive, ...], now: dt.datetime, *, before: int | None
) -> str:
    """Which archives a change of the retention lets go, and when, in words for the plan. As :func:`archives_going`."""
    if not archives:
        if desired.backup_days is None:
            return "no archive is there"
        return f"from tonight on, to {' or '.join(storage.name for storage in desired.backup_storages)}"
    judged = verdicts(archives, now, days=desired.backup_days, in_file=True, copies=desired.backup_copies)
    if desired.backup_days is None:
        last = day_in_paris(max(verdict.ends for verdict in judged))
        if len(judged) == 1:
            return f"no new ones; the 1 archive that is there runs out its days on {last}"
        return (
            f"no new ones; the {len(judged)} archives that are there run out their days, the last on {last}"
        )
    going = archives_going(desired, archives, now, before=before)
    if not going:
        return (
            "the 1 archive stays" if len(judged) == 1 else f"none of the {len(judged)} archives goes tonight"
        )
    first, last_one = (day_in_paris(archive.taken_at) for archive in (going[0], going[-1]))
    size = sum(archive.stored.size for archive in going) / 1024**3
    goes = plural(len(going), "archive goes", "archives go")
    return f"{len(going)} of {len(judged)} {goes} tonight: {first} to {last_one}, {size:.1f} GiB"


def archives_going(
    desired: DesiredMachine, archives: tuple[Archive, ...], now: dt.datetime, *, before: int | None
) -> list[Archive]:
    """The archives that go tonight because of a change of the retention, the oldest first.

    Those whose days are over by the retention of before go in any case: nobody loses them by the change.

    Args:
        desired: the machine, with its new retention.
        archives: all of it.
        now: the time, aware.
        before: the retention that is in force until the change, calendar days; None if its backup was off.
    """
    judged = verdicts(archives, now, days=desired.backup_days, in_file=True, copies=desired.backup_copies)
    anyway = {
        verdict.archive.stored.volid
        for verdict in verdicts(archives, now, days=before, in_file=True, copies=desired.backup_copies)
        if verdict.goes
    }
    going = [verdict.archive for verdict in judged if verdict.goes]
    return [archive for archive in going if archive.stored.volid not in anyway]


def listed_at(state: ClusterState, names: Iterable[str]) -> list[tuple[str, str]]:
    """Where to list backup storages: each shared one once, by a node that reaches it; a local one on every node.

    Args:
        state: the cluster.
        names: the backup storages of the site file.

    Returns:
        Pairs of node and storage.
    """
    wanted = set(names)
    nodes = {node.name: node for node in state.nodes}
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    usable = [
        storage
        for storage in state.storages
        if storage.name in wanted and storage.node in nodes and storage.usable
    ]
    for storage in sorted(usable, key=lambda storage: storage.mute):
        if storage.shared and storage.name in seen:
            continue
        seen.add(storage.name)
        found.append((storage.node, storage.name))
    return found
