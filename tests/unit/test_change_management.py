"""Classes of change and what is charged (article 3.8.4), and plans that refuse themselves."""

from __future__ import annotations

import datetime as dt
import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from orchestrator.guests.keys import fingerprints
from orchestrator.guests.rules import policy_to_data
from orchestrator.history import open_history
from orchestrator.history.changes import CHANGE, free_changes
from orchestrator.planning.charges import Charge
from orchestrator.planning.classes import RULES, UNKNOWN, classified, rule_for
from orchestrator.planning.interventions import Decisions, with_interventions
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.safety import NoSuchRisk, read_allowed, with_risks
from orchestrator.resources.change import Change, ChangeClass, Effect
from orchestrator.sites.model import Limit, Safety
from tests.unit.plan_worlds import PROVIDER, World, desired

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
TODAY = dt.date(2026, 11, 24)
MANAGED = {"level": "supervision", "standard_changes_per_month": 2}


def _file(
    machines: dict[str, dict[str, Any]], *, managed: dict[str, Any] | None = MANAGED, **contract: Any
) -> dict[str, Any]:
    made = [
        {
            "name": name,
            "image": "debian-12",
            "vcpus": 1,
            "memory": "1GiB",
            "disks": [{"name": "system", "size": "4GiB"}],
            **changes,
        }
        for name, changes in machines.items()
    ]
    return {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2026-03-01", "site": "paris", **contract},
        **({"managed_services": managed} if managed else {}),
        "services": [{"offer": "cloud-vm-advanced", "machines": made}],
    }


def _plan(before: dict[str, Any], after: dict[str, Any], *, now: dt.datetime = NOW, **options: Any) -> Plan:
    """The plan of an edit of one client's file, all of whose machines are in service."""
    world = World.empty()
    for number, machine in enumerate(desired([before])):
        world.clone(machine)
        world.make(machine, IPv4Address("203.0.113.10") + number)
    observed = world.observed()
    plan = make_plan(desired([after]), observed, now, **options)
    return with_risks(plan, observed, PROVIDER.safety)


def test_memory_that_was_changed_by_hand_is_drift_however_the_mark_of_an_earlier_version_worded_it() -> None:
    """Case: the mark says ``1 GiB`` where the wording of a later version is ``1GiB``: nothing is charged."""
    file = _file({"web": {}})
    world = World.empty()
    (machine,) = desired([file])
    world.clone(machine)
    world.make(machine, IPv4Address("203.0.113.10"))
    config = world.configs[machine.key]
    mark = {
        "v": 2, "vmid": 100, "client": "dupont", "machine": "web", "contract": "C-1", "offer": "cloud-vm-advanced",
        "image": "debian-12", "ready": True, "slots": {"system": "scsi0"}, "host_keys": [], "snapshots": {},
        "firewall": policy_to_data(machine.policy), "keys": list(fingerprints(machine.ssh_keys)), "supervised": True,
        "applied": {"vCPU": "1", "memory": "1 GiB", "disk system": "4 GiB", "backup": "off", "power": "running"},
    }  # fmt: skip
    config |= {"description": f"<!-- orchestrator {json.dumps(mark)} -->", "memory": "2048"}
    plan = make_plan(desired([file]), world.observed(), NOW)
    (change,) = (item for item in plan.machines[0].effective if item.what == "memory")
    assert change.drift and _charges(plan) == {}, plan.machines[0].changes


def _charges(plan: Plan, used: Any = (), decisions: Decisions | None = None) -> dict[str, Any]:
    charged = with_interventions(plan, {"dupont": used} if used else {}, decisions or Decisions())
    return {
        machine.machine: (str(held.change_class), str(held.charge), held.quote)
        for machine in charged.machines
        if (held := machine.intervention)
    }


def test_every_rule_decides_about_something_and_says_why() -> None:
    for rule in RULES:
        assert rule.judged is None or rule.judged.reason
        for effect in rule.effects:
            whats = [what.replace("*", "data") for what in rule.what]
            assert any(rule_for(Change(effect=effect, what=what)) is rule for what in whats), (rule, effect)


@pytest.mark.parametrize("effect", [effect for effect in Effect if Change(effect=effect, what="x").effective])
def test_every_change_that_is_made_has_a_class(effect: Effect) -> None:
    (change,) = classified([Change(effect=effect, what="never heard of")])
    assert change.change_class is not None and change.class_reason
    if effect is Effect.UPDATE:
        assert rule_for(change) is UNKNOWN and change.change_class is ChangeClass.SIGNIFICANT


