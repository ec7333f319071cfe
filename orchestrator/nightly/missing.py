"""What should have been done tonight and was not: a failure with its name, whatever the reason.

The files say which machines are to be backed up, inspected, updated and supervised. What of these no step tells of is
told here: a machine whose notes were overwritten, that cannot be read, or that was moved by hand is nobody's otherwise,
and the night would say that all went well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import day_in_paris
from orchestrator.counting import counted, plural
from orchestrator.errors import Reason
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.guest_look import GuestLine
from orchestrator.nightly.step import Step
from orchestrator.resources.desired import pool_of
from orchestrator.resources.unreadable import holding_up

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.step import Work
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.unreadable import Unreadable

Key = tuple[str, str]

_LATELY = dt.timedelta(days=7)
"""A machine that was backed up so lately should still be."""

_NOTES = (
    "its notes were overwritten, or copied from another machine: write its mark back (it stands in its newest archive, "
    "and in `orchestrator history`), or import it"
)


class Whereabouts:
    """Where the machines of the files are tonight, as far as anybody can tell.

    Args:
        night: the run.
        readings: the sites that could be read.
        failures: the sites that could not, and why.
        backed_up: machines that the history knows a backup of.
    """

    def __init__(
        self,
        night: Night,
        readings: Mapping[str, SiteReading],
        failures: Mapping[str, str],
        backed_up: Iterable[Key] = (),
    ) -> None:
        self._night = night
        self._readings = readings
        self._failures = failures
        self._backed_up = frozenset(backed_up)
        self._ours: dict[Key, list[ObservedMachine]] = {}
        for reading in readings.values():
            for machine in reading.observed.machines:
                if machine.mark:
                    self._ours.setdefault((machine.mark.client, machine.mark.machine), []).append(machine)
        self._names: dict[str, set[str]] = {}
        for client, name in (*night.desired, *self._ours):
            self._names.setdefault(client, set()).add(name)

    def trouble(self, machine: DesiredMachine) -> Reason:
        """Why a machine cannot be cared for where its file says it is.

        Returns:
            The reason, human-readable; empty if it is there and ours, or if nothing like it exists.
        """
        if machine.site in self._failures:
            return f"the site {machine.site} could not be read: {self._failures[machine.site]}"
        return self._of_marked(machine) or self._of_unseen(machine)

    def _of_unseen(self, machine: DesiredMachine) -> str:
        """What may be a machine that is not among ours."""
        if machine.key in self._ours:
            return ""
        return self._of_unreadable(machine) or self._of_strangers(machine)

    def to_be_adopted(self, machine: DesiredMachine) -> bool:
        """Whether it is a machine that its file takes over and that apply has not taken over yet (article 4.2)."""
        here = self._readings.get(machine.site)
        return here is not None and machine.adopt is not None and machine.adopt in here.observed.adoptable

    def exists(self, machine: DesiredMachine) -> bool:
        """Whether there is a machine of ours by that name anywhere."""
        return machine.key in self._ours

    def runs(self, machine: DesiredMachine) -> bool:
        """Whether a machine of ours by that name runs."""
        return any(item.running for item in self._ours.get(machine.key, ()))

    def shut_down(self, machine: DesiredMachine) -> bool:
        """Whether it is there, in service and stopped, with no update of it begun: somebody shut it down."""
        there = self._ours.get(machine.key, [])
        mark = there[0].mark if there else None
        if mark is None or not mark.ready or there[0].running:
            return False
        return mark.update is None or mark.update.state == "held"

    def was_there(self, machine: DesiredMachine) -> str:
        """What tells that a machine once was there; empty if nothing does."""
        archives = sum(
            len(reading.holdings.owned.get(machine.key, ())) for reading in self._readings.values()
        )
        if archives:
            return f"there {plural(archives, 'is', 'are')} {counted(archives, 'archive')} of it"
        return "the history knows a backup of it" if machine.key in self._backed_up else ""

    def _of_unreadable(self, machine: DesiredMachine) -> str:
        here = self._readings.get(machine.site)
        items = here.observed.unreadable if here else ()
        known = self._names.get(machine.client, set())
        found = holding_up(items, *machine.key, vmid=machine.adopt, known=known)
        if found is None:  # elsewhere only what surely is it counts
            found = next(
                (item for item in self._claims() if (item.client, item.machine) == machine.key), None
            )
        return "" if found is None else f"{found.subject} ({found.site}) may be it: {found.reason}"

    def _claims(self) -> Iterator[Unreadable]:
        for reading in self._readings.values():
            for item in reading.observed.unreadable:
                if item.kind == "machine" and not item.copy and not item.guessed:
                    yield item

    def _of_marked(self, machine: DesiredMachine) -> str:
        own = self._ours.get(machine.key, [])
        there = [item for item in own if item.site == machine.site]
        if not there and own:
            where = ", ".join(f"VM {item.summary.vmid} at {item.site}" for item in own)
            return f"it is {where}, its file says {machine.site}: bring it back, or correct contract.site"
        if len(there) > 1:
            where = ", ".join(f"VM {item.summary.vmid} on {item.summary.node}" for item in there)
            return f"{where} all carry its mark: remove the mark from the notes of those that are not it"
        if there and (mark := there[0].mark) and mark.retired:
            return f"it was retired on {mark.retired}, but its file has it: orchestrator apply brings it back"
        return ""

    def _of_strangers(self, machine: DesiredMachine) -> str:
        for site, reading in self._readings.items():
            for vm in reading.observed.strangers:
                in_pool = pool_of(machine.client) in (vm.pool, *vm.tags)
                if site == machine.site and vm.vmid == machine.adopt:
                    continue
                if vm.name == machine.name and (in_pool or site == machine.site):
                    return (
                        f"VM {vm.vmid} on {vm.node} ({site}) has its name and is not marked as it: {_NOTES}"
                    )
        return ""


def missing_backups(
    night: Night, where: Whereabouts, told: Iterable[BackupLine], *, why: str
) -> Iterator[BackupLine]:
    """Every machine whose backup is on by a sound file and of which no line tells.

    Args:
        night: the run.
        where: where the machines are.
        told: the lines of the night's backups.
        why: what kept the night from making backups at all; empty if nothing did.
    """
    known = {(line.client, line.machine) for line in told}
    for key, machine in sorted(night.desired.items()):
        if machine.backup_days is None or machine.site not in night.sites or key in known:
            continue
        if night.out_of_service(machine.client) and not where.runs(machine):
            continue  # suspended or ended: nothing is done but keeping what there is (articles 9 and 10)
        reason = where.trouble(machine)
        if reason or where.exists(machine):
            yield _line(machine, "missing", reason or why or "no backup of it was started")
        elif there := where.was_there(machine):
            yield _line(
                machine,
                "missing",
                f"no VM is it any more, but {there}: it was erased or renamed; restore it before anybody runs apply",
            )
        elif where.to_be_adopted(machine):
            yield _line(
                machine,
                "not-created",
                f"VM {machine.adopt} is not taken over yet: orchestrator apply does it",
            )
        else:
            begins = machine.life.not_begun(night.clock())
            yield _line(machine, "not-created", begins or "not created yet: orchestrator apply makes it")


def missing_of_broken_files(
    night: Night, readings: Mapping[str, SiteReading], told: Iterable[BackupLine]
) -> Iterator[BackupLine]:
    """Machines whose client has no sound file, and that were there lately and are not seen tonight.

    Their marks would say whether their backup is on. Where none can be read, a VM that seems to be the client's, or an
    archive of the last days, tells that somebody is missing.
    """
    known = {(line.client, line.machine) for line in told}
    clients = {client for client, _ in night.desired}
    recent = night.clock() - _LATELY
    for site, reading in readings.items():
        seen = {
            (machine.mark.client, machine.mark.machine)
            for machine in reading.observed.machines
            if machine.mark
        }
        found: dict[Key, str] = {}
        for item in reading.observed.unreadable:
            if item.kind == "machine" and item.client is not None and not item.copy:
                key = item.client, item.machine or item.name
                found[key] = (
                    f"VM {item.vmid} could not be read, and its client has no sound file: {item.reason}"
                )
        for key, newest in reading.holdings.orphans.items():
            if newest >= recent:
                text = f"it was backed up on {day_in_paris(newest)}, and no VM is it any more: {_NOTES}"
                found.setdefault(key, text)
        for key, text in sorted(found.items()):
            if key[0] not in clients and key not in known | seen:
                yield BackupLine(client=key[0], machine=key[1], site=site, result="missing", message=text)


def _line(machine: DesiredMachine, result: Literal["missing", "not-created"], message: str) -> BackupLine:
    return BackupLine(
        client=machine.client,
        machine=machine.name,
        site=machine.site,
        result=result,
        message=message,
    )


def uninspected(
    night: Night, where: Whereabouts, objections: Mapping[Key, str], told: Iterable[GuestLine], *, why: str
) -> Iterator[GuestLine]:
    """Every managed machine that should run and that nobody looked into, with the reason.

    Args:
        night: the run.
        where: where the machines are.
        objections: why machines were not inspected, as the plan of the updates has it.
        told: the machines that were.
        why: what kept the night from looking into any; empty if nothing did.
    """
    known = {(line.client, line.machine) for line in told}
    for key, machine in sorted(night.desired.items()):
        if machine.updates is None or machine.power != "running" or machine.site not in night.sites:
            continue
        if key in known or night.out_of_service(machine.client):
            continue
        reason = where.trouble(machine)
        if not reason and not where.exists(machine):
            if not where.was_there(machine):
                continue  # not created yet
            reason = "no VM is it any more"
        yield GuestLine(
            client=machine.client,
            machine=machine.name,
            site=machine.site,
            automatic=machine.updates == "automatic",
            problem=reason or objections.get(key) or why or "not inspected",
            stopped=not reason and where.shut_down(machine),
        )


def unread_machines(
    readings: Mapping[str, SiteReading], told: Iterable[BackupLine | GuestLine]
) -> Iterator[str]:
    """Machines that seem to be a client's, cannot be read or only claim to be ours, and of which no line tells."""
    known = {(line.client, line.machine) for line in told}
    for site, reading in readings.items():
        for item in reading.observed.unreadable:
            if item.kind != "machine" or not item.claims:
                continue
            if item.copy or (item.client, item.machine or item.name) not in known:
                yield f"{item.subject} of {site} is left as it is: {item.reason}"


def whereabouts(work: Work) -> Whereabouts:
    """Where the machines are, as far as this night has read the sites."""
    return Whereabouts(work.night, work.readings, work.failures, work.backed_up)


class UnreadMachineStep(Step):
    """Tells of the machines that could not be read and of which no other step told."""

    name = "machines"

    def run(self) -> None:
        """Look for them."""
        told = [line for line in self.work.lines if isinstance(line, (BackupLine, GuestLine))]
        self.work.problems += unread_machines(self.work.readings, told)
