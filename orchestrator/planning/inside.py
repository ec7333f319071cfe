"""The changes inside a machine: firewall, SSH keys, supervision; and what somebody changed there by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.guests.inside import InsideReading
from orchestrator.resources.change import UPDATES, Change, Effect, State
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import GUEST_KINDS
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine


def inside_changes(
    desired: DesiredMachine,
    observed: ObservedMachine,
    mark: Mark,
    reading: InsideReading | None,
    *,
    reachable: bool,
) -> list[Change]:
    """Every change inside a machine that exists and is ours.

    Args:
        desired: the file's side.
        observed: the hypervisor's side.
        mark: what is known to have been brought into the guest.
        reading: what was seen in it; None if nobody looked.
        reachable: whether the guest can be worked on in this run; else its changes wait for its start.
    """
    if mark.adopted and mark.firewall is None and (reading is None or reading.problem):
        why = (
            "as it was taken over: apply --guests brings firewall, keys and supervision, once SSH lets us in"
        )
        if reading and reading.problem:
            why = f"{why}: {reading.problem}"
        return [Change(effect=Effect.NOTICE, what="guest", after=State.LEFT_ALONE, why=why)]
    found = [
        change if reachable else replace(change, effect=Effect.WAITING, why=kind.waits)
        for kind in GUEST_KINDS
        if (change := kind.change(desired, observed, mark))
    ]
    if reachable and reading is not None:
        found += _drift(reading, {change.what for change in found})
    return found


def _drift(reading: InsideReading, changing: set[str]) -> Iterator[Change]:
    """What a look into the guest showed, but for what changes anyway."""
    if reading.other_host_key:
        yield Change(
            effect=Effect.GUEST,
            what="SSH host key",
            after=State.LEARNT_ANEW,
            drift=True,
            why="the guest answers with another key than the one known: it made new ones, or another machine has its "
            "address",
        )
        return
    if reading.problem:
        yield Change(effect=Effect.NOTICE, what="guest", after=State.PARTLY_READ, why=reading.problem)
    for kind in GUEST_KINDS:
        lines = reading.differs.get(kind.part.name)
        if lines and kind.part.name not in changing:
            yield kind.changed(lines, State.AS_FILE, drift=True)
    for kind in GUEST_KINDS:
        yield from kind.notices(reading)
    yield from _packages(reading)


def _packages(reading: InsideReading) -> Iterator[Change]:
    due = reading.due
    if due is None:
        return
    if due.ready:
        security = sum(package.security for package in due.ready)
        why = "orchestrator update installs them" if not due.interrupted else None
        after = {"security": security, "other": len(due.ready) - security}
        yield Change(effect=Effect.NOTICE, what="updates", thing=UPDATES, after=after, why=why)
    if due.interrupted:
        why = "orchestrator update repairs it first"
        yield Change(
            effect=Effect.NOTICE,
            what="packages",
            thing=UPDATES,
            after=State.INTERRUPTED,
            why=why,
        )
    if due.reboot:
        yield Change(
            effect=Effect.NOTICE, what="restart", after=due.reboot, why="orchestrator update --restart-now"
        )
