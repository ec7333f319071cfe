"""The mark of ownership in a machine's notes."""

import base64
import datetime as dt
import json
import re
from dataclasses import fields
from ipaddress import IPv4Address
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests.keys import fingerprint
from orchestrator.guests.rules import policy_to_data
from orchestrator.resources.attributes import Applied
from orchestrator.resources.marks import MAXIMUM_LENGTH, UnreadableMark
from orchestrator.resources.notes import (
    Mark,
    RestartNote,
    UpdateNote,
    parse_mark,
    read_mark,
    without_marks,
    write_mark,
)
from tests.unit.firewall_policies import policies

MARK = Mark(
    client="dupont", machine="web-1", contract="C-1", offer="cloud-vm-advanced", image="debian-12", vmid=100
)
_names = st.from_regex(r"[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_texts = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), max_size=60)
_keys = st.binary(min_size=32, max_size=32).map(
    lambda blob: "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + blob).decode()
)
_days = st.dates(dt.date(2000, 1, 1), dt.date(2999, 12, 31))
_updates = st.builds(
    UpdateNote,
    state=st.sampled_from(["running", "going-back", "held"]),
    since=st.integers(0, 4_000_000_000).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)),
    snapshot=st.none() | st.from_regex(r"[a-z][a-z0-9]{1,20}", fullmatch=True),
    reason=_texts,
    packages=st.lists(_texts, max_size=3).map(tuple),
)
_restarts = st.builds(
    RestartNote,
    state=st.sampled_from(["running", "going-back", "held"]),
    since=st.integers(0, 4_000_000_000).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)),
    settings=st.dictionaries(_texts, _texts, max_size=3),
    before=st.dictionaries(_texts, st.none() | _texts, max_size=3),
    answered=st.booleans(),
    reason=_texts,
)

_asked = st.dictionaries(
    _names,
    st.dictionaries(_names, st.none() | st.booleans() | st.integers(-5, 5) | _texts, max_size=2),
    max_size=2,
)
_plain = {int | None: st.none() | st.integers(1, 2**24), str | None: st.none() | _texts}
_applied: dict[str, st.SearchStrategy[Any]] = {
    **{name: _plain[hint] for name, hint in get_type_hints(Applied).items() if hint in _plain},
    "network": st.none() | st.tuples(_names, st.none() | st.integers(1, 4094)),
    "address": st.none() | st.ip_addresses(v=4),
    "backup_days": st.none() | st.integers(1, 3660),
    "update_exclude": st.lists(_texts, max_size=3).map(tuple),
    "kinds": _asked,
    "disks": st.dictionaries(_names, st.integers(1, 65536), max_size=3),
    "left_out": st.lists(_names, max_size=3).map(tuple),
    "backup_copies": st.sampled_from([1, 2]),
    "power": st.sampled_from([None, "running", "stopped"]),
}
_fields: dict[str, st.SearchStrategy[Any]] = {
    "vmid": st.none() | st.integers(100, 999_999_999),
    "client": _names,
    "machine": _names,
    "contract": st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 ._/#-]{0,62}[A-Za-z0-9])?", fullmatch=True),
    "offer": st.sampled_from(["cloud-vm-essential", "cloud-vm-advanced"]),
    "image": _texts,
    "ready": st.booleans(),
    "slots": st.dictionaries(_names, st.sampled_from(["scsi0", "scsi30", "virtio2", "ide0"]), max_size=4),
    "firewall": st.none() | policies.map(policy_to_data),
    "host_keys": st.lists(_keys, max_size=2).map(tuple),
    "applied": st.none() | st.builds(Applied, **_applied),
    "restart_due": st.none() | st.integers(0, 4_000_000_000),
    "snapshots": st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{1,20}", fullmatch=True), _days, max_size=3),
    "keys": st.none() | st.lists(_keys.map(fingerprint), max_size=3).map(tuple),
    "supervised": st.booleans(),
    "inside": _asked,
    "update": st.none() | _updates,
    "restart": st.none() | _restarts,
    "tested": st.none() | _days,
    "suspended": st.none() | _days,
    "adopted": st.none() | st.ip_addresses(v=4),
    "leaving": st.none() | st.ip_addresses(v=4),
    "redundant": st.booleans(),
    "retired": st.none() | _days,
    "former": st.lists(st.tuples(_names, _names), max_size=3).map(tuple),
    "replaces": st.lists(_names, max_size=3).map(tuple),
}
marks = st.builds(Mark, **_fields)
_others = st.text(max_size=300).filter(lambda notes: "<!--" not in notes)


