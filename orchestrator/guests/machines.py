"""Everything that we care for in a machine, in one Ansible run over many: firewall, SSH keys, and more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from orchestrator.guests import firewall, keys
from orchestrator.guests.alerts import alerts_in
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.inside import InsideReading
from orchestrator.guests.inventory import host_name
from orchestrator.guests.outcome import PartOutcome, is_other_host_key, reason_of
from orchestrator.guests.packages import due_in
from orchestrator.guests.part import Part, Tell
from orchestrator.guests.playbooks import MACHINES_AT_ONCE, TaskResult, run_playbook

FIRST_PARTS = (firewall.PART, keys.PART)
"""What is cared for in any case, in the order of the playbook."""

Key = tuple[str, str]


def configure_machines(
    guests: Sequence[Guest],
    ssh: SshSettings,
    parts: Sequence[Part] = FIRST_PARTS,
    *,
    on_event: Callable[[Key, str], None] | None = None,
) -> dict[Key, dict[str, PartOutcome]]:
    """Bring machines to what their guests say: one Ansible run for all, failures kept apart.

    Args:
        guests: the machines.
        ssh: how they are reached.
        parts: what is cared for, in the order of the playbook.
        on_event: called with client and machine and what begins there.

    Returns:
        For every guest the outcome of each part that was come to; the first one that is not good ended its turn.
        Nothing is raised for what goes wrong in or on the way to a guest.
    """
    tell: Tell = on_event or (lambda key, step: None)
    outcomes: dict[Key, dict[str, PartOutcome]] = {}
    if not guests:
        return outcomes
    with ThreadPoolExecutor(min(len(guests), MACHINES_AT_ONCE), thread_name_prefix="ssh") as pool:
        objections = list(pool.map(lambda guest: _objection(guest, parts, ssh, tell), guests))
    admitted = []
    for guest, objection in zip(guests, objections, strict=True):
        if objection is None:
            admitted.append(guest)
        else:
            outcomes[guest.key] = objection
    if not admitted:
        return outcomes
    by_host = {host_name(guest): guest for guest in admitted}
    part_of = {part.task: part for part in parts}
    begun: dict[tuple[str, str], float] = {}
    ended: dict[tuple[str, str], float] = {}

    def follow(result: TaskResult) -> None:
        part = part_of.get(result.task)
        if part is None or not part.concerns(by_host[result.host]):
            return
        if (result.host, part.name) not in begun:
            begun[result.host, part.name] = time.monotonic()
            tell(by_host[result.host].key, part.name)
        ended[result.host, part.name] = time.monotonic()
        if part.then and result.result.get("changed"):
            tell(by_host[result.host].key, part.then)

    run = run_playbook("machine.yml", admitted, ssh, on_result=follow)
    for host, guest in by_host.items():
        found = _outcomes(guest, parts, run.of(host), run.output)
        outcomes[guest.key] = {
            part: replace(outcome, seconds=ended.get((host, part), 0.0) - begun.get((host, part), 0.0))
            for part, outcome in found.items()
        }
    return outcomes


def look_into_machines(
    guests: Sequence[Guest],
    ssh: SshSettings,
    parts: Sequence[Part] = FIRST_PARTS,
    *,
    refresh: bool = False,
    timeout_seconds: float = 900.0,
    run_seconds: float | None = None,
) -> dict[Key, InsideReading]:
    """See what differs in machines from what their guests say, and what updates are due. Changes nothing.

    Args:
        guests: the machines.
        ssh: how they are reached.
        parts: what is looked at, in the order of the playbook.
        refresh: fetch the package lists first.
        timeout_seconds: how long one machine may take with its packages.
        run_seconds: how long all may take; None: as long as they may one by one.

    Returns:
        What was seen in each, or why it could not be looked at.
    """
    if not guests:
        return {}
    more = {"update_refresh": refresh, "update_seconds": int(timeout_seconds)}
    variables = {guest.key: more for guest in guests}
    run = run_playbook("look.yml", guests, ssh, check=True, variables=variables, run_seconds=run_seconds)
    return {guest.key: _reading(guest, parts, run.of(host_name(guest)), run.output) for guest in guests}


def _objection(
    guest: Guest, parts: Sequence[Part], ssh: SshSettings, tell: Tell
) -> dict[str, PartOutcome] | None:
    """Why nothing must be sent to a machine; None if it may."""
    for part in parts:
        if objection := part.objection(guest, ssh, tell):
            return {part.name: objection}
    return None


def _outcomes(
    guest: Guest, parts: Sequence[Part], results: Mapping[str, TaskResult], output: str
) -> dict[str, PartOutcome]:
    found = ((part.name, part.outcome(guest, results, output)) for part in parts)
    return {name: outcome for name, outcome in found if outcome is not None}


def _reading(
    guest: Guest, parts: Sequence[Part], results: Mapping[str, TaskResult], output: str
) -> InsideReading:
    """What was seen. Where one part could not be looked at, what was seen of the others counts all the same."""
    outcomes = _outcomes(guest, parts, results, output)
    due = due_in(guest, results)
    alerts = alerts_in(results)
    problems = [outcome.message for outcome in outcomes.values() if not outcome.good]
    if isinstance(due, str):
        problems.append(due)
    if isinstance(alerts, str):
        problems.append(f"{guest.name}: {alerts}")
    if due is None and not problems:
        failed = [
            reason_of(result) for result in results.values() if result.kind in ("failed", "unreachable")
        ]
        problems.append("; ".join(failed) or f"{guest.name}: {output}")

    return InsideReading(
        problem="; ".join(problems),
        other_host_key=any(
            is_other_host_key(result) for result in results.values() if result.kind == "unreachable"
        ),
        differs={
            part: outcome.differences or (f"the {part} differs",)
            for part, outcome in outcomes.items()
            if outcome.status == "changed"
        },
        foreign_keys=keys.foreign_keys(results),
        due=None if isinstance(due, str) else due,
        alerts=None if isinstance(alerts, str) else alerts,
    )
