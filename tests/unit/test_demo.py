"""The demo before its first machine: names and ports, what is installed for it, and no silence."""

from __future__ import annotations

import io
import os
import queue
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TextIO, cast

import pytest

from lab.patience import patience, run_patiently

ROOT = Path(__file__).parents[2]


def make(*arguments: str, **environment: str) -> str:
    """What make would do."""
    return subprocess.run(
        ["make", "-n", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_port_that_is_taken_is_told_with_ports_that_are_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        command = [sys.executable, "-m", "lab.demo", "up", "--name", "of-a-test", "--ports", f"{taken},1"]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    said = rf"port {taken} of 127.0.0.1 is taken. Take others: make demo NAME=of-a-test PORTS=(\d+),(\d+)\n"
    found = re.search(said, done.stderr)
    assert found, done.stderr
    for port in found.groups():
        socket.create_server(("127.0.0.1", int(port))).close()


@pytest.mark.parametrize("ports", ["18006", "18006,18006", "18006,x", "0,70000", "65534,65535"])
def test_ports_that_are_none_are_refused(ports: str) -> None:
    command = [sys.executable, "-m", "lab.demo", "up", "--name", "of-a-test", "--ports", ports]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        f"\nthe demo stopped: ports {ports!r}: give two different numbers, as 18006,18007\n",
    )


def test_make_gives_the_demo_its_name_and_ports_and_not_those_of_the_environment() -> None:
    assert '--name "demo" --ports "18006,18007"' in make("demo", NAME="a-computer", PORTS="9")
    assert '--name "two" --ports "18016,18017"' in make("demo", "NAME=two", "PORTS=18016,18017")
    assert 'down --name "two"' in make("demo-down", "NAME=two")


def test_the_demo_installs_nothing_that_only_tests_need() -> None:
    packages = next(line for line in make("demo").splitlines() if line.startswith("tools/apt-install"))
    assert "qemu-system-x86" in packages
    assert [name for name in ("postgresql", "shellcheck", "podman", "nftables") if name in packages] == []
    assert "'.[dev]'" not in make("demo", "-B")
    assert "postgresql" in make("bootstrap")


class Heard(io.TextIOBase):
    """A stream that keeps what is written to it, write by write, for a test that reads while others write."""

    def __init__(self) -> None:
        self.writes: queue.SimpleQueue[str] = queue.SimpleQueue()

    def write(self, text: str) -> int:
        self.writes.put(text)
        return len(text)


def test_silence_is_broken_by_whole_lines() -> None:
    heard = Heard()
    with patience("a machine boots", "a minute", every=0.02, out=cast(TextIO, heard)) as say:
        say("one line")
        said = [heard.writes.get(timeout=60)]
        while "one line\n" not in said or len(said) < 3:  # a slow computer breaks the silence before the line
            said.append(heard.writes.get(timeout=60))
    said.remove("one line\n")
    for line in said:
        assert re.fullmatch(r"    … \d+ s: a machine boots \(usually a minute\)\n", line)


def test_the_lines_and_the_exit_status_of_a_command_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    program = "print('heard', flush=True); raise SystemExit(3)"
    assert run_patiently([sys.executable, "-c", program], "it", "long") == 3
    assert capfd.readouterr().out == "heard\n"
    patiently: list[str | Path] = [ROOT / "tools/patiently", "it", "long", sys.executable, "-c", program]
    done = subprocess.run(patiently, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "heard\n")
