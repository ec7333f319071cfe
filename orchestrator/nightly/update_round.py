"""The night's automatic updates: every machine in its own maintenance window, beside the other work of the night.

They run in a thread of their own, because a window may open in the middle of the backups. A machine whose backup runs
is updated after it, and the other way round (:class:`orchestrator.applying.claims.Claims`).
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.applying.machine_update import Updatable, UpdateTerms
from orchestrator.applying.update_candidates import candidates, held_in_words, window_in_words
from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.applying.update_requests import close_requests
from orchestrator.applying.update_waves import UpdateRun
from orchestrator.errors import told
from orchestrator.history.requests import OpenUpdates
from orchestrator.nightly.result import LineOfMachine
from orchestrator.planning.window import current_or_next, is_open

if TYPE_CHECKING:
    from orchestrator.guests import SshSettings
    from orchestrator.guests.packages import DueUpdates
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading

_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, kw_only=True)
class UpdateLine(MachineUpdate, LineOfMachine):
    """What became of one machine's automatic updates tonight (article 3.8.3).

    Attributes:
        window: when its maintenance window opens and closes (aware); None if it has no turn tonight.
    """

    window: tuple[dt.datetime, dt.datetime] | None = None

    @property
    def failed(self) -> bool:
        """Whether somebody has to do something about it that nobody knew of yesterday."""
        return not self.well and self.result != "held"


@dataclass(frozen=True, kw_only=True)
class PlannedUpdate:
    """A machine whose turn comes tonight.

    Attributes:
        opens, closes: its window.
        unfinished: an earlier run was killed in the middle of its update: it is gone on with at once.
    """

    machine: Updatable
    opens: dt.datetime
    closes: dt.datetime
    unfinished: bool = False


@dataclass(frozen=True, kw_only=True)
class UpdatePlan:
    """The night's updates.

    Attributes:
        managed: every managed machine that is in service and runs: they are looked into.
        planned: those whose window opens before the night's work ends, or that are unfinished.
        held: those that would have had automatic updates tonight or another night, and are held back.
        objections: why the other managed machines are neither inspected nor updated.
    """

    managed: tuple[Updatable, ...] = ()
    planned: tuple[PlannedUpdate, ...] = ()
    held: tuple[UpdateLine, ...] = ()
    objections: Mapping[tuple[str, str], str] = field(default_factory=dict)


def plan_updates(night: Night, readings: Mapping[str, SiteReading]) -> UpdatePlan:
    """Choose the machines whose updates are tonight's (article 3.8.3)."""
    sites = {name: reading.observed for name, reading in readings.items()}
    wanted = [
        machine
        for machine in night.desired.values()
        if machine.site in sites
        and machine.updates is not None
        and machine.power == "running"
        and not night.out_of_service(machine.client)
    ]
    found, objections = candidates(
        wanted,
        sites,
        night.clusters,
        may_reboot=lambda machine: machine.updates == "automatic",
        released=True,
    )
    planned = []
    for machine in found:
        try:
            if (one := _planned(night, machine)) is not None:
                planned.append(one)
        except Exception as error:  # one machine's odd window stops no other
            objections[machine.key] = told(error)
    return UpdatePlan(
        managed=tuple(item for item in found if item.observed.running and item.key not in objections),
        planned=tuple(planned),
        held=tuple(
            UpdateLine(**vars(machine.ended("held", message=held_in_words(machine.desired, machine.held))))
            for machine in found
            if machine.held and machine.desired.updates == "automatic"
        ),
        objections=objections,
    )


def _planned(night: Night, machine: Updatable) -> PlannedUpdate | None:
    now, window = night.clock(), machine.desired.window
    if machine.unfinished:
        now_open = replace(machine, reboot=is_open(window, now))
        return PlannedUpdate(machine=now_open, opens=now, closes=night.closes_at, unfinished=True)
    if machine.held or machine.desired.updates != "automatic" or window is None:
        return None
    opens, closes = current_or_next(window, now)
    return PlannedUpdate(machine=machine, opens=opens, closes=closes) if opens < night.closes_at else None


