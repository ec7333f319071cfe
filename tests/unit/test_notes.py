"""The mark of ownership in a machine's notes."""

import base64
import datetime as dt
import re
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests.keys import fingerprint
from orchestrator.guests.rules import FirewallPolicy, policy_to_data
from orchestrator.resources.notes import (
    MAXIMUM_LENGTH,
    Mark,
    UnreadableMark,
    UpdateNote,
    parse_mark,
    read_mark,
    without_marks,
    write_mark,
)

MARK = Mark(
    client="dupont", machine="web-1", contract="C-1", offer="cloud-vm-advanced", image="debian-12", vmid=100
)
_names = st.from_regex(r"[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_texts = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), max_size=60)
_keys = st.binary(min_size=32, max_size=32).map(
    lambda blob: "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + blob).decode()
)
_networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: IPv4Network(pair, strict=False)
)
_updates = st.builds(
    UpdateNote,
    state=st.sampled_from(["running", "going-back", "held"]),
    since=st.integers(0, 4_000_000_000).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)),
    snapshot=st.none() | st.from_regex(r"[a-z][a-z0-9]{1,20}", fullmatch=True),
    reason=_texts,
    packages=st.lists(_texts, max_size=3).map(tuple),
)
marks = st.builds(
    Mark,
    vmid=st.none() | st.integers(100, 999_999_999),
    client=_names,
    machine=_names,
    contract=_texts,
    offer=st.sampled_from(["cloud-vm-essential", "cloud-vm-advanced"]),
    image=_texts,
    ready=st.booleans(),
    slots=st.dictionaries(_names, st.sampled_from(["scsi0", "scsi30", "virtio2", "ide0"]), max_size=4),
    firewall=st.none()
    | st.builds(
        lambda allowed, management: policy_to_data(
            FirewallPolicy(allowed_from=tuple(allowed), management=tuple(management))
        ),
        st.lists(_networks, max_size=3),
        st.lists(_networks, max_size=3),
    ),
    host_keys=st.lists(_keys, max_size=2).map(tuple),
    applied=st.dictionaries(_texts.filter(lambda key: key != "backup"), _texts, max_size=4)
    | st.just({"backup": "31 days"}),
    restart_due=st.none() | st.integers(0, 4_000_000_000),
    snapshots=st.dictionaries(_names, st.dates().map(str), max_size=3),
    keys=st.none() | st.lists(_keys.map(fingerprint), max_size=3).map(tuple),
    supervised=st.booleans(),
    update=st.none() | _updates,
    tested=st.none() | st.dates(),
    suspended=st.none() | st.dates(),
    adopted=st.none() | st.ip_addresses(v=4).map(str),
    leaving=st.none() | st.ip_addresses(v=4).map(str),
    redundant=st.booleans(),
    retired=st.none() | st.dates(),
)
_others = st.text(max_size=300).filter(lambda notes: "<!--" not in notes)


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


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        ("<!-- orchestrator {} -->", "it is of version null"),
        ('<!-- orchestrator {"v": 99} -->', "it is of version 99, and this program reads 1 and 2"),
        ("<!-- orchestrator", "it is damaged"),
        ("<!-- orchestrator soon -->", "it is damaged"),
        (write_mark(MARK) * 2, "there are 2 marks, and there may only be one"),
        (write_mark(MARK).replace('"vmid":100', '"vmid":"100"'), 'its vmid is "100", not a whole number'),
        (write_mark(MARK).replace(',"vmid":100', ""), "it has no vmid"),
        (write_mark(MARK).replace('"firewall":null', '"firewall":{"x":1}'), 'its firewall is {"x": 1}, not'),
        (write_mark(MARK).replace('"host_keys":[]', '"host_keys":["ssh-rsa x"]'), "its host_keys is"),
        (
            write_mark(MARK).replace('"update":null', '"update":{"state":"held","since":1e20}'),
            "its update.since is 1e+20, not a whole number",
        ),
        (
            write_mark(MARK).replace('"ready":false', '"ready":NaN'),
            "it is no longer the JSON that was written",
        ),
        (write_mark(MARK).replace('"ready":false', f'"ready":{"[" * 9000}{"]" * 9000}'), "it is damaged"),
    ],
)
def test_a_mark_that_cannot_be_read_says_why(notes: str, why: str) -> None:
    assert read_mark(notes) is None
    with pytest.raises(UnreadableMark, match=re.escape(why)):
        parse_mark(notes)


def test_what_can_still_be_read_of_a_mark_says_whose_it_claims_to_be() -> None:
    damaged = write_mark(MARK.with_(adopted="192.0.2.7")).replace('"ready":false', '"ready":"soon"')
    with pytest.raises(UnreadableMark) as caught:
        parse_mark(damaged)
    error = caught.value
    assert (error.client, error.machine, str(error.address), error.whole) == (
        "dupont",
        "web-1",
        "192.0.2.7",
        True,
    )


def test_what_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(ValueError, match="could not be read again, so they were not written"):
        write_mark(MARK.with_(host_keys=("<script>",)))


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
    written = write_mark(MARK.with_(contract="a --> b -- c", retired=dt.date(2026, 11, 23)))
    assert written.split("<!-- orchestrator ")[1].count("-->") == 1
    read = read_mark(written)
    assert read is not None and read.contract == "a --> b -- c"


def test_whatever_a_file_may_ask_for_fits_into_a_mark() -> None:
    """Up to a hundred names of packages, as one text."""
    packages = " ".join(f"linux-image-{number}-of-somebody*" for number in range(100))
    mark = MARK.with_(applied={"updates without": packages})
    assert read_mark(write_mark(mark)) == mark


def test_a_host_key_that_an_earlier_version_took_from_a_guest_as_it_was_is_left_out() -> None:
    """Its administrator wrote the file: the machine would be nobody's, and get no backup, because of it."""
    sound = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt/0c/A2mkpeBwnYhdfuXiHPCyxJ0Ng1AQweBcPRbpF"
    notes = write_mark(MARK.with_(vmid=None, host_keys=(sound,))).replace(
        f'"{sound}"', f'"ssh-dss AAAAB3NzaC1kc3M=","{sound}","\\u001b[2J x"'
    )
    mark = parse_mark(notes)
    assert mark and mark.host_keys == (sound,)
