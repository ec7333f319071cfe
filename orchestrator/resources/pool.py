"""A client's pool at a site: it says in Proxmox whose a machine is, and stands before the client's first machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.proxmox import Need, read_pool_members, read_pools
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.desired import pool_of
from orchestrator.resources.kind import Call, ClientKind, Params, Step

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.resources.desired import DesiredClient, DesiredMachine
    from orchestrator.resources.observed import ObservedMachine


class PoolKind(ClientKind[frozenset[str]]):
    """The pool of a client, with its machines."""

    name = "pool"
    where = "Datacenter > Permissions > Pools"
    by_itself = False
    needs = (
        Need(privilege="Pool.Allocate", path="/pool", features=("clients' pools", "freeze and thaw")),
        Need(privilege="Pool.Audit", path="/pool", features=("seeing whose a machine is", "seeing a freeze")),
    )

    def asked(self, client: DesiredClient) -> tuple[str]:
        """One, named after the client."""
        return (pool_of(client.client),)

    def uses(self, desired: DesiredMachine) -> tuple[str]:
        """Every machine stands in its client's."""
        return (pool_of(desired.client),)

    def listed(self, state: ClusterState) -> frozenset[str]:
        """The names of all pools."""
        return state.pools

    def read(self, cluster: Cluster, state: ClusterState, clients: Sequence[DesiredClient]) -> frozenset[str]:
        """The pools as they are now: one call."""
        return frozenset(read_pools(cluster))

    def steps(self, client: DesiredClient, found: frozenset[str]) -> list[Step]:
        """What makes it, where it is not there."""
        pool = pool_of(client.client)
        change = Change(effect=Effect.CREATE, what=self.name, thing=self.name, part=pool, after=pool)
        return [Step(change=change, calls=(call,)) for call in self.missing(client.client, found)]

    def missing(self, client: str, found: frozenset[str]) -> Sequence[Call]:
        """What makes the pool of a client, who need have no file, where it is not there."""
        pool = pool_of(client)
        if pool in found:
            return ()
        params: Params = {"poolid": pool, "comment": f"client {client}"}
        return (Call(action="create pool", method="POST", path="/pools", params=params),)

    def joining(self, desired: DesiredMachine, observed: ObservedMachine) -> Change | None:
        """The change that puts a machine into its client's pool; a refusal if it sits in another."""
        wanted, pool = pool_of(desired.client), observed.summary.pool
        if pool == wanted:
            return None
        if pool is None:
            return Change(effect=Effect.UPDATE, what=self.name, after=wanted, drift=True)
        if _is_renamed(desired, pool):
            return Change(effect=Effect.UPDATE, what=self.name, before=pool, after=wanted)
        return Change(
            effect=Effect.REFUSED,
            what=self.name,
            before=pool,
            after=wanted,
            drift=True,
            why=f"somebody moved the machine to the pool {pool}: move it back in Proxmox, or ask who needs it there",
        )

    def join(self, cluster: Cluster, desired: DesiredMachine, observed: ObservedMachine) -> Sequence[Call]:
        """What puts a machine into its client's pool, if it is in none, or in the one of the client's former name.

        The cluster's list may lack the pool of a machine made seconds ago, and nothing joins a pool twice.
        """
        pool, vmid, has = pool_of(desired.client), observed.summary.vmid, observed.summary.pool
        moves = has is not None and _is_renamed(desired, has)
        if (has is not None and not moves) or vmid in read_pool_members(cluster, pool):
            return ()
        params: Params = {"poolid": pool, "vms": vmid}
        if moves:
            params["allow-move"] = 1
        return (Call(action="join pool", method="PUT", path="/pools", params=params),)


def _is_renamed(desired: DesiredMachine, pool: str) -> bool:
    """Whether a pool is the one that the client had under its former name, by its file."""
    return desired.client_was is not None and pool == pool_of(desired.client_was)


POOL = PoolKind()
