"""What the cluster's list does not know, or knows late, is asked of the node; what nobody knows is not concluded."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

from orchestrator.applying.apply import apply_plan
from orchestrator.applying.journal import Journal
from orchestrator.history import open_history
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.planning.plan import make_plan
from orchestrator.resources.observing import observe
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk

_MUTE = {"status": "suspended", "suspension": {"since": "2026-11-01", "reference": "L-1"}}


def _two_nodes(desk: Desk) -> Any:
    """``web-1`` on pve1 and ``web-2`` on pve2, both running and in service."""
    fake = desk.fakes["paris"]
    fake.control("add_nodes", names=["pve2"])
    fake.control("add_template", vmid=9001, name="debian-12", node="pve2")
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    assert {vm["node"] for vm in desk.machines().values()} == {"pve1", "pve2"}
    return fake


def _changes(desk: Desk) -> dict[str, list[tuple[str, str, str | None]]]:
    return {
        item["machine"]: [(change["kind"], change["what"], change["after"]) for change in item["changes"]]
        for item in desk.plan()["machines"]
        if item["changes"]
    }


def test_a_list_that_is_ten_seconds_old_shows_no_drift(desk: Desk) -> None:
    """A real cluster lists a machine as stopped until its node's next report, however long it runs by then."""
    fake = desk.fakes["paris"]
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2", power="stopped")]))
    assert desk.apply().code == 0
    listed = {entry["vmid"]: entry for entry in fake.cluster().get("/cluster/resources", type="vm")}
    assert all(listed[vm["vmid"]]["status"] == "unknown" for vm in desk.machines().values()), "the model"
    fake.control("report")
    desk.write(subscription("dupont", [machine("web-1", power="stopped"), machine("web-2")]))
    assert desk.apply().code == 0
    listed = {entry["vmid"]: entry for entry in fake.cluster().get("/cluster/resources", type="vm")}
    assert {name: (listed[vm["vmid"]]["status"], vm["status"]) for name, vm in desk.machines().items()} == {
        "web-1": ("running", "stopped"),
        "web-2": ("stopped", "running"),
    }
    fake.control("reset_calls")
    assert not [change for found in _changes(desk).values() for change in found if change[1] == "power"]
    assert fake.calls("GET")["GET /nodes/pve1/qemu"] == 1, "one call a node, not one a machine"


def test_a_node_whose_statistics_daemon_hangs_is_asked_itself(desk: Desk) -> None:
    """After five minutes its machines have neither name nor state in the list: that is not "stopped"."""
    fake = _two_nodes(desk)
    fake.control("hang", nodes=["pve1", "pve2"])
    assert _changes(desk) == {} and desk.plan()["unreadable"] == []
    desk.write(subscription("dupont", [machine("web-1")]))  # web-2 is retired
    assert "retire" in {kind for kind, _, _ in _changes(desk)["web-2"]}
    assert desk.apply().code == 0
    assert desk.machines()["web-2"]["status"] == "stopped"
    suspended = subscription("dupont", [machine("web-1")])
    suspended["contract"] |= _MUTE
    desk.write(suspended)
    assert ("stop", "power", "stopped") in _changes(desk)["web-1"]
    answer = desk.apply()
    assert answer.code == 0 and desk.machines()["web-1"]["status"] == "stopped", answer
    assert ("stop", "power", "stopped") not in _changes(desk).get("web-1", [])


def test_storages_of_a_node_whose_daemon_hangs_are_used(desk: Desk) -> None:
    """They are ``unknown`` as their node is: only trying tells. What is not known of them is said."""
    night = NightDesk(desk)
    night.deliver("web-1")
    night.fake.control("hang", nodes=["pve1"])
    night.files("web-1", "web-2")
    assert desk.apply().code == 0 and "web-2" in desk.machines()
    assert desk.run("backup", "now", "dupont/web-1").code == 0
    restored = desk.run("backup", "restore", "dupont/web-1", "--as", "copy")
    assert restored.code == 0 and "copy" in desk.machines(), restored
    doctor = desk.run("doctor").out
    assert "node pve1" in doctor and "systemctl status pvestatd" in doctor, doctor
    assert "template 9000 on pve1" in doctor, "its machines are looked at"
    night.files("web-1")
    lines = night.night().of(StorageLine)
    assert len(lines) == 2 and all("pve1 does not report" in line.message for line in lines), lines
    assert not any(line.forecast for line in lines), "nothing is forecast from nothing"


