"""Several writers at once, and writers that are killed: the chain stays one and whole."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from orchestrator.history import open_history
from tests.unit.history_samples import BASE, write

SPAWN = multiprocessing.get_context("spawn")
WRITERS = ("dupont", "martin", "durand")


def append_and_tell(path: Path, tell: Connection) -> None:
    """Append without an end; tell the number of each entry once it is said to be on disk."""
    with open_history(path) as history:
        while True:
            entry = history.append(**BASE, client="dupont", machine="web-1", action="step", result="ok")
            tell.send(entry.sequence)


def test_processes_that_create_and_append_at_once_leave_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "new" / "h.db"
    processes = [SPAWN.Process(target=write, args=(path, 40, name)) for name in WRITERS]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with open_history(path) as history:
        found = history.verify()
        assert found.ok and found.count == 40 * len(WRITERS)
        for name in WRITERS:
            actions = [entry.action for entry in history.entries(client=name)]
            assert actions == [f"step {number}" for number in reversed(range(40))]


def test_threads_that_append_at_once_leave_one_chain(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history, ThreadPoolExecutor(8) as pool:
        entries = list(
            pool.map(
                lambda number: history.append(**BASE, client="c", action=str(number), result="ok"), range(80)
            )
        )
        assert sorted(entry.sequence for entry in entries) == list(range(1, 81))
        assert history.verify().ok


def test_a_killed_process_leaves_a_valid_chain_with_all_it_was_told_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    last = 0
    for appended in (1, 2, 5, 13, 29):
        ours, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=append_and_tell, args=(path, theirs))
        process.start()
        theirs.close()
        told = [ours.recv() for _ in range(appended)]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)  # it is appending the next one
        process.join()
        assert told[0] == last + 1
        with open_history(path) as history:
            found = history.verify()
            assert found.ok and found.count >= told[-1]
            last = found.count
    write(path, 1)
    with open_history(path) as history:
        assert history.verify().count == last + 1


def test_a_killed_process_does_not_disturb_another_that_appends(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    ours, theirs = SPAWN.Pipe(duplex=False)
    killed = SPAWN.Process(target=append_and_tell, args=(path, theirs))
    killed.start()
    theirs.close()
    ours.recv()
    other = SPAWN.Process(target=write, args=(path, 60, "martin"))
    other.start()
    with open_history(path) as history:
        while not history.entries(client="martin", limit=1):
            ours.recv()  # one more entry of the one to be killed
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    other.join()
    assert other.exitcode == 0
    with open_history(path) as history:
        assert history.verify().ok
        assert len(history.entries(client="martin")) == 60
