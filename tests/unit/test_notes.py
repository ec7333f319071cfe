"""The mark of ownership in a machine's notes."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.resources.notes import MAXIMUM_LENGTH, Mark, read_mark, write_mark

MARK = Mark(client="dupont", machine="web-1", contract="C-1", offer="cloud-vm-advanced", image="debian-12")

marks = st.builds(
    Mark,
    client=st.text(max_size=60),
    machine=st.text(max_size=60),
    contract=st.text(max_size=60),
    offer=st.sampled_from(["cloud-vm-essential", "cloud-vm-advanced"]),
    image=st.text(max_size=30),
    ready=st.booleans(),
    slots=st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4),
    firewall=st.none() | st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4),
    host_keys=st.lists(st.text(max_size=80), max_size=2).map(tuple),
    applied=st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4),
    retired=st.none() | st.dates(),
)


@given(mark=marks, notes=st.text(max_size=300))
def test_what_was_written_is_read_back_and_other_text_is_kept(mark: Mark, notes: str) -> None:
    written = write_mark(mark, notes)
    assert read_mark(written) == mark
    assert notes.strip() in written


@given(first=marks, second=marks, notes=st.text(max_size=300))
def test_a_second_mark_takes_the_place_of_the_first(first: Mark, second: Mark, notes: str) -> None:
    written = write_mark(second, write_mark(first, notes))
    assert read_mark(written) == second
    assert written.count("<!-- orchestrator ") == 1 + notes.count("<!-- orchestrator ")


@given(st.text())
def test_any_text_is_read_without_an_exception(notes: str) -> None:
    assert read_mark(notes) is None or "<!-- orchestrator" in notes


def test_notes_of_others_carry_no_mark() -> None:
    assert read_mark("") is None
    assert read_mark("<!-- orchestrator {} -->") is None
    assert read_mark('<!-- orchestrator {"v": 99} -->') is None
    assert read_mark("web server of Dupont") is None


def test_notes_longer_than_proxmox_stores_are_refused() -> None:
    with pytest.raises(ValueError, match="8192"):
        write_mark(MARK, "x" * MAXIMUM_LENGTH)


def test_the_mark_is_invisible_in_markdown_and_survives_hostile_names() -> None:
    written = write_mark(MARK.with_(contract="a --> b -- c", retired=dt.date(2026, 11, 23)))
    assert written.split("<!-- orchestrator ")[1].count("-->") == 1
    read = read_mark(written)
    assert read is not None and read.contract == "a --> b -- c"
