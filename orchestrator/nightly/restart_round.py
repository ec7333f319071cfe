"""The night's restarts: settings that wait for a start are taken up in each machine's maintenance window.

They run in a thread of their own, as updates do: a window may open in the middle of the backups. A machine that is
looked into, backed up or updated is not restarted meanwhile, as long as its window leaves time for both.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.applying.due_restart import RestartTerms, patience_of
from orchestrator.applying.restart_candidates import Restartable, concerned_machines, unwell_clients
from orchestrator.applying.restart_outcome import MachineRestart
from orchestrator.applying.restart_waves import RestartRun
from orchestrator.applying.update_candidates import window_in_words
from orchestrator.contract.calendar import paris_time
from orchestrator.nightly.result import LineOfMachine
from orchestrator.planning.window import current_or_next

if TYPE_CHECKING:
    from orchestrator.applying.limits import Limits
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading

_LONGEST_PAUSE = 30.0

CLOSED = "its window closed before its turn came"


@dataclass(frozen=True, kw_only=True)
class RestartLine(MachineRestart, LineOfMachine):
    """What became of one machine's restart tonight.

    Attributes:
        window: when its maintenance window opens and closes (aware); None if it has no turn tonight.
    """

    window: tuple[dt.datetime, dt.datetime] | None = None

    @property
    def failed(self) -> bool:
        """Whether somebody has to do something about it that nobody knew of yesterday."""
        return not self.well and self.result != "held"


@dataclass(frozen=True, kw_only=True)
class PlannedRestart:
    """A machine whose turn comes tonight.

    Attributes:
        opens, closes: its window.
    """

    machine: Restartable
    opens: dt.datetime
    closes: dt.datetime

    def line(self, ended: MachineRestart) -> RestartLine:
        """The line of how it ended."""
        return RestartLine(**vars(ended), window=(self.opens, self.closes))


@dataclass(frozen=True, kw_only=True)
class RestartPlan:
    """The night's restarts.

    Attributes:
        waiting: every machine that waits for a restart, tonight or not.
        planned: those whose window opens before the night's work ends, or that an earlier run left unfinished.
        held: those that are held back; some of them no longer wait, for their settings were taken back.
        unwell: clients with a machine that did not come back when another run restarted it in this window.
    """

    waiting: tuple[Restartable, ...] = ()
    planned: tuple[PlannedRestart, ...] = ()
    held: tuple[Restartable, ...] = ()
    unwell: frozenset[str] = frozenset()


def plan_restarts(night: Night, readings: Mapping[str, SiteReading]) -> RestartPlan:
    """Choose the machines whose restarts are tonight's."""
    now = night.clock()
    sites = {name: reading.observed for name, reading in readings.items()}
    concerned = concerned_machines(night.desired.values(), sites, night.clusters, now)
    planned = []
    for machine in concerned:
        if machine.unfinished:
            planned.append(PlannedRestart(machine=machine, opens=now, closes=night.closes_at))
        elif machine.desired.window is not None and machine.held is None:
            opens, closes = current_or_next(machine.desired.window, now)
            if opens < night.closes_at:
                planned.append(PlannedRestart(machine=machine, opens=opens, closes=closes))
    return RestartPlan(
        waiting=tuple(machine for machine in concerned if machine.waits),
        planned=tuple(planned),
        held=tuple(machine for machine in concerned if machine.held),
        unwell=unwell_clients(concerned, now),
    )


