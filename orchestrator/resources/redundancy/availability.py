"""The HA resource of a machine, and the group or the rule that says where it may run."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.proxmox import (
    Affinity,
)
from orchestrator.resources.change import Change, Effect, State
from orchestrator.resources.kind import Call, Params, Step
from orchestrator.resources.redundancy.ground import (
    HARDWARE,
    OURS,
    Sides,
)


def end_resource(sides: Sides) -> list[Step]:
    """Take it out of the HA manager's hands, and its group or rule away: first, so that nothing moves it meanwhile."""
    if sides.wanted.hardware:
        return []
    calls = []
    resource = sides.settings.resources.get(sides.vmid)
    if resource is not None and not resource.comment.startswith(OURS):
        why = (
            f"others made its HA resource {sides.sid}, so it is kept: take it away in Proxmox (Datacenter > HA) if "
            "nobody needs it"
        )
        return [Step(change=Change(effect=Effect.NOTICE, what=HARDWARE, before=State.STILL_THERE, why=why))]
    if resource is not None:
        calls.append(
            Call(action="end high availability", method="DELETE", path=f"/cluster/ha/resources/{sides.sid}")
        )
    if sides.own_name in sides.settings.affinities:
        kind = "rules" if sides.settings.has_rules else "groups"
        if not (calls and sides.settings.has_rules):  # a rule goes with its last resource
            path = f"/cluster/ha/{kind}/{sides.own_name}"
            calls.append(Call(action=f"remove HA {kind[:-1]}", method="DELETE", path=path))
    if not calls:
        return []
    nodes = sides.settings.affinity_of(sides.vmid)
    before = f"restarts on {_listed(nodes.nodes)}" if nodes else "restarts on any node"
    return [Step(change=sides.update(HARDWARE, before, None), calls=tuple(calls))]


def _listed(nodes: Iterable[str]) -> str:
    return ", ".join(sorted(nodes))


def resource_steps(sides: Sides, partner: str | None) -> list[Step]:
    """What gives it its HA resource on the nodes that can have its disks.

    Args:
        sides: the machine.
        partner: the node that its disks are replicated to; None where they are shared, or are not yet.
    """
    if not sides.has(HARDWARE) or (not sides.ground.shared and partner is None):
        return []
    nodes = frozenset(sides.ground.home if sides.ground.shared else (sides.node, str(partner)))
    resource = sides.settings.resources.get(sides.vmid)
    affinity = sides.settings.affinity_of(sides.vmid)
    placed = affinity is not None and _as_wanted(affinity, nodes)
    state = "started" if sides.running else "stopped"
    settled = resource is not None and (
        resource.state == state or (resource.state == "disabled" and state == "stopped")
    )
    if placed and settled:
        return []
    after = f"restarts on {_listed(nodes)}"
    if sides.settings.has_rules and affinity and not placed and affinity.vmids != {sides.vmid}:
        why = (
            f"the HA rule {affinity.name}, which others made for several machines, says {_listed(affinity.nodes)} for "
            f"it, not {_listed(nodes)}: take {sides.sid} out of that rule, or correct it, and apply again"
        )
        return [Step(change=Change(effect=Effect.UNABLE, what=HARDWARE, after=after, why=why))]
    before = None
    if resource is not None:
        before = f"restarts on {_listed(affinity.nodes)}" if affinity else "restarts on any node"
        before += "" if settled else f", HA state {resource.state}"
    calls = _placing(sides, nodes, affinity, placed=placed, exists=resource is not None, state=state)
    if resource is not None and not settled:
        path = f"/cluster/ha/resources/{sides.sid}"
        calls.append(Call(action="set HA state", method="PUT", path=path, params={"state": state}))
    return [Step(change=sides.update(HARDWARE, before, after), calls=tuple(calls))]


def _as_wanted(affinity: Affinity, nodes: frozenset[str]) -> bool:
    return affinity.nodes == nodes and affinity.strict and affinity.in_force and not affinity.weighted


def _placing(
    sides: Sides, nodes: frozenset[str], affinity: Affinity | None, *, placed: bool, exists: bool, state: str
) -> list[Call]:
    """The calls that give it its resource, and its group or rule."""
    listed = ",".join(sorted(nodes))
    comment = OURS + HARDWARE
    create: Params = {"sid": sides.sid, "state": state, "comment": comment}
    resources = "/cluster/ha/resources"
    if sides.settings.has_rules:
        calls = (
            []
            if exists
            else [Call(action="make highly available", method="POST", path=resources, params=create)]
        )
        rule: Params = {"type": "node-affinity", "nodes": listed, "strict": 1}
        if affinity is None:
            made: Params = {**rule, "rule": sides.own_name, "resources": sides.sid, "comment": comment}
            calls.append(Call(action="make HA rule", method="POST", path="/cluster/ha/rules", params=made))
        elif not placed:
            path = f"/cluster/ha/rules/{affinity.name}"
            calls.append(
                Call(action="change HA rule", method="PUT", path=path, params={**rule, "delete": "disable"})
            )
        return calls
    calls = []
    own = sides.settings.affinities.get(sides.own_name)
    if not placed:
        group: Params = {"nodes": listed, "restricted": 1}
        if own is None:
            made = {**group, "group": sides.own_name, "comment": comment}
            calls.append(Call(action="make HA group", method="POST", path="/cluster/ha/groups", params=made))
        elif not _as_wanted(own, nodes):
            path = f"/cluster/ha/groups/{sides.own_name}"
            calls.append(Call(action="change HA group", method="PUT", path=path, params=group))
    if not exists:
        params = {**create, "group": sides.own_name}
        calls.append(Call(action="make highly available", method="POST", path=resources, params=params))
    elif not placed and (affinity is None or affinity.name != sides.own_name):
        params = {"group": sides.own_name}
        calls.append(
            Call(action="join HA group", method="PUT", path=f"{resources}/{sides.sid}", params=params)
        )
    return calls
