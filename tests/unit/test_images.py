"""Where a machine can be made, and why nowhere: what a node, a storage and a template can take, never by one flag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning.plan import make_plan
from orchestrator.proxmox import ClusterState, NodeSummary, StorageSummary, VmConfig, VmSummary
from orchestrator.resources.change import Effect
from orchestrator.resources.desired import DesiredMachine, desired_machines
from orchestrator.resources.image import absence, places
from orchestrator.resources.observed import ObservedSite, Template
from orchestrator.subscriptions.model import Subscription
from tests.unit.plan_worlds import PROVIDER
from tests.unit.test_plan_laws import NOW

_GIB = 1024**3
_FIT = {
    "scsi0": "store:base-9000-disk-0,size=2G",
    "agent": "1",
    "net0": "virtio,bridge=vmbr0",
    "boot": "order=scsi0",
}


def _desired(disk_format: Literal["raw", "qcow2"] | None = None) -> DesiredMachine:
    machine = {
        "name": "web-1",
        "image": "debian-12",
        "vcpus": 1,
        "memory": "1GiB",
        "disks": [{"name": "system", "size": "4GiB"}],
    }
    data = {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2026-01-01", "site": "paris"},
        "services": [{"offer": "cloud-vm-advanced", "machines": [machine]}],
    }
    (found,) = desired_machines([Subscription.model_validate(data)], PROVIDER)
    return replace(found, storage="store", disk_format=disk_format)


def _template(node: str = "n1", vmid: int = 9000, lock: str | None = None, **config: Any) -> Template:
    summary = VmSummary(
        vmid=vmid, name="debian-12", node=node, status="stopped", template=True, tags=frozenset(), pool=None,
        lock=lock, maxmem=0, maxcpu=1,
    )  # fmt: skip
    current = {key: value for key, value in {**_FIT, **config}.items() if value is not None}
    read = VmConfig(node=node, vmid=vmid, current=current, pending={}, deleted=frozenset(), digest="x")
    return Template(summary=summary, config=read)


def _storage(name: str = "store", node: str = "n1", **options: Any) -> StorageSummary:
    usual: dict[str, Any] = {
        "shared": True,
        "status": "available",
        "content": frozenset({"images"}),
        "maxdisk": 100 * _GIB,
        "disk": 0,
        "kind": "nfs",
    }
    return StorageSummary(name=name, node=node, **{**usual, **options})


def _state(*storages: StorageSummary, off: str = "", vms: tuple[VmSummary, ...] = ()) -> ClusterState:
    nodes = tuple(
        NodeSummary(name=name, online=name != off, maxmem=1, mem=0, maxcpu=1) for name in ("n1", "n2", "n3")
    )
    return ClusterState(
        site="paris", version="9.1.7", vms=vms, nodes=nodes, storages=storages, pools=frozenset()
    )


_EVERYWHERE = tuple(_storage(node=node) for node in ("n1", "n2", "n3"))


def _targets(state: ClusterState, *templates: Template) -> list[tuple[int, str]]:
    found, _ = places(_desired(), state, templates)
    return [(place.template.vmid, place.node) for place in found]


def test_a_shared_template_goes_to_every_node_that_has_what_it_is_on() -> None:
    assert _targets(_state(*_EVERYWHERE), _template()) == [(9000, "n1"), (9000, "n2"), (9000, "n3")]
    assert _targets(_state(*_EVERYWHERE[:2]), _template()) == [(9000, "n1"), (9000, "n2")]
    assert _targets(_state(*_EVERYWHERE, off="n3"), _template()) == [(9000, "n1"), (9000, "n2")]


@pytest.mark.parametrize(
    "drive",
    [
        {"scsi0": "local:9000/base-9000-disk-0.qcow2,size=2G"},
        {"scsi3": "local:9000/base-9000-disk-1.qcow2,size=2G"},
        {"scsi1": "local:9000/vm-9000-cloudinit.qcow2,media=cdrom"},
        {"ide2": "local:iso/debian.iso,media=cdrom"},
        {"efidisk0": "local:9000/base-9000-disk-2.qcow2,size=528K"},
        {"tpmstate0": "local:9000/base-9000-disk-2.raw,size=4M"},
        {"scsi0": "elsewhere:base-9000-disk-0,size=2G"},  # shared, but not on the other nodes
    ],
)
def test_one_volume_that_others_have_not_binds_a_template_to_its_node(drive: dict[str, Any]) -> None:
    local = [_storage("local", node, shared=False) for node in ("n1", "n2", "n3")]
    state = _state(*_EVERYWHERE, *local, _storage("elsewhere", "n1"))
    assert _targets(state, _template(**drive)) == [(9000, "n1")]


def test_machines_on_a_local_storage_stay_on_the_nodes_of_the_copies() -> None:
    local = [_storage(node=node, shared=False) for node in ("n1", "n2", "n3")]
    copies = (_template(), _template("n3", 9003))
    assert _targets(_state(*local), *copies) == [(9000, "n1"), (9003, "n3")]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (_template(lock="backup"), "a backup holds it"),
        (_template(scsi0=None), "it has no disk to boot from"),
        (_template(boot="order=net0"), "it boots from none of its disks (its boot order is net0)"),
        (_template(scsi0="store:base-9000-disk-0,size=5G"), "the image debian-12 itself needs 5GiB"),
        (_template(scsi0="size=4,,x"), "it has a setting that cannot be understood"),
        (replace(_template(), config=None, problem="it could not be read: 500"), "it could not be read: 500"),
    ],
)
def test_a_copy_that_is_not_fit_is_named_and_leaves_the_others(bad: Template, reason: str) -> None:
    found, reasons = places(_desired(), _state(*_EVERYWHERE), (bad, _template("n2", 9002)))
    assert {place.template.vmid for place in found} == {9002}
    (told,) = reasons
    assert told.startswith(f"VM 9000 on n1: {reason}")


def test_two_of_one_name_on_a_node_are_not_guessed_between() -> None:
    state = _state(*_EVERYWHERE)
    found, reasons = places(_desired(), state, (_template(), _template(vmid=9001)))
    assert not found and "VM 9001 on the same node is called debian-12, too" in reasons[0]


@pytest.mark.parametrize(
    ("storage", "disk_format", "reason"),
    [
        ({"content": frozenset({"backup"})}, None, "--content backup,images`"),
        ({"status": "unknown"}, None, "cannot be used on n1 now (unknown)"),
        ({"name": "other"}, None, "is not on n1"),
        ({"kind": "rbd"}, "qcow2", "of type rbd, which has no qcow2 disks (it has raw)"),
        ({"kind": "zfspool"}, "qcow2", "of type zfspool, which has no qcow2 disks"),
        ({"kind": "iscsi"}, None, "on which Proxmox makes no disks"),
        ({"kind": "pbs"}, None, "on which Proxmox makes no disks"),
        ({"kind": "lvm", "disk": 97 * _GIB}, None, "has 3.0 GiB left on n1 and the machine needs 4 GiB"),
        ({"kind": "lvmthin", "disk": 100 * _GIB}, None, "has 0.0 GiB left on n1"),
    ],
)
def test_a_storage_that_cannot_take_the_machine(
    storage: dict[str, Any], disk_format: Literal["raw", "qcow2"] | None, reason: str
) -> None:
    template = _template(scsi0="local:base-9000-disk-0,size=2G")
    found, reasons = places(_desired(disk_format), _state(_storage(**storage)), (template,))
    assert not found and reason in reasons[0]


@pytest.mark.parametrize(
    ("kind", "disk_format"),
    [
        ("dir", "qcow2"),
        ("lvm", "qcow2"),
        ("lvm", "raw"),
        ("rbd", "raw"),
        ("of-another-maker", "qcow2"),
        ("", "raw"),
    ],
)
def test_what_is_not_known_of_a_type_is_no_reason(kind: str, disk_format: Literal["raw", "qcow2"]) -> None:
    found, reasons = places(_desired(disk_format), _state(_storage(kind=kind)), (_template(),))
    assert found and not reasons


def test_a_node_of_another_site_neither_gives_nor_takes() -> None:
    desired = replace(_desired(), foreign_nodes=frozenset({"n1", "n3"}))
    found, reasons = places(desired, _state(*_EVERYWHERE), (_template(),))
    assert not found and "n1 is at another site" in reasons[0]
    found, _ = places(desired, _state(*_EVERYWHERE), (_template(), _template("n2", 9002)))
    assert [(place.template.vmid, place.node) for place in found] == [(9002, "n2")]


def test_a_template_without_a_name_is_not_said_to_be_missing() -> None:
    template = _template().summary
    away = replace(template, name="VM 9000", status="unknown", template=False)
    assert "1 VM on n1 has no known name" in absence(_desired(), _state(vms=(away,)))
    assert "make the template" in absence(_desired(), _state(vms=(replace(template, name="other"),)))
    ordinary = replace(template, template=False)
    assert "`qm template 9000` there" in absence(_desired(), _state(vms=(ordinary,)))


_flags = st.fixed_dictionaries(
    {
        "shared": st.booleans(),
        "status": st.sampled_from(["available", "unknown"]),
        "content": st.sampled_from(
            [frozenset({"images"}), frozenset({"images", "backup"}), frozenset({"iso"})]
        ),
        "kind": st.sampled_from(["dir", "rbd", "lvm", "iscsi", ""]),
        "disk": st.sampled_from([0, 97 * _GIB, 100 * _GIB]),
    }
)
_sites = st.dictionaries(
    st.tuples(st.sampled_from(["store", "local"]), st.sampled_from(["n1", "n2", "n3"])), _flags
)


@given(_sites, st.sampled_from(["", "n1", "n2"]), st.sampled_from(["store", "local"]))
def test_every_place_is_one_that_proxmox_takes_and_every_other_copy_has_a_reason(
    storages: dict[tuple[str, str], dict[str, Any]], off: str, home: str
) -> None:
    entries = [_storage(name, node, **flags) for (name, node), flags in storages.items()]
    state = _state(*entries, off=off)
    template = _template(scsi0=f"{home}:base-9000-disk-0,size=2G")
    if off == "n1":
        template = replace(template, config=None, problem="n1 is off")
    found, reasons = places(_desired(), state, (template,))
    assert bool(found) is not bool(reasons)
    for place in found:
        assert off not in ("n1", place.node)
        for node in {"n1", place.node}:
            flags = storages["store", node]
            assert (
                flags["status"] == "available" and "images" in flags["content"] and flags["kind"] != "iscsi"
            )
            assert flags["disk"] < 100 * _GIB and (flags["kind"], flags["disk"]) != ("lvm", 97 * _GIB)
        if place.node != "n1":
            assert all(storages[name, place.node]["shared"] for name in {"store", home})
    # The plan says the same: one refusal and nothing else, or a machine.
    site = ObservedSite(
        site="paris", state=replace(state, vms=(template.summary,)), machines=(), strangers=(), register={},
        templates=(template,),
    )  # fmt: skip
    effects = [
        change.effect
        for machine in make_plan([_desired()], {"paris": site}, NOW).machines
        for change in machine.changes
    ]
    assert (effects == [Effect.REFUSED]) is bool(reasons) and (Effect.CREATE in effects) is bool(found)
