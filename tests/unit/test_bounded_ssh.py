"""The program that Ansible runs as ssh: what it hands on, and when it ends ssh."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.guests import bounded_ssh
from tests.lab.namespace_guest import eventually


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose `ssh` runs what it is given as a shell command."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\necho $$ >"${0%/*}/pid"\neval "$1"\n')
    ssh.chmod(0o755)
    return tmp_path


def command(script: str, limits: str = "1000,100") -> list[str]:
    return [bounded_ssh.__file__, f"--limits={limits}", script]


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "ORCHESTRATOR_PYTHON": sys.executable}


def run(place: Path, script: str, limits: str = "1000,100", text: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        command(script, limits),
        env=environment(place),
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def has_ended(place: Path) -> bool:
    return not Path("/proc", (place / "pid").read_text().strip()).exists()


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_input_output_and_status_are_those_of_ssh(place: Path, status: int) -> None:
    said = run(place, f"cat; echo careful >&2; exit {status}", text=b"\x00\xff input")
    assert said == (status, b"\x00\xff input", b"careful\n")


def test_all_of_a_long_answer_comes_and_not_a_byte_more_than_may(place: Path) -> None:
    assert run(place, "head -c 300000 /dev/zero", limits="300000,0") == (0, bytes(300000), b"")
    status, output, errors = run(place, "head -c 300001 /dev/zero; sleep 1000", limits="300000,0")
    assert (status, output) == (255, bytes(300000))
    assert b"The guest printed more than a command may print" in errors
    assert has_ended(place)


def test_errors_have_a_limit_of_their_own(place: Path) -> None:
    status, output, errors = run(place, "echo fine; while :; do echo no >&2; done")
    assert (status, output) == (255, b"fine\n")
    assert errors.startswith(b"no\n" * 33 + b"n\nThe guest printed more")


def test_what_keeps_stderr_open_after_ssh_has_ended_is_not_waited_for(place: Path) -> None:
    """As a connection that is kept for later commands does."""
    status, output, _ = run(place, 'sleep 30 >/dev/null & echo $! >"${0%/*}/kept"; echo done')
    os.kill(int((place / "kept").read_text()), 9)
    assert (status, output) == (0, b"done\n")


def test_an_ssh_that_was_killed_is_a_connection_that_failed(place: Path) -> None:
    assert run(place, "kill -9 $$")[0] == 255


@pytest.mark.parametrize("way", ["nobody reads any more", "it is told to end"])
def test_ssh_ends_with_its_reader(place: Path, way: str) -> None:
    process = subprocess.Popen(
        command("echo ready; exec sleep 1000"), env=environment(place), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if way == "nobody reads any more":
        process.stdout.close()
    else:
        process.terminate()
    assert process.wait(60) == 255
    process.stdout.close()
    eventually(lambda: has_ended(place), "ssh has ended")
