"""Whether what is noted of a machine fits into its notes: found when planning, not in the middle of a run."""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address

from orchestrator.counting import counted
from orchestrator.guests.keys import fingerprints
from orchestrator.resources.change import BACKUP, Change, Effect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import GUEST_KINDS
from orchestrator.resources.machine import applied, new_mark
from orchestrator.resources.machine_archives import LONGEST_TEMPLATE, ArchiveMark, notes_template
from orchestrator.resources.marks import MAXIMUM_LENGTH
from orchestrator.resources.notes import notes_length, without_marks
from orchestrator.resources.observed import ObservedMachine

_HOST_KEYS = 800
"""Characters of the host keys of a guest that are not known yet: three kinds, RSA among them."""

_LATER = 400
"""Characters of what comes later: snapshots, an update that is held back, dates."""

NOTED = frozenset({Effect.UPDATE, Effect.FIREWALL, Effect.GUEST})
"""Changes after which more may be noted. A machine is always stopped, whatever its notes hold."""

_HIGHEST_VMID = 999_999_999


def _archive_length(desired: DesiredMachine) -> int:
    """How many characters the notes of its archives have when they are asked for; each hyphen pair counts as eight."""
    mark = ArchiveMark(
        client=desired.client,
        machine=desired.name,
        contract=desired.contract,
        days=desired.backup_days or 1,
        vmid=_HIGHEST_VMID,
        night=dt.date(2999, 12, 31),
    )
    return len(notes_template(mark))


def notes_refusal(
    desired: DesiredMachine, observed: ObservedMachine | None, address: IPv4Address
) -> Change | None:
    """Why a machine's notes cannot hold what is noted of it once it is as its file says; None if they can.

    Proxmox keeps 8,192 characters of notes: our mark, in which the firewall is most, and the text of others.

    Args:
        desired: the file's side.
        observed: the machine; None if it is to be made.
        address: that it has or gets.
    """
    if desired.backup_days is not None and (length := _archive_length(desired)) > LONGEST_TEMPLATE:
        return Change(
            effect=Effect.REFUSED,
            what=BACKUP,
            thing=BACKUP,
            after=desired.backup_days,
            why=f"the notes of its archives would need {length} characters, and vzdump takes {LONGEST_TEMPLATE}: use "
            "fewer double hyphens in the names of client and machine and in the contract's reference",
        )
    notes = (observed.config.effective("description") or "") if observed else ""
    mark = observed.mark if observed else None
    if mark is None:  # new, or of others: it gets a mark in place of any other
        mark, notes = new_mark(desired, _HIGHEST_VMID), without_marks(notes)
    full = mark.with_(
        contract=desired.contract,
        offer=str(desired.offer),
        ready=True,
        slots={name: mark.slots.get(name, "virtio15") for name, _ in desired.disks},
        applied=applied(desired, address),
        keys=fingerprints(desired.ssh_keys),  # those of delivery are noted whatever the offer
    )
    for kind in GUEST_KINDS:
        full = kind.note(full, desired)
    later = 0 if mark.firewall == full.firewall else _LATER + (0 if full.host_keys else _HOST_KEYS)
    length = notes_length(full, notes) + later
    if length <= MAXIMUM_LENGTH:
        return None
    others = len(without_marks(notes))
    opened = counted(len(desired.policy.open) + len(desired.policy.outgoing or ()), "opening")
    return Change(
        effect=Effect.REFUSED,
        what="notes",
        before=others or None,
        after=length,
        why=f"Proxmox keeps {MAXIMUM_LENGTH} characters of notes, and what is noted of this machine ({opened} of its "
        "firewall above all) needs more: open ranges (ports: 8000-8300) instead of single ports, or fewer sources"
        + (", or shorten the text that others wrote in its notes in Proxmox" if others else ""),
    )
