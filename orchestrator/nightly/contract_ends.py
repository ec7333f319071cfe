"""The end of contracts (article 10): reminders while the thirty working days run, then erasing what is left.

This is the only place of the whole program that erases a client's machine. Every one of these must hold tonight:

- the client's file is there, has no error, and says ``status: terminated``;
- the contract's reference in the file is the one in the machine's own mark;
- the thirty working days after the notice are over, by the French calendar;
- an earlier night has recorded that very notice in the history: a mistake made today erases nothing tonight;
- the provider's site file says ``erasure: true``; else the night only says what it would erase;
- this computer's clock, the clocks of all sites and the history agree on the time.

A file that is missing, broken or out of its folder ends nothing.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.applying.archive_tasks import remove_archive
from orchestrator.applying.erasing import ERASE, erase_machine, leftovers_of, remove_pool, unlisted_places
from orchestrator.applying.stopped import Stopped
from orchestrator.contract.calendar import day_in_paris, night_of
from orchestrator.contract.life import ContractLife, Standing
from orchestrator.counting import counted
from orchestrator.errors import OrchestratorError, told
from orchestrator.history.approvals import approval_of_plan, approvals
from orchestrator.nightly.result import LineOfClient
from orchestrator.shown import quoted

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.history.declared import Approval
    from orchestrator.history.records import Records
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.unreadable import Unreadable

NOTICE = "end of contract noted"
ERASED = "end of contract"
"""Actions in the history: the notice that a night has seen, and the end that another has carried out."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a night recorded of the end of a contract."""

    client: str
    reference: str
    notice: dt.date
    night: dt.date


@dataclass(frozen=True, kw_only=True)
class ContractLine(LineOfClient):
    """A contract that is not simply in force (articles 9 and 10).

    Attributes:
        last_day: of the thirty working days; None if nobody ended it.
        days_left: working days that are left.
        message: why, and what became of it tonight.
        approval: the client's approval of its reversibility plan; None if none is recorded.
        failed: whether what had to be done could not be.
    """

    contract: str
    standing: Standing
    last_day: dt.date | None
    days_left: int
    message: str
    approval: Approval | None = None
    failed: bool = False


def may_erase(
    client: str,
    life: ContractLife | None,
    marked: str,
    noted: Iterable[Notice],
    now: dt.datetime,
    *,
    allowed: bool,
) -> str:
    """Say why something of a client must not be erased; empty if everything holds. Pure.

    Args:
        client: whose it is.
        life: what the client's sound file says tonight; None if it has none.
        marked: the contract's reference on the thing itself.
        noted: what earlier nights recorded.
        now: the time, aware.
        allowed: whether the provider lets nights erase.
    """
    if life is None:
        return "its client has no file without errors"
    if life.standing(now) is not Standing.ENDED:
        return "its contract has not ended"
    if marked != life.reference:
        return f"it carries the contract {quoted(marked)}, the file ends {quoted(life.reference)}"
    tonight = night_of(now)
    if not any(
        (item.client, item.reference, item.notice) == (client, life.reference, life.notice)
        and item.night < tonight
        for item in noted
    ):
        return "no earlier night has recorded this notice: the next one erases"
    return "" if allowed else "the site file does not say erasure: true"


def notices(history: History, client: str | None = None) -> list[Notice]:
    """What nights recorded of the ends of contracts: everybody's, or a client's."""
    found = []
    for entry in history.entries(client=client, action=NOTICE):
        try:
            details = json.loads(entry.details)
            found.append(
                Notice(
                    client=entry.client,
                    reference=details["reference"],
                    notice=dt.date.fromisoformat(details["notice"]),
                    night=dt.date.fromisoformat(details["night"]),
                )
            )
        except (ValueError, KeyError, TypeError):  # altered by somebody: it proves nothing
            continue
    return found


def erased_contracts(history: History, client: str) -> list[tuple[str, dt.date]]:
    """The contracts of a client of which something was erased at their end (article 10): reference, and day in Paris.

    What was begun, and never ended, counts: nobody knows how it went.
    """
    found = []
    for entry in history.entries(client=client, action=(ERASED, ERASE)):
        try:
            details = json.loads(entry.details)
            reference = details["reference" if entry.action == ERASED else "contract"]
        except (ValueError, KeyError, TypeError, RecursionError):  # altered by somebody: it proves nothing
            continue
        if isinstance(reference, str) and entry.result not in ("failed", "refused"):
            found.append((reference, day_in_paris(entry.at)))
    return found