def test_standard_changes_are_free_as_often_as_agreed_and_then_charged_by_the_catalogue() -> None:
    names = ("a", "b", "c")
    before = _file({name: {} for name in names})
    plan = _plan(before, _file({name: {"updates": {"exclude": ["nginx"]}} for name in names}))
    free, missing = ("standard", "free", None), ("standard", "missing", None)
    assert _charges(plan) == {"a": free, "b": free, "c": missing}
    earlier = {("z", dt.date(2026, 11, 3))}
    assert _charges(plan, earlier) == {"a": free, "b": missing, "c": missing}
    assert with_interventions(plan, {"dupont": earlier}).allowances["dupont"].left == 0
    # What a run that was interrupted began today is not counted twice.
    assert _charges(plan, {("a", TODAY), ("z", TODAY)}) == {"a": free, "b": missing, "c": missing}
    by_catalogue = _charges(plan, earlier, Decisions(catalogue="CAT-12"))
    assert by_catalogue == {
        "a": free,
        "b": ("standard", "catalogue", None),
        "c": ("standard", "catalogue", None),
    }


def test_one_machine_is_one_intervention_of_its_highest_class() -> None:
    before = _file({"a": {}})
    after = _file({"a": {"memory": "2GiB", "vcpus": 2, "address": "203.0.113.77"}})
    assert _charges(_plan(before, after)) == {"a": ("significant", "missing", None)}
    both = _charges(
        _plan(before, _file({"a": {"memory": "512MiB", "updates": {"exclude": ["nginx"]}}, "b": {}}))
    )
    assert both == {"a": ("standard", "free", None), "b": ("significant", "missing", None)}


def test_without_managed_services_nothing_is_charged() -> None:
    before, after = _file({"a": {}}, managed=None), _file({"a": {"memory": "2GiB"}, "b": {}}, managed=None)
    assert {item[1] for item in _charges(_plan(before, after)).values()} == {"included"}


def test_a_quote_covers_the_machines_and_the_days_that_it_names() -> None:
    quotes = [
        {"reference": "D-old", "valid_until": "2026-11-23"},
        {"reference": "D-b", "valid_until": "2026-11-24", "machines": ["b"]},
    ]
    plan = _plan(_file({"a": {}}), _file({"a": {"address": "203.0.113.77"}, "b": {}}, quotes=quotes))
    assert _charges(plan) == {"a": ("significant", "missing", None), "b": ("significant", "quoted", "D-b")}
    assert _charges(plan, decisions=Decisions(quote="D-old")) == _charges(plan), "its last day is over"


def test_a_class_against_the_rules_holds_and_is_known_as_one() -> None:
    plan = _plan(_file({"a": {}}), _file({"a": {"address": "203.0.113.77"}}))
    decisions = Decisions(classes={("dupont", "a"): ChangeClass.STANDARD})
    held = with_interventions(plan, {}, decisions).machines[0].intervention
    assert held and (held.change_class, held.by_rule) == (ChangeClass.STANDARD, ChangeClass.SIGNIFICANT)
    assert held.charge is Charge.FREE


def test_a_retired_machine_is_a_significant_change_of_its_client() -> None:
    plan = _plan(_file({"a": {}, "b": {}}), _file({"a": {}}))
    assert _charges(plan) == {"b": ("significant", "missing", None)}


def test_what_was_changed_outside_is_put_right_without_being_counted() -> None:
    same = _file({"a": {}})
    world = World.empty()
    (machine,) = desired([same])
    world.clone(machine)
    world.make(machine, IPv4Address("203.0.113.10"))
    world.configs[machine.key]["cores"] = "3"
    plan = make_plan([machine], world.observed(), NOW)
    changes = {change.what: change for change in plan.machines[0].changes}
    assert changes["vCPU"].drift and changes["vCPU"].change_class is ChangeClass.STANDARD
    assert not any(item.intervention for item in with_interventions(plan, {}).machines)


