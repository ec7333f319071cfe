"""A contract that has not begun (article 2): nothing is made before its first day, and the plan says from when."""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address
from typing import Any

from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.text import render_plan
from tests.unit.plan_worlds import World, desired

BEFORE = dt.datetime(2026, 12, 31, 22, 59, tzinfo=dt.UTC)
FIRST = dt.datetime(2026, 12, 31, 23, 0, tzinfo=dt.UTC)
"""Midnight in Paris, on 1 January."""


def _file(**changes: Any) -> dict[str, Any]:
    made = {"name": "web", "image": "debian-12", "vcpus": 1, "memory": "1GiB"}
    return {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2027-01-01", "site": "paris"},
        "services": [
            {
                "offer": "cloud-vm-advanced",
                "machines": [{**made, "disks": [{"name": "system", "size": "4GiB"}], **changes}],
            }
        ],
    }


def _told(plan: Plan) -> str:
    return "\n".join(line.plain for line in render_plan(plan))


def test_article_2_nothing_is_made_before_the_contract_starts_and_the_plan_says_from_when() -> None:
    world = World.empty()
    plan = make_plan(desired([_file()]), world.observed(), BEFORE)
    assert not plan.has_changes and not plan.has_errors
    assert "the contract C-1 starts on 2027-01-01: nothing is made before" in _told(plan)
    (adopting,) = make_plan(desired([_file(adopt=500)]), world.observed(), BEFORE).machines
    assert adopting.effective == ()
    assert make_plan(desired([_file()]), world.observed(), FIRST).has_changes


def test_article_2_a_machine_that_is_there_already_is_not_changed_before_either() -> None:
    world = World.empty()
    (machine,) = desired([_file()])
    world.clone(machine)
    world.make(machine, IPv4Address("203.0.113.10"))
    edited = desired([_file(memory="2GiB")])
    plan = make_plan(edited, world.observed(), BEFORE)
    assert not plan.has_changes and "edits web   memory" in _told(plan), _told(plan)
    assert make_plan(edited, world.observed(), FIRST).has_changes
