"""Opening a history: where it is, what it is, and what is said when it cannot be used."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.history import HistoryMissing, HistoryUnavailable, open_history
from tests.unit.history_samples import BASE, write


def test_a_new_history_and_its_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "orchestrator" / "h.db"
    with open_history(path) as history:
        history.append(**BASE, client="c", action="a", result="ok")
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_committed_survives_a_power_cut(tmp_path: Path) -> None:
    write(tmp_path / "h.db", 1)
    with open_history(tmp_path / "h.db") as history, history._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@pytest.mark.parametrize("name", ["a b?c#d%20&mode=ro.db", "histoire-éà.db"])
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, 2)
    assert (tmp_path / name).stat().st_size
    with open_history(tmp_path / name, create=False) as history:
        assert history.verify().count == 2


def test_a_database_url_is_a_place_too(tmp_path: Path) -> None:
    write(tmp_path / "h.db", 2)
    with open_history(f"sqlite:///{tmp_path}/h.db") as history:
        assert history.verify().count == 2


def test_reading_makes_no_history_where_there_is_none(tmp_path: Path) -> None:
    for where in (tmp_path / "h.db", f"sqlite:///{tmp_path}/h.db"):
        with pytest.raises(HistoryMissing, match=r"h\.db"):
            open_history(where, create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(HistoryMissing, match=r"empty\.db"):
        open_history(tmp_path / "empty.db", create=False)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database, and long enough to be looked at " * 50)
    before = path.read_bytes()
    with pytest.raises(HistoryUnavailable, match=r"notes\.txt.*not a database.*--history"):
        open_history(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bills.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bills (number INTEGER)")
    before = path.read_bytes()
    with pytest.raises(HistoryUnavailable, match=r"bills\.db is a database, but not a history"):
        open_history(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "url", ["nosuch://alice:hunter2@db/history", "://", "postgresql+nosuch://h:hunter2@d/x"]
)
def test_a_url_that_nothing_can_open_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(HistoryUnavailable, match="driver is installed") as refusal:
        open_history(url)
    assert "hunter2" not in str(refusal.value)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryUnavailable, match="unable to open database file"):
        open_history(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(HistoryUnavailable, match=r"cannot be made: .*--history"):
        open_history(tmp_path / "state" / "h.db")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    write(path, 200)
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 3 * 4096))
    with open_history(path) as history, pytest.raises(HistoryUnavailable, match="damaged: keep it as it is"):
        history.verify()


def test_a_full_file_system_is_named_and_leaves_a_valid_chain(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    write(path, 5)
    with open_history(path) as history:
        with history._database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # SQLite's own limit, the same error
        with pytest.raises(HistoryUnavailable, match="make room"):
            for _ in range(10):
                history.append(**BASE, client="c", action="a", result="failed", message="m" * 4000)
        found = history.verify()
        assert found.ok and found.count < 15
