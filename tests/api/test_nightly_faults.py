"""Nights in which something goes wrong: one failed machine, storage or node never stops the rest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import replace

import pytest

from orchestrator.nightly.drift_step import drift_lines
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.proxmox import Cluster, TaskFailed
from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.machine_archives import read_archive_mark
from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.survey import read_for_plan
from tests.api.desk import Desk
from tests.api.night_desk import AGENT, MONDAY_NIGHT, STORE, NightDesk, cluster_of

_GIB = 1024**3
_TUESDAY = MONDAY_NIGHT + dt.timedelta(days=1)


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _results(report: NightReport) -> dict[str, str]:
    return {line.machine: line.result for line in report.of(BackupLine)}


def _line(report: NightReport, machine: str) -> BackupLine:
    return next(line for line in report.of(BackupLine) if line.machine == machine)


def test_vzdump_that_fails_for_one_machine_of_many_stops_no_other(night: NightDesk) -> None:
    night.deliver("web-1", "db-1", "app-1")
    night.fake.backup_behaviour(fail={night.vmid("db-1"): "got unexpected VMA error"})
    report = night.night()
    assert _results(report) == {"web-1": "done", "db-1": "failed", "app-1": "done"}
    assert "got unexpected VMA error" in _line(report, "db-1").message, "the reason from the task's log"
    assert "see the log of task UPID:" in _line(report, "db-1").message and report.failures == 1
    tries = [run for run in night.fake.backup_runs() if run["vmid"] == night.vmid("db-1")]
    assert len(tries) == 2, "tried once more at the end of the night, and not again and again"
    assert report.of(RestoreTestLine)[0].result == "sound", "the rest of the night goes on"


def test_a_backup_that_failed_for_a_passing_reason_is_made_at_the_end(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.fake.backup_behaviour(fail={night.vmid("web-1"): 1})
    report = night.night()
    assert _results(report) == {"web-1": "done", "db-1": "done"} and report.well


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda night: night.fake.set_storage(STORE, active=False), "no backup storage can be used"),
        (lambda night: night.fake.set_storage(STORE, readonly=True), "unable to create temporary directory"),
        (
            lambda night: night.fake.set_storage(STORE, total=10 * _GIB, used=10 * _GIB - 1),
            "No space left on device",
        ),
    ],
    ids=["offline at the start", "read-only", "full"],
)
def test_a_storage_that_cannot_be_used_is_told_and_nothing_is_lost(
    night: NightDesk, break_it: Callable[[NightDesk], None], told: str
) -> None:
    night.deliver("web-1", "db-1")
    assert night.night().well
    before = night.archives()
    break_it(night)
    report = night.night(_TUESDAY)
    assert _results(report) == {"web-1": "failed", "db-1": "failed"}
    assert all(told in line.message for line in report.of(BackupLine)), report.of(BackupLine)
    assert [archive["volid"] for archive in night.archives()] == [archive["volid"] for archive in before]
    health = next(line for line in report.of(StorageLine) if line.name == STORE)
    assert health.failed is not ("temporary directory" in told), (
        "that a storage is read-only shows only when written to"
    )


def test_a_storage_that_goes_away_in_the_middle_gets_no_further_backup_and_the_others_take_over(
    night: NightDesk,
) -> None:
    second = "backup-lyon-2"
    night.desk.sites["paris"]["backup_storages"].append({"name": second, "site": "lyon"})
    night.desk.write_sites()
    night.fake.add_storage(second, shared=True)
    names = [f"web-{number}" for number in range(1, 7)]
    night.deliver(*names)
    night.fake.backup_behaviour(default_seconds=300)
    seen: list[str] = []

    def storage_fails_at_the_second_backup(event: str) -> None:
        seen.append(event)
        if seen.count("backup-done") == 1 and event == "backup-done":
            night.fake.set_storage(STORE, active=False)

    night.on_event = storage_fails_at_the_second_backup
    report = night.night(speed=1200)
    night.on_event = None
    results = _results(report)
    assert set(results.values()) == {"done"}, report.of(BackupLine)
    after = [run["storage"] for run in night.fake.backup_runs() if run["ok"]][1:]
    assert set(after) == {second}, "nothing more was made on the one that went away"
    assert any(STORE in problem for problem in report.problems)


def test_a_node_that_goes_away_during_its_backup_fails_its_machines_only(night: NightDesk) -> None:
    night.fake.control("add_nodes", names=["pve2"])
    night.deliver("web-1", "db-1")
    night.fake.control("set_vm", vmid=night.vmid("db-1"), node="pve2")
    night.fake.backup_behaviour(default_seconds=600, seconds={night.vmid("db-1"): 7200})

    def node_leaves(event: str) -> None:
        if event == "backup-started" and [e for e, _ in night.events].count("backup-started") == 2:
            night.fake.node_online("pve2", False)

    night.on_event = node_leaves
    report = night.night(speed=1200)
    assert _results(report) == {"web-1": "done", "db-1": "failed"}
    assert _line(report, "db-1").message


def test_a_machine_held_by_somebodys_own_backup_is_waited_for(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.fake.clock(MONDAY_NIGHT.timestamp() - 60, 600)
    night.fake.run_foreign_backup(night.vmid("web-1"), 900)
    report = night.night()
    assert _results(report) == {"web-1": "done", "db-1": "done"}
    ours = [run for run in night.fake.backup_runs() if run["user"] != "root@pam"]
    assert len(ours) == 2


def test_a_lock_that_nobody_lifts_fails_its_machine_with_the_remedy(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.fake.set_lock(night.vmid("web-1"), "backup")
    night.on_event = lambda event: night.hurry(1200) if event == "backup-done" else None
    report = night.night(closes_at=MONDAY_NIGHT + dt.timedelta(minutes=30), speed=20)
    assert _results(report) == {"web-1": "failed", "db-1": "done"}
    assert f"qm unlock {night.vmid('web-1')}" in _line(report, "web-1").message


def test_a_damaged_archive_is_caught_by_its_restore_test_and_no_longer_counts_as_good(
    night: NightDesk,
) -> None:
    night.deliver("web-1")
    assert night.night(MONDAY_NIGHT).well
    first = night.archives()[0]
    assert night.night(_TUESDAY).well
    second = night.archives()[1]
    night.fake.break_archive(second["volid"])
    broken = night.desk.run("backup", "verify", "dupont/web-1")
    assert broken.code == 1 and second["volid"] in broken.err, broken
    mark = read_archive_mark(night.archives()[1]["notes"])
    assert mark and mark.test and not mark.test.sound
    listed = night.desk.run("backup", "list", "dupont/web-1").out
    assert "FAILED" in listed and "sound" in listed
    assert set(night.desk.machines()) == {"web-1"}, "no copy is left behind"
    good = night.desk.run("backup", "verify", "dupont/web-1")
    assert good.code == 0, "the newest good one is the older one now"
    assert read_archive_mark(night.archives()[0]["notes"]).test.sound  # type: ignore[union-attr]
    assert first["volid"] == night.archives()[0]["volid"]


def test_a_restored_machine_that_is_another_one_or_read_only_or_silent_fails_its_test(
    night: NightDesk,
) -> None:
    night.deliver("web-1")
    assert night.night().well
    sound = {
        "/etc/hostname": "web-1\n",
        "/proc/mounts": "/dev/sda1 / ext4 rw 0 0\n",
        "/sys/fs/ext4/sda1/errors_count": "0\n",
    }
    for change, told in (
        ({"/etc/hostname": "db-9\n"}, "it calls itself db-9, not web-1"),
        ({"/proc/mounts": "/dev/sda1 / ext4 ro,relatime 0 0\n"}, "is read-only: it was damaged"),
        ({"/sys/fs/ext4/sda1/errors_count": "3\n"}, "has counted 3 errors"),
    ):
        night.fake.guest_agent({"files": {**sound, **change}}, vmid=night.vmid("web-1"))
        answer = night.desk.run("backup", "verify", "dupont/web-1", "--archive", night.archives()[0]["volid"])
        assert answer.code == 1 and told in answer.err, answer
    night.fake.guest_agent({"ping": False}, vmid=night.vmid("web-1"))
    volid = night.archives()[0]["volid"]
    silent = night.desk.run("backup", "verify", "dupont/web-1", "--archive", volid, "--boot-timeout", "1")
    assert silent.code == 1 and "its guest agent was silent" in silent.err, silent
    assert set(night.desk.machines()) == {"web-1"}


def test_a_site_that_cannot_be_read_is_a_problem_of_the_report_and_not_of_the_night(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.fault("GET", "/cluster/resources", "error", status=500, text="no quorum", times=99)
    report = night.night()
    night.fake.control("clear_faults")
    assert not report.well and any("paris" in problem for problem in report.problems)
    assert _results(report) == {"web-1": "missing"} and "no quorum" in _line(report, "web-1").message
    assert night.night().well


def test_what_killed_runs_left_of_restores_is_removed_and_nothing_else(night: NightDesk) -> None:
    night.deliver("web-1")
    assert night.night().well
    volid = night.archives()[0]["volid"]
    night.fake.break_archive(volid)
    cluster = night.fake.cluster()
    for vmid in (150, 151):
        upid = cluster.post("/nodes/pve1/qemu", vmid=vmid, archive=volid, storage="local")
        with pytest.raises(TaskFailed):
            cluster.wait_for_task(upid)
    cluster.put("/nodes/pve1/qemu/151/config", description="somebody uses this number by now")
    cluster.run_task("POST", "/nodes/pve1/qemu", params={"vmid": 152, "memory": 512})
    night.fake.break_archive(volid, broken=False)
    mark = CopyMark(
        purpose="restore-test", client="dupont", machine="web-1", volid=volid, made_at=MONDAY_NIGHT, vmid=153
    )
    restored = {
        "vmid": 153,
        "archive": volid,
        "storage": "local",
        "description": copy_notes(mark),
        "tags": COPY_TAG,
        "pool": "client-dupont",
    }
    cluster.run_task("POST", "/nodes/pve1/qemu", params={**restored, "protection": 0})
    assert night.night(_TUESDAY).well
    left = {int(vm["vmid"]) for vm in night.fake.dump()["vms"].values() if not vm["template"]}
    assert left == {night.vmid("web-1"), 151, 152}


def test_a_machine_that_never_booted_is_judged_by_what_can_be_known(night: NightDesk) -> None:
    """Its copy has an image's name and new host keys: the archive is no worse for it, and no name was checked."""
    night.files("web-1")
    assert night.desk.apply().code == 0
    night.fake.guest_agent(
        {"files": {**AGENT["files"], "/etc/hostname": "localhost\n"}}, vmid=night.vmid("web-1")
    )
    assert night.night().well
    (archive,) = night.archives()
    mark = read_archive_mark(archive["notes"])
    assert mark and mark.test and mark.test.sound, mark
    assert "its name and host keys were not checked" in mark.test.found and "localhost" in mark.test.found
    night.desk.put_in_service()
    delivered = night.desk.run("backup", "verify", "dupont/web-1", "--archive", archive["volid"])
    assert delivered.code == 1 and "it calls itself localhost, not web-1" in delivered.err, delivered


def test_a_defect_in_judging_one_site_is_told_of_that_site_and_the_others_drift_is_told(
    night: NightDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.deliver("web-1")
    night.fake.control("set_config", vmid=night.vmid("web-1"), memory="4096")
    _, work = night.night_and_plan(MONDAY_NIGHT)
    cluster = cluster_of(night)

    def read_or_defect(
        where: Cluster, observed: ObservedSite, selected: Collection[DesiredMachine]
    ) -> ObservedSite:
        if observed.site == "lyon":
            raise KeyError("status")
        return read_for_plan(where, observed, selected)

    monkeypatch.setattr("orchestrator.nightly.drift_step.read_for_plan", read_or_defect)
    paris = work.readings["paris"]
    readings = {"lyon": replace(paris, observed=replace(paris.observed, site="lyon")), "paris": paris}
    both = replace(work.night, clusters={"lyon": cluster, "paris": cluster})
    problems: list[str] = []
    lines = drift_lines(both, readings, {}, MONDAY_NIGHT, problems)
    assert [(line.machine, line.site) for line in lines] == [("web-1", "paris")], lines
    assert [problem.partition(":")[0] for problem in problems] == ["drift at lyon is not known"], problems
    cluster.close()
