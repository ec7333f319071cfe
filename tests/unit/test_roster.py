"""Which VMs are ours by pool and tags alone, and which of them is which machine."""

from __future__ import annotations

import pytest

from orchestrator.proxmox import VmSummary
from orchestrator.resources.roster import roster
from tests.api.desk import machine, subscription
from tests.unit.plan_worlds import desired


def vm(vmid: int, name: str, **changes: object) -> VmSummary:
    """A running VM of the client dupont."""
    usual: dict[str, object] = {
        "node": "pve1",
        "status": "running",
        "template": False,
        "tags": frozenset({"orchestrator", "client-dupont"}),
        "pool": "client-dupont",
        "lock": None,
        "maxmem": 0,
        "maxcpu": 1,
    }
    return VmSummary(vmid=vmid, name=name, **{**usual, **changes})  # type: ignore[arg-type]


def named(*vms: VmSummary, **options: object) -> dict[int, str]:
    return {vmid: item.machine for vmid, item in roster(vms, "paris", **options).items()}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"pool": None},
        {"pool": "client-martin"},
        {"tags": frozenset({"client-dupont"})},
        {"tags": frozenset({"orchestrator", "client-dupont", "client-martin"})},
        {"template": True},
        {"lock": "clone"},
    ],
    ids=["no pool", "another's pool", "not ours", "two clients' tags", "template", "being made"],
)
def test_what_is_not_surely_a_clients_machine_is_left_out(changes: dict[str, object]) -> None:
    assert named(vm(101, "web-1"), vm(102, "web-2", **changes)) == {101: "web-1"}


def test_of_two_that_would_be_one_machine_only_the_one_that_was_known_is_left() -> None:
    twins = (vm(101, "web-1"), vm(102, "web-1"), vm(103, "db-1"))
    assert named(*twins) == {103: "db-1"}
    assert named(*twins, earlier={101: ("dupont", "web-1")}) == {101: "web-1", 103: "db-1"}


def test_a_machine_whose_name_is_not_known_now_is_the_one_that_it_was() -> None:
    assert named(vm(101, "VM 101")) == {}
    assert named(vm(101, "VM 101"), earlier={101: ("dupont", "web-1")}) == {101: "web-1"}
    assert named(vm(101, "VM 101"), earlier={101: ("martin", "web-1")}) == {}


def test_a_machine_that_was_taken_over_has_the_name_of_its_file() -> None:
    (wanted,) = desired([subscription("dupont", [machine("web-1", adopt=101)])])
    assert wanted.site == "paris"
    assert named(vm(101, "old-server"), desired=(wanted,)) == {101: "web-1"}


def test_a_retired_machine_is_told() -> None:
    tags = frozenset({"orchestrator", "client-dupont", "retired"})
    found = roster((vm(101, "web-1", tags=tags), vm(102, "web-2")), "paris")
    assert {vmid: item.retired for vmid, item in found.items()} == {101: True, 102: False}
