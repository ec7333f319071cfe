"""Restores go where the archive and its disks can be, leave nothing behind, and judge archives by nothing else."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.applying.archive_tasks import make_backup
from orchestrator.applying.in_place import interrupted_copy
from orchestrator.applying.journal import Journal
from orchestrator.applying.restoring import Copy, choose_node, leftovers, remove_copy
from orchestrator.applying.vm import Vm
from orchestrator.history import open_history
from orchestrator.proxmox import Cluster, ClusterState, VmSummary, read_cluster
from orchestrator.resources.copies import COPY_TAG, CopyMark, Purpose, copy_notes
from orchestrator.resources.machine_archives import ArchiveMark, read_archive_mark
from tests.api.desk import Desk
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import MONDAY_NIGHT, STORE, NightDesk

_ONE_NODE_ONLY = "the archive is on pve1's own storage backup-lyon, which no other node can read"


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _tested(night: NightDesk) -> bool | None:
    mark = read_archive_mark(night.archives()[0]["notes"])
    assert mark is not None
    return mark.test.sound if mark.test else None


def test_an_archive_on_a_local_storage_is_restored_on_its_node_only(night: NightDesk) -> None:
    night.fake.control("add_nodes", names=["pve2"])
    night.fake.set_storage(STORE, shared=False)
    night.fake.set_storage("local", nodes="pve1")
    night.deliver("web-1")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    web = night.vmid("web-1")
    night.fake.control("set_vm", vmid=web, node="pve2")  # migrated since
    refused = night.desk.run("backup", "restore", "dupont/web-1", "--in-place", "--confirm", "dupont/web-1")
    assert refused.code == 1 and "has no storage local" in refused.err, refused
    night.fake.set_storage("local", nodes=None)
    refused = night.desk.run("backup", "restore", "dupont/web-1", "--in-place", "--confirm", "dupont/web-1")
    assert refused.code == 1 and _ONE_NODE_ONLY in refused.err, refused
    assert set(night.desk.machines()) == {"web-1"}, "refused before anything was begun"
    beside = night.desk.run("backup", "restore", "dupont/web-1", "--as", "old-web")
    assert beside.code == 0 and night.desk.machines()["old-web"]["node"] == "pve1", beside
    night.fake.set_storage("local", content="backup")
    nowhere = night.desk.run("backup", "restore", "dupont/web-1", "--as", "other")
    assert nowhere.code == 1 and "pve1: its storage local does not take machines' disks" in nowhere.err
    assert "pve2: its storage local does not take" in nowhere.err


def test_what_keeps_a_restore_from_its_archive_is_no_verdict_on_it(night: NightDesk) -> None:
    night.deliver("web-1")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    busy = "command 'set -o pipefail && vma extract' failed: cfs-lock 'storage-local' error: got lock request timeout"
    night.fake.fault("POST", "/nodes/pve1/qemu", "task", text=busy)
    verified = night.desk.run("backup", "verify", "dupont/web-1")
    assert verified.code == 0 and _tested(night) is True, verified
    night.fake.archives(STORE)
    notes = night.archives()[0]["notes"]
    gone = "command 'set -o pipefail && vma extract' failed: storage 'local' does not exist"
    night.fake.fault("POST", "/nodes/pve1/qemu", "task", text=gone, times=5)
    verified = night.desk.run("backup", "verify", "dupont/web-1")
    assert verified.code == 1 and "storage 'local' does not exist" in verified.err + verified.out, verified
    assert night.archives()[0]["notes"] == notes, "the archive is as good as it was"


def test_what_a_failed_restore_left_is_removed_by_the_next_night(night: NightDesk) -> None:
    night.deliver("web-1")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    night.fake.break_archive(night.archives()[0]["volid"])
    night.fake.fault("DELETE", r"/nodes/pve1/qemu/\d+", "error", text="no quorum", times=5)
    assert night.desk.run("backup", "verify", "dupont/web-1").code == 1
    empty = [vm for vm in night.fake.dump()["vms"].values() if not vm["config"]]
    assert empty, "nobody could remove it"
    night.fake.control("clear_faults")
    night.night(MONDAY_NIGHT)
    assert set(night.desk.machines()) == {"web-1"}


def _copy(fake: FakePve, vmid: int, purpose: Purpose) -> CopyMark:
    """A copy on pve2."""
    mark = CopyMark(
        purpose=purpose, client="dupont", machine="web-1", volid=f"{STORE}:backup/x", made_at=MONDAY_NIGHT, vmid=vmid
    )  # fmt: skip
    config = {"description": copy_notes(mark), "tags": COPY_TAG}
    fake.add_vms(1, first=vmid, node="pve2", config=config, pool="client-dupont", status="stopped")
    return mark


def _as_if_on_pve1(state: ClusterState, vmid: int) -> list[VmSummary]:
    return [replace(vm, node="pve1") for vm in state.vms if vm.vmid == vmid]


def test_a_machine_that_moved_is_not_taken_for_gone(
    fakepve: FakePve, cluster: Cluster, tmp_path: Path
) -> None:
    fakepve.control("add_nodes", names=["pve2"])
    fakepve.add_storage(STORE, shared=True)
    cluster.post("/pools", poolid="client-dupont")
    marks = {201: _copy(fakepve, 201, "restore-test"), 202: _copy(fakepve, 202, "in-place")}
    fakepve.add_vms(1, first=300, node="pve2")
    with open_history(tmp_path / "history.db") as history:
        journal = Journal(history=history, who="a", why="b", run="c")
        state = read_cluster(cluster)
        vm = Vm(
            cluster=cluster,
            journal=journal,
            site="paris",
            client="dupont",
            machine="web-1",
            node="pve1",
            vmid=300,
        )
        archive = ArchiveMark(client="dupont", machine="web-1", contract="C", days=7)
        made = make_backup(vm, STORE, archive, clock=lambda: dt.datetime.now(dt.UTC))
        assert made.stored.vmid == 300, "backed up on the node that has it"
        found = interrupted_copy(vm, _as_if_on_pve1(state, 202))
        assert found is not None and (found.node, found.mark) == ("pve2", marks[202])
        stale = replace(state, vms=tuple(_as_if_on_pve1(state, 201)))
        (left,) = leftovers(cluster, journal, stale, running=frozenset()).copies
        assert left.node == "pve2"
        remove_copy(replace(left, node="pve1"))
        assert "201" not in fakepve.dump()["vms"], "gone in truth"
        remove_copy(
            Copy(cluster=cluster, journal=journal, site="paris", node="pve1", vmid=201, mark=marks[201])
        )


def test_a_node_is_chosen_by_all_that_a_restore_needs(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("add_nodes", names=["pve2"])
    fakepve.add_storage(STORE, shared=True)
    fakepve.add_vms(3, first=1000, config={"memory": "8192"})
    fakepve.add_storage("disks", content="images", shared=True, type="nfs")
    assert choose_node(read_cluster(cluster), "disks", STORE, "pve1")[0] in ("pve1", "pve2")
    fakepve.set_storage("disks", nodes="pve2")
    node, reasons = choose_node(read_cluster(cluster), "disks", STORE, "pve1")
    assert node == "pve2" and "pve1: it has no storage disks" in reasons
    fakepve.node_online("pve2", False)
    node, reasons = choose_node(read_cluster(cluster), "disks", STORE, "pve1")
    assert node is None and "pve2: it is not online" in reasons
