"""The folder of an Ansible run: private, gone afterwards, and gone with the next run if that one was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.guests.run_folder import remove_leftovers, run_folder
from tests.lab.namespace_guest import eventually

_RUN = """
import subprocess, sys, time
from orchestrator.guests.run_folder import run_folder
with run_folder() as folder:
    (folder / "known_hosts").write_text("x")
    subprocess.Popen(["tail", "-f", f"{folder}/known_hosts"], stdin=-3, stdout=-3)
    print(folder, flush=True)
    sys.stdin.read()
"""


def begin() -> tuple[subprocess.Popen[str], Path]:
    """A run of another process, with a connection; it goes on until its standard input ends."""
    run = subprocess.Popen([sys.executable, "-c", _RUN], stdin=-1, stdout=-1, text=True)
    assert run.stdout is not None
    return run, Path(run.stdout.readline().strip())


def at_work(folder: Path) -> list[Path]:
    """The processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{folder}/".encode() in (path / "cmdline").read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


def test_a_folder_is_private_and_goes_with_the_processes_in_it() -> None:
    with run_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "known_hosts").touch()
        kept = subprocess.Popen(["tail", "-f", f"{folder}/known_hosts"])
    assert kept.wait(60) != 0
    assert not folder.exists()


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_of_one_that_lives() -> None:
    killed, left = begin()
    living, own = begin()
    try:
        killed.kill()
        killed.wait()
        assert left.exists() and len(at_work(left)) == 1
        with run_folder():
            eventually(lambda: not at_work(left), "the killed run's connection has ended")
            assert not left.exists()
            assert own.exists() and len(at_work(own)) == 1
    finally:
        for run in (killed, living):
            assert run.stdin is not None and run.stdout is not None
            run.stdin.close()
            run.wait()
            run.stdout.close()
    assert not own.exists() and not at_work(own)


@pytest.fixture
def others() -> Iterator[dict[str, Path]]:
    """What bears such a name and is no folder of a run of ours."""
    paths = {
        name: Path(f"/tmp/orchestrator-run-{uuid4().hex[:8]}") for name in ("file", "open", "link", "foreign")
    }
    paths["file"].write_text("mine")
    paths["open"].mkdir(mode=0o755)
    target = Path(f"/tmp/{uuid4().hex}")
    target.mkdir(mode=0o700)
    paths["link"].symlink_to(target)
    paths["foreign"].mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(paths["foreign"], 65534, 65534)
    yield {**paths, "target": target}
    for path in (*paths.values(), target):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            path.rmdir()


def test_what_is_no_folder_of_a_run_of_ours_stays(others: dict[str, Path]) -> None:
    if os.geteuid() != 0:
        others.pop("foreign").rmdir()
    remove_leftovers()
    assert all(path.exists() for path in others.values())