def test_every_field_of_every_model_is_generated() -> None:
    assert _fields.keys() == {field.name for field in fields(Mark)} - {"v"}
    assert _applied.keys() == {field.name for field in fields(Applied)}


@given(mark=marks, notes=_others)
def test_what_was_written_is_read_back_and_other_text_is_kept(mark: Mark, notes: str) -> None:
    written = write_mark(mark, notes)
    assert read_mark(written) == mark
    assert notes.strip() in written


@given(first=marks, second=marks, notes=_others)
def test_a_second_mark_takes_the_place_of_the_first(first: Mark, second: Mark, notes: str) -> None:
    written = write_mark(second, write_mark(first, notes))
    assert read_mark(written) == second
    assert written.count("<!-- orchestrator ") == 1


@given(st.text())
def test_any_text_is_read_without_an_exception(notes: str) -> None:
    assert read_mark(notes) is None or "<!-- orchestrator" in notes


def test_notes_of_others_carry_no_mark() -> None:
    for notes in (
        "",
        "web server of Dupont",
        "<!-- orchestrator-copy {} -->",
        "<!-- ask the orchestrator -->",
    ):
        assert parse_mark(notes) is None


def _with(field: str) -> str:
    """A mark with something else in place of its VM's number."""
    return write_mark(MARK).replace('"vmid":100', field)


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        ("<!-- orchestrator {} -->", "it is of version null"),
        ('<!-- orchestrator {"v": 99} -->', "it is of version 99, and this program reads up to 3"),
        ('<!-- orchestrator {"v": true} -->', "it is of version true"),
        ("<!-- orchestrator", "it is damaged"),
        ("<!-- orchestrator soon -->", "it is damaged"),
        (write_mark(MARK) * 2, "there are 2 marks, and there may only be one"),
        (_with('"vmid":"100"'), 'its vmid is "100": Input should be a valid integer'),
        (_with('"vmid":100.0'), "its vmid is 100.0"),
        (_with('"vmid":true'), "its vmid is true"),
        (_with('"vmid":100').replace('"image":"debian-12",', ""), "it has no image"),
        (_with('"vmid":100').replace('"v":3', '"v":2').replace(',"vmid":100', ""), "it has no vmid"),
        (_with('"vmid":100,"beside":1'), "its beside is 1"),
        (_with('"firewall":{"x":1}'), 'its firewall is {"x": 1}, not a firewall policy'),
        (_with('"host_keys":["ssh-rsa x"]'), 'its host_keys.0 is "ssh-rsa x", not a public SSH key'),
        (_with('"update":{"state":"held","since":1e20}'), "its update.since is 1e+20"),
        (_with('"applied":{"memory":"1GiB"}'), 'its applied.memory is "1GiB"'),
        (
            _with('"vmid":100,"applied":{"memory":1024}').replace('"v":3', '"v":2'),
            "its applied is not what was applied",
        ),
        (
            _with('"vmid":100,"applied":{"backup":"soon"}').replace('"v":3', '"v":2'),
            "its applied.backup is not a number",
        ),
        (_with('"tested":"9999-12-31"'), 'its tested is "9999-12-31"'),
        (_with('"vmid":100,"\\u001b[2J":1'), r"its \u001b[2J is 1: "),
        (_with(f'"vmid":100,"{"x" * 5000}":1'), f"its {'x' * 60}… is 1: "),
        (_with('"ready":NaN'), "it is no longer the JSON that was written"),
        (_with('"ready":true,"ready":false'), "it is no longer the JSON that was written"),
        (_with(f'"ready":{"[" * 9000}{"]" * 9000}'), "it is damaged"),
    ],
)
def test_a_mark_that_cannot_be_read_says_why(notes: str, why: str) -> None:
    assert read_mark(notes) is None
    with pytest.raises(UnreadableMark, match=re.escape(why)):
        parse_mark(notes)


def test_what_can_still_be_read_of_a_mark_says_whose_it_claims_to_be() -> None:
    damaged = write_mark(MARK.with_(adopted=IPv4Address("192.0.2.7"))).replace(
        '"v":3', '"v":3,"ready":"soon"'
    )
    with pytest.raises(UnreadableMark) as caught:
        parse_mark(damaged)
    error = caught.value
    assert (error.client, error.machine, str(error.address), error.whole) == (
        "dupont",
        "web-1",
        "192.0.2.7",
        True,
    )


def test_what_could_not_be_read_again_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"web-1: its host_keys\.0 is .*, not a public SSH key"):
        MARK.with_(host_keys=("<script>",))


