"""Redundant hardware and a second site (article 3.2): planned, shown, made, kept up, taken away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.applying.erasing import erase_machine
from orchestrator.applying.journal import Journal
from orchestrator.applying.vm import Vm
from orchestrator.history import open_history
from orchestrator.resources.notes import read_mark
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

BOTH = {"hardware": True, "second_site": "lyon"}


class Estate(Desk):
    """Paris: pve1 and pve2, and a node of the same cluster at Lyon; a shared storage, ZFS and a folder."""

    def __init__(self, folder: Path, fake: FakePve) -> None:
        self.fake = fake
        fake.control("add_nodes", names=["pve2", "pve-lyon"])
        fake.control("add_storage", name="ceph", type="rbd", pool="rbd", shared=True, total=10**13)
        fake.control("add_storage", name="tank", type="zfspool", pool="tank", total=10**13)
        fake.control("add_template", vmid=9000, name="debian-12", storage="local")
        super().__init__(folder, {"paris": fake})
        self.sites["paris"]["second_sites"] = {"lyon": {"nodes": ["pve-lyon"]}}
        self.use("tank")

    def use(self, storage: str) -> None:
        """Put new machines' disks on a storage."""
        self.sites["paris"]["storage"] = storage
        self.sites["paris"].pop("disk_format", None)
        self.write_sites()

    def ask(self, redundancy: dict[str, Any] | None, **more: Any) -> None:
        """Write a client's file with one machine."""
        extra = {} if redundancy is None else {"redundancy": redundancy}
        self.write(subscription("dupont", [machine("web-1", **extra, **more)]))

    def settled(self, *arguments: str) -> Answer:
        """Apply, and make sure that nothing is left to do."""
        answer = self.apply(*arguments)
        assert answer.code == 0, answer
        self.put_in_service(firewall=True)
        again = self.run("plan", "--detailed-exitcode")
        assert again.code == 0, again
        return answer

    @property
    def made(self) -> Any:
        """What the cluster has configured."""
        return self.fake.control("redundancy")

    @property
    def vmid(self) -> str:
        """The machine's number."""
        return str(self.machines()["web-1"]["vmid"])


@pytest.fixture(params=["8", "9"])
def estate(request: pytest.FixtureRequest, fakepve: FakePve, tmp_path: Path) -> Iterator[Estate]:
    """Once with groups, once with rules."""
    fakepve.control("release", release=request.param)
    yield Estate(tmp_path, fakepve)


@pytest.fixture
def nine(fakepve: FakePve, tmp_path: Path) -> Estate:
    """Proxmox VE 9, where it does not matter."""
    fakepve.control("release", release="9")
    return Estate(tmp_path, fakepve)


def placed(made: Any, vmid: str) -> tuple[set[str], bool]:
    """Where the HA manager may run a machine, and whether only there."""
    group = made["resources"][vmid].get("group")
    if group:
        entry = made["groups"][group]
        return set(entry["nodes"].split(",")), bool(entry["restricted"])
    (entry,) = [rule for rule in made["rules"].values() if f"vm:{vmid}" in rule["resources"].split(",")]
    return set(entry["nodes"].split(",")), bool(entry["strict"])


