"""What each call answers, as far as it is used: one table, by which every answer is checked once, where it comes in.

An answer is what a machine elsewhere says: it may be wrong, broken or another's. What passed here has the types, ranges
and keys that the rest of the program relies on, so that nothing stumbles over it later, in the middle of a step.

A name that becomes part of a path, or of a command, is one: no ``/``, no ``..``, nothing that is not printable. Lists
in which one entry may be wrong without the others being so (machines, nodes, storages, archives) are checked entry by
entry where they are read; here only that they are lists of objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from orchestrator.proxmox.errors import tidy
from orchestrator.proxmox.properties import wrong_setting
from orchestrator.proxmox.storage_types import VOLUME_CHAIN
from orchestrator.proxmox.tasks import parse_upid

LATEST = 4_102_444_800
"""The year 2100: later times are a mistake, and too large to calculate with."""

_LARGEST = 2**63 - 1
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")


@dataclass(frozen=True)
class Scalar:
    """A single value.

    Attributes:
        name: as in "expected a whole number".
    """

    name: str
    test: Callable[[Any], bool]


@dataclass(frozen=True)
class Record:
    """An object. Keys that are not named may be there and hold anything.

    Attributes:
        needs: keys that are there.
        may: keys that may be there, or be null.
    """

    needs: Mapping[str, Shape] = field(default_factory=dict)
    may: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """A list."""

    entry: Shape


@dataclass(frozen=True)
class Mapped:
    """An object whose keys are not known beforehand.

    Attributes:
        value: what each of them holds.
        setting: says what is wrong with a value, given its key and its text; empty if nothing is.
    """

    value: Shape
    setting: Callable[[str, str], str] | None = None


Shape = Scalar | Record | Listed | Mapped


def _is_text(value: Any) -> bool:
    # JSON can write half a character (a lone surrogate), which nothing can print or store.
    return isinstance(value, str) and (value.isascii() or _is_unicode(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        if isinstance(value, str):
            return _WHOLE.fullmatch(value) is not None and least <= int(value) <= most
        if isinstance(value, float):
            return math.isfinite(value) and least <= value <= most
        return isinstance(value, int) and least <= value <= most

    return test


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _DECIMAL.fullmatch(value) is not None
    return isinstance(value, int | float) and -_LARGEST <= value <= _LARGEST


def _is_plain(value: Any) -> bool:
    return _is_text(value) or _is_number(value)


TEXT = Scalar("a text", _is_text)
LINE = Scalar("a printable line", lambda value: _is_text(value) and len(value) <= 255 and value.isprintable())
PLAIN = Scalar("a text or a number", _is_plain)
SIZE = Scalar("a whole number of 0 or more", _whole(0, _LARGEST))
WHOLE = Scalar("a whole number", _whole(-_LARGEST, _LARGEST))
TIME = Scalar("a time in seconds since 1970", _whole(0, LATEST))
NUMBER = Scalar("a number", _is_number)
FLAG = Scalar("0 or 1", lambda value: value in (0, 1, "0", "1", "") and not isinstance(value, float))
VMID = Scalar("a VM id", _whole(1, 999_999_999))
NODE = Scalar("the name of a node", _matches(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"))
STORAGE = Scalar("the name of a storage", _matches(r"[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9]"))
POOL = Scalar(
    "the name of a pool",
    _matches(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}){0,2}"),
)
SNAPSHOT = Scalar("the name of a snapshot", _matches(r"[A-Za-z][A-Za-z0-9_-]{0,79}"))
UPID = Scalar("the name of a task", lambda value: parse_upid(value) is not None)
UPID_OR_OK = Scalar("the name of a task", lambda value: value == "OK" or parse_upid(value) is not None)
UPID_OR_NOTHING = Scalar("the name of a task", lambda value: value is None or parse_upid(value) is not None)
VERSION = Scalar("a version", _matches(r"[0-9]{1,4}(?:[.~+-][A-Za-z0-9.~+-]{0,60})?"))
HA_ID = Scalar("the id of an HA resource", _matches(r"(?:(?:vm|ct):)?[0-9]{1,9}"))
HA_IDS = Scalar("ids of HA resources", _matches(r"(?:(?:vm|ct):[0-9]{1,9}(?:,\s*|$))*"))
HA_NODES = Scalar("names of nodes", _matches(r"(?:[A-Za-z0-9-]{1,63}(?::[0-9]{1,9})?(?:,|$))*"))
JOB_ID = Scalar("the id of a replication job", _matches(r"[0-9]{1,9}-[0-9]{1,9}"))
OBJECT = Record()

_VM = "/nodes/[^/]+/qemu/[0-9]+"

_ANSWERS: tuple[tuple[str, Shape], ...] = (
    ("GET /version", Record(needs={"version": VERSION})),
    ("GET /access/permissions", Mapped(Mapped(FLAG))),
    ("GET /access/roles", Listed(Record(needs={"roleid": TEXT}, may={"privs": TEXT, "special": FLAG}))),
    ("GET /access/users", Listed(Record(needs={"userid": TEXT}))),
    (
        "GET /access/acl",
        Listed(
            Record(needs={"path": TEXT, "ugid": TEXT, "roleid": TEXT, "type": TEXT}, may={"propagate": FLAG})
        ),
    ),
    ("GET /access/users/[^/]+/token", Listed(Record(needs={"tokenid": TEXT}, may={"privsep": FLAG}))),
    ("POST /access/users/[^/]+/token/[^/]+", Record(needs={"value": LINE})),
    (
        "GET /pools",
        Listed(Record(needs={"poolid": TEXT}, may={"members": Listed(Record(may={"vmid": VMID}))})),
    ),
    ("GET /cluster/resources", Listed(Record(needs={"type": TEXT}))),
    ("GET /cluster/nextid", VMID),
    ("GET /cluster/metrics/export", Record(needs={"data": Listed(OBJECT)})),
    ("GET /cluster/tasks", Listed(OBJECT)),
    (
        "GET /cluster/status",
        Listed(Record(needs={"type": TEXT, "name": LINE}, may={"quorate": FLAG, "online": SIZE})),
    ),
    (
        "GET /cluster/ha/resources",
        Listed(Record(needs={"sid": HA_ID}, may={"state": LINE, "comment": TEXT, "group": LINE})),
    ),
    (
        "GET /cluster/ha/rules",
        Listed(
            Record(
                needs={"rule": LINE},
                may={
                    "nodes": HA_NODES,
                    "resources": HA_IDS,
                    "strict": FLAG,
                    "disable": FLAG,
                    "affinity": LINE,
                },
            )
        ),
    ),
    (
        "GET /cluster/ha/groups",
        Listed(Record(needs={"group": LINE}, may={"nodes": HA_NODES, "restricted": FLAG})),
    ),
    (
        "GET /cluster/replication",
        Listed(
            Record(
                needs={"id": JOB_ID, "guest": VMID, "target": NODE},
                may={"schedule": LINE, "rate": NUMBER, "comment": TEXT, "disable": FLAG},
            )
        ),
    ),
    (
        "GET /cluster/status",
        Listed(Record(needs={"type": LINE}, may={"name": LINE, "quorate": FLAG, "online": SIZE})),
    ),
    ("GET /nodes/[^/]+/replication/[^/]+/status", Record(may={"last_sync": TIME, "fail_count": SIZE})),
    ("GET /storage", Listed(Record(needs={"storage": TEXT}, may={"type": LINE, VOLUME_CHAIN: FLAG}))),
    ("GET /nodes", Listed(Record(needs={"node": NODE}, may={"ssl_fingerprint": LINE}))),
    ("GET /nodes/[^/]+/time", Record(needs={"time": TIME})),
    ("GET /nodes/[^/]+/network", Listed(Record(needs={"iface": TEXT}))),
    ("GET /nodes/[^/]+/qemu", Listed(Record(needs={"vmid": VMID}, may={"name": LINE}))),
    ("GET /nodes/[^/]+/journal", Listed(TEXT)),
    ("GET /nodes/[^/]+/tasks", Listed(Record(needs={"upid": UPID, "type": TEXT}))),
    ("GET /nodes/[^/]+/tasks/[^/]+/status", Record(needs={"status": TEXT}, may={"exitstatus": TEXT})),
    ("GET /nodes/[^/]+/tasks/[^/]+/log", Listed(Record(may={"t": TEXT}))),
    ("GET /nodes/[^/]+/vzdump/extractconfig", TEXT),
    ("GET /nodes/[^/]+/storage/[^/]+/content", Listed(OBJECT)),
    ("GET /nodes/[^/]+/storage/[^/]+/status", Record(may={"active": FLAG, "enabled": FLAG})),
    (
        "GET /nodes/[^/]+/(?:qemu|lxc)/[0-9]+/pending",
        Listed(Record(needs={"key": LINE}, may={"value": PLAIN, "pending": PLAIN, "delete": SIZE})),
    ),
    (f"GET {_VM}/config", Mapped(PLAIN, setting=wrong_setting)),
    (
        f"GET {_VM}/snapshot",
        Listed(
            Record(
                needs={"name": SNAPSHOT},
                may={"snaptime": TIME, "description": TEXT, "parent": SNAPSHOT, "snapstate": LINE},
            )
        ),
    ),
    (f"GET {_VM}/snapshot/[^/]+/config", Mapped(PLAIN, setting=wrong_setting)),
    (
        f"GET {_VM}/status/current",
        Record(
            needs={"status": LINE}, may={"lock": LINE, "uptime": WHOLE, "ha": Record(may={"managed": FLAG})}
        ),
    ),
    (f"GET {_VM}/rrddata", Listed(Record(needs={"time": TIME}))),
    (f"GET {_VM}/agent/file-read", Record(needs={"content": TEXT})),
    (
        f"POST {_VM}/vncproxy",
        Record(needs={"ticket": TEXT, "port": Scalar("a port", _whole(1, 65535))}, may={"password": TEXT}),
    ),
    (
        f"POST {_VM}/termproxy",
        Record(needs={"ticket": TEXT, "port": Scalar("a port", _whole(1, 65535)), "user": LINE}),
    ),
    (f"POST {_VM}/agent/exec", Record(needs={"pid": SIZE})),
    (
        f"GET {_VM}/agent/exec-status",
        Record(needs={"exited": FLAG}, may={"exitcode": WHOLE, "signal": WHOLE, "out-data": TEXT}),
    ),
    (f"GET {_VM}/agent/network-get-interfaces", Record(needs={"result": Scalar("a result", lambda _: True)})),
    ("POST /nodes/[^/]+/qemu", UPID),
    (f"POST {_VM}/(?:clone|snapshot|snapshot/[^/]+/rollback|status/[a-z]+|migrate)", UPID),
    ("POST /nodes/[^/]+/vzdump", UPID_OR_OK),
    (f"DELETE {_VM}(?:/snapshot/[^/]+)?", UPID),
    ("DELETE /nodes/[^/]+/storage/[^/]+/content/.+", UPID_OR_NOTHING),
)

_PATHS = re.compile("|".join(f"(?P<a{index}>{pattern})" for index, (pattern, _) in enumerate(_ANSWERS)))


def wrong_answer(method: str, path: str, data: object) -> str:
    """Say what is wrong with the answer of a call; empty if nothing is."""
    found = _PATHS.fullmatch(f"{method} {path}")
    if found is None or found.lastgroup is None:
        return ""
    index = int(found.lastgroup[1:])
    return "" if _fits(index)(data) else wrong(data, _ANSWERS[index][1])


@cache
def _fits(index: int) -> Callable[[Any], bool]:
    """Whether an answer of this line of the table is sound, without words for what is wrong: nearly every one is."""
    return _test(_ANSWERS[index][1])


def _test(shape: Shape) -> Callable[[Any], bool]:
    """A function that says of a value whether :func:`wrong` would find nothing."""
    if isinstance(shape, Scalar):
        return shape.test
    if isinstance(shape, Listed):
        fits = _test(shape.entry)
        return lambda data: isinstance(data, list) and all(map(fits, data))
    if isinstance(shape, Mapped):
        return lambda data: not wrong(data, shape)
    needs = [(key, _test(inner)) for key, inner in shape.needs.items()]
    may = [(key, _test(inner)) for key, inner in shape.may.items()]

    def record(data: Any) -> bool:
        if not isinstance(data, dict):
            return False
        for key, fits in needs:
            if key not in data or not fits(data[key]):
                return False
        for key, fits in may:
            value = data.get(key)
            if value is not None and not fits(value):
                return False
        return True

    return record


def wrong(data: object, shape: Shape, where: str = "") -> str:
    """Say what is wrong with a value: where, what was expected, what was found. Empty if nothing is."""
    if isinstance(shape, Scalar):
        return "" if shape.test(data) else _told(where, shape.name, data)
    if isinstance(shape, Listed):
        if not isinstance(data, list):
            return _told(where, "a list", data)
        for number, entry in enumerate(data):
            if told := wrong(entry, shape.entry, f"{where}entry {number}: "):
                return told
        return ""
    if not isinstance(data, dict):
        return _told(where, "an object", data)
    if isinstance(shape, Mapped):
        for key, value in data.items():
            if not _is_text(key):
                return _told(where, "a name", key)
            if told := wrong(value, shape.value, f"{where}{tidy(key, 60)}: "):
                return told
            if shape.setting and (told := shape.setting(key, str(value))):
                return f"{where}{told}"
        return ""
    for key, inner in shape.needs.items():
        if key not in data:
            return f"{where}expected {key}, which is missing"
        if told := wrong(data[key], inner, f"{where}{key}: "):
            return told
    for key, inner in shape.may.items():
        if data.get(key) is not None and (told := wrong(data[key], inner, f"{where}{key}: ")):
            return told
    return ""


def _told(where: str, expected: str, found: object) -> str:
    return f"{where}expected {expected}, found {_shown(found)}"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return f"the text {tidy(value, 40)!r}"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a number of more than 19 digits"
    return str(value)
