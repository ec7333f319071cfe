"""Whoever changes the history behind its back is noticed, and what was changed is named."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.history import History, HistoryUnavailable, Verification, open_history
from orchestrator.history.chain import hash_of
from tests.unit.history_samples import BASE, write

COUNT = 6
ROWS = st.integers(1, COUNT)
COLUMNS = (
    "at", "who", "why", "client", "machine", "site", "action", "details", "result",
    "message", "upid", "seconds", "run", "began", "previous", "hash",
)  # fmt: skip
VALUES = (
    st.text(max_size=70)
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.binary(max_size=10)
    | st.none()
    | st.datetimes().map(lambda at: at.isoformat())
)
"""SQLite stores a value of any type in any column, whatever the column's type."""


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    """The database as somebody with write access sees it."""
    with closing(sqlite3.connect(path)) as database, database:
        database.text_factory = bytes
        yield database


@contextmanager
def fresh() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.db"
        write(path, COUNT)
        yield path


def verification(path: Path) -> Verification:
    with open_history(path) as history:
        history.entries()  # also what was altered can be read
        return history.verify()


def rows(database: sqlite3.Connection) -> list[tuple[object, ...]]:
    columns = ", ".join(f"{column}, typeof({column})" for column in ("sequence", *COLUMNS))
    return database.execute(f"SELECT {columns} FROM history_entries ORDER BY sequence").fetchall()


@settings(max_examples=250, deadline=None)
@given(row=ROWS, column=st.sampled_from(COLUMNS), value=VALUES)
def test_any_other_value_in_any_column_of_any_entry_is_noticed_and_the_entry_named(
    row: int, column: str, value: object
) -> None:
    with fresh() as path:
        with tampered(path) as database:
            before = rows(database)
            try:
                database.execute(f"UPDATE history_entries SET {column} = ? WHERE sequence = ?", (value, row))
            except sqlite3.IntegrityError:  # NULL where there must be something
                assume(False)
            assume(rows(database) != before)
        found = verification(path)
        assert not found.ok and found.bad == row
        assert found.head[0] == row - 1


@settings(max_examples=20, deadline=None)
@given(row=ROWS)
def test_an_alteration_with_a_hash_computed_anew_breaks_the_chain_after_it(row: int) -> None:
    """Anybody can compute a hash: what binds an entry is that the next one, or the head, carries it."""
    with fresh() as path:
        with closing(sqlite3.connect(path)) as database, database:
            database.row_factory = sqlite3.Row
            (found,) = database.execute("SELECT * FROM history_entries WHERE sequence = ?", (row,))
            forged = {**dict(found), "who": "nobody"}
            forged["hash"] = hash_of(forged)
            database.execute(
                "UPDATE history_entries SET who = :who, hash = :hash WHERE sequence = :sequence", forged
            )
        assert verification(path).bad == row + 1


def test_the_same_moment_written_otherwise_is_an_alteration() -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute("UPDATE history_entries SET at = replace(at, '+00:00', 'Z') WHERE sequence = 3")
        assert verification(path).bad == 3


def test_rubbish_that_is_no_text_is_an_alteration() -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute("UPDATE history_entries SET who = CAST(x'ff00fe' AS TEXT) WHERE sequence = 3")
        assert verification(path).bad == 3


@settings(max_examples=20, deadline=None)
@given(row=ROWS)
def test_any_removed_entry_is_noticed_also_the_last_and_named(row: int) -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute("DELETE FROM history_entries WHERE sequence = ?", (row,))
        found = verification(path)
        assert not found.ok and found.bad == row and "removed" in found.reason


@settings(max_examples=30, deadline=None)
@given(first=ROWS, second=ROWS)
def test_any_two_entries_that_change_places_are_noticed_and_the_first_named(first: int, second: int) -> None:
    assume(first != second)
    with fresh() as path:
        with tampered(path) as database:
            for old, new in ((first, 100), (second, first), (100, second)):
                database.execute("UPDATE history_entries SET sequence = ? WHERE sequence = ?", (new, old))
        assert verification(path).bad == min(first, second)


@settings(max_examples=30, deadline=None)
@given(row=ROWS, number=st.integers(-(2**60), 2**60).filter(lambda n: not 1 <= n <= COUNT))
def test_another_number_is_noticed_and_named(row: int, number: int) -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute("UPDATE history_entries SET sequence = ? WHERE sequence = ?", (number, row))
        assert verification(path).bad == (number if number < 1 else row)


@pytest.mark.parametrize(
    ("forgery", "said"),
    [
        ("UPDATE history_head SET hash = 'forged'", "its head names another"),
        ("UPDATE history_head SET sequence = 5", "its head names another"),
        ("UPDATE history_head SET sequence = 7", "entries at the end were removed"),
        ("DELETE FROM history_head", "the record of the last entry is missing"),
        ("DELETE FROM history_entries", "entries at the end were removed"),
        ("DROP TABLE history_entries", "entries at the end were removed"),
        ("DROP TABLE history_head", "the record of the last entry is missing"),
    ],
)
def test_a_forged_head_or_a_cut_off_end_is_noticed(forgery: str, said: str) -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute(forgery)
        found = verification(path)
        assert not found.ok and said in found.reason


def test_nothing_is_added_to_a_history_without_its_head() -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute("DELETE FROM history_head")
        with open_history(path) as history, pytest.raises(HistoryUnavailable, match="somebody changed it"):
            history.append(**BASE, client="c", action="a", result="ok")


def test_entries_added_after_the_end_was_cut_off_do_not_hide_the_cut() -> None:
    with fresh() as path:
        with tampered(path) as database:
            database.execute("DELETE FROM history_entries WHERE sequence = ?", (COUNT,))
        write(path, 2)
        assert verification(path).bad == COUNT


def cut_off_with_its_head(path: Path) -> None:
    with tampered(path) as database:
        database.execute("DELETE FROM history_entries WHERE sequence > 4")
        database.execute(
            "UPDATE history_head SET sequence = 4, "
            "hash = (SELECT hash FROM history_entries WHERE sequence = 4)"
        )


def rewritten_as_a_whole(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    write(path, COUNT + 1, client="somebody-else")


@pytest.mark.parametrize("forge", [cut_off_with_its_head, rewritten_as_a_whole])
def test_only_a_head_noted_elsewhere_shows_a_chain_that_was_rewritten_with_its_head(forge: object) -> None:
    assert callable(forge)

    def checked(history: History) -> tuple[bool, bool]:
        return history.verify().ok, history.verify(noted).ok

    with fresh() as path:
        with open_history(path) as history:
            noted = history.verify().head
        write(path, 1)
        with open_history(path) as history:
            assert checked(history) == (True, True)
        forge(path)
        with open_history(path) as history:
            assert checked(history) == (True, False)
            assert history.verify(noted).bad in (5, COUNT)
