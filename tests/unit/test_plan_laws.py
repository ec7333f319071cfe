"""The laws of plans, for generated files."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.planning.document import PlanDocument, to_document
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.text import render_plan
from orchestrator.resources.change import Effect
from tests.unit.plan_worlds import World, desired, subscriptions

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
TWO_CLIENTS = st.tuples(subscriptions("dupont"), subscriptions("martin")).map(list)


def plan(files: list[dict[str, Any]], world: World) -> Plan:
    return make_plan(desired(files), world.observed(), NOW)


def carry_out(files: list[dict[str, Any]], world: World) -> Plan:
    """Do what apply does: create, make the edits, load the firewall; leave refused machines alone."""
    made = plan(files, world)
    for machine in made.machines:
        if machine.desired and machine.effective:
            assert machine.address is not None
            if machine.observed is None:
                world.clone(machine.desired)
            world.make(machine.desired, machine.address)
    return made


@settings(max_examples=150, deadline=None)
@given(TWO_CLIENTS)
def test_after_apply_the_plan_is_empty(files: list[dict[str, Any]]) -> None:
    world = World.empty()
    first = carry_out(files, world)
    assert first.has_changes and not first.has_errors
    again = plan(files, world)
    assert not again.has_changes and not again.has_errors, [c for m in again.machines for c in m.changes]


@settings(max_examples=150, deadline=None)
@given(TWO_CLIENTS, TWO_CLIENTS)
def test_after_an_edit_of_the_files_the_plan_is_empty_but_for_what_is_refused(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    world = World.empty()
    carry_out(old, world)
    refused = {machine.key for machine in carry_out(new, world).machines if machine.refused}
    again = plan(new, world)
    left = [
        (machine.key, change)
        for machine in again.machines
        if machine.desired and machine.key not in refused
        for change in machine.changes
        if change.effect is not Effect.NOTICE
    ]
    assert left == []
    assert {machine.key for machine in again.machines if machine.refused} == refused


@settings(max_examples=200, deadline=None)
@given(TWO_CLIENTS, TWO_CLIENTS)
def test_no_plan_for_any_pair_of_files_erases_or_replaces(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    world = World.empty()
    carry_out(old, world)
    before = {key: dict(config) for key, config in world.configs.items()}
    made = carry_out(new, world)
    assert to_document(made).summary.erase == 0
    existing = {machine.key for machine in made.machines if machine.observed}
    assert existing == before.keys(), "every machine of ours is in the plan"
    for machine in made.machines:
        effects = {change.effect for change in machine.effective}
        assert machine.observed is None or Effect.CREATE not in effects, "nothing that exists is made again"
        if machine.desired is None:
            assert effects == {Effect.RETIRE}
    for key, config in before.items():
        for slot in (name for name in config if name.startswith("scsi") and name != "scsihw"):
            volume = config[slot].split(",")[0]
            assert world.configs[key][slot].split(",")[0] == volume, "every disk stays where it is"


@settings(max_examples=100, deadline=None)
@given(TWO_CLIENTS, TWO_CLIENTS)
def test_no_two_machines_get_one_address(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    world = World.empty()
    carry_out(old, world)
    carry_out(new, world)
    addresses = [machine.address for machine in world.observed()["paris"].machines]
    assert None not in addresses and len(set(addresses)) == len(addresses)


@settings(max_examples=50, deadline=None)
@given(TWO_CLIENTS, TWO_CLIENTS)
def test_every_plan_is_shown_and_written_as_json(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    world = World.empty()
    carry_out(old, world)
    made = plan(new, world)
    text = "\n".join(line.plain for line in render_plan(made, show_unmanaged=True))
    for machine in made.machines:
        refused = any(change.effect is Effect.REFUSED for change in machine.changes)
        for change in machine.changes:  # what a refused machine does not get is named, not explained
            assert not change.why or change.why in text or (refused and change.effective)
    document = to_document(made)
    assert PlanDocument.model_validate_json(document.model_dump_json()) == document
    told = [change for item in document.items for change in item.changes]
    assert len(told) == sum(len(machine.changes) for machine in made.machines) + len(made.shared)
    assert len({(item.address, item.site) for item in document.items}) == len(document.items)
    assert all(change.before != change.after or change.before is None for change in told)
