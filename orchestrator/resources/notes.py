"""The mark of ownership: a short machine-readable part of a machine's notes in Proxmox.

Proxmox itself is the register of what belongs to whom; there is no state file. The mark names client and
machine and records what the hypervisor's own configuration cannot: the image it was cloned from, which
disk of the file sits in which slot, the firewall rules last loaded, the guest's SSH host keys. Text that
people write around it is kept. Proxmox shows notes as Markdown, where an HTML comment is invisible.

A mark is a claim, not proof: notes are copied with clones and restored with archives, and anybody who may edit a VM may
write some. So a mark names the VM that it was written for, and :mod:`orchestrator.resources.ownership` decides what is
ours. It is read strictly: a field of another type or out of its range makes the whole mark unreadable, because half a
mark would be half a truth. Marks of version 1 name no VM; they are read, and rewritten with the next change.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any, Literal, TypeVar

from orchestrator.errors import BadValue
from orchestrator.guests.keys import is_public_key
from orchestrator.guests.rules import policy_from_data

T = TypeVar("T")

MAXIMUM_LENGTH = 8192
"""Longest ``description`` that Proxmox accepts, in characters."""

_VERSION = 2
_WITHOUT_VMID = 1
"""The version of marks that do not say which VM they were written for."""

_MARK = re.compile(r"<!-- orchestrator (\{.*?\}) -->", re.DOTALL)
_OPENING = re.compile(r"<!--\s*orchestrator(?![\w-])")
"""How a mark begins, sound or damaged. Marks of copies and archives go on with a hyphen."""

_ANY_MARK = re.compile(r"<!--\s*orchestrator(?:-copy)?(?![\w-]).*?(?:-->|\Z)", re.DOTALL)
_LABEL = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SLOT = re.compile(r"(?:scsi|virtio|sata|ide)[0-9]{1,2}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SNAPSHOT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")
_BACKUP = re.compile(r"off|[1-9][0-9]{0,4} days")
_TEXT_LENGTH = MAXIMUM_LENGTH
"""No text can be longer: the whole mark has to fit. A hundred packages that no update touches are 4,000 characters."""
_VMIDS = (100, 999_999_999)
_SECONDS = (0, 253_402_300_799)
"""Since the epoch, up to the end of the year 9999: the last that a date can hold."""


class UnreadableMark(BadValue):
    """There is a mark, and it cannot be read. The text says why.

    Attributes:
        client, machine: what can still be read of its claim; None where nothing can.
        address: the address that it says the machine was taken over with; None if it says none.
        whole: whether at least its form could be read, so that a missing address means that it has none.
    """

    def __init__(
        self,
        why: str,
        *,
        client: str | None = None,
        machine: str | None = None,
        address: IPv4Address | None = None,
        whole: bool = False,
    ) -> None:
        super().__init__(why)
        self.client = client
        self.machine = machine
        self.address = address
        self.whole = whole


@dataclass(frozen=True, kw_only=True)
class UpdateNote:
    """What is known of a machine's update that did not end well, or has not ended.

    Attributes:
        state: ``running`` (an update began; whoever finds this without a run goes on with it), ``going-back`` (it is
            being brought back to the snapshot), ``held`` (no automatic update before somebody has looked).
        since: when that began (UTC, whole seconds).
        snapshot: the snapshot taken before it; None if there was no room for one.
        reason: why it goes back, or is held.
        packages: the versions that were tried: ``openssl 3.0.11``.
    """

    state: Literal["running", "going-back", "held"]
    since: dt.datetime
    snapshot: str | None = None
    reason: str = ""
    packages: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """As it stands in the mark."""
        since = int(self.since.timestamp())
        data: dict[str, Any] = {"state": self.state, "since": since, "snapshot": self.snapshot}
        return data | {"reason": self.reason, "packages": list(self.packages)}


@dataclass(frozen=True, kw_only=True)
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
        applied: what the file asked for when it was last applied, in words, by attribute: tells drift
            (the hypervisor was changed) from an edit (the file was changed).
        restart_due: when (seconds since the epoch) settings were last written that the running guest takes up at
            its next start only; None if there never were any. Proxmox does not keep those of cloud-init as pending.
        snapshots: declared snapshots that were taken, with the day they were declared for: not taken again.
        keys: fingerprints (``SHA256:…``) of the file's SSH keys that were put into the guest; None if none were.
        supervised: whether the node exporter was installed there by us.
        update: an update that is under way, or because of which the machine is held back from automatic ones
            (:class:`UpdateNote`).
        tested: the day a backup of it was last restored and found sound; None: never.
        suspended: the day its contract's suspension stopped it while it ran: it is started when that is over.
        adopted: the address of a machine that was there before us and was taken over as it is (article 4.2): its
            delivery settings (cloud-init, guest agent, name) are left alone. None: it was made by us.
        leaving: the IPv4 address that its running guest had when it was given another one, which it has until its
            next start; None if there is none.
        redundant: whether there is, or may be, something of ours in HA or replication for it (article 3.2).
        retired: the day it was taken out of its file; None while it is in service.
    """

    client: str
    machine: str
    contract: str
    offer: str
    image: str
    ready: bool = False
    slots: dict[str, str] = field(default_factory=dict)
    firewall: dict[str, Any] | None = None
    host_keys: tuple[str, ...] = ()
    applied: dict[str, str] = field(default_factory=dict)
    restart_due: int | None = None
    snapshots: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] | None = None
    supervised: bool = False
    update: UpdateNote | None = None
    tested: dt.date | None = None
    suspended: dt.date | None = None
    adopted: str | None = None
    leaving: str | None = None
    redundant: bool = False
    retired: dt.date | None = None
    vmid: int | None = None

    @property
    def power_left(self) -> str | None:
        """The state in which the machine was left: ``running``, ``stopped``; None if nothing was asked of it yet."""
        return "stopped" if self.suspended or self.retired else self.applied.get("power")

    def with_(self, **changes: Any) -> Mark:
        """Return a copy with some attributes changed."""
        return replace(self, **changes)


