"""The mark of ownership: a short machine-readable part of a machine's notes in Proxmox.

Proxmox itself is the register of what belongs to whom; there is no state file. The mark names client and
machine and records what the hypervisor's own configuration cannot: the image it was cloned from, which
disk of the file sits in which slot, the firewall rules last loaded, the guest's SSH host keys, the values that its file
asked for when it was last applied. Text that people write around it is kept.

A mark is a claim, not proof: notes are copied with clones and restored with archives, and anybody who may edit a VM may
write some. So a mark names the VM that it was written for, and :mod:`orchestrator.resources.ownership` decides what is
ours. How it is written and read: :mod:`orchestrator.resources.marks`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field, replace
from ipaddress import AddressValueError, IPv4Address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic.dataclasses import dataclass as model

from orchestrator.errors import BadValue
from orchestrator.guests.keys import is_public_key
from orchestrator.guests.rules import POLICY_KEYS, policy_from_data
from orchestrator.resources.attributes import Applied
from orchestrator.resources.marks import (
    EXACT,
    LABEL,
    MAXIMUM_LENGTH,
    Asked,
    Codec,
    Contract,
    Day,
    Label,
    Line,
    Moment,
    Told,
    UnreadableMark,
    Version,
    Vmid,
    described,
    matching,
    require,
    told,
)

_LONGEST_SECONDS = 32_503_680_000
"""Since the epoch, up to the year 3000."""

MOST_FORMER = 16
"""Former names that a mark keeps: the notes have little room."""

_ANY_MARK = re.compile(r"<!--\s*orchestrator(?:-copy)?(?![\w-]).*?(?:-->|\Z)", re.DOTALL)


def _policy(data: dict[str, Any]) -> dict[str, Any]:
    """The firewall policy that was loaded last, as data. It may hold nothing but what a policy does."""
    try:
        policy_from_data(data)
        if not data.keys() <= POLICY_KEYS:
            raise ValueError
    except ValueError:
        raise ValueError("a firewall policy that this program recorded") from None
    return data


def _host_key(text: str) -> str:
    if not is_public_key(text):
        raise ValueError("a public SSH key")
    return text


_Slot = Annotated[str, matching(re.compile(r"(?:scsi|virtio|sata|ide)[0-9]{1,2}"), "a slot such as scsi0")]
_Snapshot = Annotated[str, matching(re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}"), "a snapshot's name")]
_Fingerprint = Annotated[str, matching(re.compile(r"SHA256:[A-Za-z0-9+/]{43}"), "a fingerprint (SHA256:…)")]


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class UpdateNote:
    """What is known of a machine's update that did not end well, or has not ended.

    Attributes:
        state: ``running`` (an update began; whoever finds this without a run goes on with it), ``going-back`` (it is
            being brought back to the snapshot), ``held`` (no automatic update before somebody has looked).
        since: when that began (aware).
        snapshot: the snapshot taken before it; None if there was no room for one.
        reason: why it goes back, or is held.
        packages: the versions that were tried: ``openssl 3.0.11``.
    """

    state: Literal["running", "going-back", "held"]
    since: Moment
    snapshot: _Snapshot | None = None
    reason: Told = ""
    packages: tuple[Told, ...] = ()


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class RestartNote:
    """What is known of a restart in a maintenance window that has not ended, or after which a machine is held back.

    Attributes:
        state: ``running`` (the restart began; whoever finds this without a run sees it through), ``going-back`` (the
            guest did not come back: the settings from before are put in force), ``held`` (no such restart before
            somebody has looked, or the file asks for something else).
        since: when that began (aware).
        settings: the settings that the restart takes up, as Proxmox keeps them; empty if they are cloud-init's.
        before: those from before; None for a key that was not set.
        answered: whether the guest answered before the restart: only then does silence afterwards say anything.
        reason: why it goes back, or is held.
    """

    state: Literal["running", "going-back", "held"]
    since: Moment
    settings: dict[Line, Line] = field(default_factory=dict)
    before: dict[Line, Line | None] = field(default_factory=dict)
    answered: bool = True
    reason: Told = ""


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class Mark:
    """What we wrote into a machine's notes.

    Attributes:
        client: whose machine it is.
        machine: its name in the subscription file.
        vmid: the number of the VM that it was written for; None in marks of version 1, which did not say it.
        contract: the contract's reference.
        offer: the offer it was made under.
        image: the image it was cloned from.
        ready: true once the machine has booted and its firewall was loaded for the first time.
        slots: which disk of the file (by name) sits in which slot (``scsi0``).
        firewall: the policy last loaded in the guest, as data; None if none was.
        host_keys: the guest's public SSH host keys, learnt through the guest agent.
        applied: what the file asked for when it was last applied; None until it was for the first time.
        restart_due: when (seconds since the epoch) settings were last written that the running guest takes up at
            its next start only; None if there never were any. Proxmox does not keep those of cloud-init as pending.
        snapshots: declared snapshots that were taken, with the day they were declared for: not taken again.
        keys: fingerprints (``SHA256:…``) of the file's SSH keys that were put into the guest; None if none were.
        supervised: whether the node exporter was installed there by us.
        inside: what else was brought into the guest: what the file asked for, by the kind of thing.
        update: an update that is under way, or because of which the machine is held back from automatic ones
            (:class:`UpdateNote`).
        restart: a restart in a maintenance window that is under way, or is held back (:class:`RestartNote`).
        tested: the day a backup of it was last restored and found sound; None: never.
        suspended: the day its contract's suspension stopped it while it ran: it is started when that is over.
        adopted: the address of a machine that was there before us and was taken over as it is (article 4.2): its
            delivery settings (cloud-init, guest agent, name) are left alone. None: it was made by us.
        leaving: the IPv4 address that its running guest had when it was given another one, which it has until its
            next start; None if there is none.
        redundant: whether there is, or may be, something of ours in HA or replication for it (article 3.2).
        retired: the day it was taken out of its file; None while it is in service.
        former: the clients and names that it had before, the latest last: its archives, and what the history has of it,
            bear them.
        replaces: sites that it was at when it was restored here, because they were lost: if one of them comes back with
            a machine of the same name, that one is the old one.
    """

    v: Version = 3
    client: Label
    machine: Label
    contract: Contract
    offer: Line
    image: Line
    ready: bool = False
    slots: dict[Label, _Slot] = field(default_factory=dict)
    firewall: Annotated[dict[str, Any], AfterValidator(_policy)] | None = None
    host_keys: tuple[Annotated[Line, AfterValidator(_host_key)], ...] = ()
    applied: Applied | None = None
    restart_due: Annotated[int, Field(ge=0, le=_LONGEST_SECONDS)] | None = None
    snapshots: dict[_Snapshot, Day] = field(default_factory=dict)
    keys: tuple[_Fingerprint, ...] | None = None
    supervised: bool = False
    inside: dict[Label, Asked] = field(default_factory=dict)
    update: UpdateNote | None = None
    restart: RestartNote | None = None
    tested: Day | None = None
    suspended: Day | None = None
    adopted: IPv4Address | None = None
    leaving: IPv4Address | None = None
    redundant: bool = False
    retired: Day | None = None
    former: Annotated[tuple[tuple[Label, Label], ...], Field(max_length=MOST_FORMER)] = ()
    replaces: tuple[Label, ...] = ()
    vmid: Vmid | None = None

    @property
    def backup_days(self) -> int | None:
        """How many days its backups were kept when it was last applied; None if its backup was off."""
        return self.applied.backup_days if self.applied else None

    @property
    def backup_copies(self) -> int:
        """How many archives a night makes of it, as last applied (article 3.2)."""
        return self.applied.backup_copies if self.applied else 1

    @property
    def power_left(self) -> str | None:
        """The state in which the machine was left: ``running``, ``stopped``; None if nothing was asked of it yet."""
        if self.suspended or self.retired:
            return "stopped"
        return self.applied.power if self.applied else None

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.client, self.machine

    def renamed(self, client: str, machine: str) -> Mark:
        """The mark under another name; the one that it had is among the former ones."""
        kept = [key for key in self.former if key not in (self.key, (client, machine))]
        return self.with_(client=client, machine=machine, former=(*kept, self.key)[-MOST_FORMER:])

    def with_(self, **changes: Any) -> Mark:
        """Return a copy with some attributes changed.

        Raises:
            BadValue: a mark cannot hold that: it could not be read again.
        """
        try:
            return replace(self, **changes)
        except ValidationError as error:
            raise BadValue(f"the mark of {self.client}/{self.machine}: {described(error)}") from None


def _earlier(version: int, data: dict[str, Any]) -> dict[str, Any]:
    """A mark of version 1 or 2 as one of today: what was applied stood there in the words of plans."""
    found = {name: value for name, value in data.items() if name in Mark.__dataclass_fields__}
    if version == 1:
        found["vmid"] = None
        if isinstance(keys := found.get("host_keys"), list):
            # It held whatever stood in the guest's files. What is no key is left out, as it is not learnt today.
            found["host_keys"] = [key for key in keys if isinstance(key, str) and is_public_key(key)]
    else:
        require(data, "vmid")
    if isinstance(found.get("applied"), dict):
        found["applied"] = _applied_words(found["applied"], data)
    if isinstance(found.get("update"), dict):
        found["update"] = _earlier_update(found["update"])
    return found


def _earlier_update(update: Mapping[str, Any]) -> dict[str, Any]:
    """What was noted of an update. What the guest told stood there as it was."""
    found = {name: told(value) for name, value in update.items()}
    since, packages = found.get("since"), found.get("packages")
    if type(since) is int and 0 <= since <= _LONGEST_SECONDS:
        found["since"] = dt.datetime.fromtimestamp(since, dt.UTC).isoformat()
    if isinstance(packages, list):
        found["packages"] = [told(item) for item in packages]
    return found


_BINARY_SIZE = re.compile(r"([0-9]{1,9}) ?(MiB|GiB)", re.ASCII)
_NETWORK = re.compile(r"(\S+)(?: VLAN ([0-9]{1,4}))?", re.ASCII)
_RETENTION = re.compile(r"([1-9][0-9]{0,3}) days?", re.ASCII)


def _applied_words(words: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the words of earlier marks mean. Words of no meaning are left out: what was applied is not known then.

    Raises:
        UnreadableMark: of the backup, upon which archives are removed.
    """
    found: dict[str, Any] = {"disks": {}}
    for name, text in words.items():
        if not isinstance(text, str):
            raise UnreadableMark("its applied is not what was applied, in words", data=data)
        size = _BINARY_SIZE.fullmatch(text)
        mebibytes = int(size[1]) * (1024 if size[2] == "GiB" else 1) if size else None
        if name == "vCPU" and re.fullmatch(r"[1-9][0-9]{0,5}", text, re.ASCII):
            found["vcpus"] = int(text)
        elif name == "memory" and mebibytes:
            found["memory"] = mebibytes
        elif name == "name":
            found["name"] = text
        elif name == "network" and (parts := _NETWORK.fullmatch(text)):
            found["network"] = [parts[1], int(parts[2]) if parts[2] else None]
        elif name == "address":
            with suppress(AddressValueError):
                found["address"] = str(IPv4Address(text))
        elif name == "backup" and text != "off":
            if not (days := _RETENTION.fullmatch(text)):
                raise UnreadableMark("its applied.backup is not a number of days", data=data)
            found["backup_days"] = int(days[1])
        elif name == "updates excluded" and text != "none":
            found["update_exclude"] = text.split()
        elif name == "redundancy":
            found["kinds"] = {name: _redundancy_words(text)}
        elif name == "power" and text in ("running", "stopped"):
            found["power"] = text
        elif mebibytes and mebibytes % 1024 == 0 and LABEL.fullmatch(disk := name.removeprefix("disk ")):
            found["disks"][disk] = mebibytes // 1024
    return found if words else None


