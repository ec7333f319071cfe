"""What is told while an operation runs: notices, problems of files, and steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.cli import session
from orchestrator.cli.diagnostics import LogFormat, diagnostics
from orchestrator.operations.events import Events, Show
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen


@contextmanager
def progress() -> Iterator[Show]:
    """One moving line per machine on a terminal, one line per step elsewhere."""
    out = session.console()
    if diagnostics.quiet or diagnostics.form is LogFormat.JSON:
        yield lambda _client, _machine, _text: None  # the log has every step
    elif out.is_terminal:
        with _moving(out) as show:
            yield show
    else:
        started = time.monotonic()
        guard = threading.Lock()

        def show(client: str, machine: str, text: str) -> None:
            name = f"{client}/{machine}" if machine else client
            with guard:
                out.print(f"{time.monotonic() - started:6.1f}s  {name}  {text}")

        yield show


@contextmanager
def _moving(out: Screen) -> Iterator[Show]:
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    bars = Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.fields[name]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=out,
    )
    tasks: dict[str, TaskID] = {}
    guard = threading.Lock()

    def show(client: str, machine: str, text: str) -> None:
        name = f"{client}/{machine}" if machine else client
        words = visible(text)
        with guard:
            if name not in tasks:
                tasks[name] = bars.add_task(words, name=visible(name), total=1)
            ended = text == "done" or text.startswith("failed")
            bars.update(tasks[name], description=words, completed=1 if ended else 0)

    with bars:
        yield show


@contextmanager
def _one_by_one() -> Iterator[Show]:
    out = session.console()
    yield lambda client, machine, text: out.print(f"{client}/{machine}  {text}")


EVENTS = Events(notice=session.complain, problems=session.tell_problems, steps=_one_by_one)
"""For an operation on one machine."""

PROGRESS = Events(notice=session.complain, problems=session.tell_problems, steps=progress)
"""For an operation on many."""
