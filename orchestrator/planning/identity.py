"""Whether a VM whose mark is lost is the machine that it seems to be, and the mark that it gets back. Pure.

Pool, tags and name can be set by whoever may edit a VM. What proves more: an archive of that very VM holds a
configuration with our mark, and the VM still has the identifier (``smbios1``) and the MAC addresses that stand there.
Proxmox gives a clone others.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.errors import Reason
from orchestrator.guests.keys import fingerprints
from orchestrator.proxmox import PropertyString
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.marks import UnreadableMark
from orchestrator.resources.notes import Mark, parse_mark
from orchestrator.resources.ownership import tags_of
from orchestrator.resources.ssh_keys import keys_in
from orchestrator.resources.tags import OWNER_TAG, pool_of

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig, VmSummary
    from orchestrator.resources.desired import DesiredMachine

_CARD = re.compile(r"net\d+")
_MAC = re.compile(r"(?:^|,|=)((?:[0-9A-F]{2}:){5}[0-9A-F]{2})(?=,|$)", re.IGNORECASE)


def has_lost_its_mark(client: str, machine: str, summary: VmSummary, config: VmConfig) -> Reason:
    """Why a VM is not one that only lost its mark; empty if it is, by its pool, its tags and its name.

    Args:
        client, machine: what it is to be.
        summary: as the cluster lists it.
        config: its configuration.
    """
    try:
        mark = parse_mark(config.effective("description") or "")
    except UnreadableMark as error:
        if (error.client or client, error.machine or machine) != (client, machine):
            return f"what is left of its mark names {error.client}/{error.machine}"
        mark = None
    if mark is not None:
        return f"its notes carry the mark of {mark.client}/{mark.machine}"
    if summary.template:
        return "it is a template"
    pool = pool_of(client)
    if summary.pool != pool:
        return f"it is in {f'the pool {summary.pool}' if summary.pool else 'no pool'}, not in {pool}"
    if missing := sorted({OWNER_TAG, pool} - tags_of(config)):
        return f"it lacks the tag {missing[0]}"
    if (name := config.effective("name")) != machine:
        return f"it is called {name}, not {machine}"
    return ""


def not_the_same(now: VmConfig, then: VmConfig) -> Reason:
    """Why a VM is not the one whose configuration an archive holds; empty if it is.

    Args:
        now: its configuration.
        then: the one inside the archive.
    """
    identifiers = [_identifier(config) for config in (now, then)]
    if None not in identifiers and identifiers[0] != identifiers[1]:
        return "its identifier (smbios1 uuid) is another one than that of the machine in the archive"
    if not _macs(now) & _macs(then):
        return "it has none of the MAC addresses of the machine in the archive"
    return ""


def regained_mark(mark: Mark, now: VmConfig, desired: DesiredMachine | None) -> tuple[Mark | None, Reason]:
    """The mark that a VM gets back: what its archive knew. What is inside its guest today is not known.

    Args:
        mark: the one inside the archive.
        now: the VM's configuration.
        desired: what its file asks for; None if no sound file has it.

    Returns:
        The mark; None, and why, if a disk was added since and nobody knows which one of the file it is.
    """
    added = [slot for slot in disk_slots(now) if slot.name not in mark.slots.values()]
    unplaced = [(name, size) for name, size in desired.disks if name not in mark.slots] if desired else []
    slots = dict(mark.slots)
    if len(added) == 1 == len(unplaced) and added[0].gibibytes == unplaced[0][1]:
        slots[unplaced[0][0]] = added[0].name
    elif added:
        names = ", ".join(slot.name for slot in added)
        return None, (
            f"it has got disks since its archive was made ({names}), and which of the file's disks they are is not "
            "known"
        )
    keys = tuple(sorted({*fingerprints(keys_in(now.effective("sshkeys"))), *(mark.keys or ())}))
    return replace(
        mark,
        vmid=now.vmid,
        firewall=None,
        keys=keys,
        supervised=False,
        update=None,
        restart=None,
        slots=slots,
    ), ""


def _identifier(config: VmConfig) -> str | None:
    uuid = PropertyString.parse(config.effective("smbios1") or "").get("uuid")
    return uuid.lower() if uuid else None


def _macs(config: VmConfig) -> frozenset[str]:
    cards = (config.effective(key) or "" for key in config.current if _CARD.fullmatch(key))
    return frozenset(mac.lower() for card in cards for mac in _MAC.findall(card))