def changes(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The changes of the one machine, by what changes."""
    return {change["what"]: change for change in plan["machines"][0]["changes"]}


def test_on_shared_storage_a_machine_restarts_on_the_nodes_of_its_own_site(estate: Estate) -> None:
    estate.use("ceph")
    estate.ask({"hardware": True})
    assert "redundant hardware" in estate.run("plan").out
    estate.settled()
    made = estate.made
    assert made["resources"][estate.vmid]["state"] == "started"
    assert placed(made, estate.vmid) == ({"pve1", "pve2"}, True)
    assert made["jobs"] == {}

    estate.ask(None)
    plan = estate.run("plan")
    assert "redundant hardware" in plan.out and "restarts on pve1, pve2 → off" in plan.out, (
        "that it goes, too"
    )
    estate.settled()
    assert estate.made == {"resources": {}, "groups": {}, "rules": {}, "jobs": {}}
    estate.ask({"hardware": True})
    assert "off → restarts on pve1, pve2" in estate.run("plan").out, "that it comes is seen"


def test_on_zfs_disks_go_to_a_second_node_and_to_the_second_site(estate: Estate) -> None:
    estate.ask(BOTH)
    estate.settled()
    made, vmid = estate.made, estate.vmid
    assert {job["target"] for job in made["jobs"].values()} == {"pve2", "pve-lyon"}
    assert {job["schedule"] for job in made["jobs"].values()} == {"*/15"}
    assert placed(made, vmid) == ({"pve1", "pve2"}, True)

    estate.ask({"hardware": True})
    refused = estate.apply()
    assert refused.code != 0 and "erase:dupont/web-1" in refused.out + refused.err
    assert len(estate.made["jobs"]) == 2, "the copy at the second site goes only if somebody says so"
    estate.settled("--allow", "erase:dupont/web-1")
    left = {job["target"]: job.get("remove_job") for job in estate.made["jobs"].values()}
    assert left == {"pve2": None, "pve-lyon": "full"}


def test_pace_of_replication_is_the_sites(nine: Estate) -> None:
    nine.ask({"second_site": "lyon"})
    nine.settled()
    nine.sites["paris"]["replication"] = {"schedule": "*/5", "rate": 50}
    nine.write_sites()
    change = changes(nine.plan())["second site"]
    assert change["before"] == "lyon: disks replicated to pve-lyon, schedule */15"
    assert change["after"] == "lyon: disks replicated to pve-lyon, schedule */5, at most 50 MB/s"
    nine.settled()
    (job,) = nine.made["jobs"].values()
    assert (job["schedule"], job["rate"]) == ("*/5", 50)


@pytest.mark.parametrize(
    ("storage", "redundancy", "words"),
    [
        ("local", {"hardware": True}, "the storage local of paris is local (dir)"),
        (
            "ceph",
            BOTH,
            "Proxmox replicates local ZFS storages only, and the storage ceph of paris is shared (rbd)",
        ),
        ("local", {"second_site": "lyon"}, "the storage local of paris is local (dir)"),
    ],
)
def test_what_a_storage_cannot_do_is_refused_before_a_machine_is_made(
    nine: Estate, storage: str, redundancy: dict[str, Any], words: str
) -> None:
    nine.use(storage)
    nine.ask(redundancy)
    plan = nine.run("plan")
    assert words in " ".join(plan.out.split()), plan
    assert nine.apply().code == 1
    assert nine.machines() == {}


def test_a_machine_that_is_there_keeps_its_other_changes(nine: Estate) -> None:
    nine.use("ceph")
    nine.ask(None)
    nine.settled()
    nine.ask({"hardware": True, "second_site": "lyon"}, vcpus=2)
    answer = nine.apply("--restart-now")
    assert answer.code == 1 and "Proxmox replicates local ZFS storages only" in answer.out + answer.err
    assert nine.machines()["web-1"]["config"]["cores"] == "2"
    assert placed(nine.made, nine.vmid) == ({"pve1", "pve2"}, True)
    assert nine.made["jobs"] == {}


def test_what_somebody_took_away_is_drift_and_comes_back(estate: Estate) -> None:
    estate.ask(BOTH)
    estate.settled()
    cluster, vmid = estate.fake.cluster(), estate.vmid
    cluster.delete(f"/cluster/ha/resources/vm:{vmid}")
    cluster.delete(f"/cluster/replication/{vmid}-0")
    estate.fake.control("finish_replications")
    found = changes(estate.plan())
    assert found["redundant hardware"]["drift"] and found["second site"]["drift"]
    night = estate.run("nightly", "--dry-run", "--in-working-hours")
    assert night.code == 0, night
    assert "! redundant hardware dupont/web-1" in night.out and "! second site dupont/web-1" in night.out
    estate.settled()
    assert placed(estate.made, vmid) == ({"pve1", "pve2"}, True)
    assert {job["target"] for job in estate.made["jobs"].values()} == {"pve2", "pve-lyon"}


def test_the_night_backs_up_a_machine_whose_redundancy_cannot_be_read(nine: Estate) -> None:
    nine.sites["paris"]["backup_storages"] = [{"name": "store", "site": "lyon"}]
    nine.write_sites()
    nine.fake.add_storage("store", shared=True)
    nine.ask(BOTH, backup={"retention_days": 7})
    nine.settled()
    nine.fake.fault(
        "GET", "/cluster/ha/resources", "error", status=403, text="Permission check failed", times=9
    )
    night = nine.run("nightly", "--dry-run", "--in-working-hours")
    assert night.code == 1 and "+ backup dupont/web-1" in night.out, night
    assert (
        "drift of VM 100 web-1" in night.out and "is not known: its redundancy could not be read" in night.out
    )


def test_what_others_configured_is_taken_as_it_is(nine: Estate) -> None:
    nine.use("ceph")
    nine.ask(None)
    nine.settled()
    cluster, vmid = nine.fake.cluster(), nine.vmid
    cluster.post("/cluster/ha/resources", sid=f"vm:{vmid}", state="started")
    rule = {"type": "node-affinity", "rule": "ours", "nodes": "pve2,pve1", "strict": 1}
    cluster.post("/cluster/ha/rules", params={**rule, "resources": f"vm:{vmid}"})
    nine.ask({"hardware": True})
    assert "redundant hardware" not in changes(nine.plan())
    nine.fake.add_vms(1, first=500)
    cluster.post("/cluster/ha/resources", sid="vm:500", state="stopped")
    cluster.put("/cluster/ha/rules/ours", type="node-affinity", nodes="pve1", resources=f"vm:{vmid},vm:500")
    plan = nine.run("plan")
    assert "the HA rule ours, which others made for several machines" in " ".join(plan.out.split())
    assert nine.apply().code == 1
    assert nine.made["rules"]["ours"]["nodes"] == "pve1"


def test_after_a_failure_nothing_is_moved_back_and_the_copies_stay(nine: Estate) -> None:
    nine.ask(BOTH)
    nine.settled()
    nine.fake.control("fail_over", vmid=int(nine.vmid), node="pve2")
    assert nine.run("plan", "--detailed-exitcode").code == 0, "on the other node of its site all is as asked"
    before = nine.made
    nine.fake.control("fail_over", vmid=int(nine.vmid), node="pve-lyon")
    plan = nine.run("plan")
    assert "it runs on pve-lyon, which is not at paris" in " ".join(plan.out.split())
    assert nine.apply().code == 0
    assert nine.made["resources"] == before["resources"]
    assert len(nine.made["jobs"]) == 2


def test_the_ha_manager_never_pulls_the_plug(estate: Estate) -> None:
    estate.use("ceph")
    estate.ask({"hardware": True})
    estate.settled()
    estate.ask({"hardware": True}, power="stopped")
    estate.settled("--allow", "restart:dupont")
    kinds = {task["type"] for task in estate.fake.dump()["tasks"]}
    assert "qmshutdown" in kinds and "hastop" not in kinds
    assert estate.made["resources"][estate.vmid]["state"] == "stopped"
    estate.ask({"hardware": True})
    estate.settled()
    assert estate.machines()["web-1"]["status"] == "running"
    assert estate.made["resources"][estate.vmid]["state"] == "started"


def test_a_machine_that_leaves_its_file_leaves_ha_and_keeps_its_copies(nine: Estate) -> None:
    nine.ask(BOTH)
    nine.settled()
    vmid = nine.vmid
    nine.write(subscription("dupont", [machine("other")]))
    assert "the HA manager lets go of it, replicated copies stay" in " ".join(nine.run("plan").out.split())
    assert nine.apply("--allow", "retire:dupont").code == 0
    assert nine.machines()["web-1"]["status"] == "stopped"
    assert nine.made["resources"] == {} and nine.made["rules"] == {}
    assert [job.get("remove_job") for job in nine.made["jobs"].values()] == [None, None]
    nine.write(subscription("dupont", [machine("web-1", redundancy=BOTH), machine("other")]))
    nine.settled()
    assert placed(nine.made, vmid) == ({"pve1", "pve2"}, True)


def test_an_erased_machine_leaves_no_copy_on_other_nodes(nine: Estate) -> None:
    """Article 10: Proxmox forgets replication jobs when it erases a machine, and the copies with them."""
    nine.ask(BOTH)
    nine.settled()
    mark = read_mark(nine.machines()["web-1"]["config"]["description"])
    assert mark is not None
    with open_history(nine.folder / "erasing.db") as history:
        journal = Journal(history=history, who="test", why="art. 10", run="1")
        vm = Vm(
            cluster=nine.fake.cluster(),
            journal=journal,
            site="paris",
            client="dupont",
            machine="web-1",
            node="pve1",
            vmid=int(nine.vmid),
            pause=lambda _: None,
        )
        seen = []

        def look_then_finish(_: float) -> None:
            seen.append(
                {job.get("remove_job") for job in nine.made["jobs"].values()} | {len(nine.machines())}
            )
            nine.fake.control("finish_replications")

        erase_machine(replace(vm, pause=look_then_finish), contract=mark.contract)
    assert seen == [{"full", 1}], "first the copies, then the machine"
    assert nine.machines() == {} and nine.made["jobs"] == {}


def test_a_storage_that_is_away_undoes_nothing(nine: Estate) -> None:
    nine.ask(BOTH)
    nine.settled()
    before = nine.made
    nine.fake.control("set_storage", name="tank", nodes="pve1,pve-lyon")
    plan = nine.run("plan")
    assert "pve1 alone has the storage tank at paris" in " ".join(plan.out.split()), plan
    assert nine.apply().code == 1
    assert nine.made == before


def test_an_ha_resource_that_others_made_is_kept_when_the_option_goes(nine: Estate) -> None:
    nine.use("ceph")
    nine.ask(None)
    nine.settled()
    nine.fake.cluster().post("/cluster/ha/resources", sid=f"vm:{nine.vmid}", state="started", comment="ours")
    nine.ask({"hardware": True})
    nine.settled()
    nine.ask(None)
    assert "others made its HA resource" in " ".join(nine.run("plan").out.split())
    assert nine.apply().code == 0
    assert list(nine.made["resources"]) == [nine.vmid]


def test_new_machines_are_never_made_at_the_second_site(nine: Estate) -> None:
    nine.use("ceph")
    nine.fake.control("set_config", vmid=9000, scsi0="ceph:base-9000-disk-0,size=2G")  # every node has it
    nine.write(subscription("dupont", [machine(f"web-{n}") for n in range(6)]))
    assert nine.apply().code == 0
    assert {vm["node"] for vm in nine.machines().values()} == {"pve1", "pve2"}


def test_a_plan_reads_redundancy_only_where_there_is_some(nine: Estate) -> None:
    nine.ask(None)
    nine.settled()
    nine.fake.control("reset_calls")
    nine.plan()
    assert not [call for call in nine.fake.calls() if "/ha/" in call or "replication" in call]
    nine.ask(BOTH)
    nine.fake.control("reset_calls")
    nine.plan()
    asked = [call for call in nine.fake.calls() if "/ha/" in call or "replication" in call]
    assert len(asked) == 3


@pytest.mark.parametrize("privilege", ["Sys.Console", "VM.Replicate"])
def test_a_missing_privilege_is_named_and_the_next_run_goes_on(nine: Estate, privilege: str) -> None:
    privileges = set(nine.fake.cluster().get("/access/permissions")["/"]) - {privilege}
    nine.fake.control("regrant", grants={"/": sorted(privileges)})
    nine.ask(BOTH)
    answer = nine.apply()
    assert answer.code == 1 and privilege in answer.out + answer.err
    nine.fake.control("regrant", grants={"/": sorted({*privileges, privilege})})
    nine.settled()
    assert len(nine.made["jobs"]) == 2


@pytest.mark.parametrize("wanted", [BOTH, None], ids=["made", "taken away"])
def test_an_apply_killed_at_any_write_is_finished_by_the_next(
    nine: Estate, wanted: dict[str, Any] | None
) -> None:
    """Every write of a run that makes redundancy, or takes it away: carried out, its answer lost, the run killed."""
    nine.ask(None if wanted else BOTH)
    nine.settled()
    nine.ask(wanted)
    nine.fake.save()
    allow = () if wanted else ("--allow", "erase:dupont/web-1")
    killed = 0
    for method in ("POST", "PUT", "DELETE"):
        for skip in range(12):
            nine.fake.bring_back()
            if not nine.run_killed(skip, "apply", "--yes", "--no-guests", *allow, method=method).killed:
                break
            killed += 1
            nine.settled(*allow)
            kept = [job for job in nine.made["jobs"].values() if "remove_job" not in job]
            assert len(kept) == (2 if wanted else 0)
            assert len(nine.made["resources"]) == len(nine.made["rules"]) == (1 if wanted else 0)
        else:
            pytest.fail("the run makes more writes than were tried")
    assert killed >= 5


def test_one_item_of_a_machine_is_applied_alone_where_that_can_be_done(estate: Estate) -> None:
    """``--only`` takes addresses as the plan's items have them; what was changed by hand afterwards is drift."""
    estate.ask(None)
    estate.settled()
    estate.ask(BOTH, memory="2GiB")
    items = {item["address"]: item for item in estate.plan()["items"]}
    assert items.keys() == {"dupont/machine/web-1", "dupont/redundancy/web-1"}
    (memory,) = (c for c in items["dupont/machine/web-1"]["changes"] if c["attribute"] == "memory")
    assert (memory["before"], memory["after"], memory["effect"], memory["drift"]) == (
        1024,
        2048,
        "update",
        False,
    )
    alone = estate.plan("--only", "dupont/redundancy/web-1")
    assert [item["address"] for item in alone["items"]] == ["dupont/redundancy/web-1"]
    assert estate.apply("--only", "dupont/redundancy/web-1").code == 0
    assert estate.made["resources"] and "memory" not in estate.machines()["web-1"]["pending"]
    assert {item["address"] for item in estate.plan()["items"]} == {"dupont/machine/web-1"}
    mark = read_mark(estate.machines()["web-1"]["config"]["description"])
    assert mark and mark.applied and mark.applied.memory == 1024 and mark.applied.kinds["redundancy"]


def test_what_cannot_be_applied_alone_is_refused_with_what_to_select(estate: Estate) -> None:
    estate.ask(None)
    estate.settled()
    ports = {"firewall": {"open": [{"port": 443, "protocol": "tcp", "from": "any"}]}}
    estate.ask(None, memory="2GiB", **ports)
    answer = estate.apply("--only", "dupont/firewall/web-1")
    assert answer.code == 1 and "Select the machine: --only dupont/web-1" in answer.out, answer
    assert "memory" not in estate.machines()["web-1"]["pending"]
    wrong = estate.run("plan", "--only", "dupont/disk/web-1")
    assert wrong.code == 1 and "KIND one of machine, snapshot" in wrong.err, wrong