def to_note(client: str, life: ContractLife, noted: Iterable[Notice], night: dt.date) -> Notice | None:
    """The notice that a night has to record of a client's file; None if there is none, or it is known. Pure."""
    if life.notice is None:
        return None
    known = {(item.client, item.reference, item.notice) for item in noted}
    if (client, life.reference, life.notice) in known:
        return None
    return Notice(client=client, reference=life.reference, notice=life.notice, night=night)


class Endings:
    """What one night does about contracts that end."""

    def __init__(self, night: Night, history: History) -> None:
        self._night = night
        self._history = history
        self.erased: set[tuple[str, int]] = set()
        """Site and number of every machine that was erased."""

    def carry_out(self, readings: Mapping[str, SiteReading]) -> list[ContractLine]:
        """Record notices, remind, erase what has come to its end. One client's trouble stops no other."""
        noted = notices(self._history)
        lines = []
        here = {
            machine.client for machine in self._night.desired.values() if machine.site in self._night.sites
        }
        for client, life in sorted(self._night.lives.items()):
            if client not in here:
                continue  # another run's site
            now = self._night.clock()
            standing = life.standing(now)
            if standing is Standing.ACTIVE:
                continue
            message, failed = life.why(now), False
            approval = None
            try:
                if not self._night.clocks.anywhere() and (
                    fresh := to_note(client, life, noted, night_of(now))
                ):
                    self._note(fresh, life)
                if standing is Standing.ENDED:
                    message, failed = self._end(client, life, noted, readings)
                if life.notice is not None:
                    approval = approval_of_plan(self._approvals, client, life)
            except Exception as error:
                message, failed = told(error), True
            lines.append(
                ContractLine(
                    client=client,
                    contract=life.reference,
                    standing=standing,
                    last_day=life.last_day,
                    days_left=life.days_left(now),
                    message=message,
                    approval=approval,
                    failed=failed,
                )
            )
        return lines

    @cached_property
    def _approvals(self) -> Records:
        return approvals(self._history)

    def _note(self, fresh: Notice, life: ContractLife) -> None:
        self._night.journal.record(
            fresh.client,
            None,
            "*",
            NOTICE,
            result="ok",
            message=f"last day {life.last_day}",
            seconds=0.0,
            details={
                "reference": fresh.reference,
                "notice": fresh.notice.isoformat(),
                "letter": life.notice_reference,
                "night": fresh.night.isoformat(),
            },
        )

    def _end(
        self, client: str, life: ContractLife, noted: list[Notice], readings: Mapping[str, SiteReading]
    ) -> tuple[str, bool]:
        """Erase a client's machines and archives. Return what became of it, in words, and whether it failed."""
        why = self._why_not(client, life, life.reference, noted)
        machines, found = _holdings(client, readings)
        # What could not be read, or is not surely ours, may be one of them: it is kept, and so are its backups.
        unsure = [item for reading in readings.values() for item in _unsure(client, reading)]
        kept = {None if item.guessed else item.machine for item in unsure}
        archives = [archive for archive in found if not {archive.mark.machine, None} & kept]
        there = f"{counted(len(machines), 'machine')} and {counted(len(archives), 'archive')}"
        left = [f"{item.subject} is kept, with its archives: {item.reason}" for item in unsure]
        if not machines and not found and not unsure:
            return self._finish(client, life, readings, why)
        if why:
            return "; ".join([f"{there} would be erased: {why}", *left]), False
        if clocks := self._night.clocks.anywhere():
            return f"not erased: {clocks}", True
        if unread := sorted(set(self._night.sites) - readings.keys()):
            return (
                f"not erased: {', '.join(unread)} could not be read",
                False,
            )  # told as a problem of the night
        if not machines and not archives:
            return "; ".join(left), True
        with self._night.changing([client]) as others:
            if others:
                return f"not erased: {others[client]} is changing the client's machines", True
            problems = self._erase(client, life, noted, machines, archives)
        if problems or left:
            return "; ".join([*problems, *left]), True
        return f"erased: {there}; the next night makes sure that nothing is left", False

    def _erase(
        self,
        client: str,
        life: ContractLife,
        noted: list[Notice],
        machines: list[ObservedMachine],
        archives: list[Archive],
    ) -> list[str]:
        problems: list[str] = []
        kept: set[str] = set()
        for machine in machines:
            if trouble := self._erase_machine(client, life, noted, machine):
                problems += trouble
                kept.add(machine.mark.machine if machine.mark else "")
        for archive in archives:
            if archive.mark.machine not in kept:  # what is kept keeps its backups
                problems += self._erase_archive(client, life, noted, archive)
        return problems

    def _why_not(self, client: str, life: ContractLife, marked: str, noted: list[Notice]) -> str:
        now, allowed = self._night.clock(), self._night.provider.erasure
        return may_erase(client, life, marked, noted, now, allowed=allowed)

    def _erase_machine(
        self, client: str, life: ContractLife, noted: list[Notice], machine: ObservedMachine
    ) -> list[str]:
        mark = machine.mark
        assert mark is not None  # noqa: S101  (holdings are ours by their mark)
        if why := self._why_not(client, life, mark.contract, noted):
            return [f"{mark.machine} (VM {machine.summary.vmid}) is kept: {why}"]
        try:
            erase_machine(self._night.vm(machine, mark), contract=life.reference)
        except Exception as error:
            return [f"{mark.machine} (VM {machine.summary.vmid}): {told(error)}"]
        self.erased.add((machine.site, machine.summary.vmid))
        return []

    def _erase_archive(
        self, client: str, life: ContractLife, noted: list[Notice], archive: Archive
    ) -> list[str]:
        volid = archive.stored.volid
        if why := self._why_not(client, life, archive.mark.contract, noted):
            return [f"{volid} is kept: {why}"]
        if archive.protected:
            return [
                f"{volid} is protected in Proxmox: take its protection away there, the next night erases it"
            ]
        try:
            remove_archive(
                self._night.clusters[archive.site],
                self._night.journal,
                archive,
                client,
                archive.mark.machine,
                reason=f"the contract ended on {life.last_day} (art. 10)",
            )
        except Exception as error:
            return [f"{volid}: {told(error)}"]
        return []

    def _finish(
        self, client: str, life: ContractLife, readings: Mapping[str, SiteReading], why: str
    ) -> tuple[str, bool]:
        """Nothing is listed any more: make sure that nothing is left, remove the pool, and write it down once."""
        if any(
            _notice_of(entry.details) == str(life.notice)
            for entry in self._history.entries(client=client, action=ERASED)
            if entry.result == "ok"
        ):
            return "nothing is left; the file can be taken out", False
        if why:
            return f"nothing is there to be erased: {why}", False
        if clocks := self._night.clocks.anywhere():
            return f"not finished: {clocks}", True
        if unread := sorted(set(self._night.sites) - readings.keys()):
            return f"not known whether something is left: {', '.join(unread)} could not be read", False
        if unread := [name for reading in readings.values() for name in _anybodys(reading)]:
            return f"not known whether something is left: {', '.join(unread)} could not be read", False
        if unlisted := [place for reading in readings.values() for place in unlisted_places(reading)]:
            return f"not known whether archives are left: {'; '.join(unlisted)}", False
        details = {"reference": life.reference, "notice": str(life.notice), "last_day": str(life.last_day)}
        left: list[str] = []
        try:
            with self._night.journal.step(client, None, "*", ERASED, **details) as step:
                for site, reading in readings.items():
                    left += leftovers_of(client, reading)
                    if not left:
                        remove_pool(self._night.clusters[site], reading.observed.state, client)
                if left:
                    raise Stopped("still there, and not ours to erase: " + "; ".join(left))
                step.message = "no machine, disk, archive or pool of the client is left"
        except OrchestratorError as error:
            return str(error), True
        return "everything was erased, and nothing is left; the file can be taken out", False


