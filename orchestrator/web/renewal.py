"""Renewing the last look beside the pages: every few minutes and on a button, never two at once, in time.

It runs in a process of its own (``orchestrator look``). To read and understand 10,000 machines is seconds of work for a
processor, during which a thread would keep every page waiting; and a process can be ended when its time is over.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError
from orchestrator.interface.looks import site_looks
from orchestrator.operations.look import LIMIT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from orchestrator.history.database import Database
    from orchestrator.web.settings import Settings

_LOG = logging.getLogger("orchestrator.web")
_SOME = 4096
"""Bytes of what a look that failed said last."""


class Renewal:
    """Renews the last look, one at a time."""

    def __init__(self, settings: Settings, database: Database, now: Callable[[], dt.datetime]) -> None:
        """Begin nothing yet.

        Args:
            settings: what to look at, and how often.
            database: where the last look is.
            now: the time, aware.
        """
        self._settings = settings
        self._database = database
        self._now = now
        self._guard = threading.Lock()
        self._looking: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()

    def ask(self) -> threading.Thread:
        """Begin a look, unless one is under way; returns the thread that waits for its end."""
        with self._guard:
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._look, name="look", daemon=True)
                self._looking.start()
            return self._looking

    @contextmanager
    def running(self) -> Iterator[None]:
        """Renew it whenever it is older than the settings say; in the end nothing is left running."""
        every = self._settings.look_every.total_seconds()
        loop = threading.Thread(target=self._loop, args=(every,), name="looks", daemon=True)
        if every > 0:
            loop.start()
        try:
            yield
        finally:
            self._ended.set()
            with self._guard:
                process = self._process
            if process is not None:
                process.terminate()
            for thread in (loop, self._looking):
                if thread is not None and thread.is_alive():
                    thread.join(10)

    def _loop(self, every: float) -> None:
        wait = self._first_wait(every)
        while not self._ended.wait(wait):
            self.ask().join()
            wait = every

    def _first_wait(self, every: float) -> float:
        """Seconds until what an earlier process looked at is too old."""
        try:
            tried = [row.tried for row in site_looks(self._database)]
        except OrchestratorError:  # another version wrote it
            return 0.0
        wait = every - (self._now() - min(tried)).total_seconds() if tried else 0.0
        return min(max(wait, 0.0), every)  # a look by a clock that was ahead does not put off the next

    def _look(self) -> None:
        with tempfile.TemporaryFile() as said:
            try:
                with self._guard:
                    if self._ended.is_set():
                        return
                    process = self._process = subprocess.Popen(
                        self._command(),
                        env=self._environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=said,
                        stderr=said,
                    )
                try:
                    code = process.wait(LIMIT.total_seconds())
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    _LOG.error("a look took longer than %s, and was ended", LIMIT)
                    return
            except OSError:
                _LOG.exception("a look")
                return
            if code and not self._ended.is_set():
                said.seek(max(said.tell() - _SOME, 0))
                _LOG.warning("a look: %s", said.read(_SOME).decode(errors="replace"))

    def _command(self) -> Sequence[str]:
        files = [f"--files={path}" for path in self._settings.files]
        return [sys.executable, "-m", "orchestrator", "look", *files]

    def _environment(self) -> dict[str, str]:
        """The database's URL may hold a password: everybody may read commands, only we our environment."""
        inventory = self._settings.inventory
        return {
            **os.environ,
            "ORCHESTRATOR_HISTORY": self._settings.history,
            **({} if inventory is None else {"ORCHESTRATOR_INVENTORY": inventory}),
        }
