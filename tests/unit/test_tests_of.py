"""One part of the tests: what fails once and passes alone is named, whatever else fails fails the part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALWAYS = "def test_always(): assert False\n"
FINE = "def test_fine(): pass\n"
ONCE = """
import pathlib, pytest
@pytest.mark.xdist_group("some")
@pytest.mark.parametrize("value", ["a b", "c@d", "[e]"])
def test_once(value):
    seen = pathlib.Path(__file__).with_name(f"seen {value}")
    if not seen.exists():
        seen.touch()
        assert value != value
"""
DIES = "import os\ndef test_dies(): os._exit(1)\n"
HANGS = "import threading\ndef test_hangs(): threading.Event().wait()\n"
TEARDOWN = """
import pathlib, pytest
@pytest.fixture
def given():
    yield
    seen = pathlib.Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise RuntimeError("once")
def test_given(given): pass
"""


def part(folder: Path, *options: str) -> tuple[int, str]:
    """Run what is below a folder as the part ``some``; returns the exit status and what was said after pytest."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # a fraction of the second that looking for all installed plugins takes
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin,pytest_timeout"}
    done = subprocess.run(
        [sys.executable, "-m", "tools.tests_of", "some", "-q", *options, "tests"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(("some: ", "  tests/"))]
    return done.returncode, "\n".join(said)


def written(folder: Path, **files: str) -> Path:
    """A folder of tests."""
    (folder / "tests").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group\n")
    for name, text in files.items():
        (folder / f"tests/test_{name}.py").write_text(text)
    return folder


def unsteady(folder: Path) -> str | None:
    """What the file of unsteady tests says."""
    path = folder / "build/unsteady.txt"
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "loadgroup")])
def test_a_test_that_fails_once_and_passes_alone_is_named_and_the_part_is_green(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    folder = written(tmp_path, fine=FINE, once=ONCE)
    (folder / "build").mkdir()
    (folder / "build/unsteady.txt").write_text("other: of another part\nsome: of a former run\n")
    names = sorted(f"tests/test_once.py::test_once[{value}]" for value in ("a b", "c@d", "[e]"))
    status, said = part(folder, *workers)
    first, second, *listed = said.splitlines()
    assert (status, first) == (0, "some: 3 failed; each is run once more, alone")
    assert second == "some: failed once and passed alone, mend them:"
    assert sorted(line.strip() for line in listed) == names
    lines = (unsteady(folder) or "").splitlines()
    assert lines[0] == "other: of another part"
    assert sorted(lines[1:]) == [f"some: failed once and passed alone: {name}" for name in names]
    assert part(folder, *workers) == (0, ""), "the next run, where all pass, says nothing"
    assert unsteady(folder) == "other: of another part\n"


def test_a_test_that_fails_twice_fails_the_part(tmp_path: Path) -> None:
    folder = written(tmp_path, always=ALWAYS, teardown=TEARDOWN)
    assert part(folder) == (
        1,
        "some: 2 failed; each is run once more, alone\n"
        "some: failed once and passed alone, mend it:\n"
        "  tests/test_teardown.py::test_given\n"
        "some: failed twice: tests/test_always.py::test_always",
    )
    assert unsteady(folder) == "some: failed once and passed alone: tests/test_teardown.py::test_given\n"


def test_four_that_fail_are_not_run_again(tmp_path: Path) -> None:
    folder = written(tmp_path, once=ONCE, teardown=TEARDOWN)
    assert part(folder) == (1, "")
    assert unsteady(folder) is None


@pytest.mark.parametrize(
    ("text", "options", "status", "said"),
    [
        ("import nothing_of_this_name\n", (), 2, ""),
        ("import nothing_of_this_name\n", ("-n", "2"), 1, "some: not collected: tests/test_bad.py"),
        (DIES, (), 1, ""),
        (DIES, ("-n", "2"), 1, "some: a worker died: gw0"),
        (HANGS, ("-o", "timeout_method=thread", "-o", "timeout=1"), 1, ""),
        (FINE, ("--no-such-option",), 4, ""),
        ("", (), 5, ""),
    ],
)
def test_what_is_no_failure_of_a_test_is_never_run_again(
    tmp_path: Path, text: str, options: tuple[str, ...], status: int, said: str
) -> None:
    folder = written(tmp_path, bad=text)
    assert part(folder, *options) == (status, said)
    assert unsteady(folder) is None
