"""Checking the whole chain of the history beside a page: it takes its time, and one check at a time is enough."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError, told
from orchestrator.history import History, Verification
from orchestrator.operations.history import head_of

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A check.

    Attributes:
        began: when (aware).
        noted: what it was compared with, as it was given; empty: with nothing.
        ended: when; None: it is under way.
        found: what it found; None while it is under way, or if it failed.
        problem: why it failed; empty if it did not.
    """

    began: dt.datetime
    noted: str = ""
    ended: dt.datetime | None = None
    found: Verification | None = None
    problem: str = ""


class HistoryCheck:
    """The last check of a history. Safe to use from several threads."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._guard = threading.Condition()
        self._last: Checked | None = None

    @property
    def last(self) -> Checked | None:
        """The last check, or the one that is under way; None: nobody asked for one since the program was started."""
        with self._guard:
            return self._last

    def begin(self, now: dt.datetime, noted: str = "") -> None:
        """Begin a check, unless one is under way.

        Args:
            now: the time (aware).
            noted: ``NUMBER:HASH``, what an earlier check gave; empty: nothing.

        Raises:
            RequestRefused: ``noted`` is not written as it must be.
        """
        head = head_of(noted) if noted else None
        with self._guard:
            if self._last is not None and self._last.ended is None:
                return
            self._last = Checked(began=now, noted=noted)
        threading.Thread(
            target=self._work, args=(self._last, head), name="history-check", daemon=True
        ).start()

    def wait(self, seconds: float) -> Checked | None:
        """Wait until the check that is under way has ended, if there is one, and return it."""
        with self._guard:
            self._guard.wait_for(lambda: self._last is None or self._last.ended is not None, timeout=seconds)
            return self._last

    def _work(self, check: Checked, head: tuple[int, str] | None) -> None:
        found, problem = None, ""
        try:
            found = self._history.verify(head)
        except OrchestratorError as error:
            problem = str(error)
        except Exception as error:  # the page tells a defect; the program goes on
            _LOG.exception("the check of the history")
            problem = told(error)
        with self._guard:
            self._last = Checked(
                began=check.began,
                noted=check.noted,
                ended=dt.datetime.now(dt.UTC),
                found=found,
                problem=problem,
            )
            self._guard.notify_all()
