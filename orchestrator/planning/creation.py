"""A machine that is not there yet: it is made, or an existing one is taken over."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from ipaddress import IPv4Address

from orchestrator.contract.calendar import paris_time
from orchestrator.planning.notes_room import notes_refusal
from orchestrator.planning.refusals import (
    address_conflict,
    adoption_refusal,
    image_notices,
    image_refusal,
    namesake,
    no_address,
    only_on,
)
from orchestrator.resources.attributes import ATTRIBUTES
from orchestrator.resources.change import Change, Effect, NewMachine, State
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import GUEST_KINDS, KINDS, asked_of_kinds
from orchestrator.resources.machine import new_mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite


def creation(desired: DesiredMachine, site: ObservedSite, address: IPv4Address | None) -> tuple[Change, ...]:
    """What making a machine takes, or why it cannot be made.

    Args:
        desired: the file's side.
        site: where it would be made.
        address: that was chosen for it; None if none could be.
    """
    if refusal := namesake(desired, site) or image_refusal(desired, site):
        return (refusal,)
    if address is None:
        return (no_address(desired, site),)
    if refusal := address_conflict(desired, site, address):
        return (refusal,)
    if impossible := tuple(
        replace(change, thing=kind.name) for kind in KINDS for change in kind.refusals(desired, site.state)
    ):
        return impossible
    if refusal := notes_refusal(desired, None, address):
        return (refusal,)
    made = NewMachine(
        attributes={row.name: row.asked(desired, address) for row in ATTRIBUTES if row.created},
        disks=dict(desired.disks),
        address=address,
        image=desired.image,
        nodes=tuple(only_on(desired, site)),
        backup_days=desired.backup_days,
        kinds=asked_of_kinds(desired),
    )
    return (
        Change(effect=Effect.CREATE, what="machine", after=made),
        *(
            change if desired.power == "running" else replace(change, effect=Effect.WAITING)
            for kind in GUEST_KINDS
            if (change := kind.change(desired, None, new_mark(desired)))
        ),
        *image_notices(desired, site),
    )


def archives_left(client: str, machine: str, backed_up: dt.datetime) -> Change:
    """A new machine that was there before, and was backed up: what is made is empty, and its archives may be there."""
    why = (
        f"{client}/{machine} was there and was backed up, and no site that was read has it: an empty machine is made "
        f"in its place. To have it back with its data instead: orchestrator backup restore {client}/{machine} "
        "--recreate"
    )
    return Change(
        effect=Effect.NOTICE,
        what="archives",
        before=f"last backup {paris_time(backed_up)}",
        after=State.LEFT_ALONE,
        why=why,
    )


def adoption(
    desired: DesiredMachine, site: ObservedSite, found: ObservedMachine | None, address: IPv4Address | None
) -> Change:
    """Article 4.2: the machine is ours from now on; nothing of it changes but its notes, tags and pool."""
    refusal = adoption_refusal(desired, site, found, address)
    if refusal is not None or found is None:
        return refusal or no_address(desired, site)
    summary = found.summary
    return Change(
        effect=Effect.ADOPT,
        what="machine",
        before=f"VM {summary.vmid} {summary.name} on {summary.node}",
        after=State.ADOPTED,
        why="only its notes, tags and pool change; its guest is left alone until apply --guests",
    )
