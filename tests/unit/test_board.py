"""What a terminal of 80 columns shows while machines are worked at: a line each, and what is left."""

from __future__ import annotations

import pytest

from orchestrator.cli import board as module
from orchestrator.cli.board import Board
from orchestrator.proxmox.task_share import share_in


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def _lines(board: Board) -> list[str]:
    return str(board.__rich__()).splitlines()


def test_a_line_has_the_step_how_far_it_is_its_time_and_what_is_left(clock: Clock) -> None:
    board = Board(width=80, height=24)
    board.expect(["dupont/web-1", "dupont/web-2"])
    board.step("dupont/web-1", "clone 9000")
    clock.now += 60
    board.share("dupont/web-1", 0.25)
    line, foot = _lines(board)
    assert line.split()[1:] == ["dupont/web-1", "clone", "9000", "25%", "01:00", "3", "min", "left"]
    assert foot == "  0 of 2 machines through, 01:00"
    board.step("dupont/web-1", "start")
    assert _lines(board)[0].split()[1:] == ["dupont/web-1", "start", "00:00"], "a step has its own time"


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_longer_than_eighty_characters_whatever_a_step_is_called(clock: Clock, width: int) -> None:
    board = Board(width=width, height=24)
    for name, what in (("c" * 60 + "/" + "m" * 60, "x" * 400), ("a/b\x1b[31m", "two\nlines")):
        board.step(name, what)
        clock.now += 100_000
        board.share(name, 0.5)
    lines = _lines(board)
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines), lines
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("width", [1, 12, 20, 36, 40, 50, 60, 79])
@pytest.mark.parametrize("share", [None, 0.0, 0.5])
def test_a_narrow_terminal_shows_the_machine_and_its_time(
    clock: Clock, width: int, share: float | None
) -> None:
    """It is cut where nothing fits at all; nothing that is shown may end what is done."""
    board = Board(width=width, height=5)
    board.step("dupont/web-1", "clone 9000 from debian-12")
    clock.now += 100_000
    if share is not None:
        board.share("dupont/web-1", share)
    line, _ = _lines(board)
    assert line.split()[1].startswith("dupont/") and "27:46:40" in line, line
    assert len(line) <= max(width, 38), line


def test_a_terminal_of_a_few_lines_counts_what_is_under_way(clock: Clock) -> None:
    board = Board(width=80, height=5)
    for number in range(3):
        board.step(f"dupont/web-{number}", "start")
    assert _lines(board) == ["  3 machines under way", "  00:00"]


def test_more_machines_than_the_terminal_has_lines_are_counted(clock: Clock) -> None:
    board = Board(width=80, height=10)
    for number in range(30):
        board.step(f"dupont/web-{number}", "start")
    lines = _lines(board)
    assert len(lines) == 7 and lines[-2] == "  and 25 more machines"
    assert {f"dupont/web-{number}" for number in range(5)} == {line.split()[1] for line in lines[:5]}


def test_what_is_left_is_guessed_once_some_machines_are_through(clock: Clock) -> None:
    board = Board(width=80, height=24)
    names = [f"dupont/web-{number}" for number in range(10)]
    board.expect(names)
    for number, name in enumerate(names[:5]):
        board.step(name, "start")
        clock.now += 60
        assert board.ended(name, failed=number == 4) == 60
    assert _lines(board) == ["  5 of 10 machines through, 1 failed, 05:00, 5 min left"]
    board.finish()
    assert _lines(board) == []


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("INFO:  12% (384.2 MiB of 3.0 GiB) in 6s, read: 7.4 MiB/s, write: 3.3 MiB/s", 0.12),
        ("INFO: 100% (3.0 GiB of 3.0 GiB) in 8s, read: 0 B/s", 1.0),
        ("progress 67% (read 2877685760 bytes, duration 20 sec)", 0.67),
        ("transferred 1.2 GiB of 10.0 GiB (12.34%)", 0.1234),
        ("drive-scsi0: transferred 1.0 GiB of 4.0 GiB (25.00%) in 5s", 0.25),
        ("INFO: backup is sparse: 2.59 GiB (86%) total zero data", None),
        ("INFO: 999% (", 1.0),
        ("no content", None),
        ("transferred " + "x" * 100_000 + "(5%)", None),
    ],
)
def test_how_far_a_task_is_stands_in_its_log(line: str, share: float | None) -> None:
    assert share_in(line) == share
