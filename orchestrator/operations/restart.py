"""Restarting one machine on its client's request (article 3.2), or saying why not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.applying.due_restart import patience_of
from orchestrator.applying.marking import change_mark
from orchestrator.applying.restarting import await_guest, restart_machine
from orchestrator.errors import Reason, RequestRefused, about
from orchestrator.operations.client_file import file_says
from orchestrator.operations.inputs import open_desired
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import Found, MachineRequest, find_machine, vm_of
from orchestrator.operations.run import SILENT, Events, open_run
from orchestrator.planning.machine import waits_for_start
from orchestrator.planning.window import current_or_next
from orchestrator.resources.attributes import BY_NAME

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class RestartRequest(MachineRequest):
    """Which machine to restart.

    Attributes:
        files: subscription files or folders: what the client bought, and whether the machine is to run.
        lenient: errors of other files stop nothing.
        force: switch it off if the guest ignores the power button.
        boot_seconds: how long the guest may take to answer afterwards.
    """

    files: tuple[Path, ...] = ()
    lenient: bool = False
    force: bool = False
    boot_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """A machine that was restarted.

    Attributes:
        forced: whether it was switched off, because its guest ignored the power button.
        problem: what is wrong with it now; None if its guest answers.
    """

    forced: bool
    problem: str | None = None


Agree = Callable[[Mapping[str, str]], bool]
"""Asked before anything is done, with the settings that the restart takes up: none if none wait."""


def restart(request: RestartRequest, agree: Agree, events: Events = SILENT) -> Restarted | None:
    """Restart a machine: shut its guest down, start it, and wait until it answers.

    Args:
        request: which.
        agree: asked before anything is done.
        events: who is told what.

    Returns:
        What it is now; None if nobody agreed.

    Raises:
        OrchestratorError: it may not be, or could not be.
    """
    provider = open_provider(request.inventory)
    desired = _desired(request, provider, events)
    with about(request.target):
        if why := not_by_contract(desired, dt.datetime.now(dt.UTC)):
            raise RequestRefused(why)
    if why := _window_too_short(desired, patience_of(request.boot_seconds)):
        events.notice(f"{request.target}: {why}")
    with open_run(provider, "a restart", history=request.history, events=events) as run:
        run.locks.clients([request.client])
        with about(request.target):
            found = find_machine(request.target, run.clusters)
            if why := not_as_it_is(desired, found):
                raise RequestRefused(why)
            vm = vm_of(found, run, request.reason)
            waiting = waits_for_start(found.machine, found.mark, dt.datetime.now(dt.UTC))
            if not agree({"cloud-init": "its settings"} if waiting == {} else waiting or {}):
                return None
            run.begin()
            with run.stopping.finishing(f"{request.target}: restart"):
                forced = restart_machine(
                    vm, force=request.force, managed=found.machine.summary.ha, taken_up=waiting
                )
            agent = bool(BY_NAME["guest agent"].read(found.machine.config))
            problem = await_guest(vm, agent=agent, boot_seconds=request.boot_seconds)
            return Restarted(forced=forced, problem=problem)


def release(request: MachineRequest, events: Events = SILENT) -> None:
    """Let a machine be restarted in its window again: somebody has looked why that did not go well.

    Raises:
        OrchestratorError: it is not held back, or the mark could not be changed.
    """
    provider = open_provider(request.inventory)
    with open_run(provider, "a release", history=request.history, events=events) as run:
        run.locks.clients([request.client])
        with about(request.target):
            found = find_machine(request.target, run.clusters)
            note = found.mark.restart
            if note is None:
                raise RequestRefused("its restart is not held back, so there is nothing to release")
            if note.state != "held":
                raise RequestRefused(
                    "a restart of it has not ended: the next run of orchestrator nightly, or restart --due, goes on "
                    "with it"
                )
            vm = vm_of(found, run, request.reason)
            run.begin()
            with vm.step("release restart", held=note.reason):
                change_mark(vm, lambda mark: mark.with_(restart=None))


def _desired(request: RestartRequest, provider: Provider, events: Events) -> DesiredMachine:
    if request.lenient:
        found = file_says(request.target, request.files, provider).machine
    else:
        found = _of_files(request.target, open_desired(request.files, provider, events.problems))
    if found is None:
        raise RequestRefused(
            f"no file has a machine {request.target}: whether it may be restarted is not known (--files)"
        )
    return found


def _window_too_short(desired: DesiredMachine, patience: dt.timedelta) -> Reason:
    """Why what waits for a restart is never taken up in the machine's window; empty if it is, or there is none."""
    if desired.window is None:
        return ""
    opens, closes = current_or_next(desired.window, dt.datetime.now(dt.UTC))
    minute = dt.timedelta(minutes=1)
    if closes - opens >= patience:
        return ""
    return (
        f"its maintenance window lasts {(closes - opens) / minute:.0f} min and a restart may take "
        f"{patience / minute:.0f} min, so none is begun in it: agree a longer window (managed_services."
        "maintenance_window)"
    )


def _of_files(target: str, desired: Iterable[DesiredMachine]) -> DesiredMachine | None:
    client, _, machine = target.partition("/")
    return next((item for item in desired if item.key == (client, machine)), None)


def not_by_contract(desired: DesiredMachine, now: dt.datetime) -> Reason:
    """Why a machine is not restarted on its client's request, by its file; empty if it may be. ``now`` is aware."""
    offer = desired.offer
    if not offer.terms.power:
        return (
            f"a restart on the client's behalf is not part of {offer} (art. {offer.terms.article}): the client "
            "restarts it from inside"
        )
    if why := desired.life.why(now):
        return f"out of service, so it is not restarted: {why}"
    if desired.power == "stopped":
        return (
            "its file says power: stopped, so it is not restarted: take that out and apply, which starts it"
        )
    return ""


def not_as_it_is(desired: DesiredMachine, found: Found) -> Reason:
    """Why a machine cannot be restarted as it is; empty if it can be."""
    mark, summary = found.mark, found.machine.summary
    if mark.retired:
        return f"it was retired on {mark.retired}, but its file has it: orchestrator apply brings it back"
    if found.machine.site != desired.site:
        return f"it is at {found.machine.site}, its file says {desired.site}: bring it back, or correct contract.site"
    if summary.lock:
        return (
            f"a task of Proxmox holds it ({summary.lock}): wait for its end, then run the same command again"
        )
    if mark.update is not None and mark.update.state != "held":
        return "an update of it has not ended: orchestrator update goes on with it"
    if not found.machine.running:
        return "it is stopped, so there is nothing to restart: orchestrator apply starts it"
    if not mark.ready:
        return "it is not in service yet: orchestrator apply finishes its delivery"
    return ""
