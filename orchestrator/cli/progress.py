"""Progress of a run: one moving line a machine on a terminal, one line a step elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.cli import session
from orchestrator.cli.speaking import LogFormat, voice


@contextmanager
def progress() -> Iterator[Callable[[str, str, str], None]]:
    """Yield a function that shows (client, machine, what it is at). Callable from any thread."""
    out = session.console()
    if voice.quiet or voice.form is LogFormat.JSON:
        yield lambda _client, _machine, _text: None  # the log has every step
    elif out.is_terminal:
        with _moving() as show:
            yield show
    else:
        started = time.monotonic()
        guard = threading.Lock()

        def show(client: str, machine: str, text: str) -> None:
            name = f"{client}/{machine}" if machine else client
            with guard:
                out.print(f"{time.monotonic() - started:6.1f}s  {name}  {text}", markup=False)

        yield show


@contextmanager
def _moving() -> Iterator[Callable[[str, str, str], None]]:
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    bars = Progress(SpinnerColumn(finished_text="✓"), TextColumn("{task.fields[name]}"), TimeElapsedColumn(),
                    TextColumn("{task.description}", markup=False))  # fmt: skip
    tasks: dict[str, TaskID] = {}
    guard = threading.Lock()

    def show(client: str, machine: str, text: str) -> None:
        name = f"{client}/{machine}" if machine else client
        with guard:
            if name not in tasks:
                tasks[name] = bars.add_task(text, name=name, total=1)
            ended = text == "done" or text.startswith("failed")
            bars.update(tasks[name], description=text, completed=1 if ended else 0)

    with bars:
        yield show