def _redundancy_words(text: str) -> dict[str, Any]:
    site = re.search(r"second site ([a-z0-9-]+)", text)
    hardware = {"hardware": True} if "redundant hardware" in text else {}
    return hardware | ({"second_site": site[1]} if site else {})


CODEC = Codec(name="orchestrator", form=Mark, earlier=_earlier)
"""How the marks of machines are written and read."""

read_mark = CODEC.read


def parse_mark(notes: str) -> Mark | None:
    """Return the mark in a machine's notes; None if there is none.

    Raises:
        UnreadableMark: there is one, or what is left of one, and it cannot be read, with what it still says of whose
            machine it is; or there are several.
    """
    try:
        return CODEC.parse(notes)
    except UnreadableMark as error:
        raise _with_claim(error) from None


def _with_claim(error: UnreadableMark) -> UnreadableMark:
    def label(name: str) -> str | None:
        value = error.data.get(name)
        return value if isinstance(value, str) and LABEL.fullmatch(value) else None

    address, whole = None, bool(error.data)
    if (adopted := error.data.get("adopted")) is not None:
        try:
            address = IPv4Address(adopted if isinstance(adopted, str) else "")
        except AddressValueError:
            whole = False
    return UnreadableMark(
        str(error), client=label("client"), machine=label("machine"), address=address, whole=whole
    )