class UpdateRound:
    """Carrying the night's updates out, in a thread of their own."""

    def __init__(
        self,
        night: Night,
        plan: UpdatePlan,
        ssh: SshSettings,
        due: Mapping[tuple[str, str], DueUpdates | str],
    ) -> None:
        self._night = night
        self._plan = plan
        self._due = due
        self._ssh = ssh
        self._lines: list[UpdateLine] = list(plan.held)
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="updates", daemon=True)
        self._thread.start()

    def ended(self) -> bool:
        """Whether all are done, windows that open later tonight included."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Wait until all are done."""
        self._thread.join()

    def outcome(self) -> tuple[list[UpdateLine], Exception | None]:
        """What became of each machine so far, and what the round stumbled over; None if over nothing.

        Machines of which nobody can tell by now are lost sight of, or their turn has not come.
        """
        lines = list(self._lines)
        told = {(line.client, line.machine) for line in lines}
        why = "it is unknown how its update ended: the round was aborted, or has not ended"
        lines += [not_started(item, why) for item in self._plan.planned if item.machine.key not in told]
        return lines, self._problem

    def _work(self) -> None:
        """What an earlier run left unfinished may hang again: nobody whose window opens meanwhile waits behind it."""
        unfinished = [item for item in self._plan.planned if item.unfinished]
        beside = threading.Thread(
            target=self._some, args=(unfinished,), name="unfinished updates", daemon=True
        )
        beside.start()
        self._some([item for item in self._plan.planned if not item.unfinished])
        beside.join()

    def _some(self, items: list[PlannedUpdate]) -> None:
        try:
            self._all(items)
        except Exception as error:
            self._problem = error

    def _all(self, items: list[PlannedUpdate]) -> None:
        left = sorted(items, key=lambda item: item.opens)
        while left:
            now = self._night.clock()
            open_now = [item for item in left if item.opens <= now < item.closes]
            over = [item for item in left if item.closes <= now]
            left = [item for item in left if item.opens > now]
            self._lines += [
                not_started(item, "its window closed before its turn came tonight") for item in over
            ]
            if open_now:
                left += self._round_alone(open_now)
            elif left and self._night.closed:
                self._lines += [
                    not_started(item, "the night ended before its window opened") for item in left
                ]
                return
            elif left:
                until = min(item.opens for item in left)
                self._night.pause(min(max((until - now).total_seconds(), 0.1), _LONGEST_PAUSE))

    def _round_alone(self, items: list[PlannedUpdate]) -> list[PlannedUpdate]:
        """Run a round while nobody else changes the same clients. Return the machines of those whom somebody does."""
        with self._night.changing({item.machine.desired.client for item in items}) as others:
            free = [item for item in items if item.machine.desired.client not in others]
            if free:
                self._round(free)
        if not others:
            return []
        for client, who in others.items():
            self._night.tell("updates-wait", client=client, reason=f"{who} is changing it")
        if not free:
            self._night.pause(_LONGEST_PAUSE)
        return [item for item in items if item.machine.desired.client in others]

    def _round(self, items: list[PlannedUpdate]) -> None:
        night = self._night
        by_key = {item.machine.key: item for item in items}
        night.tell("updates-started", machines=len(items))

        def may_begin(machine: Updatable) -> str | None:
            item = by_key[machine.key]
            if night.clock() < item.closes:
                return None
            return f"its window closed before its turn ({window_in_words(item.opens, item.closes)})"

        asked = OpenUpdates.read(night.journal.history, now=night.clock())
        terms = UpdateTerms(
            ssh=self._ssh,
            journal=night.journal,
            clock=night.clock,
            automatic=True,
            asked=asked,
            boot_seconds=night.boot_seconds,
            may_begin=may_begin,
            pause=night.pause,
        )
        run = UpdateRun(terms=terms, claims=night.claims)
        unseen = "what is due in it could not be seen at the beginning of the night"
        ends = run.run([item.machine for item in items], {key: self._due.get(key, unseen) for key in by_key})
        for ended in ends:
            item = by_key[ended.client, ended.machine]
            self._lines.append(_line(ended, item))
            night.tell(
                "updated" if ended.well else "update-failed",
                client=ended.client,
                machine=ended.machine,
                result=ended.result,
                wave=ended.wave,
                packages=len(ended.installed),
                restarted=ended.restarted,
                reason=ended.message or None,
            )
        close_requests(night.journal, asked, ends, night.clock())


def _line(ended: MachineUpdate, item: PlannedUpdate) -> UpdateLine:
    return UpdateLine(**vars(ended), window=(item.opens, item.closes))


def not_started(item: PlannedUpdate, why: str) -> UpdateLine:
    """The line of a machine whose update was not begun, and why."""
    return _line(item.machine.ended("not-started", message=why), item)
