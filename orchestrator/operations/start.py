"""Starting one machine that is stopped and should run."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.applying.restarting import await_guest, bring_up
from orchestrator.errors import Reason, RequestRefused, about
from orchestrator.operations.client_file import FileSays, file_says
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import MachineRequest, as_it_is_now, find_machine, vm_of
from orchestrator.operations.run import SILENT, Events, open_run
from orchestrator.resources.attributes import BY_NAME

if TYPE_CHECKING:
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine


@dataclass(frozen=True, kw_only=True)
class StartRequest(MachineRequest):
    """A machine to start.

    Attributes:
        files: subscription files or folders: whether it is to run. A machine that no sound file has is judged by what
            was applied last.
        boot_seconds: how long the guest may take to answer.
    """

    files: tuple[Path, ...] = ()
    boot_seconds: float = 600.0


def start(request: StartRequest, events: Events = SILENT) -> str | None:
    """Start a machine and wait until its guest answers.

    Returns:
        What is wrong with it now; None if its guest answers.

    Raises:
        OrchestratorError: it may not be started, or could not be.
    """
    provider = open_provider(request.inventory)
    says = file_says(request.target, request.files, provider)
    with (
        open_run(provider, "a start", history=request.history, events=events) as run,
        about(request.target),
    ):
        run.locks.clients([request.client])
        found = as_it_is_now(find_machine(request.target, run.clusters, snapshots=False))
        if why := not_to_start(found.machine, found.mark, says, dt.datetime.now(dt.UTC)):
            raise RequestRefused(why)
        vm = vm_of(found, run, request.reason)
        run.begin()
        with run.stopping.finishing(f"{request.target}: start"):
            bring_up(vm, managed=found.machine.summary.ha)
        agent = bool(BY_NAME["guest agent"].read(found.machine.config))
        return await_guest(vm, agent=agent, boot_seconds=request.boot_seconds)


def not_to_start(machine: ObservedMachine, mark: Mark, says: FileSays, now: dt.datetime) -> Reason:
    """Why a machine is not started; empty if it may be.

    Args:
        machine: as it is.
        mark: its mark.
        says: its file.
        now: the time, aware.
    """
    if machine.running:
        return "it runs already"
    if machine.summary.lock:
        return f"a lock of Proxmox holds it ({machine.summary.lock})"
    if mark.retired:
        return f"it was retired on {mark.retired}: put it back into its file, and apply"
    if says.life and (why := says.life.why(now)):
        return f"out of service, so it is not started: {why}"
    if says.machine is not None:
        if says.machine.power == "stopped":
            return "its file says power: stopped: take that out and apply, which starts it"
        return ""
    if mark.power_left == "stopped":
        return (
            "it was left stopped when its file was last applied, and no sound file says that it is to run now"
        )
    return ""
