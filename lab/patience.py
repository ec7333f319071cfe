"""Nobody waits in front of a silent screen: what is waited for is said every 15 s, and how long it usually takes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

EVERY_SECONDS = 15.0


@contextmanager
def patience(
    what: str | None, usually: str, *, every: float = EVERY_SECONDS, out: TextIO | None = None
) -> Iterator[Callable[[str], None]]:
    """Print a line whenever `every` seconds passed without one. Yields a function that prints lines of one's own.

    Args:
        what: what is waited for; None: what the last line said.
        usually: how long it usually takes.
        every: seconds.
        out: where lines go; standard output if None.
    """
    started = spoken = time.monotonic()
    last = what or ""
    ended = threading.Event()
    one_at_a_time = threading.Lock()

    def tell(line: str) -> None:
        nonlocal spoken
        stream = out or sys.stdout
        with one_at_a_time:  # a line and its end in one write: whoever reads meanwhile sees whole lines
            stream.write(f"{line}\n")
            stream.flush()
            spoken = time.monotonic()

    def say(line: str) -> None:
        nonlocal last
        last = what or line.strip()
        tell(line)

    def go_on() -> None:
        while not ended.wait(max(spoken + every - time.monotonic(), 0.0)):
            if time.monotonic() - spoken >= every:
                tell(f"    … {time.monotonic() - started:.0f} s: {last} (usually {usually})")

    ticking = threading.Thread(target=go_on, daemon=True)
    ticking.start()
    try:
        yield say
    finally:
        ended.set()
        ticking.join()


def run_patiently(
    command: Sequence[str],
    what: str,
    usually: str,
    *,
    environment: Mapping[str, str] | None = None,
    every: float = EVERY_SECONDS,
) -> int:
    """Run a command, pass its lines on, and speak where it is silent for long. Returns its exit status.

    On a terminal the orchestrator moves lines of its own while it waits: it gets the terminal, and nothing is added.
    """
    if command[0] == "orchestrator" and sys.stdout.isatty():
        return subprocess.run(command, env=environment, check=False).returncode
    with (
        patience(what, usually, every=every) as say,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
        for line in process.stdout:
            say(line.removesuffix("\n"))
    return process.returncode