def without_marks(notes: str) -> str:
    """Notes without any mark of a machine or of a copy, sound or damaged: for a machine that gets another one."""
    mark = read_mark(notes)
    if mark is not None:
        notes = notes.replace(_heading(mark), "", 1)
    return _ANY_MARK.sub("", notes).strip()


def _heading(mark: Mark) -> str:
    return (
        f"{mark.client} / {mark.machine}, contract {mark.contract} ({mark.offer}). Managed by orchestrator."
    )


def renamed_notes(before: Mark, after: Mark, notes: str) -> str:
    """The notes of a machine under its new name: the mark and our own line, other people's text kept.

    Raises:
        ValueError: as :func:`write_mark`.
    """
    return write_mark(after, notes.replace(_heading(before), _heading(after), 1))


def _with_mark(mark: Mark, notes: str) -> str:
    placed = CODEC.placed(mark, notes)
    return placed or "\n\n".join(
        part for part in (_heading(mark), notes.strip(), CODEC.comment(mark)) if part
    )


def notes_length(mark: Mark, notes: str = "") -> int:
    """How many characters the notes have with a mark in them; Proxmox keeps :data:`MAXIMUM_LENGTH`."""
    return len(_with_mark(mark, notes))


def write_mark(mark: Mark, notes: str = "") -> str:
    """Return the notes with the mark in them, other people's text kept.

    Raises:
        ValueError: mark and text together exceed what Proxmox stores, or the mark could not be read again.
    """
    text = _with_mark(mark, notes)
    try:
        parse_mark(text)
    except UnreadableMark as error:
        raise BadValue(
            f"the notes of {mark.client}/{mark.machine} could not be read again, so they were not written: {error}"
        ) from error
    if len(text) > MAXIMUM_LENGTH:
        raise BadValue(
            f"the notes of {mark.client}/{mark.machine} would be {len(text)} characters long; Proxmox stores "
            f"{MAXIMUM_LENGTH}: shorten the text beside the mark, or the list of open ports"
        )
    return text
