"""Files that claim what is not theirs: a VM of another client, a cluster under two names, a forged time."""

from __future__ import annotations

import copy
import json

import pytest

from orchestrator.planning.saved import SavedPlan
from tests.api.desk import Desk, machine, subscription


def test_two_clients_cannot_take_over_one_machine(desk: Desk) -> None:
    desk.write(
        subscription("dupont", [machine("web-1", adopt=105, address="203.0.113.60")]),
        subscription("martin", [machine("shop-1", adopt=105, address="203.0.113.61")]),
    )
    answer = desk.run("validate", "subscriptions")
    assert answer.code == 1, answer
    assert (
        "VM 105 on site paris is taken over by another client's file already: subscriptions/dupont.yaml:"
        in (" ".join(answer.out.split()))
    )
    assert "a machine belongs to one client" in " ".join(answer.out.split())


def test_one_cluster_under_two_names_is_told_as_that(desk: Desk) -> None:
    """Who is told to take the mark out of a copy's notes would take it out of the machine's own."""
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.sites["lyon"] = copy.deepcopy(desk.sites["paris"])
    desk.write_sites()
    answer = desk.run("plan")
    assert answer.code == 1 and "lyon has the url of paris" in answer.err, answer
    desk.sites["lyon"]["api"]["url"] = desk.sites["paris"]["api"]["url"].replace("127.0.0.1", "LOCALHOST")
    desk.write_sites()
    document = json.loads(desk.run("plan", "--format", "json").out)
    if not document["failures"]:
        (change,) = document["machines"][0]["changes"]
        assert change["kind"] == "refused" and "lyon and paris both list VM 100 on pve1" in change["why"]


@pytest.mark.parametrize(
    "made_at", ["2026-11-30T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"]
)
def test_a_saved_plan_with_a_forged_time_is_refused(desk: Desk, made_at: str) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.run("plan", "--out", "plan.json").code == 0
    path = desk.folder / "plan.json"
    data = json.loads(path.read_text())
    data["plan"]["made_at"] = made_at
    path.write_text(SavedPlan.model_validate(data).sealed().model_dump_json())
    answer = desk.run("apply", "--plan", "plan.json", "--yes", "--no-guests")
    assert answer.code == 1 and "plan.json is not a saved plan: plan.made_at" in answer.err, answer
    assert desk.machines() == {}


def test_a_name_that_no_vm_can_have_is_refused_before_anything_is_restored(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    for name in ("", "x;id", "web_1", "x\x1b[2J"):
        answer = desk.run("backup", "restore", "dupont/web-1", f"--as={name}")
        assert answer.code == 1 and "cannot be a VM's name: letters, digits and hyphens" in answer.err, answer
        assert "\x1b" not in answer.err
