"""The history: complete, ordered, and whoever changes it is noticed."""

import multiprocessing
import os
import signal
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history import HistoryUnavailable, open_history

COLUMNS = (
    "at", "who", "why", "client", "machine", "site", "action", "details", "result",
    "message", "upid", "seconds", "run", "previous", "hash",
)  # fmt: skip
BASE: dict[str, Any] = {"who": "alice", "why": "ticket 12", "site": "paris", "run": "r1"}

records = st.fixed_dictionaries(
    {
        "client": st.text(max_size=20),
        "machine": st.none() | st.text(max_size=20),
        "action": st.text(max_size=20),
        "result": st.sampled_from(["ok", "failed", "refused", "unknown"]),
        "message": st.text(max_size=40),
        "upid": st.none() | st.text(max_size=40),
        "seconds": st.floats(0, 1e6),
        "details": st.dictionaries(
            st.text(max_size=8).filter(lambda k: k.lower() != "secret"), st.integers()
        ),
    }
)


def write(path: Path, count: int, client: str = "dupont") -> None:
    with open_history(path) as history:
        for number in range(count):
            history.append(**BASE, client=client, machine="web-1", action=f"step {number}", result="ok")


@settings(max_examples=30, deadline=None)
@given(st.lists(records, max_size=12))
def test_whatever_was_recorded_verifies_and_is_read_back(entries: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_history(Path(folder) / "h.db") as history:
        written = [history.append(**BASE, **entry) for entry in entries]
        assert history.entries() == written[::-1]
        verification = history.verify()
        assert verification.ok and verification.count == len(entries)


@settings(max_examples=60, deadline=None)
@given(row=st.integers(1, 6), column=st.sampled_from(COLUMNS))
def test_any_altered_field_of_any_entry_is_noticed_and_named(row: int, column: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.db"
        write(path, 6)
        with sqlite3.connect(path) as database:
            value: object = 7.5 if column == "seconds" else "forged"
            database.execute(f"UPDATE history_entries SET {column} = ? WHERE sequence = ?", (value, row))
        with open_history(path) as history:
            verification = history.verify()
        assert not verification.ok
        assert verification.bad in (row, row + 1)


@settings(max_examples=20, deadline=None)
@given(row=st.integers(1, 6))
def test_any_removed_entry_is_noticed_also_the_last(row: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.db"
        write(path, 6)
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM history_entries WHERE sequence = ?", (row,))
        with open_history(path) as history:
            verification = history.verify()
        assert not verification.ok and "removed" in verification.reason


@settings(max_examples=20, deadline=None)
@given(first=st.integers(1, 6), second=st.integers(1, 6))
def test_any_two_entries_that_change_places_are_noticed(first: int, second: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.db"
        write(path, 6)
        with sqlite3.connect(path) as database:
            for old, new in ((first, 100), (second, first), (100, second)):
                database.execute("UPDATE history_entries SET sequence = ? WHERE sequence = ?", (new, old))
        with open_history(path) as history:
            assert history.verify().ok is (first == second)


def test_two_processes_that_append_at_once_leave_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    write(path, 1)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write, args=(path, 40, name)) for name in ("dupont", "martin")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with open_history(path) as history:
        assert history.verify().ok
        assert len(history.entries()) == 81
        assert len(history.entries(client="martin", limit=100)) == 40


def test_a_process_killed_while_it_appends_leaves_a_valid_chain(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    context = multiprocessing.get_context("spawn")
    for already in (0, 20, 40):
        process = context.Process(target=write, args=(path, 100_000))
        process.start()
        while _count(path) < already + 20:
            assert process.is_alive()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with open_history(path) as history:
            assert history.verify().ok
    write(path, 1)
    with open_history(path) as history:
        assert history.verify().ok


def _count(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(path, timeout=60) as database:
            return int(database.execute("SELECT count(*) FROM history_entries").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are being made
        return 0


def test_a_secret_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history:
        with pytest.raises(ValueError, match="cipassword"):
            history.append(
                **BASE, client="c", action="a", result="ok", details={"params": [{"cipassword": "hunter2"}]}
            )
        assert history.entries() == []


def test_a_file_that_is_no_history_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database, and long enough to be looked at " * 50)
    with pytest.raises(HistoryUnavailable, match=r"notes\.txt"):
        open_history(path)
