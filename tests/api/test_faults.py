"""Hypervisors that are down, slow, full, locked or contradict themselves: a clear message, and a way on."""

from __future__ import annotations

import copy

import pytest

from tests.api.desk import Desk, machine, subscription


@pytest.fixture
def one(desk: Desk) -> Desk:
    """A desk with one client's file."""
    desk.write(subscription("dupont", [machine("web-1"), machine("db-1")]))
    return desk


def finishes(desk: Desk) -> None:
    """The next run finishes the job: two running machines, no third, nothing planned but the guests' part."""
    answer = desk.apply()
    assert answer.code == 0, answer
    machines = desk.machines()
    assert {name: vm["status"] for name, vm in machines.items()} == {"web-1": "running", "db-1": "running"}
    left = {change["what"] for item in desk.plan()["machines"] for change in item["changes"]}
    assert left == {"firewall"}


def test_hypervisor_down(one: Desk) -> None:
    one.fakes["paris"].control("listen", listening=False)
    for command in ("plan", "apply"):
        answer = one.run(command, *(["--yes"] if command == "apply" else []))
        assert answer.code == 1
        assert "paris: not read, nothing planned there" in answer.out and "refused" in answer.out.lower()
    one.fakes["paris"].control("listen", listening=True)
    finishes(one)


def test_hypervisor_too_slow(one: Desk) -> None:
    one.sites["paris"]["api"]["timeout_seconds"] = 0.3
    one.write_sites()
    one.fakes["paris"].fault("GET", "/cluster/resources", "hang", seconds=30, times=9)
    answer = one.run("plan")
    assert answer.code == 1 and "GET /cluster/resources" in answer.out
    one.fakes["paris"].control("clear_faults")
    one.sites["paris"]["api"]["timeout_seconds"] = 30
    one.write_sites()
    finishes(one)


def test_hypervisor_answers_500(one: Desk) -> None:
    one.fakes["paris"].fault(
        "POST", "/nodes/pve1/qemu/9000/clone", "error", text="got no worker upid - start worker failed"
    )
    answer = one.apply()
    assert answer.code == 1 and "start worker failed" in answer.out
    assert len(one.machines()) == 1, "the other machine was made"
    finishes(one)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/nodes/pve1/qemu/9000/clone"),
        ("PUT", "/nodes/pve1/qemu/\\d+/config"),
        ("PUT", "/nodes/pve1/qemu/\\d+/resize"),
        ("POST", "/nodes/pve1/qemu/\\d+/status/start"),
        ("GET", "/nodes/pve1/tasks/.*/status"),
    ],
)
def test_connection_reset_before_or_after_a_call_took_effect(
    one: Desk, method: str, path: str, after: bool
) -> None:
    one.fakes["paris"].fault(method, path, "reset", after=after)
    one.apply()
    finishes(one)


def test_token_refused(one: Desk) -> None:
    one.fakes["paris"].control("revoke_token")
    answer = one.run("plan")
    assert answer.code == 1 and "token_secret" in answer.out


def test_wrong_certificate_is_refused_whatever_the_environment_says(one: Desk) -> None:
    trusted = one.sites["paris"]["api"]["ca_file"]
    del one.sites["paris"]["api"]["ca_file"]
    one.write_sites()
    answer = one.run("plan", environment={"REQUESTS_CA_BUNDLE": trusted, "CURL_CA_BUNDLE": trusted})
    assert answer.code == 1 and "ca_file" in answer.out
    one.sites["paris"]["api"]["verify_tls"] = False
    one.write_sites()
    assert one.run("plan").code == 0, "switching it off is a visible choice of the site"


def test_missing_privilege_is_named_and_nothing_is_planned(one: Desk) -> None:
    one.fakes["paris"].control("regrant", grants={"/": ["VM.Audit", "Sys.Audit"]})
    answer = one.run("plan")
    assert answer.code == 1 and "VM.Clone" in answer.out and "not read" in answer.out


def test_a_task_that_fails(one: Desk) -> None:
    one.fakes["paris"].fault(
        "POST", "/nodes/pve1/qemu/\\d+/status/start", "task", text="start failed: QEMU exited with code 1"
    )
    answer = one.apply()
    assert answer.code == 1 and "QEMU exited with code 1" in answer.out
    failed = one.run("history", "--format", "json").out
    assert '"result": "failed"' in failed and "QEMU exited" in failed
    finishes(one)


def test_a_locked_machine_is_refused_with_the_command_that_lifts_the_lock(one: Desk) -> None:
    assert one.apply().code == 0
    vmid = one.machines()["web-1"]["vmid"]
    one.fakes["paris"].control("set_vm", vmid=vmid, lock="backup")
    one.write(subscription("dupont", [machine("web-1", vcpus=2), machine("db-1")]))
    answer = one.apply()
    assert answer.code == 1 and f"qm unlock {vmid}" in answer.out
    one.fakes["paris"].control("set_vm", vmid=vmid, lock=None)
    assert one.apply().code == 0


def test_a_vmid_taken_between_asking_and_using(one: Desk) -> None:
    one.fakes["paris"].control("take_ids", times=3)
    assert one.apply().code == 0
    names = [vm["name"] for vm in one.fakes["paris"].dump()["vms"].values()]
    assert names.count("web-1") == names.count("db-1") == 1


