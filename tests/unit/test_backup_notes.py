"""Whose an archive is: its notes say it, in one line, and are read back whatever stands around them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.proxmox import VmSnapshot
from orchestrator.resources.copies import CopyMark, copy_notes, read_copy_mark
from orchestrator.resources.machine_archives import (
    ArchiveMark,
    RestoreTest,
    archive_notes,
    notes_template,
    read_archive_mark,
)
from orchestrator.resources.notes import Mark, read_mark
from orchestrator.resources.snapshot import SnapshotMark, owned, snapshot_description

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


_copies = st.builds(
    CopyMark,
    purpose=st.sampled_from(["restore-test", "restored", "in-place"]),
    client=_names,
    machine=_names,
    volid=st.from_regex(r"[!-~]{1,100}", fullmatch=True),
    made_at=st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC)),
    boot=st.none() | st.from_regex(r"[A-Za-z0-9=;,]{0,40}", fullmatch=True),
    vmid=st.none() | st.integers(100, 999_999_999),
)


@given(_copies)
def test_a_copy_is_marked_as_a_copy_and_never_as_the_original(mark: CopyMark) -> None:
    notes = copy_notes(mark)
    assert read_copy_mark(notes) == mark and read_mark(notes) is None and read_archive_mark(notes) is None


@given(st.none() | st.dates(dt.date(2000, 1, 1), dt.date(2999, 12, 31)), st.booleans())
def test_a_snapshot_of_ours_says_what_it_was_taken_for(declared: dt.date | None, update: bool) -> None:
    description = snapshot_description("dupont", "web-1", declared_for=declared, for_update=update)
    found = owned(_snapshot(description))
    assert found is not None and (found.declared_for, found.for_update) == (declared, update)
    early = '<!-- orchestrator-snapshot {"v":1,"declared":"2026-11-20","update":true} -->'
    of_earlier_version = owned(_snapshot(early))
    assert of_earlier_version is not None and of_earlier_version.declared_for == dt.date(2026, 11, 20)


def _snapshot(description: str) -> VmSnapshot:
    taken_at = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    return VmSnapshot(name="x", taken_at=taken_at, description=description, parent=None)


_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_json = st.recursive(
    _leaves | st.just("9999-12-31"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_fields_of_any_mark = sorted(
    {field.name for model in (Mark, ArchiveMark, CopyMark, SnapshotMark) for field in fields(model)}
    | {"tested", "sound", "found"}
)


@given(
    st.sampled_from(["", "-backup", "-copy", "-snapshot"]),
    st.sampled_from([1, 2, 3]),
    st.dictionaries(st.sampled_from(_fields_of_any_mark), _json),
)
def test_whatever_somebody_writes_as_a_mark_is_read_or_is_none(
    name: str, v: int, data: dict[str, Any]
) -> None:
    notes = f"<!-- orchestrator{name} {json.dumps({**data, 'v': v})} -->"
    for read in (read_mark, read_archive_mark, read_copy_mark, lambda text: owned(_snapshot(text))):
        read(notes)


def test_what_a_guest_told_an_earlier_version_does_not_disown_its_archive() -> None:
    data = {"v": 1, "client": "dupont", "machine": "web-1", "contract": "C-1", "days": 7}
    data |= {"tested": "2026-11-20", "sound": False, "found": "no \ud800"}
    mark = read_archive_mark(f"<!-- orchestrator-backup {json.dumps(data)} -->")
    assert mark and mark.test and (mark.test.sound, mark.test.found) == (False, "no  ")
