"""Which machines are ours: those whose mark, pool, tags and number agree.

A mark is a claim. ``qm clone`` copies notes and tags, an archive restores them under another number, and whoever may
edit a VM may write them. So a machine is ours only if its mark names its VM, its client's pool holds it and it bears
our tags. What agrees in part is kept as it is, named, and asked about; nothing is ever done to it.

Three things are less than that for a time. A machine whose creation is not finished gets its tags with its
configuration, and its pool when its clone has ended. A machine that was erased and restored by hand under its own
number is in no pool: as its mark names that number, it is ours, and the next apply puts it into its pool; one that is
in another's pool is not. And marks of version 1 name no VM: one is taken for what it says if pool and tags agree, and
if it is the only one; of two that agree nobody can tell the original from the copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchestrator.counting import plural
from orchestrator.errors import Reason
from orchestrator.resources.tags import CLIENT_POOL as CLIENT_POOL
from orchestrator.resources.tags import OWNER_TAG, pool_of
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig, VmSummary
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

CLONING = frozenset({"clone", "create"})
"""Locks of machines whose clone has not ended."""


def tags_of(config: VmConfig) -> frozenset[str]:
    """A VM's tags by its own configuration: the cluster's list may lag behind by ten seconds."""
    text = config.effective("tags") or ""
    return frozenset(tag.lower() for tag in text.replace(",", ";").replace(" ", ";").split(";") if tag)


def other_number(mark: Mark, vmid: int) -> Reason | None:
    """Why a mark is not that of the VM in whose notes it stands; None if it is, or does not say."""
    if mark.vmid in (None, vmid):
        return None
    return f"its notes carry the mark of VM {mark.vmid}, {mark.client}/{mark.machine}"


def lacks_tags(mark: Mark, tags: frozenset[str]) -> str | None:
    """Which of our tags a machine lacks, and how to put them back; None if it has them, or has none yet."""
    missing = sorted({OWNER_TAG, pool_of(mark.client)} - tags)
    if not missing or not mark.applied:  # they come with the first configuration
        return None
    return f"it lacks the {plural(len(missing), 'tag')} {' and '.join(missing)}: add them in Proxmox"


def _wrong_pool(mark: Mark, summary: VmSummary, before: str | None) -> str | None:
    wanted = pool_of(mark.client)
    if summary.pool == wanted or (before is not None and summary.pool == pool_of(before)):
        return None
    if summary.pool is None and (summary.lock in CLONING if not mark.applied else mark.vmid is not None):
        return None
    if summary.pool is None and not mark.applied:
        return (
            f"its creation was cut off before it was in the pool {wanted}: `qm destroy {summary.vmid}` on "
            f"{summary.node}, then apply again"
        )
    move = " --allow-move 1" if summary.pool else ""
    where = f"in the pool {summary.pool}" if summary.pool else "in no pool"
    return (
        f"it is {where}, not in {wanted}: `pvesh set /pools/{wanted} --vms {summary.vmid}{move}` puts it back"
    )


def _copied(mark: Mark, summary: VmSummary) -> str:
    name = f"{mark.client}/{mark.machine}"
    return (
        f"{other_number(mark, summary.vmid)}: it is a copy, was restored under another number, or was renumbered. If "
        f"it is to be {name} from now on, write `adopt: {summary.vmid}` to that machine in its file and apply; if "
        "not, take our mark (<!-- orchestrator … -->) out of its notes, and our tags off it"
    )


def disagreement(machine: ObservedMachine, mark: Mark, before: str | None = None) -> Reason | None:
    """Why a machine is not what its mark says, and what to do; None if everything agrees.

    Args:
        machine: the machine.
        mark: its mark.
        before: what its file says that the client was called before: a machine that is being renamed is in that pool.
    """
    if other_number(mark, machine.summary.vmid):
        return _copied(mark, machine.summary)
    wrong = [
        reason
        for reason in (_wrong_pool(mark, machine.summary, before), lacks_tags(mark, tags_of(machine.config)))
        if reason
    ]
    if not wrong:
        return None
    return f"its notes say {mark.client}/{mark.machine}, but {'; '.join(wrong)}"


def client_of(vm: VmSummary) -> str | None:
    """Whose a VM seems to be: by its pool, else by its tag; None if neither tells, or tags name several."""
    names = [vm.pool] if vm.pool and vm.pool.startswith(CLIENT_POOL) else sorted(vm.tags)
    clients = [name.removeprefix(CLIENT_POOL) for name in names if name.startswith(CLIENT_POOL)]
    return clients[0] if len(clients) == 1 else None


def _misnamed(machine: ObservedMachine, mark: Mark, wanted: Collection[str]) -> str | None:
    """A machine that files know by its name in Proxmox, and by the name in its mark not at all."""
    name = machine.config.effective("name") or ""
    if mark.adopted or name == mark.machine or name not in wanted or mark.machine in wanted:
        return None
    return (
        f"its notes say {mark.client}/{mark.machine}, which no file has, and it is called {name}, as a machine of a "
        "file is: put its name or its notes right"
    )


def sort_out(
    machines: Iterable[ObservedMachine],
    wanted: Collection[str] = (),
    before: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """Part those that are ours from those that only claim to be.

    Args:
        machines: of one cluster, each with a mark that could be read.
        wanted: names of the machines of files.
        before: what clients were called before, as their files say, by their names of today.
    """
    claims: dict[tuple[str, str], list[ObservedMachine]] = defaultdict(list)
    strangers: list[tuple[ObservedMachine, Mark, str]] = []
    for machine in machines:
        if machine.mark is None:
            continue
        earlier = before.get(machine.mark.client)
        reason = disagreement(machine, machine.mark, earlier) or _misnamed(machine, machine.mark, wanted)
        if reason is None:
            claims[machine.mark.client, machine.mark.machine].append(machine)
        else:
            strangers.append((machine, machine.mark, reason))
    ours: list[ObservedMachine] = []
    for found in claims.values():
        named = [machine for machine in found if machine.mark and machine.mark.vmid is not None]
        placed = [machine for machine in named if machine.summary.pool is not None]
        chosen = placed or named or found
        if len(chosen) == 1:
            ours += chosen
        where = ", ".join(f"VM {item.summary.vmid} on {item.summary.node}" for item in found)
        for machine in found:
            if machine.mark and not (len(chosen) == 1 and machine is chosen[0]):
                reason = (
                    f"{where} all carry the mark of {machine.mark.client}/{machine.mark.machine} (a copy made by "
                    "hand?): take it out of the notes of the copy, and our tags off it"
                )
                strangers.append((machine, machine.mark, reason))
    keys = {(machine.mark.client, machine.mark.machine) for machine in ours if machine.mark}
    return ours, [
        claimed(machine, mark, reason, copy=(mark.client, mark.machine) in keys)
        for machine, mark, reason in strangers
    ]


def claimed(machine: ObservedMachine, mark: Mark, reason: str, *, copy: bool = False) -> Unreadable:
    """A machine whose mark can be read and which nothing is done to, with what it claims."""
    return Unreadable(
        also=client_of(machine.summary),
        site=machine.site,
        kind="machine",
        name=machine.summary.name,
        reason=reason,
        node=machine.summary.node,
        vmid=machine.summary.vmid,
        client=mark.client,
        machine=mark.machine,
        copy=copy,
        addresses=(*machine.addresses, *([mark.leaving] if mark.leaving else [])),
    )
