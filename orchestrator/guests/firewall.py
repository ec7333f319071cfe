"""Load the firewalls of many machines in one Ansible run, and say for each how it went.

Nothing is sent that would shut the provider out: a policy without management addresses, or one that does not
admit SSH from the address that the guest sees us come from, is refused first. What slips through (a route that
differs, a firewall between) is caught by the guest itself: it goes back to its previous rules unless a new
connection confirms the new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from orchestrator.guests.inventory import host_name
from orchestrator.guests.openings import written
from orchestrator.guests.outcome import PartOutcome, Status, reason_of
from orchestrator.guests.playbooks import MACHINES_AT_ONCE, TaskResult, run_playbook
from orchestrator.guests.rules import admits_ssh_from
from orchestrator.guests.ssh import GuestUnreachable, HostKeyMismatch, source_address_seen
from orchestrator.guests.target import GuestTarget, SshSettings

LOAD = "Load the rules, the way back armed"
_CONFIRM = "Confirm over a new connection"
_AFTERWARDS = "See what became of the guest"
_REPORT = "Report"


def apply_firewalls(
    targets: Sequence[GuestTarget],
    ssh: SshSettings,
    *,
    on_event: Callable[[tuple[str, str], str], None] | None = None,
    artifact_dir: Path | None = None,
) -> dict[tuple[str, str], PartOutcome]:
    """Bring each machine's firewall to its policy: one Ansible run for all, failures kept apart.

    Args:
        targets: the machines, each with the policy that it is to have.
        ssh: how they are reached.
        on_event: called with client and machine and what begins there.
        artifact_dir: keep Ansible's own account of the run in this folder; nothing is kept by default.

    Returns:
        The outcome of every target. Nothing is raised for what goes wrong in or on the way to a guest.
    """
    tell = on_event or (lambda key, step: None)
    started = time.monotonic()
    outcomes: dict[tuple[str, str], PartOutcome] = {}
    if not targets:
        return outcomes
    with ThreadPoolExecutor(min(len(targets), MACHINES_AT_ONCE), thread_name_prefix="ssh") as pool:
        for target, refusal in zip(
            targets, pool.map(lambda t: firewall_objection(t, ssh, tell), targets), strict=True
        ):
            if refusal:
                outcomes[target.key] = refusal
    admitted = [target for target in targets if target.key not in outcomes]
    if admitted:
        outcomes |= _load(admitted, ssh, tell, artifact_dir)
    took = time.monotonic() - started
    return {
        target.key: replace(outcomes[target.key], seconds=outcomes[target.key].seconds or took)
        for target in targets
    }


def firewall_objection(
    target: GuestTarget, ssh: SshSettings, tell: Callable[[tuple[str, str], str], None]
) -> PartOutcome | None:
    """Why the rules must not be sent to a machine; None if they may. It is asked where it sees us come from."""
    if not target.policy.management:
        return _refused(
            f"{target.name}: the rules would let the provider in from nowhere: list the provider's addresses as "
            "management.addresses in the inventory"
        )
    if not target.host_keys:
        return _refused(
            f"{target.name}: its SSH host keys are not known, and nobody is trusted on first use: let them be learnt "
            "through the hypervisor (guest agent)"
        )
    tell(target.key, "see where the guest sees us come from")
    try:
        source = source_address_seen(target, ssh)
    except HostKeyMismatch as error:
        return _refused(str(error))
    except GuestUnreachable as error:
        return PartOutcome(status="unreachable", message=str(error))
    if not admits_ssh_from(target.policy, source):
        return _refused(
            f"{target.name}: the guest sees us come from {source}, and the rules let SSH in from "
            f"{', '.join(map(written, (*target.policy.management, *target.policy.allowed_from)))} only: add {source} "
            "to management.addresses in the inventory, or connect from one of those. Nothing was sent"
        )
    return None


def _refused(message: str) -> PartOutcome:
    return PartOutcome(status="refused", message=message)


def _load(
    targets: Sequence[GuestTarget],
    ssh: SshSettings,
    tell: Callable[[tuple[str, str], str], None],
    artifact_dir: Path | None,
) -> dict[tuple[str, str], PartOutcome]:
    by_host = {host_name(target): target for target in targets}
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}

    def follow(result: TaskResult) -> None:
        now = time.monotonic()
        begun.setdefault(result.host, now)
        ended[result.host] = now
        if result.task == LOAD and result.kind == "start":
            tell(by_host[result.host].key, "load the firewall")
        elif result.task == LOAD and result.result.get("changed"):
            tell(by_host[result.host].key, "confirm the firewall over a new connection")

    run = run_playbook("firewall.yml", targets, ssh, on_result=follow, artifact_dir=artifact_dir)
    outcomes = {}
    for host, target in by_host.items():
        results = {r.task: r for r in run.results if r.host == host and r.kind not in ("start", "skipped")}
        fared = outcome(target, results, run.output)
        outcomes[target.key] = replace(fared, seconds=ended.get(host, 0.0) - begun.get(host, 0.0))
    return outcomes


def outcome(target: GuestTarget, results: Mapping[str, TaskResult], output: str) -> PartOutcome:
    """Read from what the tasks of the playbook said how it went in one guest."""
    load = results.get(LOAD)
    if load is None:
        status: Status = "failed"
        message = f"Ansible did not get as far as to this machine: {output}"
    elif load.kind == "unreachable":
        status, message = "unreachable", f"SSH failed while the rules were sent: {reason_of(load)}"
    elif load.kind == "failed":
        status, message = (
            "failed",
            f"the guest did not load the rules, those of before are in force: {reason_of(load)}",
        )
    elif load.result.get("stdout", "").startswith("unchanged"):
        return PartOutcome(status="unchanged")
    elif _REPORT not in results and _CONFIRM in results:
        return PartOutcome(status="changed")
    else:
        afterwards = results.get(_AFTERWARDS)
        back = afterwards is not None and afterwards.result.get("stdout", "").startswith("rolled-back")
        status = "rolled-back" if back else "unreachable"
        message = reason_of(results[_REPORT]) if _REPORT in results else output
    return PartOutcome(status=status, message=f"{target.name}: {message}")
