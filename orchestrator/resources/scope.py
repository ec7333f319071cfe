"""Which machines a command is about. What is read of a site follows from it: nobody else's machines are.

The cluster's list has pool, tags and name of every VM for one call. Where pool and tags agree whose a VM is, that
decides whether its configuration is read; where they do not, it is read whatever was asked for, because its notes may
say anything. What was not read proves nothing: a machine that is not found among those that were read is looked for
among all of them (:mod:`orchestrator.planning.scopes`) before anything is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.resources.desired import OWNER_TAG
from orchestrator.resources.ownership import CLIENT_POOL

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The machines that a command is about.

    Attributes:
        clients: whose; None: everybody's.
        passed_over: names of their VMs that are not read although they are theirs, for nobody asked for them.
    """

    clients: frozenset[str] | None = None
    passed_over: frozenset[str] = frozenset()

    @classmethod
    def of(cls, client: str | None) -> Scope:
        """One client's machines; everybody's if it is None."""
        return cls(clients=None if client is None else frozenset({client}))

    def includes(self, vm: VmSummary, namesakes: Collection[tuple[str | None, str]] = ()) -> bool:
        """Whether a VM that looks ours may be one of these, by the cluster's list.

        Args:
            vm: the VM.
            namesakes: :func:`namesakes` of all of the cluster: of these at most one is what its name says.
        """
        owner = certain_owner(vm)
        if owner is None or self.clients is None:
            return True
        passed_over = vm.name in self.passed_over and (vm.pool, vm.name) not in namesakes
        return owner in self.clients and not passed_over


EVERYBODY = Scope()
"""Every machine of ours."""


def namesakes(vms: Iterable[VmSummary]) -> frozenset[tuple[str | None, str]]:
    """Pool and name of which there are several VMs."""
    counted = Counter((vm.pool, vm.name) for vm in vms)
    return frozenset(key for key, count in counted.items() if count > 1)


def looks_ours(vm: VmSummary) -> bool:
    """Whether a VM bears our tag, or stands in a client's pool. That alone does not make it ours."""
    return OWNER_TAG in vm.tags or (vm.pool or "").startswith(CLIENT_POOL)


def certain_owner(vm: VmSummary) -> str | None:
    """The client whose a VM is by its pool and by its tags; None if the two do not say the same."""
    tags = [tag for tag in vm.tags if tag.startswith(CLIENT_POOL)]
    return vm.pool.removeprefix(CLIENT_POOL) if vm.pool is not None and tags == [vm.pool] else None
