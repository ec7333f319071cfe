"""Which machines that were read are ours, which only look it, and what the cluster's list tells too little of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.proxmox import NotFound, ProxmoxError, Unreachable, VmSummary, read_pool_members
from orchestrator.resources.copies import COPY_TAG
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.oddity import oddity
from orchestrator.resources.ownership import CLONING, claimed, other_number, sort_out, tags_of
from orchestrator.resources.scope import looks_ours
from orchestrator.resources.tags import CLIENT_POOL, OWNER_TAG, pool_of
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState
    from orchestrator.resources.machine_reading import MachineReader


def judged(
    reader: MachineReader,
    machines: Iterable[ObservedMachine],
    wanted: Collection[str],
    before: Mapping[str, str],
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """Part machines that can be understood into ours and those that only look it; strangers are left out.

    Args:
        reader: of their cluster.
        machines: as they were read.
        wanted: names of the machines of files.
        before: what clients were called before, as their files say, by their names of today.
    """
    troubles: list[Unreadable] = []
    claims: list[ObservedMachine] = []
    for machine in machines:
        mark, summary = machine.mark, machine.summary
        if mark is None:
            if not summary.template and _bears_our_tags(machine):
                why = (
                    "it bears our tags, and its notes carry no mark of ours (were they overwritten?): put the notes "
                    f"back, write `adopt: {summary.vmid}` to the machine in its file to have it marked anew, or take "
                    "our tags off it"
                )
                troubles.append(replace(reader.unread(summary, why), addresses=machine.addresses))
        elif summary.template:
            troubles.append(claimed(machine, mark, _made_a_template(mark, summary)))
        else:
            found = _with_pool(reader, machine, mark)
            if isinstance(found, str):
                reason = f"whether it is in its client's pool could not be read: {found}"
                troubles.append(claimed(machine, mark, reason))
            else:
                claims.append(found)
    ours, others = sort_out(claims, wanted, before)
    return ours, troubles + others


def _bears_our_tags(machine: ObservedMachine) -> bool:
    tags = tags_of(machine.config)
    return COPY_TAG not in tags and any(tag == OWNER_TAG or tag.startswith(CLIENT_POOL) for tag in tags)


def _made_a_template(mark: Mark, summary: VmSummary) -> str:
    return (
        f"{mark.client}/{mark.machine} was made a template, which cannot be started: `qm clone {summary.vmid} NEWID "
        f"--full 1 --name {mark.machine}` on {summary.node} makes a machine of it again; write `adopt: NEWID` to the "
        "machine in its file, apply, and remove the template in the end"
    )


def _with_pool(reader: MachineReader, machine: ObservedMachine, mark: Mark) -> ObservedMachine | str:
    """The machine with its pool. The cluster's list may lack that of a machine made seconds ago: then it is asked."""
    summary = machine.summary
    if summary.pool is not None or summary.lock in CLONING or other_number(mark, summary.vmid):
        return machine
    pool = pool_of(mark.client)
    try:
        members = read_pool_members(reader.cluster, pool)
    except NotFound:
        return machine
    except Unreachable:
        raise
    except ProxmoxError as error:
        return str(error)
    return replace(machine, summary=replace(summary, pool=pool)) if summary.vmid in members else machine


def _may_be_adopted(machine: ObservedMachine, adopting: Collection[int]) -> bool:
    summary = machine.summary
    return summary.vmid in adopting and not summary.template and oddity(machine.config) is None


def unlisted(reader: MachineReader, state: ClusterState) -> list[Unreadable]:
    """Machines of which the cluster's list tells too little.

    One on a silent node that a clone was making has no name, no pool and no tags yet: it may be anybody's. And an entry
    of the list that could not be read is a machine all the same.
    """
    unmade = [
        reader.unread(vm, f"it was being made, and {reader.silent[vm.node]}")
        for vm in state.vms
        if vm.node in reader.silent and vm.lock == "clone" and not vm.named and not looks_ours(vm)
    ]
    bad = []
    for entry in state.bad_entries:
        if entry.kind != "machine":
            continue
        listed = VmSummary(
            vmid=entry.vmid or 0,
            name=entry.name,
            node=entry.node or "a node that cannot be read",
            status="unknown",
            template=False,
            tags=entry.tags,
            pool=entry.pool,
            lock=None,
            maxmem=0,
            maxcpu=0,
        )
        bad.append(replace(reader.unread(listed, entry.reason), vmid=entry.vmid, node=entry.node))
    return unmade + bad


def without_twins(
    ours: Iterable[ObservedMachine], troubles: Iterable[Unreadable]
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """Say of what cannot be read whether the machine that it seems to be is ours.

    A mark of version 1 proves too little for that: if a VM that cannot be read bears the same name in the same
    client's pool, that one may be the original.
    """
    kept: list[ObservedMachine] = []
    found = list(troubles)
    unread = {(item.client, item.machine) for item in found if item.guessed and item.addresses is None}
    for machine in ours:
        mark = machine.mark
        if mark and mark.vmid is None and (mark.client, mark.machine) in unread:
            reason = (
                f"another VM seems to be {mark.client}/{mark.machine} as well and cannot be read now, and the notes of "
                "neither say which is the original: see that both can be read first"
            )
            found.append(claimed(machine, mark, reason))
        else:
            kept.append(machine)
    keys = {(machine.mark.client, machine.mark.machine) for machine in kept if machine.mark}
    return kept, [replace(item, copy=(item.client, item.machine) in keys) for item in found]


def unlisted_places(state: ClusterState) -> list[Unreadable]:
    """Nodes and storages whose entry in the cluster's list could not be read."""
    return [
        Unreadable(site=state.site, kind=entry.kind, name=entry.name, reason=entry.reason)
        for entry in state.bad_entries
        if entry.kind in ("node", "storage")
    ]
