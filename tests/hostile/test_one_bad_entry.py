"""One entry of a list that cannot be read is that machine's, node's, storage's or archive's: it is there, and named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.proxmox import (
    AgentNotRunning,
    BadAnswer,
    Cluster,
    Uncertain,
    guest_interfaces,
    list_archives,
    read_cluster,
    read_snapshots,
    read_vm,
    read_vm_later,
)
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

GOOD = {"type": "qemu", "vmid": 101, "node": "pve1", "name": "web-1", "status": "running", "maxmem": 2**30}


def answer(fakepve: FakePve, path: str, data: Any, *, times: int = 1, method: str = "GET") -> None:
    """Let the next call be answered so. ``data``: what is answered, or the bytes of the whole body."""
    text = data if isinstance(data, str) else json.dumps({"data": data})
    fakepve.fault(method, path, "answer", text=text, times=times)


@pytest.mark.parametrize(
    ("entry", "kind", "name", "reason"),
    [
        ({**GOOD, "vmid": 102, "maxmem": -1}, "machine", "web-1", "maxmem"),
        ({**GOOD, "vmid": 102, "node": "../x"}, "machine", "web-1", "node"),
        ({**GOOD, "vmid": "²"}, "machine", "web-1", "vmid"),
        ({**GOOD, "vmid": 102, "name": "a\u001b[31m"}, "machine", "VM 102", "name"),
        ({**GOOD, "vmid": 102, "pool": "client-a/../b"}, "machine", "web-1", "pool"),
        ({**GOOD, "vmid": 102, "type": "²"}, "machine", "web-1", "type"),
        ({"type": "qemu"}, "machine", "a machine that cannot be read", "vmid"),
        ({"type": "node", "node": "n/../x"}, "node", "a node that cannot be read", "node"),
        ({"type": "node", "node": "pve2", "maxmem": "much"}, "node", "pve2", "maxmem"),
        ({"type": "storage", "storage": "s3", "node": "pve1", "disk": 1e20}, "storage", "s3", "disk"),
    ],
)
def test_an_entry_that_cannot_be_read_is_there_and_the_others_are_read(
    fakepve: FakePve, cluster: Cluster, entry: dict[str, Any], kind: str, name: str, reason: str
) -> None:
    answer(fakepve, "/cluster/resources", [GOOD, entry, {"type": "sdn"}, {"type": "node", "node": "pve1"}])
    state = read_cluster(cluster)
    assert [vm.vmid for vm in state.vms] == [101] and [node.name for node in state.nodes] == ["pve1"]
    (bad,) = state.bad_entries
    assert (bad.kind, bad.name) == (kind, name) and f"{reason}" in bad.reason
    assert (bad.name + bad.reason).isprintable()


def test_what_is_listed_twice_is_known_to_nobody(fakepve: FakePve, cluster: Cluster) -> None:
    answer(fakepve, "/cluster/resources", [GOOD, {**GOOD, "node": "pve2", "pool": "client-a"}])
    state = read_cluster(cluster)
    assert state.vms == () and [(bad.vmid, bad.reason) for bad in state.bad_entries] == [
        (101, "its entry in the cluster's list cannot be read: it is listed 2 times")
    ]


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [1],
        [{"vmid": 101}],
        "{}",
        '{"data": NaN}',
        '{"data": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_list_whose_frame_is_wrong_is_the_sites(fakepve: FakePve, cluster: Cluster, data: Any) -> None:
    answer(fakepve, "/cluster/resources", data, times=9)
    with pytest.raises(Exception, match="paris: GET /cluster/resources: ") as caught:
        read_cluster(cluster)
    assert type(caught.value).__name__ in ("BadAnswer", "Unreachable") and len(str(caught.value)) < 600


def test_an_archive_that_cannot_be_read_hides_no_other(fakepve: FakePve, cluster: Cluster) -> None:
    def archive(**changes: Any) -> dict[str, Any]:
        return {
            "volid": "st:backup/vzdump-qemu-1-x.vma.zst",
            "vmid": 1,
            "ctime": 1_790_000_000,
            "size": 1,
            **changes,
        }

    path = "/nodes/pve1/storage/st/content"
    odd = [
        archive(volid="st:backup/../../etc/passwd", vmid=2),
        archive(volid="other:backup/a.vma", vmid=3),
        archive(volid="st:backup/a.vma?x=1", vmid=4),
        archive(volid="st:backup/b.vma", ctime=1e20, vmid=5),
        archive(volid="st:backup/c.vma", size=-1, vmid=6),
        archive(volid="st:backup/d.vma", vmid="²"),
    ]
    answer(fakepve, path, [archive(), *odd])
    listing = list_archives(cluster, "pve1", "st")
    assert [found.volid for found in listing.archives] == ["st:backup/vzdump-qemu-1-x.vma.zst"]
    assert [vmid for vmid, _ in listing.bad] == [2, 3, 4, 5, 6, None]
    answer(fakepve, path, 7)
    with pytest.raises(BadAnswer, match="expected a list, found 7"):
        list_archives(cluster, "pve1", "st")


def test_one_machines_configuration_and_snapshots(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1)
    for data in ([{"key": "memory", "value": [1]}], [{"value": "x"}], [{"key": "digest"}], None):
        answer(fakepve, "/nodes/pve1/qemu/1000/pending", data)
        with pytest.raises(BadAnswer, match="qemu/1000/pending"):
            read_vm(cluster, "pve1", 1000)
        answer(fakepve, "/nodes/pve1/qemu/1000/pending", data)
        later = read_vm_later(cluster, "pve1", 1000)
        with pytest.raises(BadAnswer, match="qemu/1000/pending"):
            later()
    for value in ("local:x,size=" + "9" * 400, "local:x,size=big", "a=1,b"):
        fakepve.control("set_config", vmid=1000, scsi3=value)
        with pytest.raises(BadAnswer, match="the configuration of VM 1000 cannot be read: scsi3"):
            read_vm(cluster, "pve1", 1000)
    for entry in ({"name": "../x"}, {"name": "x", "snaptime": 1e20}, {"name": "x", "parent": "a/b"}, {}):
        answer(fakepve, "/nodes/pve1/qemu/1000/snapshot", [entry])
        with pytest.raises(BadAnswer, match="qemu/1000/snapshot"):
            read_snapshots(cluster, "pve1", 1000)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({"error": {"class": "Unsupported", "desc": "not supported"}}, AgentNotRunning),
        ({}, AgentNotRunning),
        (None, BadAnswer),
        ([{"name": "eth0", "ip-addresses": [{"ip-address": "203.0.113.9/24", "prefix": 24}]}], BadAnswer),
        ([{"name": "eth0", "ip-addresses": [{"ip-address": "203.0.113.9", "prefix": "24 "}]}], BadAnswer),
        ([{"name": "\u001b[2J"}], BadAnswer),
    ],
)
def test_a_guests_agent_is_not_believed(
    fakepve: FakePve, cluster: Cluster, result: Any, kind: type[Exception]
) -> None:
    answer(fakepve, "/nodes/pve1/qemu/7/agent/network-get-interfaces", {"result": result})
    with pytest.raises(kind, match=r"the guest agent d(id not report|oes not)") as caught:
        guest_interfaces(cluster, "pve1", 7)
    assert str(caught.value).isprintable()


def test_a_machine_whose_agent_cannot_tell_its_address_is_imported_with_one(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    config = {"cores": 1, "memory": "1024", "boot": "order=scsi0", "scsi0": "local:500/d.qcow2,size=32G"}
    config |= {"net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0", "agent": "1", "name": "db01"}
    fake.control("add_vms", vms=[{"vmid": 500, "name": "db01", "status": "running", "config": config}])
    refusal = {"error": {"class": "Unsupported", "desc": "not supported"}}
    fake.guest_agent({"network-get-interfaces": refusal}, vmid=500)
    options = ("--client", "dupont", "--contract", "C-1", "--starts", "2026-03-01", "--out", "o.yaml")
    told = desk.run("import", "pve1/500", *options)
    assert told.code == 1 and "--address" in told.err and "Traceback" not in told.err, told


@pytest.mark.parametrize("data", [None, "UPID:../x:1:1:1:qmclone:9000:root@pam:", {"x": 1}, 7])
def test_a_write_whose_answer_is_none_is_uncertain(fakepve: FakePve, cluster: Cluster, data: Any) -> None:
    answer(fakepve, "/nodes/pve1/qemu/9000/clone", json.dumps({"data": data}), method="POST")
    with pytest.raises(Uncertain, match="expected the name of a task"):
        cluster.post("/nodes/pve1/qemu/9000/clone", newid=101)


@pytest.fixture
def two_sites(fakepve: FakePve, tmp_path: Path) -> Iterator[Desk]:
    with FakePve(site="lyon") as lyon:
        for fake in (fakepve, lyon):
            fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path, {"paris": fakepve, "lyon": lyon})
        desk.write(
            subscription("dupont", [machine("web-1")]),
            subscription("martin", [machine("shop-1")], site="lyon"),
        )
        yield desk


def test_over_a_real_connection_the_other_site_is_planned(two_sites: Desk) -> None:
    """A sample of what ``test_odd_answers`` does in-process: each read of a plan, over TLS, answered with nonsense."""
    lyon = two_sites.fakes["lyon"]
    nonsense = [None, '{"data": NaN}', "\ufeff[[", '{"data": [{"type": "\\ud800"}]}']
    paths = ("/version", "/access/permissions", "/pools", "/cluster/resources")
    for path, data in zip(paths, nonsense, strict=True):
        for given in {None, data}:
            answer(lyon, path, given, times=9)
            plan = two_sites.plan()
            lyon.control("clear_faults")
            assert [item["machine"] for item in plan["machines"] if item["site"] == "paris"] == ["web-1"]
            assert [failure["site"] for failure in plan["failures"]] == ["lyon"], (path, given, plan)
            assert f"GET {path}" in plan["failures"][0]["reason"]
