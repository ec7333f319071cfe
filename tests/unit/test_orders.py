"""Orders, the catalogue and quotes (article 3.8.4): what the offers list is no intervention, what grows is an order."""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address
from typing import Any

import pytest

from orchestrator.planning.charges import Charge, Intervention, Needed
from orchestrator.planning.document import summary, to_document
from orchestrator.planning.interventions import NO_DECISIONS, Decisions, with_interventions
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.review import render_html, render_markdown
from orchestrator.planning.text import render_plan
from orchestrator.resources.change import ChangeClass
from tests.unit.plan_worlds import World, desired

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt/0c/A2mkpeBwnYhdfuXiHPCyxJ0Ng1AQweBcPRbpF admin@client"
ORDER = {"reference": "BC-2026-031", "date": "2026-11-24"}
CATALOGUE = {"reference": "CAT-12", "date": "2026-11-01"}
QUOTE = {"reference": "D-1", "valid_until": "2026-11-24"}


def _file(
    machines: dict[str, dict[str, Any]],
    *,
    level: str = "supervision",
    offer: str = "cloud-vm-advanced",
    administration: dict[str, Any] | None = None,
    **contract: Any,
) -> dict[str, Any]:
    base = {"image": "debian-12", "vcpus": 1, "memory": "1GiB"}
    made = [
        {"name": name, **base, "disks": [{"name": "system", "size": "4GiB"}], **changes}
        for name, changes in machines.items()
    ]
    return {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2026-03-01", "site": "paris", **contract},
        "managed_services": {"level": level, "standard_changes_per_month": 0},
        "administration": administration or {},
        "services": [{"offer": offer, "machines": made}],
    }


def _plan(before: dict[str, Any], after: dict[str, Any], decisions: Decisions = NO_DECISIONS) -> Plan:
    """The plan of an edit of a file whose machines are in service; no standard change is free."""
    world = World.empty()
    for number, machine in enumerate(desired([before])):
        world.clone(machine)
        world.make(machine, IPv4Address("203.0.113.10") + number)
    plan = make_plan(desired([after]), world.observed(), NOW)
    return with_interventions(plan, {}, decisions)


def _held(plan: Plan, name: str = "a") -> Intervention | None:
    return next(machine.intervention for machine in plan.machines if machine.machine == name)


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (_file({"a": {"power": "stopped"}}), "power"),
        (_file({"a": {}}, administration={"ssh_keys": [KEY]}), "SSH keys"),
        (_file({"a": {"snapshots": [{"name": "before", "taken_on": "2026-11-24"}]}}), "snapshot before"),
    ],
)
def test_3_8_4_what_the_offer_lists_is_neither_counted_nor_charged(after: dict[str, Any], what: str) -> None:
    plan = _plan(_file({"a": {}}), after)
    assert what in [change.what for change in plan.machines[0].effective], plan.machines[0].changes
    assert _held(plan) is None and summary(plan).by_class == {} and summary(plan).quotes_missing == 0


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (_file({"a": {}}), _file({"a": {}, "b": {}}), "b"),
        (_file({"a": {}, "b": {}}), _file({"a": {}}), "b"),
        (_file({"a": {}}), _file({"a": {"memory": "2GiB"}}), "a"),
        (_file({"a": {}}), _file({"a": {"vcpus": 2}}), "a"),
        (_file({"a": {}}), _file({"a": {"disks": [{"name": "system", "size": "8GiB"}]}}), "a"),
    ],
    ids=["more", "fewer", "memory", "vCPU", "disk"],
)
def test_3_8_4_more_fewer_or_larger_machines_name_an_order_and_need_no_quote(
    before: dict[str, Any], after: dict[str, Any], name: str
) -> None:
    plan = _plan(before, after)
    held = _held(plan, name)
    assert held and (held.charge, held.lacks) == (Charge.MISSING, (Needed.ORDER,))
    assert "an order" in render_markdown(to_document(plan)) and "an order" in render_html(to_document(plan))
    told = "\n".join(line.plain for line in render_plan(plan))
    assert "--order REFERENCE, or contract.orders" in told and "1 needs a reference" in told

    for ordered in (
        _plan(before, {**after, "contract": {**after["contract"], "orders": [ORDER]}}),
        _plan(before, after, Decisions(order="BC-2026-031")),
    ):
        held = _held(ordered, name)
        assert held and (held.charge, held.order, held.counted) == (Charge.ORDERED, "BC-2026-031", False)
        assert summary(ordered).by_class == {} and summary(ordered).quotes_missing == 0
        assert f"ordered, BC-2026-031: {name}" in "\n".join(line.plain for line in render_plan(ordered))


