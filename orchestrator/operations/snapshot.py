"""Snapshots of one machine on demand (articles 3.2 and 3.3): take, list, remove, go back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.applying.rollback import (
    Loss,
    address_of_another,
    cannot_go_back,
    go_back,
    refresh_guest,
    what_is_lost,
)
from orchestrator.applying.snapshots import remove_expired, remove_snapshot, take_snapshot
from orchestrator.contract.snapshots import name_objection
from orchestrator.errors import RequestRefused, about
from orchestrator.operations.client_file import UNKNOWN_WISH, wanted_as_known
from orchestrator.operations.inputs import ssh_settings
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import Found, MachineRequest, as_it_is_now, find_machine, vm_of
from orchestrator.operations.run import SILENT, Events, open_clusters, open_run
from orchestrator.proxmox import VmSnapshot
from orchestrator.resources.snapshot import owned, unable


@dataclass(frozen=True, kw_only=True)
class SnapshotRequest(MachineRequest):
    """What to do with a snapshot.

    Attributes:
        name: the snapshot's.
    """

    name: str


@dataclass(frozen=True, kw_only=True)
class RollbackRequest(SnapshotRequest):
    """To which snapshot a machine is to go back.

    Attributes:
        files: subscription files or folders: what the machine's firewall is to be.
        lenient: no sound file need have it: then its firewall is that of the snapshot's day.
        boot_seconds: how long the guest may take to boot.
    """

    files: tuple[Path, ...] = ()
    lenient: bool = False
    boot_seconds: float = 600.0


def create(request: SnapshotRequest, events: Events = SILENT) -> VmSnapshot:
    """Take a snapshot now; expired ones go first, so that they do not stand in the way.

    Raises:
        OrchestratorError: it was not taken.
    """
    if objection := name_objection(request.name):
        raise RequestRefused(objection)
    with open_run(open_provider(request.inventory), history=request.history, events=events) as run:
        run.locks.clients([request.client])
        found = find_machine(request.target, run.clusters)
        with about(request.target):
            if why := unable(found.machine, found.machine.storage_types):
                raise RequestRefused(why)
            vm = vm_of(found, run, request.reason)
            run.begin()
            remove_expired(vm, dt.datetime.now(dt.UTC))
            return take_snapshot(vm, request.name, declared_for=None)


def snapshots_of(target: str, inventory: str | None, events: Events = SILENT) -> tuple[VmSnapshot, ...]:
    """The snapshots of a machine, others' too.

    Raises:
        OrchestratorError: the machine was not found.
    """
    with open_clusters(open_provider(inventory), notice=events.notice) as clusters:
        return find_machine(target, clusters).machine.snapshots


def delete(request: SnapshotRequest, agree: Callable[[], bool], events: Events = SILENT) -> bool:
    """Remove a snapshot of ours.

    Args:
        request: which.
        agree: asked before anything is changed.
        events: who is told what.

    Returns:
        Whether it was removed: False if nobody agreed.

    Raises:
        OrchestratorError: it could not be.
    """
    with open_run(open_provider(request.inventory), history=request.history, events=events) as run:
        run.locks.clients([request.client])
        found = find_machine(request.target, run.clusters)
        if owned(_existing(found, request)) is None:
            raise RequestRefused(
                f"{request.name} was made by others in Proxmox, so it is not removed here: remove it there"
            )
        if not agree():
            return False
        run.begin()
        with about(request.target):
            remove_snapshot(vm_of(found, run, request.reason), request.name)
        return True


@dataclass(frozen=True, kw_only=True)
class WentBack:
    """A machine that went back to a snapshot.

    Attributes:
        running: whether it runs again, as before.
        problem: what is wrong with its guest now; None if nothing is.
    """

    running: bool
    problem: str | None = None


def rollback(
    request: RollbackRequest, agree: Callable[[VmSnapshot, Loss], bool], events: Events = SILENT
) -> WentBack | None:
    """Bring a machine back to a snapshot; a running one runs again afterwards.

    Args:
        request: which.
        agree: asked with what is lost before anything is changed.
        events: who is told what.

    Returns:
        What it is now; None if nobody agreed.

    Raises:
        OrchestratorError: it could not be done.
    """
    provider = open_provider(request.inventory)
    desired = wanted_as_known(
        request.target, request.files, provider, events.problems, lenient=request.lenient
    )
    ssh = ssh_settings(provider)
    with open_run(provider, history=request.history, events=events) as run:
        run.locks.clients([request.client])
        with about(request.target):
            found = as_it_is_now(find_machine(request.target, run.clusters))
            snapshot = _existing(found, request)
            vm = vm_of(found, run, request.reason)
            loss = what_is_lost(vm, found.machine, snapshot)
            why = cannot_go_back(vm, found.machine, snapshot) or address_of_another(vm, found.machine, loss)
            if why:
                raise RequestRefused(why)
            if not agree(snapshot, loss):
                return None
            run.begin()
            with run.stopping.finishing(f"{request.target}: rollback"):
                go_back(vm, found.machine, snapshot)
                if not found.machine.running:
                    return WentBack(running=False)
                if desired is None:
                    return WentBack(running=True, problem=UNKNOWN_WISH)
                again = find_machine(request.target, run.clusters)
                problem = refresh_guest(
                    vm, desired, again.machine, again.site, ssh, boot_seconds=request.boot_seconds
                )
            return WentBack(running=True, problem=problem)


def _existing(found: Found, request: SnapshotRequest) -> VmSnapshot:
    names = {snapshot.name: snapshot for snapshot in found.machine.snapshots}
    if request.name not in names:
        there = ", ".join(names) or "none"
        raise RequestRefused(f"{request.target} has no snapshot {request.name}: there are {there}")
    return names[request.name]
