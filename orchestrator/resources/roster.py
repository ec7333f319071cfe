"""Which VMs are ours by the cluster's list alone: pool and tags, without a look into each one's notes.

That is enough for looking at them, and for nothing else: what is done to a machine needs its mark
(:mod:`orchestrator.resources.ownership`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.resources.desired import OWNER_TAG, RETIRED_TAG
from orchestrator.resources.ownership import CLONING
from orchestrator.resources.scope import certain_owner

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary
    from orchestrator.resources.desired import DesiredMachine


@dataclass(frozen=True, kw_only=True)
class OurVm:
    """A VM that is ours by pool and tags.

    Attributes:
        client, machine: whose it is, and its name in the file.
        vm: as the list has it.
        retired: whether it was taken out of its file.
    """

    client: str
    machine: str
    vm: VmSummary
    retired: bool


def roster(
    vms: Iterable[VmSummary],
    site: str,
    desired: Collection[DesiredMachine] = (),
    earlier: Mapping[int, tuple[str, str]] = {},
) -> dict[int, OurVm]:
    """Our VMs of a site by number, without templates and those that are being made.

    A machine that was taken over keeps its own name in Proxmox: there its file says which it is. A VM whose name the
    list does not know (its node's statistics daemon hangs) is the one that it was. Where several would be one machine,
    none is: nobody can tell the copy from the original.

    Args:
        vms: the cluster's list.
        site: whose.
        desired: what the files ask for.
        earlier: client and machine by number, as they were known before.
    """
    taken_over = {item.adopt: item.key for item in desired if item.adopt is not None and item.site == site}
    found: dict[int, OurVm] = {}
    for vm in vms:
        client = certain_owner(vm)
        if client is None or OWNER_TAG not in vm.tags or vm.template or vm.lock in CLONING:
            continue
        if vm.vmid in taken_over and taken_over[vm.vmid][0] == client:
            machine = taken_over[vm.vmid][1]
        elif vm.named:
            machine = vm.name
        elif vm.vmid in earlier and earlier[vm.vmid][0] == client:
            machine = earlier[vm.vmid][1]
        else:
            continue
        found[vm.vmid] = OurVm(client=client, machine=machine, vm=vm, retired=RETIRED_TAG in vm.tags)
    counted = Counter((item.client, item.machine) for item in found.values())
    return {
        vmid: item
        for vmid, item in found.items()
        if counted[item.client, item.machine] == 1 or earlier.get(vmid) == (item.client, item.machine)
    }
