"""What is under way, on a terminal: a line a machine, and below them what is left. What has ended stands above."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from orchestrator.counting import counted
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen

_NAME, _WIDE = 24, 80
_READABLE = 8
"""Fewer characters of a name or a step say nothing."""
_RESERVED = 4
"""Lines of a terminal that are left for what stands above."""
_ENOUGH = 3
"""Machines that have to be through before how long the others take is guessed."""
_BEGUN = 0.02
"""A task that is no further says nothing of how long it takes."""
_FRAMES_A_SECOND = 4
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MINUTE, _HOUR = 60, 3600


def _now() -> float:
    return time.monotonic()


@dataclass
class _Row:
    """A machine that something is done at.

    Attributes:
        began, step_began: seconds, by the monotonic clock.
        share: of the step, 0 to 1; None if nobody knows.
    """

    what: str
    began: float
    step_began: float
    share: float | None = None


@dataclass
class Board:
    """What is under way. Called from any thread.

    Args:
        width, height: of the terminal.
    """

    width: int
    height: int
    heading: str = ""
    _rows: dict[str, _Row] = field(default_factory=dict)
    _expected: set[str] = field(default_factory=set)
    _ended: set[str] = field(default_factory=set)
    _failed: int = 0
    _over: bool = False
    _started: float = field(default_factory=_now)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, names: Iterable[str]) -> None:
        """Machines that have to be through before the run is."""
        with self._guard:
            self._expected |= set(names)

    def step(self, name: str, what: str) -> None:
        """A step begins at a machine."""
        now = _now()
        with self._guard:
            began = self._rows[name].began if name in self._rows else now
            self._rows[name] = _Row(what=what, began=began, step_began=now)

    def share(self, name: str, share: float) -> None:
        """So much of a machine's step is done: 0 to 1."""
        with self._guard:
            if name in self._rows:
                self._rows[name].share = share

    def ended(self, name: str, *, failed: bool = False) -> float:
        """A machine is through. Return how many seconds it took."""
        with self._guard:
            row = self._rows.pop(name, None)
            self._ended.add(name)
            self._failed += failed
        return _now() - row.began if row else 0.0

    def leave(self, name: str) -> None:
        """Nothing is done there any more."""
        with self._guard:
            self._rows.pop(name, None)

    def say(self, heading: str) -> None:
        """What the run is at, said before what is left. What it was at before is over: its machines are, too."""
        with self._guard:
            self.heading = heading
            self._rows.clear()

    def finish(self) -> None:
        """Nothing moves any more."""
        with self._guard:
            self._over = True
            self._rows.clear()

    def is_under_way(self, name: str) -> bool:
        """Whether something is done at a machine."""
        with self._guard:
            return name in self._rows

    def __rich__(self) -> Text:
        """The lines, as they are now."""
        now = _now()
        with self._guard:
            if self._over:
                return Text("")
            lines = [self._line(name, row, now) for name, row in self._rows.items()]
            foot = self._foot(now)
        room = max(self.height - _RESERVED, 1)
        if len(lines) > room:
            left = len(lines) - room + 1
            said = (
                f"  and {counted(left, 'more machine')}"
                if room > 1
                else f"  {counted(left, 'machine')} under way"
            )
            lines = [*lines[: room - 1], said]
        return Text("\n".join(filter(None, [*lines, foot])), no_wrap=True, overflow="ellipsis")

    def _line(self, name: str, row: _Row, now: float) -> str:
        sign = _SPINNER[int(now * _FRAMES_A_SECOND) % len(_SPINNER)]
        lasted = now - row.step_began
        figures = f"{'' if row.share is None else f'{row.share:4.0%}'}  {_clock(lasted):>7}"
        if row.share is not None and row.share >= _BEGUN:
            figures += f"  {_left(lasted * (1 - row.share) / row.share)}"
        room = min(self.width, _WIDE) - len(sign) - _NAME - len(figures) - 4
        if room < _READABLE:  # a narrow terminal: the machine and its time matter more than the step's name
            room = max(min(self.width, _WIDE) - len(sign) - len(figures) - 3, _READABLE)
            return f"{sign} {_cut(name, room):<{room}} {figures}"
        return f"{sign} {_cut(name, _NAME):<{_NAME}} {_cut(row.what, room):<{room}} {figures}"

    def _foot(self, now: float) -> str:
        known = self._expected & self._ended
        said = [self.heading] if self.heading else []
        if self._expected:
            whole = len(self._expected)
            said.append(f"{len(known)} of {counted(whole, 'machine')} through")
        if self._failed:
            said.append(f"{self._failed} failed")
        said.append(_clock(now - self._started))
        if _ENOUGH <= len(known) < len(self._expected):
            left = (now - self._started) * (len(self._expected) - len(known)) / len(known)
            said.append(_left(left))
        return "  " + ", ".join(said)


@contextmanager
def shown(out: Screen) -> Iterator[Board]:
    """A board at the foot of a terminal, for as long as this lasts; what is printed meanwhile stands above it."""
    board = Board(width=out.width, height=out.height)
    with Live(board, console=out, refresh_per_second=_FRAMES_A_SECOND, transient=True):
        yield board
        board.finish()


def _cut(text: str, room: int) -> str:
    text = visible(text)
    return text if len(text) <= room else text[: room - 1] + "…"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    minutes = f"{whole % _HOUR // _MINUTE:02d}:{whole % _MINUTE:02d}"
    return f"{whole // _HOUR}:{minutes}" if whole >= _HOUR else minutes


def _left(seconds: float) -> str:
    """About how long it takes yet, in few characters."""
    if seconds < _MINUTE:
        return f"{max(round(seconds), 1)} s left"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min left"
    return f"{seconds / _HOUR:.1f} h left"
