"""What goes on beside the backups: the look into the managed machines, and then their updates.

A guest may be slow, or want to be. So backups never wait for guests: both run in a thread of their own, updates begin
when the look has ended, and the night's report waits for them for a limited time only.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator.errors import told
from orchestrator.nightly.guest_look import GuestsSeen, look
from orchestrator.nightly.update_round import UpdateLine, UpdatePlan, UpdateRound, not_started

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading

LOOK_LIMIT = dt.timedelta(hours=3)
"""The report waits so long for the look into all machines; each machine has a limit of its own besides."""

UPDATES_LIMIT = dt.timedelta(hours=2)
"""The report waits so long for updates once the last window has closed: a way back may take an hour."""

_LOOK_AGAIN_SECONDS = 0.1


class GuestWork:
    """Looking into the managed machines, then their automatic updates, in a thread.

    Args:
        night: the run.
        readings: the sites.
        plan: the machines.
        history: what is newly due is recorded there.
        updating: whether updates may be made; if not the machines are inspected alone.
    """

    def __init__(
        self,
        night: Night,
        readings: Mapping[str, SiteReading],
        plan: UpdatePlan,
        history: History,
        *,
        updating: bool,
    ) -> None:
        self._night = night
        self._readings = readings
        self._plan = plan
        self._history = history
        self._updating = updating
        self._guard = threading.Lock()
        self._given_up = False
        self._seen: GuestsSeen | None = None
        self._round: UpdateRound | None = None
        self._looked = threading.Event()
        self._why = ""
        self._began = night.clock()
        self._thread = threading.Thread(target=self._work, name="guests", daemon=True)
        self._thread.start()

    def looked(self) -> bool:
        """Whether the look has ended, well or not."""
        return self._looked.is_set()

    def results(self) -> tuple[GuestsSeen | str, list[UpdateLine], list[str]]:
        """Wait for the look, and for the updates.

        Returns:
            What was seen, or why nothing was; what became of the updates; problems, human-readable.
        """
        problems: list[str] = []
        if not self._await(self._looked.is_set, self._began + LOOK_LIMIT):
            with self._guard:  # what has not begun by now does not begin any more
                self._given_up = True
                self._why = self._why_given_up()
        with self._guard:
            seen, why, updates = self._seen, self._why, self._round
        if why:
            problems.append(f"guests: {why}")
        if seen is None:
            seen_or_why: GuestsSeen | str = why or "the look into the machines was aborted"
        else:
            seen_or_why = seen
        if updates is None:
            stopped = "" if self._updating else "changes are stopped (frozen)"
            unbegun = why or stopped or "updates were not started"
            lines = [*self._plan.held, *(not_started(item, unbegun) for item in self._plan.planned)]
            return seen_or_why, lines, problems
        closes = max([self._night.closes_at, *(item.closes for item in self._plan.planned)])
        if not self._await(updates.ended, max(closes, self._began) + UPDATES_LIMIT):
            problems.append(
                f"updates: they have not ended {UPDATES_LIMIT.total_seconds() / 3600:.0f} hours after the last window "
                "closed; see the history for what runs"
            )
        lines, problem = updates.outcome()
        if problem is not None:
            problems.append(f"updates: the step was aborted: {told(problem)}")
        return seen_or_why, lines, problems

    @property
    def _interrupted(self) -> bool:
        """Whether somebody ended the night during the look: it changes nothing, so nobody waits for its end."""
        return self._night.journal.stopping.asked and not self._looked.is_set()

    def _why_given_up(self) -> str:
        if self._interrupted:
            return "the night was interrupted before the look into the machines ended"
        hours = LOOK_LIMIT / dt.timedelta(hours=1)
        return f"the look into the machines did not end within {hours:.0f} hours"

    def _await(self, done: Callable[[], bool], until: dt.datetime) -> bool:
        while not done():
            if self._interrupted or self._night.clock() >= until:
                return False
            if self._looked.is_set():
                self._thread.join(_LOOK_AGAIN_SECONDS)
            else:
                self._looked.wait(_LOOK_AGAIN_SECONDS)
        return True

    def _work(self) -> None:
        try:
            seen = look(self._night, self._readings, self._plan.managed, self._history)
        except Exception as error:
            with self._guard:
                self._why = f"the step was aborted: {told(error)}"
            self._looked.set()
            return
        with self._guard:
            if self._given_up:
                return
            self._seen = seen
            begun = self._updating and self._night.ssh is not None
            if begun and (self._plan.planned or self._plan.held):
                assert self._night.ssh is not None  # noqa: S101
                self._round = UpdateRound(self._night, self._plan, self._night.ssh, seen.due)
        self._looked.set()
        if self._round is not None:
            self._round.wait()
