"""Many machines are made at a time: as fast as the storage lets them, and without an error where it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.proxmox import LockTimeout, TaskFailed
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


def _ask_for(desk: Desk, count: int) -> None:
    desk.write(subscription("dupont", [machine(f"web-{number}") for number in range(count)]))


def _assert_all_made(desk: Desk, answer: Answer, count: int) -> None:
    assert answer.code == 0, answer
    assert "failed" not in answer.out + answer.err, answer
    machines = desk.machines()
    assert len(machines) == count
    assert all(item["status"] == "running" and not item["lock"] for item in machines.values())


def _with_strangers(fake: FakePve) -> dict[str, dict[str, object]]:
    """What the cluster holds, by name, strangers included."""
    return {f"{vm['name']}": vm for vm in fake.dump()["vms"].values() if not vm["template"]}


@pytest.fixture
def contended(fakepve: FakePve) -> Iterator[FakePve]:
    """A cluster whose storage lets one clone through at a time: whoever has to wait for it fails."""
    fakepve.control("pace", time_scale=0.001, clone_seconds=0.05)
    fakepve.control("allocation", storage="local", seconds=0.25, patience=0.2)
    yield fakepve


def test_a_storage_that_is_busy_refuses_as_a_real_one_does(contended: FakePve) -> None:
    contended.control("add_template", vmid=9000, name="debian-12")
    contended.add_storage("ceph", type="rbd", content="images", shared=True, pool="rbd")
    for storage in ("local", "ceph"):  # however long the computer takes to ask for two more
        contended.control("allocation", storage=storage, seconds=2.0, patience=0.05)
    cluster = contended.cluster()
    for storage, text in (
        ("local", "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout"),
        ("ceph", "clone failed: cfs-lock 'storage-ceph' error: got lock request timeout"),
    ):
        path = "/nodes/pve1/qemu/9000/clone"
        asked = [cluster.post(path, newid=100 + n, full=1, storage=storage) for n in range(3)]
        cluster.wait_for_task(asked[0])
        for upid in asked[1:]:
            with pytest.raises(TaskFailed) as failed:
                cluster.wait_for_task(upid)
            assert failed.value.exitstatus == text
            assert isinstance(failed.value.cause, LockTimeout)
        assert sorted(contended.dump()["vms"]) == ["100", "9000"], "what was begun is gone"
        contended.control("remove_vm", vmid=100)


def test_clones_that_do_not_contend_are_made_side_by_side(desk: Desk, fakepve: FakePve) -> None:
    fakepve.control("pace", time_scale=0.001, clone_seconds=1.0)
    _ask_for(desk, 14)
    fakepve.control("reset_calls")
    fakepve.fault("POST", ".*/clone", "meet", skip=5, times=8)  # more at a time once the first ones went well
    _assert_all_made(desk, desk.apply(), 14)
    assert fakepve.control("clones_seen")["at once"] >= 8
    assert len(set(desk.machines())) == 14
    calls = fakepve.calls()
    assert calls["GET /cluster/nextid"] == 1, "numbers are asked for once"
    assert sum(n for call, n in calls.items() if call.startswith("GET /cluster/resources")) <= 4
    per_machine = sum(n for call, n in calls.items() if "/qemu/" in call or "/tasks/" in call) / 14
    assert per_machine < 26, calls


def test_clones_that_contend_are_all_made_and_no_lock_is_reported(desk: Desk, contended: FakePve) -> None:
    _ask_for(desk, 8)
    contended.fault("POST", ".*/clone", "meet", times=2)  # two at least are asked for at the same moment
    _assert_all_made(desk, desk.apply(), 8)
    seen = contended.control("clones_seen")
    assert 1 <= seen["lock timeouts"] <= 8, seen
    assert not [line for line in desk.run("history", "list").out.splitlines() if "failed" in line]


def test_numbers_that_others_take_meanwhile_cost_one_more_question_each(desk: Desk, fakepve: FakePve) -> None:
    fakepve.control("take_ids", times=3)
    _ask_for(desk, 6)
    fakepve.control("reset_calls")
    answer = desk.apply()
    assert answer.code == 0, answer
    made = {name: vm for name, vm in _with_strangers(fakepve).items() if name.startswith("web-")}
    assert len(made) == 6
    calls = fakepve.calls()
    assert sum(n for call, n in calls.items() if call.endswith("/clone")) <= 6 + 3
    assert calls["GET /cluster/nextid"] <= 1 + 3