def test_a_full_storage(one: Desk) -> None:
    text = "clone failed: No space left on device"
    one.fakes["paris"].fault("POST", "/nodes/pve1/qemu/9000/clone", "task", text=text, times=2)
    answer = one.apply()
    assert answer.code == 1 and "No space left" in answer.out and "make room" in answer.out
    finishes(one)


def test_lock_timeouts_are_retried_and_nobody_sees_them(one: Desk) -> None:
    text = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    one.fakes["paris"].fault("PUT", "/nodes/pve1/qemu/\\d+/config", "error", text=text, times=2)
    one.fakes["paris"].fault("POST", "/nodes/pve1/qemu/9000/clone", "error", text=text, times=2)
    answer = one.apply()
    assert answer.code == 0, answer
    assert "can't lock" not in answer.out + answer.err
    finishes(one)


def test_a_configuration_changed_after_the_plan_is_left_alone(one: Desk) -> None:
    """Somebody else writes between plan and execution: the plan would read differently, so it is not executed."""
    assert one.apply().code == 0
    vmid = one.machines()["web-1"]["vmid"]
    one.write(subscription("dupont", [machine("web-1", vcpus=2), machine("db-1")]))
    power = f"/nodes/pve1/qemu/{vmid}/status/current"
    one.fakes["paris"].fault("GET", power, "meet", times=2)  # the apply waits there for us
    process = one.start("apply", "--yes", "--no-guests")
    assert process.stdout is not None
    while "to change" not in process.stdout.readline():
        assert process.poll() is None
    one.fakes["paris"].control("set_config", vmid=vmid, memory="4096")
    one.fakes["paris"].cluster().get(power)
    out, _ = process.communicate()
    assert process.returncode == 1 and "changed after the plan was made" in out
    assert str(one.machines()["web-1"]["config"]["cores"]) == "1"
    finishes_with_restart(one)


def finishes_with_restart(desk: Desk) -> None:
    """A new plan names the other's change as well; applied, nothing is left but the guests' part."""
    assert desk.apply("--restart-now").code == 0
    config = desk.machines()["web-1"]["config"]
    assert (str(config["cores"]), str(config["memory"])) == ("2", "1024")


def test_a_guest_that_never_boots(one: Desk) -> None:
    one.fakes["paris"].control("guest_agent", answers=None)
    answer = one.run("apply", "--yes", "--boot-timeout", "1")
    assert answer.code == 1 and "did not come up within 1 s" in answer.out and "console" in answer.out
    finishes(one)


def test_a_clone_left_locked_by_a_crash_is_reported_with_the_remedy(one: Desk) -> None:
    assert one.apply().code == 0
    vmid = one.machines()["db-1"]["vmid"]
    one.fakes["paris"].control("set_vm", vmid=vmid, lock="clone")
    answer = one.apply()
    assert answer.code == 1 and f"qm destroy {vmid}" in answer.out


def test_one_site_down_does_not_stop_the_other(one: Desk) -> None:
    one.sites["lyon"] = copy.deepcopy(one.sites["paris"])
    one.sites["lyon"]["api"]["url"] = "https://127.0.0.1:9"
    one.write_sites()
    one.write(
        subscription("dupont", [machine("web-1"), machine("db-1")]),
        subscription("martin", [machine("m")], site="lyon"),
    )
    answer = one.apply()
    assert answer.code == 1 and "lyon: not read" in answer.out
    assert set(one.machines()) == {"web-1", "db-1"}


def test_two_applies_at_once_are_impossible(one: Desk) -> None:
    one.fakes["paris"].control("pace", time_scale=0.0, clone_seconds=3600)
    first = one.start("apply", "--yes", "--no-guests")
    assert first.stdout is not None
    while "clone" not in first.stdout.readline():
        assert first.poll() is None
    second = one.apply()
    one.fakes["paris"].control("pace")
    assert (
        second.code == 1
        and "is changing dupont: wait until that run has ended" in second.err
        and f"pid {first.pid}" in second.err
    )
    first.communicate()
    assert first.returncode == 0


def test_without_a_history_nothing_is_changed(one: Desk) -> None:
    (one.folder / "notes.txt").write_text("this is not a database, and long enough to be looked at " * 50)
    answer = one.apply("--history", str(one.folder / "notes.txt"))
    assert answer.code == 1 and "notes.txt" in answer.err and "Traceback" not in answer.err
    assert one.machines() == {}
    finishes(one)


@pytest.mark.parametrize("after", [False, True])
def test_a_clone_whose_answer_never_comes_is_not_asked_for_under_another_id(one: Desk, after: bool) -> None:
    one.sites["paris"]["api"]["timeout_seconds"] = 1
    one.write_sites()
    one.fakes["paris"].fault("POST", "/nodes/pve1/qemu/9000/clone", "hang", seconds=4, after=after)
    answer = one.apply()
    assert answer.code == 0, answer
    names = sorted(vm["name"] for vm in one.fakes["paris"].dump()["vms"].values())
    assert names == ["db-1", "debian-12", "web-1"]
