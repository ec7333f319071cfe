"""Updates of machines on request (article 3.8.3): what is due, and installing it now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.applying.machine_update import Updatable, UpdateTerms
from orchestrator.applying.update_candidates import candidates
from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.applying.update_requests import close_requests
from orchestrator.applying.update_waves import UpdateRun, has_work
from orchestrator.errors import RequestRefused
from orchestrator.guests.packages import DueUpdates, look_for_updates
from orchestrator.history.delays import Delays, delays
from orchestrator.history.requests import NO_REQUESTS, OpenUpdates
from orchestrator.operations.inputs import check_selection, open_desired, selection, ssh_settings
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history, open_run
from orchestrator.planning.window import is_open
from orchestrator.proxmox import Cluster
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.scope import Selection
from orchestrator.resources.survey import Asked, observe_sites

Key = tuple[str, str]
"""Client and machine."""


@dataclass(frozen=True, kw_only=True)
class DueRequest:
    """Whose updates.

    Attributes:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        inventory: where the site file is.
        files: subscription files or folders.
        history: a file or URL; None: the usual one.
    """

    target: str | None
    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateRequest(DueRequest):
    """Updates to install.

    Attributes:
        reason: why; the history keeps it.
        security_only: leave the others for later.
        check: install nothing.
        release: somebody has looked: also machines that are held back.
        restart_now: restart where needed, also outside the maintenance window.
        requested_at: when the client asked for it; None: when the open request of the register came, or now.
        boot_seconds: how long a machine may take to come back from a restart.
        settle_seconds: how long services may take to come back.
    """

    reason: str = "updates on request"
    security_only: bool = False
    check: bool = False
    release: bool = False
    restart_now: bool = False
    requested_at: dt.datetime | None = None
    boot_seconds: float = 600.0
    settle_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class DueFound:
    """What is due in machines.

    Attributes:
        wanted: the machines that were asked for, by their files.
        machines: those that may be updated.
        due: what is due in each of these, or why it could not be seen.
        reasons: why the others are not updated.
    """

    wanted: tuple[DesiredMachine, ...]
    machines: tuple[Updatable, ...]
    due: Mapping[Key, DueUpdates | str]
    reasons: Mapping[Key, str]

    @property
    def has_problems(self) -> bool:
        """Whether something could not be seen, or is not updated."""
        return bool(self.reasons) or any(isinstance(found, str) for found in self.due.values())


@dataclass(frozen=True, kw_only=True)
class Updated:
    """How updates ended.

    Attributes:
        found: what was due.
        lines: how each machine's update ended; None if none was begun.
        interrupted: somebody asked for the end.
    """

    found: DueFound
    lines: tuple[MachineUpdate, ...] | None = None
    interrupted: bool = False

    @property
    def well(self) -> bool:
        """Whether every machine is well and up to date, as far as was asked."""
        if self.lines is None:
            return not self.found.has_problems
        return not self.found.reasons and all(line.well for line in self.lines)


def update(
    request: UpdateRequest,
    *,
    looking: Callable[[int, int], None],
    show: Callable[[DueFound], None],
    agree: Callable[[], bool],
    events: Events = SILENT,
) -> Updated | None:
    """Install updates now: a snapshot first, in waves, back where a machine is not well afterwards.

    Args:
        request: what is asked for.
        looking: called with how many machines are looked into, and of how many.
        show: called with what is due.
        agree: asked before anything is installed.
        events: who is told what.

    Returns:
        How it ended; None if nobody agreed.

    Raises:
        OrchestratorError: nothing was begun, or the rest could not be done.
    """
    _check_moment(request.requested_at)
    provider = open_provider(request.inventory)
    desired = open_desired(request.files, provider, events.problems)
    chosen = selection(request.target)
    check_selection(chosen, desired)
    asked_at = request.requested_at or dt.datetime.now(dt.UTC)
    ssh = ssh_settings(provider)
    with open_run(provider, "updates", history=request.history, events=events) as run:
        if not request.check:
            _ = run.history  # before anything is looked into: without it nothing is changed
        wanted = [machine for machine in desired if chosen.includes(*machine.key)]
        if not request.check:
            run.locks.clients(machine.client for machine in wanted)
        now = dt.datetime.now(dt.UTC)
        machines, reasons = candidates(
            wanted,
            _read_sites(wanted, run.clusters, chosen, events),
            run.clusters,
            may_reboot=lambda machine: request.restart_now or is_open(machine.window, now),
            released=request.release,
        )
        looking(len(machines), len(wanted))
        due = look_for_updates([machine.guest() for machine in machines], ssh)
        found = DueFound(wanted=tuple(wanted), machines=tuple(machines), due=due, reasons=reasons)
        show(found)
        todo = [
            one
            for one in machines
            if has_work(one, due[one.key], security_only=request.security_only)
            or (request.release and one.held)
        ]
        if request.check:
            return Updated(found=found)
        # An update of the security packages alone is not what the client asked for: that stays open.
        asked = (
            NO_REQUESTS
            if request.security_only
            else OpenUpdates.read(run.history, now=now, client=chosen.client)
        )
        if not todo:
            nothing = [one.ended("nothing-due") for one in machines if not isinstance(due[one.key], str)]
            close_requests(run.journal(request.reason), asked, nothing, now)
            return Updated(found=found)
        if not agree():
            return None
        run.begin()
        terms = UpdateTerms(
            ssh=ssh,
            journal=run.journal(request.reason),
            clock=lambda: dt.datetime.now(dt.UTC),
            automatic=False,
            requested_at=asked_at,
            asked=asked,
            security_only=request.security_only,
            released=request.release,
            boot_seconds=request.boot_seconds,
            settle_seconds=request.settle_seconds,
            pause=run.stopping.pause,
        )
        lines = UpdateRun(terms=terms).run(machines, due)
        close_requests(terms.journal, asked, lines, terms.clock())
        return Updated(found=found, lines=tuple(lines), interrupted=run.interrupted)


def _check_moment(moment: dt.datetime | None) -> None:
    if moment is not None and moment > dt.datetime.now(dt.UTC):
        raise RequestRefused(
            f"--requested {moment.isoformat()} is in the future: it is when the client asked for it"
        )


def _read_sites(
    wanted: Collection[DesiredMachine], clusters: Mapping[str, Cluster], chosen: Selection, events: Events
) -> dict[str, ObservedSite]:
    """Read the clusters that machines stand in; those that cannot be read are told and left out."""
    names = sorted({machine.site for machine in wanted})
    read = observe_sites({name: clusters[name] for name in names}, Asked(desired=wanted, selection=chosen))
    for name, why in read.failures.items():
        events.notice(f"{name} could not be read: {why}")
    return read.observed


@dataclass(frozen=True, kw_only=True)
class UpdatesReport:
    """What is due in managed machines, and how long installing took.

    Attributes:
        found: what is due.
        measured: the delays of what was installed.
    """

    found: DueFound
    measured: Delays


def due_updates(
    request: DueRequest, *, days: int = 90, refresh: bool = True, events: Events = SILENT
) -> UpdatesReport:
    """Look what is due in every managed machine.

    Args:
        request: whose.
        days: how far back installed updates are counted.
        refresh: fetch the package lists anew.
        events: who is told what.

    Raises:
        OrchestratorError: it cannot be known.
    """
    provider = open_provider(request.inventory)
    desired = open_desired(request.files, provider, events.problems)
    chosen = selection(request.target)
    check_selection(chosen, desired)
    ssh = ssh_settings(provider)
    wanted = [machine for machine in desired if chosen.includes(*machine.key) and machine.updates is not None]
    now = dt.datetime.now(dt.UTC)
    with (
        open_clusters(provider, notice=events.notice) as clusters,
        open_history(request.history) as history,
    ):
        sites = _read_sites(wanted, clusters, chosen, events)
        machines, reasons = candidates(wanted, sites, clusters, may_reboot=lambda _: False, released=True)
        due = look_for_updates([machine.guest() for machine in machines], ssh, refresh=refresh)
        measured = delays(
            history,
            now,
            days=days,
            client=chosen.client,
            machine=chosen.machine,
            automatic={one.key for one in wanted if one.updates == "automatic" and one.power == "running"},
        )
    found = DueFound(wanted=tuple(wanted), machines=tuple(machines), due=due, reasons=reasons)
    return UpdatesReport(found=found, measured=measured)
