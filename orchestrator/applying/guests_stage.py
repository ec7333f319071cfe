"""The part of ``apply`` inside the guests: wait until they are up, learn their host keys, bring them to their files."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from orchestrator.applying.guest_of_machine import guest_of
from orchestrator.applying.host_keys import Holders, KeyHolder, key_objection
from orchestrator.applying.machine_work import Waiting
from orchestrator.applying.stopping import Interrupted
from orchestrator.errors import OrchestratorError, told
from orchestrator.guests import (
    Guest,
    PartOutcome,
    SshSettings,
    learn_host_keys,
    wait_for_ssh,
)
from orchestrator.guests.inside import FIREWALL
from orchestrator.guests.machines import configure_machines
from orchestrator.guests.trust import NoHostKey
from orchestrator.proxmox import ping_agent
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import GUEST_KINDS, PARTS
from orchestrator.resources.machine import new_mark
from orchestrator.resources.notes import Mark

_POLL_SECONDS = 2.0
_KEYS_SECONDS = 240.0
"""How long a guest whose agent answers may go without a host key: its first boot is still at it."""


def configure_guests(
    machines: list[Waiting], ssh: SshSettings, *, boot_seconds: float
) -> dict[tuple[str, str], str | None]:
    """Wait for the guests, then bring all that differ to what is asked of them in one run.

    Args:
        machines: those that were switched on or restarted, or that differ inside.
        ssh: how to reach them.
        boot_seconds: how long to wait for a guest to boot.

    Returns:
        For each machine None if all went well, else the reason.
    """
    results: dict[tuple[str, str], str | None] = {}
    guests: list[Guest] = []
    found: list[tuple[Waiting, Guest]] = []
    if not machines:
        return results
    with ThreadPoolExecutor(len(machines), thread_name_prefix="boot") as pool:
        booted = pool.map(lambda machine: _await_guest(machine, ssh, boot_seconds), machines)
        for machine, (guest, problem) in zip(machines, booted, strict=True):
            results[machine.key] = problem
            found += [(machine, guest)] if guest else []
    known = _holders(found)
    for machine, guest in found:
        if objection := key_objection(guest.client, guest.host_keys, known):
            results[machine.key] = objection
        elif machine.inside:
            guests.append(guest)
        else:
            results[machine.key] = _note_host_keys(machine, guest)
    stopping = machines[0].work.around.journal.stopping
    if stopping.stops:
        return results | {guest.key: str(Interrupted()) for guest in guests}
    if not guests:
        return results
    by_key = {machine.key: machine for machine in machines}

    def show(key: tuple[str, str], part: str) -> None:
        by_key[key].work.around.journal.progress.step(*key, part)

    with stopping.finishing("Ansible in " + ", ".join("/".join(guest.key) for guest in guests)):
        outcomes = configure_machines(guests, ssh, PARTS, on_event=show)
        for guest in guests:
            results[guest.key] = _note(by_key[guest.key], guest, outcomes[guest.key])
    return results


def _holders(found: list[tuple[Waiting, Guest]]) -> Holders:
    """Who is known by which host key: as the marks have it, and as the guests of this run have just told."""
    sent = next((machine for machine, guest in found if _entrusts(machine, guest)), None)
    known = dict(sent.work.around.key_holders()) if sent else {}
    for machine, guest in found:
        summary = machine.observed.summary
        for key in guest.host_keys:
            here = KeyHolder(guest.client, f"VM {summary.vmid} at {machine.observed.site}")
            known[key] = (*known.get(key, ()), here)
    return known


def _entrusts(machine: Waiting, guest: Guest) -> bool:
    """Whether something is sent to a guest, or a host key is trusted that its mark does not have yet."""
    mark = machine.observed.mark
    return machine.inside or mark is None or not set(guest.host_keys) <= set(mark.host_keys)


def _await_guest(machine: Waiting, ssh: SshSettings, boot_seconds: float) -> tuple[Guest | None, str | None]:
    around, summary = machine.work.around, machine.observed.summary
    cluster = machine.work.cluster
    around.journal.progress.step(*machine.key, "wait for the guest to boot")
    deadline = time.monotonic() + boot_seconds
    try:
        while not ping_agent(cluster, summary.node, summary.vmid):
            if time.monotonic() > deadline:
                return None, (
                    f"the guest of VM {summary.vmid} did not come up within {boot_seconds:.0f} s (its agent is "
                    "silent): "
                    f"look at its console on {summary.node}; the machine is kept, apply again continues from here"
                )
            around.pause(_POLL_SECONDS)
        guest = guest_of(
            machine.desired,
            machine.observed,
            machine.observed.mark or new_mark(machine.desired),
            address=str(machine.work.plan.address),
            host_keys=_host_keys(machine, deadline),
        )
        if _entrusts(machine, guest) and (
            objection := key_objection(guest.client, guest.host_keys, around.key_holders())
        ):
            return None, objection
        around.journal.progress.step(*machine.key, "wait for SSH")
        seconds = max(deadline - time.monotonic(), ssh.connect_timeout_seconds)
        wait_for_ssh(guest, ssh, seconds, pause=around.pause)
    except Exception as error:  # whatever one machine stumbles over, the others go on
        return None, told(error)
    return guest, None


def _host_keys(machine: Waiting, deadline: float) -> tuple[str, ...]:
    """The guest's host keys. A first boot makes them after the agent has come up, so they are waited for."""
    cluster, summary, pause = machine.work.cluster, machine.observed.summary, machine.work.around.pause
    until = min(deadline, time.monotonic() + _KEYS_SECONDS)
    while True:
        try:
            return learn_host_keys(cluster, summary.node, summary.vmid)
        except NoHostKey:
            if time.monotonic() + _POLL_SECONDS > until:
                raise
            pause(_POLL_SECONDS)


def _note_host_keys(machine: Waiting, guest: Guest) -> str | None:
    """A restart can bring new host keys: cloud-init makes them anew when its settings have changed."""
    try:
        machine.work.note(machine.observed, lambda mark: mark.with_(host_keys=guest.host_keys))
    except OrchestratorError as error:
        return str(error)
    return None


def _note(machine: Waiting, guest: Guest, outcomes: dict[str, PartOutcome]) -> str | None:
    """Record what happened in the guest, and in the mark what is known of it now."""
    desired, journal = machine.desired, machine.work.around.journal
    problem = None
    try:
        for part in PARTS:
            outcome = outcomes.get(part.name)
            if outcome is None or (outcome.status == "unchanged" and part.name != FIREWALL):
                continue
            journal.record(
                desired.client,
                desired.name,
                desired.site,
                part.name,
                result="ok" if outcome.good else ("refused" if outcome.status == "refused" else "failed"),
                message=outcome.message or outcome.status,
                seconds=outcome.seconds,
                details=dict(part.details(guest)),
            )
            if not outcome.good:
                problem = problem or f"{part.name}: {outcome.message}"
        good = {part for part, outcome in outcomes.items() if outcome.good}
        if good:
            machine.work.note(machine.observed, lambda mark: _with_parts(mark, desired, guest, good))
    except OrchestratorError as error:
        return problem or str(error)
    return problem


def _with_parts(mark: Mark, desired: DesiredMachine, guest: Guest, good: set[str]) -> Mark:
    """The mark with what was brought into the guest."""
    for kind in GUEST_KINDS:
        mark = kind.note(mark, desired) if kind.part.name in good else mark
    return mark.with_(host_keys=guest.host_keys) if FIREWALL in good else mark
