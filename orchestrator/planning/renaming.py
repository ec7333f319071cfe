"""A machine under a new name: how a plan says it, why it cannot be, and what looks like it though no file says so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.guests.rules import policy_to_data
from orchestrator.resources.change import CLIENT, RENAMED, Change, Effect

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

Key = tuple[str, str]
"""Client and machine."""

Own = Mapping[Key, Sequence["ObservedMachine"]]
"""Machines of ours, by client and machine."""


def still_there(desired: DesiredMachine, own: Own, named: Collection[Key]) -> Change | None:
    """A machine under a former name beside the one that has the new name already, or several of them.

    Args:
        desired: the file's side.
        own: all machines of ours; those that are being renamed under their new names.
        named: the machines of all files.
    """
    done = [key for machine in own.get(desired.key, ()) if machine.mark for key in machine.mark.former]
    old = [
        machine
        for key in desired.former_keys
        if key not in done and key not in named
        for machine in own.get(key, ())
    ]
    if not old or (not own.get(desired.key) and len(old) == 1):
        return None
    where = " and ".join(f"{_name(machine)} (VM {machine.summary.vmid})" for machine in old)
    verb = "is" if len(old) == 1 else "are"
    why = (
        f"{where} {verb} there as well, and no machine is put in the place of another: take was out of the file"
        if own.get(desired.key)
        else f"{where} {verb} there, and only one of them can be {desired.name}: name that one, and the others too"
    )
    return Change(effect=Effect.REFUSED, what=RENAMED, before=_before(desired), after=desired.name, why=why)


def waits_for_name(machine: ObservedMachine, mark: Mark, desired: Iterable[DesiredMachine]) -> Change | None:
    """Why a machine that left its file is not retired: a file says that it is to be renamed, and it cannot be."""
    asking = next((item for item in desired if mark.key in item.former_keys), None)
    if asking is None:
        return None
    why = (
        f"{asking.client}/{asking.name} was this machine, says its file, and that is refused: see there. It is not "
        "retired meanwhile"
    )
    return Change(effect=Effect.REFUSED, what=RENAMED, before=mark.machine, after=asking.name, why=why)


def refusal(desired: DesiredMachine, machine: ObservedMachine) -> Change | None:
    """Why a machine cannot be renamed as its file says; None if it can, or is not to be."""
    old = machine.renaming
    if old is None:
        return None
    if machine.site != desired.site:
        why = (
            f"{_name(machine)} runs at {machine.site} as VM {machine.summary.vmid}, and a machine is never moved by "
            f"renaming it: set the site back to {machine.site}, or take was out"
        )
    elif old.client != desired.client and old.contract != desired.contract:
        why = (
            f"VM {machine.summary.vmid} is {old.client}'s by the contract {old.contract}, and this file has "
            f"{desired.contract}: a machine never changes hands by a file. If it is one client under a new name, leave "
            "contract.reference as it is until that is applied"
        )
    else:
        return None
    return Change(effect=Effect.REFUSED, what=RENAMED, before=_before(desired), after=desired.name, why=why)


def renaming(desired: DesiredMachine, machine: ObservedMachine) -> tuple[Change, ...]:
    """The changes that give a machine its new name; none if it has it."""
    old = machine.renaming
    if old is None:
        return ()
    vmid = machine.summary.vmid
    changes = []
    if old.client != desired.client:
        why = f"VM {vmid} keeps its number, disks, snapshots and backups; its history is that of {desired.client}"
        changes.append(
            Change(effect=Effect.UPDATE, what=CLIENT, before=old.client, after=desired.client, why=why)
        )
    if old.machine != desired.name:
        inside = (
            "its name in Proxmox and its host name are left alone, for it was taken over"
            if old.adopted
            else "cloud-init gives it the new host name at its next start, and new SSH host keys with it"
        )
        why = f"VM {vmid} keeps its number, disks, snapshots, backups and history; {inside}"
        changes.append(
            Change(effect=Effect.UPDATE, what=RENAMED, before=old.machine, after=desired.name, why=why)
        )
    return tuple(changes)


def unknown_before(desired: DesiredMachine, clients: Collection[str]) -> tuple[Change, ...]:
    """A machine that is made, though its file says that it was there under another name.

    Args:
        desired: the file's side: there is no machine of it.
        clients: those that have a machine.
    """
    told = []
    if desired.was is not None:
        told.append(f"{desired.client} has no machine {desired.was}")
    if desired.client_was is not None and desired.client_was not in clients:
        told.append(f"no machine is {desired.client_was}'s")
    if desired.was is None or not told:
        return ()
    why = (
        f"{' and '.join(told)} at the sites that were read, so a new one is made: correct was, or take it out"
    )
    return (Change(effect=Effect.NOTICE, what=RENAMED, before=desired.was, after=desired.name, why=why),)


def likely_renames(
    made: Iterable[DesiredMachine], leaving: Iterable[ObservedMachine]
) -> dict[Key, tuple[Change, ...]]:
    """What looks like a rename though no file says so: the only new machine that is as one that left the file.

    Args:
        made: machines that are to be made.
        leaving: machines that are to be retired.

    Returns:
        A notice for each new machine that looks like an old one, which says how to say so.
    """
    there: dict[tuple[str, str], list[ObservedMachine]] = defaultdict(list)
    for machine in leaving:
        if machine.mark:
            there[machine.site, machine.mark.client].append(machine)
    fits = [
        (desired, machine)
        for desired in made
        for machine in there.get((desired.site, desired.client), ())
        if _alike(desired, machine)
    ]
    new = Counter(desired.key for desired, _ in fits)
    old = Counter((machine.site, machine.summary.vmid) for _, machine in fits)
    return {
        desired.key: (_looks_like(desired, machine),)
        for desired, machine in fits
        if new[desired.key] == old[machine.site, machine.summary.vmid] == 1
    }


def _looks_like(desired: DesiredMachine, old: ObservedMachine) -> Change:
    name = old.mark.machine if old.mark else old.summary.name
    why = (
        f"it looks like {name} (VM {old.summary.vmid}) renamed: same image, sizes, disks and firewall. If it is, write "
        f"`was: {name}` below its name: then it keeps VM {old.summary.vmid} and its data. As it is, an empty machine "
        f"is made and {name} is retired"
    )
    return Change(effect=Effect.NOTICE, what=RENAMED, before=name, after=desired.name, why=why)


def _alike(desired: DesiredMachine, observed: ObservedMachine) -> bool:
    """Whether a file asks for what a machine is: nothing but the name differs, and an address that is not said."""
    mark = observed.mark
    if mark is None or mark.applied is None:
        return False
    had = mark.applied
    return (
        (mark.image, mark.offer) == (desired.image, str(desired.offer))
        and (had.vcpus, had.memory) == (desired.file.vcpus, desired.file.memory)
        and dict(had.disks) == dict(desired.disks)
        and (had.backup_days, had.power) == (desired.backup_days, desired.power)
        and had.network == (desired.network.bridge, desired.network.vlan)
        and desired.address in (None, observed.address)
        and (mark.firewall is None or mark.firewall == policy_to_data(desired.policy))
    )


def _name(machine: ObservedMachine) -> str:
    mark = machine.renaming or machine.mark
    return f"{mark.client}/{mark.machine}" if mark else machine.summary.name


def _before(desired: DesiredMachine) -> str:
    return desired.was or f"{desired.client_was}/{desired.name}"
