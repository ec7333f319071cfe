"""Which VM is the machine that an archive holds, and what may come back of an archive (article 10)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pytest

from orchestrator.contract.life import ContractLife
from orchestrator.errors import RequestRefused
from orchestrator.planning.identity import not_the_same, regained_mark
from orchestrator.planning.recreation import Ended, lost_disks, may_come_back, restored_mark
from orchestrator.proxmox import VmConfig
from orchestrator.proxmox.archived_configuration import parse_archived
from orchestrator.proxmox.serial_console import last_lines
from orchestrator.resources.attributes import Applied
from orchestrator.resources.notes import Mark

_NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
_UUID = "4f0c1d2e-0000-4000-8000-000000000001"
_CARD = "virtio=BC:24:11:00:00:01,bridge=vmbr0"
_MARK = Mark(
    client="dupont", machine="web-1", contract="C-1", offer="cloud-vm-advanced", image="debian-12", vmid=100,
    ready=True, slots={"system": "scsi0", "data": "scsi2"}, firewall=None, supervised=True,
    applied=Applied(disks={"system": 4, "data": 1}, power="running"),
)  # fmt: skip


def _config(**current: str) -> VmConfig:
    return VmConfig(node="pve1", vmid=100, current=current, pending={}, deleted=frozenset(), digest="")


def _machine(disks: Mapping[str, str], **changes: str) -> VmConfig:
    return _config(**{"smbios1": f"uuid={_UUID}", "net0": _CARD, **disks, **changes})


_DISKS = {"scsi0": "local:100/vm-100-disk-0.qcow2,size=4G", "scsi2": "local:100/vm-100-disk-1.qcow2,size=1G"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"net0": "virtio=bc:24:11:00:00:01,bridge=vmbr7,tag=7"}, ""),
        ({"smbios1": "uuid=4f0c1d2e-0000-4000-8000-000000000002"}, "smbios1"),
        ({"net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0"}, "MAC"),
        ({"smbios1": "", "net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0"}, "MAC"),
    ],
)
def test_a_vm_is_the_archives_by_its_identifier_and_its_network_devices(
    changes: dict[str, str], why: str
) -> None:
    found = not_the_same(_machine(_DISKS, **changes), _machine(_DISKS))
    assert (why in found) if why else not found, found


def test_a_disk_that_nobody_knows_keeps_a_mark_from_being_written_back() -> None:
    mark, why = regained_mark(_MARK, _machine(_DISKS), None)
    assert mark is not None and not why and mark.slots == _MARK.slots and not mark.supervised
    more = {**_DISKS, "scsi3": "local:100/vm-100-disk-2.qcow2,size=9G"}
    assert regained_mark(_MARK, _machine(more), None)[0] is None, "apply would make its disk a second time"


def test_a_mark_of_an_archive_waits_for_no_disk_that_it_does_not_hold() -> None:
    inside = _machine({**_DISKS, "scsi2": _DISKS["scsi2"] + ",backup=0"})
    assert lost_disks(_MARK, inside) == ("data",)
    mark = restored_mark(_MARK, inside, 205, None, _NOW)
    assert mark.slots == {"system": "scsi0"} and mark.applied is not None and mark.vmid == 205
    assert mark.applied.disks == {"system": 4} and not mark.supervised


def _ended(reference: str) -> ContractLife:
    return ContractLife(reference=reference, notice=dt.date(2026, 6, 1))


@pytest.mark.parametrize(
    ("life", "ended", "comes"),
    [
        (None, Ended(), True),
        (ContractLife(reference="C-1"), Ended(), True),
        (_ended("C-1"), Ended(), False),
        (None, Ended(lives=(_ended("C-1"),)), False),
        (None, Ended(lives=(_ended("C-0"),)), True),
        (ContractLife(reference="C-1"), Ended(lives=(_ended("C-1"),)), True),  # the notice was a mistake
        (ContractLife(reference="C-2"), Ended(lives=(_ended("C-1"),)), False),
        (ContractLife(reference="C-1"), Ended(erased=(("C-1", dt.date(2026, 9, 1)),)), False),
        (ContractLife(reference="C-1"), Ended(erased=(("C-0", dt.date(2026, 9, 1)),)), True),
        (ContractLife(reference="C-1", notice=dt.date(2026, 11, 25)), Ended(), True),
    ],
)
def test_10_nothing_comes_back_whose_time_is_over_or_that_was_erased(
    life: ContractLife | None, ended: Ended, comes: bool
) -> None:
    if comes:
        may_come_back(_MARK, life, ended, _NOW)
        return
    with pytest.raises(RequestRefused, match=r"art\. 10"):
        may_come_back(_MARK, life, ended, _NOW)


def test_the_configuration_of_an_archive_is_read_as_vzdump_writes_it() -> None:
    text = "#dupont / web-1%2C ours\n#<!-- x -->\nname: web-1\nnet0: virtio,bridge=vmbr0\n#qmdump#map:scsi0:a:b:raw:\n"
    assert parse_archived(text) == {
        "description": "dupont / web-1, ours\n<!-- x -->",
        "name": "web-1",
        "net0": "virtio,bridge=vmbr0",
    }
    assert parse_archived(text + "[snapshot]\nname: other\n") == parse_archived(text)
    assert parse_archived("") is None and parse_archived("x" * 300_000) is None


def test_of_a_console_the_last_lines_stay_without_what_only_a_terminal_understands() -> None:
    text = "starting serial terminal on interface serial0\r\none\r\n\r\n\x1b]0;title\x07two\x1b[1;1H\nthree"
    assert last_lines(text, 2) == ("two", "three")
