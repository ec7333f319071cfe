"""A machine whose notes cannot hold what is noted of it is refused by the plan, before anything is done to it."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from orchestrator.guests.rules import policy_to_data
from orchestrator.planning.notes_room import notes_refusal
from orchestrator.planning.plan import MachinePlan, make_plan
from orchestrator.planning.words import sides
from orchestrator.resources.marks import MAXIMUM_LENGTH
from orchestrator.resources.notes import write_mark
from orchestrator.resources.observed import ObservedMachine
from tests.unit.plan_worlds import World, desired

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
ADDRESS = IPv4Address("203.0.113.10")
PORTS = [{"port": port, "protocol": "tcp", "from": ["198.51.100.7"]} for port in range(8000, 8600, 2)]


def _file(opened: list[dict[str, Any]], **contract: Any) -> dict[str, Any]:
    machine = {
        "name": "web",
        "image": "debian-12",
        "vcpus": 1,
        "memory": "1GiB",
        "disks": [{"name": "system", "size": "4GiB"}],
        "firewall": {"open": opened},
    }
    return {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2026-03-01", "site": "paris", **contract},
        "services": [{"offer": "cloud-vm-advanced", "machines": [machine]}],
    }


def _existing(opened: list[dict[str, Any]]) -> World:
    world = World.empty()
    (machine,) = desired([_file(opened)])
    world.clone(machine)
    world.make(machine, ADDRESS)
    return world


def _planned(world: World, file: dict[str, Any]) -> MachinePlan:
    return make_plan(desired([file]), world.observed(), NOW).machines[0]


def test_300_open_ports_are_refused_before_a_machine_is_made_or_changed() -> None:
    for world in (World.empty(), _existing([])):
        plan = _planned(world, _file(PORTS))
        assert plan.refused and plan.effective == ()
        assert "300 openings" in str(plan.changes[0].why) and "open ranges" in str(plan.changes[0].why)
    ranged = [{"ports": "8000-8599", "protocol": "tcp", "from": ["198.51.100.7"]}]
    assert not _planned(World.empty(), _file(ranged)).refused


def _with_notes(found: ObservedMachine, notes: str) -> ObservedMachine:
    config = replace(found.config, current={**found.config.current, "description": notes})
    return replace(found, config=config, mark=None)


@pytest.mark.parametrize(("characters", "refused"), [(5000, False), (7500, True)])
def test_a_machine_with_long_notes_is_taken_over_only_if_its_mark_fits(
    characters: int, refused: bool
) -> None:
    (machine,) = desired([_file([])])
    found = _with_notes(_existing([]).machine(machine.key), "x" * characters)
    refusal = notes_refusal(machine, found, ADDRESS)
    assert (refusal is not None) is refused
    if refusal is not None:
        assert sides(refusal)[0] == f"{characters} characters of others" and "shorten" in str(refusal.why)


def _key(kind: str, *sizes: int) -> str:
    """A public key of these numbers of bytes."""
    parts = [kind.encode(), *(b"\1" * size for size in sizes)]
    return (
        f"{kind} {base64.b64encode(b''.join(len(part).to_bytes(4, 'big') + part for part in parts)).decode()}"
    )


@pytest.mark.parametrize("ports", range(150, 301, 10))
def test_what_the_plan_lets_through_fits(ports: int) -> None:
    """A real guest's host keys, and all that a delivered machine has noted."""
    (machine,) = desired([_file(PORTS[:ports])])
    if notes_refusal(machine, None, ADDRESS) is None:
        world = _existing([])
        mark = world.machine(machine.key).mark
        assert mark is not None
        keys = (_key("ssh-ed25519", 32), _key("ssh-rsa", 3, 385))
        noted = mark.with_(firewall=policy_to_data(machine.policy), host_keys=keys, ready=True)
        assert len(write_mark(noted)) <= MAXIMUM_LENGTH


def test_names_that_the_notes_of_archives_cannot_hold_are_refused_where_there_is_backup() -> None:
    dashes = "a" + "-" * 61 + "a"
    (machine,) = desired([_file([])])
    long = replace(machine, client=dashes, name=dashes, contract=dashes, backup_days=7)
    refusal = notes_refusal(long, None, ADDRESS)
    assert refusal is not None and "vzdump takes 1024" in str(refusal.why)
    assert notes_refusal(replace(long, backup_days=None), None, ADDRESS) is None
    assert (
        notes_refusal(replace(long, client="a" * 63, name="b" * 63, contract="C" * 64), None, ADDRESS) is None
    )


def test_a_machine_with_full_notes_is_stopped_all_the_same() -> None:
    world = _existing([])
    suspended = _file(PORTS, status="suspended", suspension={"since": "2026-11-02", "reference": "LRAR-1"})
    plan = _planned(world, suspended)
    assert not plan.refused and [str(change.effect) for change in plan.effective] == ["stop"]
