"""Ending a run early: Ctrl-C, the SIGTERM of systemd and of a cancelled CI job, the SIGHUP of a terminal that has gone.

The first signal begins nothing new: every step passes :meth:`Stopping.check`. What runs is waited for while it is
short; a task that takes longer goes on in Proxmox without the run, and the next run looks at what came of it (as after
a kill). The second signal ends the process at once.

A signal's handler may take no lock, because the thread that it interrupts may hold it. So the handler does next to
nothing: the interpreter writes the signal's number into a pipe, and a thread of its own acts on it.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType

from orchestrator.applying.stopped import Stopped
from orchestrator.interruption import GRACE_SECONDS, end_at_once, end_soon

LEAVE_SECONDS = 30.0
"""How long after the first signal the tasks that run are still waited for."""

_TO_ITS_END = " (to its end)"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Stopped):
    """Somebody ended the run: this was not begun any more."""

    def __init__(self) -> None:
        super().__init__("interrupted: not done; the next run continues from here")


class Stopping:
    """Whether a run is to end early. Thread-safe.

    Args:
        monotonic: a clock in seconds that only goes forward.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._event = threading.Event()
        self._since = 0.0
        self._here = threading.local()
        self._numbers = count()
        self._running: dict[int, str] = {}

    @property
    def asked(self) -> bool:
        """Whether somebody asked for the end."""
        return self._event.is_set()

    @property
    def running(self) -> list[str]:
        """What is under way."""
        return list(self._running.values())

    def ask(self) -> None:
        """Begin nothing new from now on."""
        if not self._event.is_set():
            self._since = self._monotonic()
            self._event.set()

    @property
    def stops(self) -> bool:
        """Whether this thread is to begin nothing more: it is not about to finish what must not be left half done."""
        return self.asked and not self._finishing

    def check(self) -> None:
        """Go on, unless the run is to end.

        Raises:
            Interrupted: it is (:attr:`stops`).
        """
        if self.stops:
            raise Interrupted

    def pause(self, seconds: float) -> None:
        """Wait so many seconds.

        Raises:
            Interrupted: the run is to end.
        """
        if self._finishing:
            time.sleep(seconds)
            return
        self._event.wait(seconds)
        self.check()

    def leaves_task(self) -> bool:
        """Whether a task of Proxmox that still runs is to be left to itself by this thread."""
        return self.stops and self._monotonic() - self._since >= LEAVE_SECONDS

    @contextmanager
    def at_work(self, what: str) -> Iterator[None]:
        """Name what is under way, for whoever asks for the end."""
        number = next(self._numbers)
        if self._finishing:
            what += _TO_ITS_END
        self._running[number] = what
        try:
            yield
        finally:
            del self._running[number]

    @contextmanager
    def finishing(self, what: str) -> Iterator[None]:
        """See what this thread does through, whatever is asked for: half done would be worse than late.

        Args:
            what: is seen through, for whoever asks for the end.
        """
        before = self._finishing
        self._here.finishing = True
        try:
            with self.at_work(what):
                yield
        finally:
            self._here.finishing = before

    @property
    def _finishing(self) -> bool:
        return getattr(self._here, "finishing", False)


class Signals:
    """Hears SIGINT, SIGTERM and, unless nohup had it ignored, SIGHUP for as long as the context lasts.

    Only in the main thread; elsewhere it does nothing.

    Until :meth:`begin` nothing has been changed, and a signal ends the command as
    :mod:`orchestrator.interruption` says.
    Afterwards the first one asks ``stopping`` for the end. The second one ends the process at once.

    Args:
        stopping: told of the first signal.
        tell: called with what is under way at the first signal, from a thread of its own.
    """

    def __init__(self, stopping: Stopping, tell: Callable[[list[str]], None]) -> None:
        self._stopping = stopping
        self._tell = tell
        self._begun = False

    def begin(self) -> None:
        """From now on things are changed."""
        self._begun = True

    def __enter__(self) -> Signals:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)  # the interpreter wants it so
            self._before = {
                number: signal.signal(number, self._interrupt)
                for number in _SIGNALS
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
            }
            self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._act, name="signals", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            os.close(self._write)
            self._thread.join()
            os.close(self._read)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._begun:
            end_soon(number, frame)

    def _act(self) -> None:
        heard = 0
        while number := self._heard(GRACE_SECONDS if heard and not self._begun else None):
            if number[0] not in _SIGNALS:
                continue
            heard += 1
            if heard > 1:
                end_at_once()
            if self._begun:
                self._stopping.ask()
                self._tell(self._stopping.running)

    def _heard(self, patience: float | None) -> bytes:
        """The next signal's number; empty at the end of the context.

        A signal that comes in the instant before the main thread begins to wait for an answer wakes nobody there, so
        the command would wait for the answer: where patience ends, the process does.
        """
        if not select.select([self._read], [], [], patience)[0]:
            end_at_once()
        return os.read(self._read, 1)
