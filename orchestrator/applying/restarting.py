"""Restarting one machine on its client's request (article 3.2)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestrator.applying.high_availability import kept_aside
from orchestrator.applying.limits import is_lock_timeout
from orchestrator.applying.machine_power import SHUTDOWN_SECONDS
from orchestrator.applying.marking import assure_ours, change_mark
from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import TaskFailed, ping_agent
from orchestrator.resources.restart_hold import after_restart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.applying.vm import Vm


class Stubborn(Stopped):
    """The guest was asked to shut down and did not, and nobody allowed force: it runs as before."""


_POWER_SECONDS = 600.0
"""How long Proxmox may take to switch a machine off or on: with much memory a start takes minutes."""

_LOOK_AGAIN_SECONDS = 2.0


def restart_machine(vm: Vm, *, force: bool, managed: bool, taken_up: Mapping[str, str] | None) -> bool:
    """Restart a running machine, and note that it has taken up its settings.

    One task of Proxmox's own shuts the guest down and starts it: a kill in between cannot leave the machine stopped.
    Settings that wait for a start are taken up, which a restart from inside the guest does not do.

    Args:
        vm: the machine.
        force: switch it off if the guest ignores the power button: what it has not written is lost.
        managed: whether the HA manager minds it.
        taken_up: the settings that the restart takes up; None if none wait. A hold of their restart is over then.

    Returns:
        Whether it was switched off by force.

    Raises:
        Stopped: the guest did not shut down, and nobody allowed force; it is not surely ours any more.
        ProxmoxError: the hypervisor refused.
    """
    forced = power_cycle(vm, force=force, managed=managed)
    change_mark(vm, lambda mark: after_restart(mark, taken_up).with_(restart_due=None, leaving=None))
    return forced


def power_cycle(vm: Vm, *, force: bool, managed: bool) -> bool:
    """As :func:`restart_machine`, and note nothing. Arguments, result and errors are the same."""
    assure_ours(vm)
    before = _uptime(vm)

    def restarted() -> bool:
        uptime = _uptime(vm)
        return uptime is not None and before is not None and uptime < before

    forced = False
    try:
        with vm.step("restart") as step:
            params: dict[str, str | int] = {"timeout": SHUTDOWN_SECONDS}
            vm.task(step, "POST", f"{vm.path}/status/reboot", params, done=restarted)
    except TaskFailed as error:
        if "got timeout" not in error.exitstatus or is_lock_timeout(error):
            raise
        if not force:
            raise Stubborn(
                f"the guest did not shut down within {SHUTDOWN_SECONDS} s, so it was not restarted: look at its "
                "console, or run the same command with --force, which switches it off (what it has not written is lost)"
            ) from error
        forced = True
        with kept_aside(vm.cluster, vm.node, vm.vmid, managed=managed):
            _switch(vm, "stop", "switch off", on=False)
            _switch(vm, "start", "start", on=True)
    return forced


def start_machine(vm: Vm, *, managed: bool) -> None:
    """Start a machine that is stopped. Settings that wait for a start are taken up.

    Args:
        vm: the machine.
        managed: whether the HA manager minds it.

    Raises:
        Stopped: it is not surely ours any more.
        ProxmoxError: it could not be started.
    """
    assure_ours(vm)
    with kept_aside(vm.cluster, vm.node, vm.vmid, managed=managed), vm.step("start") as step:
        path = f"{vm.path}/status/start"
        vm.task(step, "POST", path, done=lambda: runs(vm), timeout_seconds=_POWER_SECONDS)


def bring_up(vm: Vm, *, managed: bool) -> None:
    """As :func:`start_machine`, and note that it has taken up its settings."""
    start_machine(vm, managed=managed)
    change_mark(vm, lambda mark: mark.with_(restart_due=None, leaving=None, restart=None, suspended=None))


def runs(vm: Vm) -> bool:
    """Whether a machine is switched on: one call."""
    return _uptime(vm) is not None


def _switch(vm: Vm, action: str, name: str, *, on: bool) -> None:
    with vm.step(name, by="force") as step:
        vm.task(
            step,
            "POST",
            f"{vm.path}/status/{action}",
            done=lambda: (_uptime(vm) is not None) is on,
            timeout_seconds=_POWER_SECONDS,
        )


def _uptime(vm: Vm) -> int | None:
    """Seconds since a machine was started; None while it does not run."""
    status = vm.cluster.get(f"{vm.path}/status/current")
    return int(status.get("uptime") or 0) if status.get("status") == "running" else None


def await_guest(vm: Vm, *, agent: bool, boot_seconds: float) -> str | None:
    """Wait until a machine that was restarted runs, and its guest agent answers.

    Args:
        vm: the machine.
        agent: whether it has a guest agent; without one nobody can tell more than that it runs.
        boot_seconds: how long it may take.

    Returns:
        What is wrong when the time is over; None if all is well.

    Raises:
        ProxmoxError: the hypervisor could not be asked.
    """
    until = time.monotonic() + boot_seconds
    while True:
        running = _uptime(vm) is not None
        if running and (not agent or ping_agent(vm.cluster, vm.node, vm.vmid)):
            return None
        if time.monotonic() >= until:
            break
        vm.pause(_LOOK_AGAIN_SECONDS)
    if not running:
        return (
            f"it was shut down and does not run after {boot_seconds:.0f} s: see its task log; apply starts it"
        )
    return f"it runs, but its guest agent did not answer within {boot_seconds:.0f} s: look at its console"