def test_notes_are_cleaned_of_marks_before_another_one_is_written() -> None:
    for spoilt in (
        write_mark(MARK, "Ask Jean."),
        write_mark(MARK, "Ask Jean.")[:-4],
        write_mark(MARK, "Ask Jean.") * 2,
    ):
        cleaned = without_marks(spoilt)
        assert parse_mark(cleaned) is None and cleaned.startswith(("Ask Jean.", "dupont / web-1"))


def test_notes_longer_than_proxmox_stores_are_refused() -> None:
    with pytest.raises(ValueError, match="8192"):
        write_mark(MARK, "x" * MAXIMUM_LENGTH)


def test_the_mark_is_invisible_in_markdown_and_survives_hostile_names() -> None:
    written = write_mark(MARK.with_(image="a --> b -- {{ c", retired=dt.date(2026, 11, 23)))
    assert written.split("<!-- orchestrator ")[1].count("-->") == 1
    read = read_mark(written)
    assert read is not None and read.image == "a --> b -- {{ c"


def test_whatever_a_file_may_ask_for_fits_into_a_mark() -> None:
    """Up to a hundred names of packages, as one text."""
    packages = tuple(f"linux-image-{number}-of-somebody*" for number in range(100))
    mark = MARK.with_(applied=Applied(update_exclude=packages))
    assert read_mark(write_mark(mark)) == mark


def test_a_host_key_that_an_earlier_version_took_from_a_guest_as_it_was_is_left_out() -> None:
    """Its administrator wrote the file: the machine would be nobody's, and get no backup, because of it."""
    sound = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt/0c/A2mkpeBwnYhdfuXiHPCyxJ0Ng1AQweBcPRbpF"
    notes = _with('"vmid":null').replace(
        '"v":3', f'"v":1,"host_keys":["ssh-dss AAAAB3NzaC1kc3M=","{sound}","\\u001b[2J x"]'
    )
    mark = parse_mark(notes)
    assert mark and mark.host_keys == (sound,)


def test_what_earlier_versions_noted_in_words_is_read_as_values() -> None:
    words = {
        "vCPU": "2", "memory": "1 GiB", "name": "web-1", "network": "vmbr1 VLAN 7", "address": "10.1.0.10",
        "backup": "31 days", "updates excluded": "linux-* docker-ce",
        "redundancy": "redundant hardware, second site lyon",
        "disk system": "20GiB", "disk data": "somehow", "power": "running", "of later": "x",
    }  # fmt: skip
    old = {
        "v": 2, "vmid": 100, "client": "dupont", "machine": "web-1", "contract": "C-1", "offer": "cloud-vm-advanced",
        "image": "debian-12", "ready": True, "slots": {"system": "scsi0"}, "firewall": None, "host_keys": [],
        "applied": words, "restart_due": 7, "snapshots": {"before": "2026-11-20"}, "keys": None, "supervised": False,
        "update": {"state": "held", "since": 1_700_000_000, "snapshot": None, "reason": "no", "packages": []},
        "tested": "2026-11-20", "suspended": None, "adopted": "10.1.0.10", "redundant": True, "retired": None,
    }  # fmt: skip
    mark = parse_mark(f"<!-- orchestrator {json.dumps(old)} -->")
    assert mark is not None and mark.applied == Applied(
        vcpus=2, memory=1024, name="web-1", network=("vmbr1", 7), address=IPv4Address("10.1.0.10"), backup_days=31,
        update_exclude=("linux-*", "docker-ce"), disks={"system": 20}, power="running",
        kinds={"redundancy": {"hardware": True, "second_site": "lyon"}},
    )  # fmt: skip
    assert mark.snapshots == {"before": dt.date(2026, 11, 20)} and mark.adopted == IPv4Address("10.1.0.10")
    assert mark.update and mark.update.since == dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    assert '"v":3' in write_mark(mark) and parse_mark(write_mark(mark)) == mark, (
        "the next write makes it one of today"
    )


def test_what_a_guest_told_an_earlier_version_does_not_hide_the_machine() -> None:
    """It noted texts of guests as they were: JSON holds half a character, and nothing else does."""
    update = {
        "state": "held",
        "since": 1,
        "snapshot": None,
        "reason": "no \ud800\x1b[2J",
        "packages": ["x\udcff 1"],
    }
    notes = _with(f'"vmid":100,"update":{json.dumps(update)}').replace('"v":3', '"v":2')
    mark = parse_mark(notes)
    assert mark and mark.update and (mark.update.reason, mark.update.packages) == ("no   [2J", ("x  1",))
