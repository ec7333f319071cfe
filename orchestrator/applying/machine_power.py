"""Starting, stopping and restarting a machine of a plan."""

from __future__ import annotations

from orchestrator.applying.high_availability import kept_aside
from orchestrator.applying.limits import is_lock_timeout
from orchestrator.applying.machine_work import MachineWork
from orchestrator.applying.stopped import Stopped
from orchestrator.errors import Reason
from orchestrator.history.changes import FORCED
from orchestrator.planning.machine import machine_changes, waits_for_start
from orchestrator.proxmox import TaskFailed
from orchestrator.resources.change import Effect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.restart_hold import after_restart

SHUTDOWN_SECONDS = 180
_NEVER_BY_FORCE = (
    "for a client's change it is never switched off by force: look at its console, shut it down, "
    "and apply again"
)


class StayedUp(Stopped):
    """The guest was asked to shut down, and did not."""


def bring_power(work: MachineWork, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
    """Start, stop or restart the machine, as is left to do at this moment. Return it as it is then.

    Raises:
        StayedUp: the guest did not shut down; for a client's change it is never switched off by force.
        ProxmoxError: the hypervisor refused.
    """
    effects = _effects_now(work, desired, observed)
    if Effect.START in effects:
        _task(work, observed, "start", {})
    elif Effect.STOP in effects:
        return shut_down(work, observed)
    elif Effect.RESTART in effects and any(change.effect is Effect.RESTART for change in work.plan.changes):
        # One task of Proxmox's own: a kill between stop and start cannot leave the machine stopped.
        _task(work, observed, "reboot", {"timeout": SHUTDOWN_SECONDS})
    else:
        return observed
    taken_up = waits_for_start(observed, observed.mark, work.around.clock()) if observed.mark else None

    def noted(mark: Mark) -> Mark:
        return after_restart(mark, taken_up).with_(restart_due=None, leaving=None, suspended=None)

    return work.note(observed, noted)


def shut_down(work: MachineWork, observed: ObservedMachine) -> ObservedMachine:
    """Shut the machine down. Return it as it is then.

    Raises:
        StayedUp, ProxmoxError: as :func:`bring_power`.
    """
    _task(work, observed, "shutdown", {"timeout": SHUTDOWN_SECONDS})
    return work.look(observed)


def put_out_of_service(work: MachineWork, observed: ObservedMachine, why: Reason) -> ObservedMachine:
    """Shut the machine down, and switch it off if its guest does not. Return it as it is then.

    A suspension takes effect whatever the guest answers (article 9), and so does the end of the contract (article 10).

    Args:
        work: the machine's work.
        observed: the machine, which runs.
        why: the reason from the contract, with its article; the history has it beside the stop.

    Raises:
        ProxmoxError: the hypervisor refused.
    """
    try:
        _task(
            work, observed, "shutdown", {"timeout": SHUTDOWN_SECONDS}, stubborn="it is switched off instead"
        )
    except StayedUp:
        again = work.look(observed)
        if again.running:
            _task(
                work, again, "stop", {}, name=FORCED, message=f"by force, the guest did not shut down: {why}"
            )
    return work.look(observed)


def _effects_now(work: MachineWork, desired: DesiredMachine, observed: ObservedMachine) -> set[Effect]:
    """What is left to do at this moment: the window that was open when the plan was made may have closed."""
    assert work.plan.address is not None  # noqa: S101  (a plan without an address is refused)
    around = work.around
    changes = machine_changes(
        desired, observed, work.plan.address, around.clock(), restart_now=around.restart_now
    )
    return {change.effect for change in changes}


def _task(
    work: MachineWork,
    observed: ObservedMachine,
    action: str,
    params: dict[str, str | int],
    *,
    name: str | None = None,
    message: str = "",
    stubborn: str = _NEVER_BY_FORCE,
) -> None:
    """Run a task of the machine's power.

    Args:
        work: the machine's work.
        observed: the machine.
        action: as the API names it.
        params: its parameters.
        name: what the history calls it; the action if None.
        message: what the history says of it when it is done.
        stubborn: what becomes of a guest that does not shut down, in words.
    """
    summary, vm = observed.summary, work.vm(observed)
    aside = kept_aside(work.cluster, summary.node, summary.vmid, managed=summary.ha and action != "reboot")
    lane = work.around.limits.power(observed.site, summary.node, action)
    with lane as turn, work.step(name or action) as step, aside:
        step.message = message
        try:
            vm.task(
                step,
                "POST",
                f"{vm.path}/status/{action}",
                params,
                done=lambda: _in_state(work, observed, action),
                turn=turn,
            )
        except TaskFailed as error:
            if "got timeout" not in error.exitstatus or is_lock_timeout(error) or action in ("start", "stop"):
                raise
            raise StayedUp(f"the guest did not shut down within {SHUTDOWN_SECONDS} s; {stubborn}") from error


def _in_state(work: MachineWork, observed: ObservedMachine, action: str) -> bool:
    seen = work.look(observed)
    if action == "reboot" and work.plan.desired:
        return not _effects_now(work, work.plan.desired, seen) & {Effect.RESTART, Effect.WAITING}
    return seen.running is (action == "start")
