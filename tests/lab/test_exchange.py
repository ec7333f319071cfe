"""The exchange of disks of a restore into the original: interrupted anywhere it is finished, and it can go back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.applying.in_place import Exchange, interrupted_copy
from orchestrator.applying.journal import Journal
from orchestrator.applying.restoring import Copy
from orchestrator.applying.vm import Vm
from orchestrator.history import open_history
from orchestrator.operations.run import open_clusters
from orchestrator.proxmox import Cluster, read_cluster
from orchestrator.resources.attributes import Applied
from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes
from orchestrator.resources.notes import Mark, write_mark
from orchestrator.sites import load_provider
from tests.lab.lab_handle import Client, Lab
from tests.lab.test_lab_disks import COPY, VM, image, read, write

_OLD, _NEW = b"replaced disk 00" * 4096, b"restored disk 11" * 4096
_SLOTS = ("scsi0", "scsi2")


@pytest.fixture
def pair(lab: Lab, api: Client, tmp_path: Path) -> Iterator[tuple[Vm, Copy]]:
    """A machine with two disks, and a copy with two others, as a restore leaves it."""
    own = Mark(
        client="dupont",
        machine="web-1",
        contract="C-1",
        offer="cloud-vm-advanced",
        image="debian-12",
        applied=Applied(memory=512),
        vmid=100,
    )
    api.put(
        f"{VM}/config",
        scsi2="local:0.0625,format=qcow2",
        boot="order=scsi0",
        protection=1,
        description=write_mark(own),
        tags="orchestrator;client-dupont",
    )
    mark = CopyMark(
        purpose="in-place",
        client="dupont",
        machine="web-1",
        volid="b:backup/x",
        made_at=dt.datetime.now(dt.UTC),
        boot="order=scsi0",
        vmid=101,
    )
    api.call("POST", "/pools", {"poolid": "client-dupont"})
    api.run("POST", f"{VM}/clone", newid=101, full=1, pool="client-dupont")
    api.put(f"{COPY}/config", description=copy_notes(mark), tags=COPY_TAG, boot="order=scsi0", protection=0)
    for slot in _SLOTS:
        write(image(lab, api, VM, slot), _OLD)
        write(image(lab, api, COPY, slot), _NEW)
    provider = load_provider(lab.state / "inventory")
    with (
        open_clusters(provider, only=["paris"]) as clusters,
        open_history(tmp_path / "history.db") as history,
    ):
        journal = Journal(history=history, who="test", why="test", run="1")
        cluster: Cluster = clusters["paris"]
        vm = Vm(
            cluster=cluster,
            journal=journal,
            site="paris",
            client="dupont",
            machine="web-1",
            node="pve1",
            vmid=100,
        )
        yield vm, Copy(cluster=cluster, journal=journal, site="paris", node="pve1", vmid=101, mark=mark)
    api.put(f"{VM}/config", protection=0)


def _contents(lab: Lab, api: Client) -> list[bytes]:
    return [read(image(lab, api, VM, slot))[: len(_OLD)] for slot in _SLOTS]


def _moves(exchange: Exchange) -> list[str]:
    entries = exchange.vm.journal.history.entries(client="dupont")
    return [entry.action for entry in entries if entry.action == "move disk"]


def test_the_machine_gets_the_restored_disks_and_the_copy_keeps_the_replaced_ones(
    lab: Lab, api: Client, pair: tuple[Vm, Copy]
) -> None:
    vm, copy = pair
    exchange = Exchange(vm=vm, copy=copy)
    exchange.swap()
    assert _contents(lab, api) == [_NEW, _NEW]
    config, theirs = api.get(f"{VM}/config"), api.get(f"{COPY}/config")
    assert config["boot"] == "order=scsi0" and config["protection"] == 1
    assert not set(_SLOTS) & theirs.keys() and {"unused0", "unused1"} <= theirs.keys()
    exchange.swap_back()
    assert _contents(lab, api) == [_OLD, _OLD]
    assert api.get(f"{VM}/config")["boot"] == "order=scsi0"
    assert set(_SLOTS) <= api.get(f"{COPY}/config").keys()


def test_a_disk_that_is_left_out_of_backups_keeps_what_it_holds(
    lab: Lab, api: Client, pair: tuple[Vm, Copy]
) -> None:
    """Also where the archive is of a day when it was backed up: no older content takes its place."""
    vm, copy = pair
    api.put(f"{VM}/config", scsi2=f"{api.get(f'{VM}/config')['scsi2']},backup=0")
    Exchange(vm=vm, copy=copy).swap()
    assert _contents(lab, api) == [_NEW, _OLD]


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_an_exchange_that_was_interrupted_is_found_and_finished(
    lab: Lab, api: Client, pair: tuple[Vm, Copy], moves: int
) -> None:
    steps = [
        (VM, {"disk": "scsi0", "target-vmid": 101, "target-disk": "unused0"}),
        (COPY, {"disk": "scsi0", "target-vmid": 100, "target-disk": "scsi0"}),
        (VM, {"disk": "scsi2", "target-vmid": 101, "target-disk": "unused1"}),
    ]
    for path, params in steps[:moves]:
        api.run("POST", f"{path}/move_disk", **params)
    vm, _ = pair
    found = interrupted_copy(vm, read_cluster(vm.cluster).vms)
    assert found is not None and found.vmid == 101
    exchange = Exchange(vm=vm, copy=found)
    exchange.swap()
    assert _contents(lab, api) == [_NEW, _NEW]
    assert api.get(f"{VM}/config")["boot"] == "order=scsi0"
    assert len(_moves(exchange)) == 4 - moves, "what was done is not done again"
