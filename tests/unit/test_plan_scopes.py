"""The law of what is not read: a plan of a part of the files says of that part what a plan of everything says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RequestRefused
from orchestrator.operations.inputs import selection
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.safety import with_risks
from orchestrator.resources.change import Effect
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.kinds import EVERY_THING
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.ownership import sort_out
from orchestrator.resources.register import register_of
from orchestrator.resources.scope import (
    EVERYBODY,
    Scope,
    Selection,
    certain_owner,
    looks_ours,
    namesakes,
    scopes,
    suffices,
)
from orchestrator.sites.model import Safety
from tests.api.desk import machine as written
from tests.api.desk import subscription
from tests.unit.plan_worlds import World, desired, subscriptions

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
CLIENTS = ("dupont", "martin")
FILES = st.tuples(*(subscriptions(client) for client in CLIENTS)).map(list)
LIMITS = Safety.model_validate(
    {risk: {"machines": 0, "percent": 34} for risk in ("change", "restart", "retire")}
)
NAMES = ("web-1", "db-1", "app-1", "odd")
_OWN = ("own", "own", "own")
SPOILT = st.fixed_dictionaries(
    {
        "pool": st.sampled_from([*_OWN, None, "other", *map(pool_of, CLIENTS)]),
        "tag": st.sampled_from([*_OWN, *map(pool_of, CLIENTS)]),
        "claims": st.sampled_from([*_OWN, *CLIENTS]),
        "name": st.sampled_from(NAMES),
        "early": st.booleans(),
        "copy": st.booleans(),
    }
)
"""What somebody did by hand to a machine, or to a copy of it: pool, tag, notes, name. Marks may be of version 1."""


def _spoil(machine: ObservedMachine, how: dict[str, Any]) -> ObservedMachine:
    assert machine.mark is not None
    client = machine.mark.client
    pool, tag = (pool_of(client) if how[what] == "own" else how[what] for what in ("pool", "tag"))
    tags = frozenset({"orchestrator", tag})
    current = {**machine.config.current, "tags": ";".join(sorted(tags)), "name": how["name"]}
    return replace(
        machine,
        summary=replace(machine.summary, pool=pool, tags=tags, name=how["name"]),
        config=replace(machine.config, current=current),
        mark=machine.mark.with_(client=client if how["claims"] == "own" else how["claims"]),
    )


def _machines(world: World, spoilt: dict[int, dict[str, Any]]) -> list[ObservedMachine]:
    found = []
    for number, key in enumerate(sorted(world.configs)):
        machine = world.machine(key)
        assert machine.mark is not None
        how = spoilt.get(number)
        vmid = None if how and how["early"] else machine.summary.vmid
        machine = replace(machine, mark=machine.mark.with_(vmid=vmid))
        if how is None or how["copy"]:
            found.append(machine)
        if how is not None:
            changed = _spoil(machine, how)
            number = machine.summary.vmid + (1000 if how["copy"] else 0)
            found.append(replace(changed, summary=replace(changed.summary, vmid=number)))
    return found


def _read(machines: Collection[ObservedMachine], names: set[str], scope: Scope) -> dict[str, ObservedSite]:
    """The site as it is observed of the machines of a scope."""
    doubled = namesakes(machine.summary for machine in machines)
    read = [
        machine
        for machine in machines
        if (looks_ours(machine.summary) or machine.summary.name in names)
        and scope.includes(machine.summary, doubled)
    ]
    ours, troubles = sort_out(read, names)
    (site,) = World.empty().observed().values()
    register = register_of(ours, troubles)
    others = tuple(
        machine.summary for machine in machines if looks_ours(machine.summary) and machine not in read
    )
    return {
        "paris": replace(
            site, machines=tuple(ours), others=others, unreadable=tuple(troubles), register=register
        )
    }


def _plan_as_read(
    wanted: tuple[DesiredMachine, ...], machines: list[ObservedMachine], selection: Selection
) -> tuple[Scope, Plan]:
    names = {machine.name for machine in wanted}
    for scope in scopes(wanted, selection):
        observed = _read(machines, names, scope)
        if suffices(scope, wanted, observed, selection):
            made = make_plan(wanted, observed, NOW, selection=selection)
            return scope, with_risks(made, observed, LIMITS)
    raise AssertionError("everything suffices")


@settings(max_examples=150, deadline=None)
@given(FILES, FILES, st.dictionaries(st.integers(0, 5), SPOILT, max_size=3), st.integers(1, 2))
def test_a_plan_of_a_part_is_that_part_of_the_plan_of_everything(
    old: list[dict[str, Any]], new: list[dict[str, Any]], spoilt: dict[int, dict[str, Any]], given_files: int
) -> None:
    world = World.empty()
    for machine in make_plan(desired(old), world.observed(), NOW).machines:
        assert machine.desired and machine.address
        world.clone(machine.desired)
        world.make(machine.desired, machine.address)
    machines = _machines(world, spoilt)
    wanted = desired(new[:given_files])
    observed = _read(machines, {machine.name for machine in wanted}, EVERYBODY)
    everything = make_plan(wanted, observed, NOW)
    clients = {machine.client for machine in wanted}
    named = {key for key in world.configs if key[0] in clients} | {machine.key for machine in wanted}
    selections = [Selection(), *(Selection(client=client) for client in sorted(clients))]
    selections += [Selection(client=client, machine=name) for client, name in sorted(named)]
    for chosen in selections:
        scope, part = _plan_as_read(wanted, machines, chosen)
        expected = [machine for machine in everything.machines if chosen.includes(*machine.key)]
        assert list(part.machines) == expected, (chosen, scope)
        stays = all(machine.observed and machine.observed.address == machine.address for machine in expected)
        if not spoilt:
            whole = with_risks(make_plan(wanted, observed, NOW, selection=chosen), observed, LIMITS)
            assert part.risks == whole.risks, "shares are those of all machines that are there"
        if chosen.machine and not spoilt and stays:
            assert scope == scopes(wanted, chosen)[0], "nobody else's machines are read for it"


def test_a_twin_that_bears_the_name_of_another_machine_is_read() -> None:
    """Both marks name their own VM: nobody can say which is the machine, whatever part of the files is planned."""
    world = World.empty()
    wanted = desired([subscription("dupont", [written("web-1"), written("db-1")])])
    for item in make_plan(wanted, world.observed(), NOW).machines:
        assert item.desired and item.address
        world.clone(item.desired)
        world.make(item.desired, item.address)
    web, database = _machines(world, {})[::-1]
    assert web.mark
    twin = replace(
        web,
        summary=replace(web.summary, vmid=1999, name="db-1"),
        config=replace(web.config, current={**web.config.current, "name": "db-1"}),
        mark=web.mark.with_(vmid=1999),
    )
    _, part = _plan_as_read(wanted, [web, twin, database], Selection(client="dupont", machine="web-1"))
    assert [change.effect for item in part.machines for change in item.changes] == [Effect.REFUSED]


def test_whose_a_machine_is_counts_only_where_pool_and_tags_agree() -> None:
    vm = _machines_of_one()
    assert certain_owner(vm.summary) == "dupont"
    for pool, tags in (
        (None, {"client-dupont"}),
        ("client-dupont", {"orchestrator"}),
        ("client-dupont", {"client-martin"}),
        ("client-dupont", {"client-dupont", "client-martin"}),
        ("dupont", {"dupont"}),
    ):
        assert certain_owner(replace(vm.summary, pool=pool, tags=frozenset(tags))) is None


def _machines_of_one() -> ObservedMachine:
    world = World.empty()
    (machine,) = make_plan(desired([_one()]), world.observed(), NOW).machines
    assert machine.desired and machine.address
    world.clone(machine.desired)
    world.make(machine.desired, machine.address)
    return world.machine(("dupont", "web-1"))


def _one() -> dict[str, Any]:
    return subscription("dupont", [written("web-1")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/web-1",
        "dupont/",
        "dupont/machine/",
        "dupont/snapshot/:old",
        "dupont/machine/web-1:old",
        "dupont//web-1",
        "dupont/snapshot/web-1/old",
    ],
)
def test_an_address_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused, match="selects nothing"):
        Selection.parse(text, EVERY_THING)


@pytest.mark.parametrize("text", ["", "/", "/web-1", "dupont/"])
def test_a_target_that_names_nobody_is_not_everybody(text: str) -> None:
    assert selection(None).client is None and selection("dupont").client == "dupont"
    with pytest.raises(RequestRefused, match="selects nothing"):
        selection(text)