def test_3_8_4_an_order_covers_its_machines_from_its_day_on_and_the_newest_one_is_named() -> None:
    later = {"reference": "BC-9", "date": "2026-11-25"}
    others = {"reference": "BC-1", "date": "2026-01-02", "machines": ["z"]}
    old = {"reference": "BC-0", "date": "2026-01-01"}
    over = {"reference": "BC-8", "date": "2026-11-20", "valid_until": "2026-11-23"}
    today = {**ORDER, "valid_until": "2026-11-24"}
    after = {"a": {"memory": "2GiB"}}
    for orders, expected in (
        ([later, others, over], None),
        ([old, ORDER, later], "BC-2026-031"),
        ([old, today], "BC-2026-031"),
    ):
        held = _held(_plan(_file({"a": {}}), _file(after, orders=orders)))
        assert held and held.order == expected


def test_3_8_4_a_significant_change_is_charged_by_the_catalogue_and_needs_no_quote() -> None:
    before, moved = _file({"a": {}}), {"a": {"address": "203.0.113.77"}}
    held = _held(_plan(before, _file(moved)))
    assert held and (held.charge, held.lacks) == (Charge.MISSING, (Needed.CATALOGUE,))
    held = _held(_plan(before, _file(moved, catalogue=[CATALOGUE])))
    assert held and (held.charge, held.catalogue, held.counted) == (Charge.CATALOGUE, "CAT-12", True)
    held = _held(_plan(before, _file(moved, quotes=[QUOTE])))
    assert held and (held.charge, held.quote) == (Charge.QUOTED, "D-1"), "an accepted quote will do as well"


def test_3_8_4_a_major_change_needs_a_quote_and_neither_order_nor_catalogue_stands_in_for_it() -> None:
    decisions = Decisions(order="BC-1", catalogue="CAT-12", classes={("dupont", "a"): ChangeClass.MAJOR})
    held = _held(_plan(_file({"a": {}}), _file({"a": {"address": "203.0.113.77"}}), decisions))
    assert held and (held.charge, held.lacks) == (Charge.MISSING, (Needed.QUOTE,))


def test_3_8_4_a_larger_machine_with_another_change_needs_both_references() -> None:
    after = {"a": {"memory": "2GiB", "address": "203.0.113.77"}}
    held = _held(_plan(_file({"a": {}}), _file(after)))
    assert held and held.lacks == (Needed.ORDER, Needed.CATALOGUE)
    held = _held(_plan(_file({"a": {}}), _file(after, orders=[ORDER], catalogue=[CATALOGUE])))
    assert held and (held.charge, held.order, held.catalogue) == (
        Charge.CATALOGUE,
        "BC-2026-031",
        "CAT-12",
    )


def test_3_8_4_what_follows_from_an_amendment_is_not_the_clients_request() -> None:
    """Fully managed: the client's keys and its way in go (article 3.8.2). Another offer: the mark says so."""
    administration = {"ssh_keys": [KEY], "allowed_from": ["198.51.100.0/24"]}
    before = _file({"a": {}}, administration=administration)
    plan = _plan(before, _file({"a": {}}, administration=administration, level="full"))
    changed = {change.what for change in plan.machines[0].effective}
    assert "firewall" in changed and _held(plan) is None, plan.machines[0].changes
    plan = _plan(_file({"a": {}}), _file({"a": {}}, offer="cloud-vm-essential"))
    assert "offer" in {change.what for change in plan.machines[0].effective} and _held(plan) is None
    opened = {"firewall": {"open": [{"port": 443, "protocol": "tcp", "from": "any"}]}}
    held = _held(_plan(_file({"a": {}}, level="full"), _file({"a": opened}, level="full")))
    assert held and held.lacks == (Needed.CATALOGUE,), "a port that the client asks for is a request"