def test_the_month_is_that_of_paris_and_failed_changes_do_not_count(tmp_path: Any) -> None:
    with open_history(tmp_path / "history.db") as history:

        def add(
            machine: str, at: str, result: str = "ok", charge: str = "free", began: int | None = None
        ) -> int:
            return history.append(
                who="w", why="w", client="dupont", machine=machine, site="paris", action=CHANGE, result=result,
                run="r", details={"charge": charge}, at=dt.datetime.fromisoformat(at), began=began,
            ).sequence  # fmt: skip

        add("last-month", "2026-10-31T22:30:00+00:00")
        add("first-of-month", "2026-10-31T23:30:00+00:00")
        add("charged", "2026-11-02T10:00:00+00:00", charge="quoted")
        add(
            "failed",
            "2026-11-02T10:00:00+00:00",
            "failed",
            began=add("failed", "2026-11-02T10:00:00+00:00", "begun"),
        )
        add("killed", "2026-11-05T10:00:00+00:00", "begun")
        add("twice", "2026-11-06T10:00:00+00:00")
        add("twice", "2026-11-06T11:00:00+00:00")
        assert free_changes(history, NOW) == {
            "dupont": {
                ("first-of-month", dt.date(2026, 11, 1)),
                ("killed", dt.date(2026, 11, 5)),
                ("twice", dt.date(2026, 11, 6)),
            }
        }


def test_too_many_retired_at_once_is_refused_until_it_is_allowed_by_name() -> None:
    names = [f"m-{number}" for number in range(5)]
    plan = _plan(_file({name: {} for name in names}), _file({name: {} for name in names[2:]}))
    assert [risk.name for risk in plan.unsafe] == ["retire:dupont", "retire:site=paris"]
    assert "2 of 5 machines would be retired" in plan.unsafe[0].words
    one = _plan(_file({name: {} for name in names}), _file({name: {} for name in names[1:]}))
    assert not one.unsafe, "one is never too many"


def test_allowing_one_risk_allows_no_other() -> None:
    names = [f"m-{number}" for number in range(5)]
    world = World.empty()
    for number, machine in enumerate(desired([_file({name: {} for name in names})])):
        world.clone(machine)
        world.make(machine, IPv4Address("203.0.113.10") + number)
    observed = world.observed()
    plan = make_plan(desired([_file({"m-0": {}})]), observed, NOW)
    allowed = read_allowed(["retire:dupont"])
    found = with_risks(plan, observed, PROVIDER.safety, allowed)
    assert [risk.name for risk in found.unsafe] == ["retire:site=paris"]
    assert [risk.name for risk in found.risks if risk.allowed] == ["retire:dupont"]


def test_new_machines_are_no_risk_and_limits_are_the_providers() -> None:
    names = [f"m-{number}" for number in range(30)]
    assert not _plan(_file({"a": {}}), _file({"a": {}, **{name: {} for name in names}})).risks
    world = World.empty()
    for number, machine in enumerate(desired([_file({"a": {}, "b": {}})])):
        world.clone(machine)
        world.make(machine, IPv4Address("203.0.113.10") + number)
    observed = world.observed()
    plan = make_plan(desired([_file({"a": {"vcpus": 2}, "b": {"vcpus": 2}})]), observed, NOW)
    strict = Safety(change=Limit(percent=50, machines=1))
    assert [item.name for item in with_risks(plan, observed, strict).unsafe] == [
        "change:dupont",
        "change:site=paris",
    ]
    assert not with_risks(plan, observed, Safety()).unsafe


def test_a_restart_outside_the_agreed_window_needs_more_than_to_be_told() -> None:
    window = {"days": ["tuesday"], "from": "22:00", "to": "02:00"}
    managed = {**MANAGED, "maintenance_window": window}
    before, after = _file({"a": {}}, managed=managed), _file({"a": {"memory": "2GiB"}}, managed=managed)
    assert [item.name for item in _plan(before, after, restart_now=True).unsafe] == [
        "outside-window:dupont/a"
    ]
    assert not _plan(before, after).unsafe
    inside = dt.datetime(2026, 11, 24, 21, 30, tzinfo=dt.UTC)
    assert not _plan(before, after, restart_now=True, now=inside).unsafe
    none = _plan(_file({"a": {}}), _file({"a": {"memory": "2GiB"}}), restart_now=True)
    assert not none.unsafe, "no window was agreed: being told is enough"


@pytest.mark.parametrize("text", ["everything", "retire", "retire:", "destroy:dupont", ":dupont"])
def test_what_allows_nothing_is_refused(text: str) -> None:
    with pytest.raises(NoSuchRisk, match="RISK:WHERE"):
        read_allowed([text])