class RestartRound:
    """Carrying the night's restarts out, in a thread of their own.

    Args:
        night: the run.
        planned: the machines.
        limits: of the night.
        looked: whether nobody looks into the guests any more: a restart would end that.
        unwell: clients with a machine that did not come back already: their others are left as they are.
    """

    def __init__(
        self,
        night: Night,
        planned: Sequence[PlannedRestart],
        limits: Limits,
        looked: Callable[[], bool],
        unwell: frozenset[str] = frozenset(),
    ) -> None:
        self._night = night
        self._planned = planned
        self._unwell = unwell
        self._looked = looked
        self._lines: list[RestartLine] = []
        self._problem: Exception | None = None
        self._in_the_way: dict[tuple[str, str], str] = {}
        self._patience = patience_of(night.boot_seconds)
        self._limits = limits
        self._thread = threading.Thread(target=self._work, name="restarts", daemon=True)
        self._thread.start()

    def ended(self) -> bool:
        """Whether all are done, windows that open later tonight included."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait until all are done, at most so long."""
        self._thread.join(seconds)

    def outcome(self) -> tuple[list[RestartLine], Exception | None]:
        """What became of each machine so far, and what the round stumbled over; None if over nothing."""
        lines = list(self._lines)
        told = {(line.client, line.machine) for line in lines}
        why = "it is unknown how its restart ended: the round was aborted, or has not ended"
        lines += [_not_started(item, why) for item in self._planned if item.machine.key not in told]
        return lines, self._problem

    def _work(self) -> None:
        try:
            self._all()
        except Exception as error:
            self._problem = error

    def _all(self) -> None:
        left = sorted(self._planned, key=lambda item: item.opens)
        while left:
            now = self._night.clock()
            over = [item for item in left if self._too_late(item, now)]
            self._lines += [_not_started(item, self._why_late(item)) for item in over]
            left = [item for item in left if item not in over]
            turn = [item for item in left if item.opens <= now and self._may_begin_now(item, now)]
            if turn:
                again = self._round_alone(turn)
                left = [item for item in left if item not in turn] + again
                turn = [] if again else turn
            if left and self._night.closed:
                why = "the night ended before its turn came"
                self._lines += [_not_started(item, why) for item in left]
                return
            if left and not turn:
                opens = min(item.opens for item in left)
                until = (opens - self._night.clock()).total_seconds()
                self._night.pause(min(until, _LONGEST_PAUSE) if until > 0 else _LONGEST_PAUSE)

    def _too_late(self, item: PlannedRestart, now: dt.datetime) -> bool:
        return not item.machine.unfinished and now + self._patience > item.closes

    def _why_late(self, item: PlannedRestart) -> str:
        window = window_in_words(item.opens, item.closes)
        if why := self._in_the_way.get(item.machine.key):
            return f"{CLOSED} ({window}): {why}"
        minutes = self._patience / dt.timedelta(minutes=1)
        return f"{CLOSED} ({window}): a restart may take {minutes:.0f} min, so none was begun that could not end in it"

    def _may_begin_now(self, item: PlannedRestart, now: dt.datetime) -> bool:
        """Whether nobody looks into guests any more, or the window leaves no time to wait for that."""
        return self._looked() or now + 3 * self._patience > item.closes

    def _round_alone(self, items: list[PlannedRestart]) -> list[PlannedRestart]:
        """Run a round while nobody else changes the same clients. Return the machines that have to come again."""
        with self._night.changing({item.machine.desired.client for item in items}) as others:
            free = [item for item in items if item.machine.desired.client not in others]
            again = self._round(free) if free else []
        for client, who in others.items():
            self._night.tell("restarts-wait", client=client, reason=f"{who} is changing it")
        return again + [item for item in items if item.machine.desired.client in others]

    def _round(self, items: list[PlannedRestart]) -> list[PlannedRestart]:
        night = self._night
        by_key = {item.machine.key: item for item in items}
        night.tell("restarts-started", machines=len(items))

        def may_begin(machine: Restartable) -> str | None:
            window, now = machine.desired.window, night.clock()
            opens, closes = current_or_next(window, now) if window is not None else (now, now)
            if opens > now:
                return f"its window is closed, the next one opens {paris_time(opens, weekday=True)}"
            return self._why_late(by_key[machine.key]) if now + self._patience > closes else None

        terms = RestartTerms(
            journal=night.journal,
            clock=night.clock,
            limits=self._limits,
            ssh=night.ssh,
            boot_seconds=night.boot_seconds,
            may_begin=may_begin,
            pause=night.pause,
        )
        again = []
        run = RestartRun(terms=terms, claims=night.claims, unwell=self._unwell)
        for ended in run.run([item.machine for item in items]):
            item = by_key[ended.client, ended.machine]
            self._unwell |= {ended.client} if ended.stops_others else set()
            if ended.result == "busy" and not night.closed:
                self._in_the_way[item.machine.key] = ended.message
                again.append(item)
                continue
            self._lines.append(item.line(ended))
            night.tell(
                "restarted" if ended.well else "restart-failed",
                client=ended.client,
                machine=ended.machine,
                result=ended.result,
                wave=ended.wave,
                settings=dict(ended.settings),
                reason=ended.message or None,
            )
        return again


def _not_started(item: PlannedRestart, why: str) -> RestartLine:
    return item.line(item.machine.ended("not-started", message=why))
