"""Whose an archive is: its notes say it, in one line, and are read back whatever stands around them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.resources.backup import (
    ArchiveMark,
    RestoreTest,
    archive_notes,
    notes_template,
    read_archive_mark,
)
from orchestrator.resources.copies import CopyMark, copy_notes, read_copy_mark
from orchestrator.resources.notes import read_mark

_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
_references = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 ._/#-]{0,60}[A-Za-z0-9])?", fullmatch=True)
_tests = st.builds(
    RestoreTest,
    on=st.dates(dt.date(2020, 1, 1), dt.date(2040, 1, 1)),
    sound=st.booleans(),
    found=st.text(st.characters(exclude_categories=("C", "Z")), max_size=200),
)
_first = st.builds(
    ArchiveMark,
    client=_names,
    machine=_names,
    contract=_references,
    days=st.integers(1, 3660),
    test=st.one_of(st.none(), _tests),
)
_bound = st.builds(
    replace,
    _first,
    vmid=st.integers(100, 999_999_999),
    night=st.dates(dt.date(2020, 1, 1), dt.date(2040, 1, 1)),
    volume=st.none() | st.just("backup/vzdump-qemu-100-2026_11_23-22_00_00.vma.zst"),
)
marks = _first | _bound


@given(marks)
def test_a_mark_is_read_back_and_stands_in_the_first_line(mark: ArchiveMark) -> None:
    notes = archive_notes(mark)
    assert "\n" not in notes, "Proxmox's lists show the first line alone"
    assert read_archive_mark(notes) == mark
    assert read_archive_mark(f"seen by alice {notes} and bob") == mark


@given(marks.filter(lambda mark: mark.test is None))
def test_vzdump_takes_the_notes_as_a_template(mark: ArchiveMark) -> None:
    template = notes_template(mark)
    assert len(template) <= 1024 and "{{" not in template and "\n" not in template
    assert template.replace("\\\\", "\\") == archive_notes(mark)


@given(st.text(max_size=200))
def test_other_notes_are_nobodys(text: str) -> None:
    assert read_archive_mark(text) is None
    assert read_archive_mark(f"<!-- orchestrator-backup {text} -->") is None


@given(
    _names, _names, st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC))
)
def test_a_copy_is_marked_as_a_copy_and_never_as_the_original(
    client: str, machine: str, at: dt.datetime
) -> None:
    volid = "backup-lyon:backup/vzdump-qemu-100-2026_11_23-22_00_00.vma.zst"
    mark = CopyMark(purpose="restore-test", client=client, machine=machine, volid=volid, made_at=at, vmid=150)
    notes = copy_notes(mark)
    assert read_copy_mark(notes) == mark and read_mark(notes) is None and read_archive_mark(notes) is None