def _anybodys(reading: SiteReading) -> list[str]:
    """Machines that could not be read, and may be anybody's."""
    return [
        f"{item.name} of {reading.observed.site}"
        for item in reading.observed.unreadable
        if item.kind == "machine" and item.client is None
    ]


def _unsure(client: str, reading: SiteReading) -> list[Unreadable]:
    """A client's machines that could not be read, or are not surely what they say; copies of ours hold nothing up."""
    return [
        item
        for item in reading.observed.unreadable
        if item.kind == "machine" and item.client == client and not item.copy
    ]


def _notice_of(details: str) -> str | None:
    try:
        notice = json.loads(details)["notice"]
    except (ValueError, KeyError, TypeError, RecursionError):  # altered by somebody: it proves nothing
        return None
    return notice if isinstance(notice, str) else None


def _holdings(
    client: str, readings: Mapping[str, SiteReading]
) -> tuple[list[ObservedMachine], list[Archive]]:
    """A client's machines, by their marks, and its archives, by theirs."""
    machines = [
        machine
        for reading in readings.values()
        for machine in reading.observed.machines
        if machine.mark and machine.mark.client == client
    ]
    archives = [
        archive
        for reading in readings.values()
        for key, owned in reading.holdings.owned.items()
        if key[0] == client
        for archive in owned
    ]
    return machines, archives