def test_a_machine_whose_state_nobody_tells_is_named_and_left_alone(desk: Desk) -> None:
    fake = _two_nodes(desk)
    nodes = {vm["node"]: name for name, vm in desk.machines().items()}
    away, here = nodes["pve2"], nodes["pve1"]
    fake.control("hang", nodes=["pve2"])
    refusal: dict[str, Any] = {"status": 500, "text": "got no worker upid - start worker failed", "times": 99}
    fake.fault("GET", "/nodes/pve2/qemu", "error", **refusal)
    suspended = subscription("dupont", [machine("web-1"), machine("web-2")])
    suspended["contract"] |= _MUTE
    desk.write(suspended)
    planned = desk.run("plan")
    assert planned.code == 1 and "name and state are not known" in planned.out + planned.err, planned
    assert desk.apply().code == 1
    machines = desk.machines()
    assert (machines[here]["status"], machines[away]["status"]) == ("stopped", "running")

    # The list knows its name, and not what it does: then what it does is asked, and said if nobody tells.
    fake.control("hang", nodes=[])
    fake.fault("GET", r"/nodes/pve2/qemu/\d+/status/current", "error", **refusal)
    answer = desk.apply()
    assert answer.code == 1 and desk.machines()[away]["status"] == "running", answer
    fake.control("clear_faults")
    assert desk.apply().code == 0 and desk.machines()[away]["status"] == "stopped"


def test_a_clone_that_a_killed_run_began_is_not_made_a_second_time(desk: Desk) -> None:
    """Before its clone ends a machine has neither name nor mark: nobody can see whose it will be."""
    fake = desk.fakes["paris"]
    desk.write(subscription("dupont", [machine("web-1")]))
    fake.control("pace", time_scale=1.0, clone_seconds=3600)
    killed = desk.kill_at("POST", "/nodes/pve1/qemu/9000/clone", "apply", "--yes", "--no-guests")
    assert killed and desk.machines()["web-1"]["lock"] == "clone"
    fake.control("reset_calls")
    again = desk.start("apply", "--yes", "--no-guests")
    while fake.calls().get("GET /nodes/pve1/tasks", 0) < 2:  # it has seen the clone, and waits for its end
        assert again.poll() is None
    fake.control("pace")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 1, (out, err)
    assert "VM 100 was made for it meanwhile by another run: plan again" in out, (out, err)
    assert desk.apply().code == 0
    assert [vm["name"] for vm in fake.dump()["vms"].values()] == ["debian-12", "web-1"]


def test_a_clone_whose_answer_was_lost_is_waited_for_however_long_it_takes(
    desk: Desk, tmp_path: Path
) -> None:
    """Until it ends nothing in Proxmox says whose it is; that is no reason to give it up, or to ask for another."""
    fake = desk.fakes["paris"]
    desk.write(subscription("dupont", [machine("web-1")]))
    fake.control("pace", time_scale=1.0, clone_seconds=3.0)
    fake.fault("POST", "/nodes/pve1/qemu/9000/clone", "reset", after=True)
    cluster = fake.cluster()
    observed = {"paris": observe(cluster, "paris", names={"web-1"})}
    plan = make_plan(desk.desired(), observed, dt.datetime.now(dt.UTC))
    with open_history(tmp_path / "h.db") as history:
        journal = Journal(history=history, who="test", why="test", run="r")
        (outcome,) = apply_plan(
            plan, {"paris": cluster}, observed, journal, ssh=None, pause=lambda _: time.sleep(0.05)
        )
    assert outcome.result == "partly", outcome
    assert sorted(desk.machines()) == ["web-1"]
