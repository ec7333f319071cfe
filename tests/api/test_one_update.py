"""One machine's update before and after Ansible's turn: snapshots, marks and the way back, against the API.

What Ansible answered is given here; that it really answers so is shown in tests/lab/test_update_faults.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.applying.journal import Journal
from orchestrator.applying.machine_update import OneUpdate, Updatable, UpdateTerms
from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.guests import SshSettings
from orchestrator.guests.packages import UpdateOrder, UpdateResult
from orchestrator.history import History, open_history
from orchestrator.proxmox import read_snapshots
from orchestrator.resources.desired import desired_machines
from orchestrator.resources.notes import Mark, read_mark, write_mark
from orchestrator.resources.observing import observe
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import CLOSED, HOST_KEY, Desk, machine, subscription

WELL = UpdateResult(status="well", tried=("nginx 1.26",), restarted=True)
BROKEN = UpdateResult(status="broken", tried=("nginx 1.26",), message="the installation broke off")
MIRROR = UpdateResult(status="untouched", message="the package lists could not be fetched")


class Bench:
    """A managed machine in service, and updates of it."""

    def __init__(self, desk: Desk, history: History) -> None:
        self.desk = desk
        self.fake = desk.fakes["paris"]
        self.cluster = self.fake.cluster()
        desk.write(subscription("dupont", [machine("web-1")], managed_services={"level": "supervision"}))
        assert desk.apply().code == 0
        vm = desk.machines()["web-1"]
        self.path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
        self.vmid = int(vm["vmid"])
        self.note(ready=True, host_keys=(HOST_KEY,), firewall=CLOSED)
        self.journal = Journal(history=history, who="t", why="t", run="t")
        self.history = history
        self.ahead = dt.timedelta()

    def note(self, **changes: Any) -> None:
        text = self.cluster.get(f"{self.path}/config")["description"]
        mark = read_mark(text)
        assert isinstance(mark, Mark)
        self.cluster.put(f"{self.path}/config", description=write_mark(mark.with_(**changes), text))

    def mark(self) -> Mark:
        mark = read_mark(self.cluster.get(f"{self.path}/config")["description"])
        assert mark is not None
        return mark

    def state(self) -> str | None:
        update = self.mark().update
        return update.state if update else None

    def snapshots(self) -> list[str]:
        return [one.name for one in read_snapshots(self.cluster, "pve1", self.vmid)]

    def rollbacks(self) -> int:
        tasks = self.fake.dump()["tasks"]
        return sum(
            "qmrollback" in str(task) for task in (tasks.values() if isinstance(tasks, dict) else tasks)
        )

    def update(self, **terms: Any) -> OneUpdate:
        """The update as a run begins it that reads the machine now."""
        provider = load_provider(self.desk.folder)
        loaded = load([self.desk.folder / "subscriptions"], provider)
        (desired,) = desired_machines((item.subscription for item in loaded.subscriptions), provider)
        site = observe(self.cluster, "paris", names=())
        (observed,) = site.machines
        assert observed.mark is not None
        updatable = Updatable(
            desired=desired,
            observed=observed,
            mark=observed.mark,
            site=site,
            cluster=self.cluster,
            reboot=True,
        )
        key = self.desk.folder / "id"
        key.touch()
        # Nobody is reached through this proxy: what happens in the guest is not shown here.
        ssh = SshSettings(private_key=key, proxy_command="false", connect_timeout_seconds=1)
        given = UpdateTerms(
            ssh=ssh,
            journal=self.journal,
            clock=lambda: dt.datetime.now(dt.UTC) + self.ahead,
            automatic=True,
            boot_seconds=0.1,
            rollback_seconds=0.1,
        )
        return OneUpdate(updatable, replace(given, **terms))


@pytest.fixture
def bench(desk: Desk) -> Iterator[Bench]:
    with open_history(desk.folder / "history.db") as history:
        yield Bench(desk, history)


def begun(update: OneUpdate) -> UpdateOrder:
    order = update.begin()
    assert isinstance(order, UpdateOrder), order
    return order


def test_a_good_update_leaves_neither_snapshot_nor_note(bench: Bench) -> None:
    update = bench.update()
    assert begun(update).fresh
    assert len(bench.snapshots()) == 1 and bench.state() == "running"
    ended = update.end(WELL)
    assert (ended.result, ended.restarted) == ("installed", True)
    assert bench.snapshots() == [] and bench.state() is None
    assert [entry.result for entry in bench.history.entries(action="update")] == ["ok"]


def test_an_update_that_changed_nothing_leaves_nothing_either(bench: Bench) -> None:
    update = bench.update()
    begun(update)
    assert update.end(MIRROR).result == "untouched"
    assert bench.snapshots() == [] and bench.state() is None


def test_a_killed_update_that_cannot_be_gone_on_with_keeps_its_way_back(bench: Bench) -> None:
    begun(bench.update())  # and killed
    (snapshot,) = bench.snapshots()
    again = bench.update()
    assert not begun(again).fresh, "judged by what ran before the first one"
    ended = again.end(MIRROR)
    assert ended.result == "unreachable" and ended.stops_others
    assert "an earlier run was killed in the middle of this update" in ended.message
    assert bench.snapshots() == [snapshot] and bench.state() == "running", "half of it may be installed"
    third = bench.update()
    begun(third)
    assert third.end(WELL).result == "installed"
    assert bench.snapshots() == [] and bench.state() is None


def test_a_run_killed_right_after_its_snapshot_leaves_no_second_one(bench: Bench) -> None:
    begun(bench.update())
    bench.note(update=None)
    begun(bench.update())
    assert len(bench.snapshots()) == 1


def test_two_snapshots_of_the_client_stay_and_the_update_has_no_way_back(bench: Bench) -> None:
    for number, name in enumerate(("mine", "mine-too")):
        bench.fake.add_snapshot(bench.vmid, name, snaptime=1_700_000_000 + number)
    update = bench.update()
    begun(update)
    assert bench.snapshots() == ["mine", "mine-too"]
    ended = update.end(BROKEN)
    assert (
        ended.result == "broken"
        and "there is no snapshot to go back to (at most 2 snapshots" in ended.message
    )
    assert bench.snapshots() == ["mine", "mine-too"] and bench.rollbacks() == 0
    assert bench.state() == "held"


def test_a_broken_update_is_undone_once_and_the_machine_held_back(bench: Bench) -> None:
    update = bench.update()
    begun(update)
    ended = update.end(BROKEN)
    assert ended.result == "rolled-back" and ended.tried == ("nginx 1.26",), ended
    assert bench.rollbacks() == 1 and bench.snapshots() == []
    held = bench.mark().update
    assert held is not None and (held.state, held.packages) == ("held", ("nginx 1.26",))
    assert bench.fake.dump()["vms"][str(bench.vmid)]["status"] == "running"
    refused = bench.update().begin()
    assert isinstance(refused, MachineUpdate) and refused.result == "held"
    assert begun(bench.update(released=True)).fresh


def test_a_way_back_that_was_killed_is_gone_to_its_end_and_not_twice(bench: Bench) -> None:
    update = bench.update()
    begun(update)
    now = bench.mark().update
    assert now is not None
    # As a run leaves it that is killed after the rollback: the mark has forgotten the firewall already.
    bench.note(update=replace(now, state="going-back", reason="it broke"), firewall=None)
    ended = bench.update().begin()
    assert isinstance(ended, MachineUpdate) and ended.result == "rolled-back", ended
    assert bench.rollbacks() == 0, "what was written since is not lost"
    assert bench.state() == "held" and bench.snapshots() == []


def test_nobody_is_brought_back_to_an_old_snapshot_by_a_program(bench: Bench) -> None:
    begun(bench.update())
    (snapshot,) = bench.snapshots()
    bench.ahead = dt.timedelta(hours=20)
    again = bench.update()
    begun(again)
    ended = again.end(BROKEN)
    assert ended.result == "broken"
    assert f"orchestrator snapshot rollback dupont/web-1 {snapshot}" in ended.message
    assert bench.rollbacks() == 0 and bench.snapshots() == [snapshot] and bench.state() == "held"


def test_a_guest_whose_agent_answers_is_left_as_it_is_when_ssh_fails(bench: Bench) -> None:
    bench.fake.guest_agent({}, vmid=bench.vmid)
    update = bench.update()
    begun(update)
    ended = update.end(UpdateResult(status="unreachable", message="SSH failed"))
    assert (
        ended.result == "unreachable" and "its guest agent answers, so it was left as it is" in ended.message
    )
    assert bench.rollbacks() == 0 and bench.state() == "running" and len(bench.snapshots()) == 1


def test_a_guest_that_is_silent_altogether_is_brought_back(bench: Bench) -> None:
    bench.fake.guest_agent(None, vmid=bench.vmid)
    update = bench.update()
    begun(update)
    ended = update.end(UpdateResult(status="unreachable", message="SSH failed"))
    assert ended.result == "rolled-back" and "its guest agent is silent too" in ended.message
    assert bench.rollbacks() == 1
