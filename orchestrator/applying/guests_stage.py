"""The part of ``apply`` inside the guests: wait until they are up, learn their keys, load their firewall."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from orchestrator.applying.machine_run import Waiting
from orchestrator.applying.vm import Stopped
from orchestrator.guests import (
    GuestTarget,
    GuestUnreachable,
    PartOutcome,
    SshSettings,
    apply_firewalls,
    learn_host_keys,
    wait_for_ssh,
)
from orchestrator.guests.rules import policy_to_data
from orchestrator.history import HistoryUnavailable
from orchestrator.proxmox import ProxmoxError, ping_agent

_POLL_SECONDS = 2.0


def configure_guests(
    machines: list[Waiting], ssh: SshSettings, *, boot_seconds: float
) -> dict[tuple[str, str], str | None]:
    """Wait for the guests, then load all the firewalls that differ in one run.

    Args:
        machines: those that were switched on or restarted, or whose firewall differs.
        ssh: how to reach them.
        boot_seconds: how long to wait for a guest to boot.

    Returns:
        For each machine None if all went well, else the reason.
    """
    results: dict[tuple[str, str], str | None] = {}
    targets: list[GuestTarget] = []
    if not machines:
        return results
    with ThreadPoolExecutor(len(machines), thread_name_prefix="boot") as pool:
        booted = pool.map(lambda machine: _await_guest(machine, ssh, boot_seconds), machines)
        for machine, (target, problem) in zip(machines, booted, strict=True):
            results[machine.key] = problem
            if target and machine.firewall:
                targets.append(target)
            elif target:
                results[machine.key] = _note_host_keys(machine, target)
    if not targets:
        return results
    by_key = {machine.key: machine for machine in machines}
    for target in targets:
        by_key[target.key].run.around.journal.show(*target.key, "load the firewall")
    outcomes = apply_firewalls(targets, ssh)
    for target in targets:
        results[target.key] = _note(by_key[target.key], target, outcomes[target.key])
    return results


def _await_guest(
    machine: Waiting, ssh: SshSettings, boot_seconds: float
) -> tuple[GuestTarget | None, str | None]:
    around, summary = machine.run.around, machine.observed.summary
    cluster = machine.run.cluster
    around.journal.show(*machine.key, "wait for the guest to boot")
    deadline = time.monotonic() + boot_seconds
    try:
        while not ping_agent(cluster, summary.node, summary.vmid):
            if time.monotonic() > deadline:
                return None, (
                    f"the guest of VM {summary.vmid} did not come up within {boot_seconds:.0f} s (its agent is "
                    "silent): "
                    f"look at its console on {summary.node}; the machine is kept, apply again goes on from here"
                )
            around.pause(_POLL_SECONDS)
        target = GuestTarget(
            client=machine.desired.client,
            machine=machine.desired.name,
            address=str(machine.run.plan.address),
            user=machine.desired.user,
            host_keys=learn_host_keys(cluster, summary.node, summary.vmid),
            policy=machine.desired.policy,
        )
        around.journal.show(*machine.key, "wait for SSH")
        wait_for_ssh(target, ssh, max(deadline - time.monotonic(), ssh.connect_timeout_seconds))
    except (ProxmoxError, GuestUnreachable) as error:
        return None, str(error)
    return target, None


def _note_host_keys(machine: Waiting, target: GuestTarget) -> str | None:
    """A restart can bring new host keys: cloud-init makes them anew when its settings have changed."""
    try:
        machine.run.write_mark(machine.observed, lambda mark: mark.with_(host_keys=target.host_keys))
    except (ProxmoxError, HistoryUnavailable, Stopped) as error:
        return str(error)
    return None


def _note(machine: Waiting, target: GuestTarget, outcome: PartOutcome) -> str | None:
    """Record what happened in the guest, and in the mark what is loaded there now."""
    journal = machine.run.around.journal
    good = outcome.status in ("changed", "unchanged")
    try:
        journal.record(
            machine.desired.client,
            machine.desired.name,
            machine.desired.site,
            "firewall",
            result="ok" if good else ("refused" if outcome.status == "refused" else "failed"),
            message=outcome.message or outcome.status,
            seconds=outcome.seconds,
            details={"policy": policy_to_data(target.policy)},
        )
        if not good:
            return f"firewall: {outcome.message}"
        machine.run.write_mark(
            machine.observed,
            lambda mark: mark.with_(
                firewall=policy_to_data(target.policy), host_keys=target.host_keys, ready=True
            ),
        )
    except (ProxmoxError, HistoryUnavailable, Stopped) as error:
        return str(error)
    return None