def _encode(mark: Mark) -> str:
    data: dict[str, Any] = {
        "v": _WITHOUT_VMID if mark.vmid is None else _VERSION,
        "client": mark.client,
        "machine": mark.machine,
        "contract": mark.contract,
        "offer": mark.offer,
        "image": mark.image,
        "ready": mark.ready,
        "slots": mark.slots,
        "firewall": mark.firewall,
        "host_keys": list(mark.host_keys),
        "applied": mark.applied,
        "restart_due": mark.restart_due,
        "snapshots": mark.snapshots,
        "keys": list(mark.keys) if mark.keys is not None else None,
        "supervised": mark.supervised,
        "update": mark.update.to_data() if mark.update else None,
        "tested": mark.tested.isoformat() if mark.tested else None,
        "suspended": mark.suspended.isoformat() if mark.suspended else None,
        "adopted": mark.adopted,
        "redundant": mark.redundant,
        "retired": mark.retired.isoformat() if mark.retired else None,
    }
    if mark.leaving is not None:
        data["leaving"] = mark.leaving
    if mark.vmid is not None:
        data["vmid"] = mark.vmid
    # "--" and ">" would end the comment early; JSON may escape any character.
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return text.replace("--", "-\\u002d").replace(">", "\\u003e")


class _Fields:
    """The fields of a mark, each asked for with its type; what is something else is refused by its name."""

    def __init__(self, data: Mapping[str, Any], place: str = "") -> None:
        self._data = data
        self._place = place

    def refuse(self, name: str, wanted: str) -> UnreadableMark:
        """The error about a field: what it holds, and what it should."""
        value = json.dumps(self._data[name])
        shown = value if len(value) <= 60 else f"{value[:60]}…"
        return UnreadableMark(f"its {self._place}{name} is {shown}, not {wanted}")

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._data.get(name) is not None

    def _required(self, name: str) -> Any:
        if name not in self._data:
            raise UnreadableMark(f"it has no {self._place}{name}")
        return self._data[name]

    def text(self, name: str, pattern: re.Pattern[str] | None = None, wanted: str = "a line of text") -> str:
        """A printable text."""
        value = self._required(name)
        if not _is_text(value) or (pattern and not pattern.fullmatch(value)):
            raise self.refuse(name, wanted)
        return str(value)

    def switch(self, name: str, *, required: bool = False) -> bool:
        """True or false; false if it is not there."""
        value = self._required(name) if required else self._data.get(name)
        if value is None and not required:
            return False
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false")
        return value

    def number(self, name: str, limits: tuple[int, int]) -> int:
        """A whole number within limits."""
        value = self._required(name)
        if not isinstance(value, int) or isinstance(value, bool) or not limits[0] <= value <= limits[1]:
            raise self.refuse(name, f"a whole number from {limits[0]} to {limits[1]}")
        return value

    def texts(self, name: str, sound: Callable[[str], object], wanted: str) -> tuple[str, ...]:
        """A list of texts, each of which is sound."""
        value = self._required(name)
        if not isinstance(value, list) or not all(_is_text(item) and sound(item) for item in value):
            raise self.refuse(name, wanted)
        return tuple(value)

    def told(self, name: str) -> str:
        """What a guest told, of whatever length: characters that are not printable become blanks."""
        value = self._required(name)
        if not isinstance(value, str):
            raise self.refuse(name, "text")
        return _printable(value)

    def strings(self, name: str) -> list[str]:
        """A list of what a guest told."""
        value = self._required(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refuse(name, "a list of texts")
        return value

    def pairs(self, name: str, sound: Callable[[str, str], object], wanted: str) -> dict[str, str]:
        """Texts by text, each pair of which is sound."""
        value = self._required(name)
        if not isinstance(value, dict) or not all(
            _is_text(key) and _is_text(item) and sound(key, item) for key, item in value.items()
        ):
            raise self.refuse(name, wanted)
        return dict(value)

    def day(self, name: str) -> dt.date | None:
        """A day, or None if it is null or not there."""
        if not self.has(name):
            return None
        value = self._data[name]
        if not _is_text(value) or not _is_day(value):
            raise self.refuse(name, "a day such as 2026-03-01")
        return dt.date.fromisoformat(value)

    def fields(self, name: str) -> _Fields:
        """Fields within a field."""
        value = self._data[name]
        if not isinstance(value, dict):
            raise self.refuse(name, "a group of fields")
        return _Fields(value, f"{self._place}{name}.")

    def optional(self, name: str, read: Callable[[], T]) -> T | None:
        """What is read of a field, or None if it is null or not there."""
        return read() if self.has(name) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT_LENGTH and value.isprintable()


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _is_day(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _policy(fields: _Fields, name: str, data: object) -> dict[str, Any]:
    """The firewall policy that was loaded last, as data."""
    wrong = fields.refuse(name, "a firewall policy that this program recorded")
    if not isinstance(data, dict):
        raise wrong
    lists = [data.get("open"), data.get("allowed_from"), data.get("management"), data.get("monitoring", [])]
    for items in lists:
        if not isinstance(items, list) or not all(_is_text(item) for item in items):
            raise wrong
    form = data.get("form")
    if not isinstance(form, int) or isinstance(form, bool) or not 0 < form < 1000:
        raise wrong
    try:
        policy = policy_from_data(data)
    except ValueError:
        raise wrong from None
    if not all(1 <= opening.first <= opening.last <= 65535 for opening in policy.open):
        raise wrong
    return data


def _update(fields: _Fields) -> UpdateNote:
    states = re.compile("running|going-back|held")
    state = fields.text("state", states, "running, going-back or held")
    return UpdateNote(
        state="running" if state == "running" else "held" if state == "held" else "going-back",
        since=dt.datetime.fromtimestamp(fields.number("since", _SECONDS), dt.UTC),
        snapshot=fields.optional("snapshot", lambda: fields.text("snapshot", _SNAPSHOT, "a snapshot's name")),
        reason=fields.told("reason"),
        packages=tuple(map(_printable, fields.strings("packages"))),
    )


def _host_keys(fields: _Fields, version: int) -> tuple[str, ...]:
    """The guest's host keys.

    Versions that wrote marks of version 1 noted whatever stood in the guest's files, which is its administrator's. What
    is no key there is left out, as it would not be learnt today: the machine stays ours.
    """
    if version == _WITHOUT_VMID:
        return tuple(key for key in fields.strings("host_keys") if _is_text(key) and is_public_key(key))
    return fields.texts("host_keys", is_public_key, "a list of public SSH keys")


def _address(fields: _Fields, name: str) -> str:
    text = fields.text(name)
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise fields.refuse(name, "an IPv4 address") from None


def _decode(data: Mapping[str, Any]) -> Mark:
    fields = _Fields(data)
    version = data.get("v")
    if isinstance(version, bool) or version not in (_WITHOUT_VMID, _VERSION):
        raise UnreadableMark(
            f"it is of version {json.dumps(version)[:40]}, and this program reads {_WITHOUT_VMID} and {_VERSION}: it "
            "was written by a newer one, or by hand"
        )
    return Mark(
        vmid=fields.number("vmid", _VMIDS) if version == _VERSION else None,
        client=fields.text("client", _LABEL, "a client's name"),
        machine=fields.text("machine", _LABEL, "a machine's name"),
        contract=fields.text("contract"),
        offer=fields.text("offer"),
        image=fields.text("image"),
        ready=fields.switch("ready", required=True),
        slots=fields.pairs("slots", lambda _, slot: _SLOT.fullmatch(slot), "slots such as scsi0 by disk"),
        firewall=fields.optional("firewall", lambda: _policy(fields, "firewall", data["firewall"])),
        host_keys=_host_keys(fields, version),
        applied=fields.pairs(
            "applied",
            lambda key, value: key != "backup" or _BACKUP.fullmatch(value),
            "what was applied, in words",
        ),
        restart_due=fields.optional("restart_due", lambda: fields.number("restart_due", _SECONDS)),
        snapshots=fields.optional(
            "snapshots", lambda: fields.pairs("snapshots", lambda _, day: _is_day(day), "days by snapshot")
        )
        or {},
        keys=fields.optional(
            "keys", lambda: fields.texts("keys", _FINGERPRINT.fullmatch, "fingerprints (SHA256:…)")
        ),
        supervised=fields.switch("supervised"),
        update=fields.optional("update", lambda: _update(fields.fields("update"))),
        tested=fields.day("tested"),
        suspended=fields.day("suspended"),
        adopted=fields.optional("adopted", lambda: _address(fields, "adopted")),
        leaving=fields.optional("leaving", lambda: _address(fields, "leaving")),
        redundant=fields.switch("redundant"),
        retired=fields.day("retired"),
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _no_double(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def parse_mark(notes: str) -> Mark | None:
    """Return the mark in a machine's notes; None if there is none.

    Raises:
        UnreadableMark: there is one, or what is left of one, and it cannot be read; or there are several.
    """
    openings = len(_OPENING.findall(notes))
    if not openings:
        return None
    if openings > 1:
        raise UnreadableMark(f"there are {openings} marks, and there may only be one")
    match = _MARK.search(notes)
    if match is None or len(match[1]) > MAXIMUM_LENGTH:
        raise UnreadableMark("it is damaged: part of it is missing, or something was written into it")
    try:
        data = json.loads(match[1], parse_constant=_no_constant, object_pairs_hook=_no_double)
    except (ValueError, RecursionError):
        raise UnreadableMark("it is damaged: it is no longer the JSON that was written") from None
    try:
        return _decode(data)
    except UnreadableMark as error:
        raise _with_claim(error, data) from None


def _with_claim(error: UnreadableMark, data: Mapping[str, Any]) -> UnreadableMark:
    """The error with what can still be read of the mark: whose machine it says that it is."""

    def label(name: str) -> str | None:
        value = data.get(name)
        return value if isinstance(value, str) and _LABEL.fullmatch(value) else None

    address, whole = None, True
    if data.get("adopted") is not None:
        try:
            address = IPv4Address(_address(_Fields(data), "adopted"))
        except UnreadableMark:
            whole = False
    return UnreadableMark(
        str(error), client=label("client"), machine=label("machine"), address=address, whole=whole
    )


def read_mark(notes: str) -> Mark | None:
    """Return the mark in a machine's notes, or None if there is none that this version can read."""
    try:
        return parse_mark(notes)
    except UnreadableMark:
        return None


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


def _with_mark(mark: Mark, notes: str) -> str:
    comment = f"<!-- orchestrator {_encode(mark)} -->"
    if _MARK.search(notes):
        return _MARK.sub(lambda _: comment, notes, count=1)
    return "\n\n".join(part for part in (_heading(mark), notes.strip(), comment) if part)


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
