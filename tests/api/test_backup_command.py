"""``orchestrator backup`` by its commands, over HTTPS: now, list, volume, restore."""

from __future__ import annotations

import json
import time

import pytest

from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from tests.api.desk import Desk
from tests.api.night_desk import STORE, NightDesk

_DAY = 86400
_GIB = 1024**3


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _archive(night: NightDesk, name: str, days: float, size: int, **changes: object) -> None:
    notes = archive_notes(ArchiveMark(client="dupont", machine=name, contract="C-dupont", days=7))
    entry = {
        "storage": STORE,
        "vmid": night.vmid(name),
        "ctime": int(time.time() - days * _DAY),
        "size": size,
    }
    night.fake.add_archives([{**entry, "notes": notes, **changes}])


def test_a_backup_now_goes_to_the_other_site_and_says_where(night: NightDesk) -> None:
    night.deliver("web-1", "db-1", days=7)
    night.files("web-1", days=None)
    made = night.desk.run("backup", "now", "dupont/db-1", "--reason", "ticket 12")
    assert made.code == 0 and f"{STORE}:backup/vzdump-qemu-{night.vmid('db-1')}-" in made.out, made
    entry = json.loads(night.desk.run("history", "dupont/db-1", "--format", "json", "--limit", "1").out)[0]
    assert (entry["action"], entry["why"], entry["result"]) == ("backup", "ticket 12", "ok")
    assert ":vzdump:" in entry["upid"]


def test_a_machine_without_backup_gets_none_on_demand_either(night: NightDesk) -> None:
    night.deliver("web-1", days=None)
    refused = night.desk.run("backup", "now", "dupont/web-1")
    assert refused.code == 1 and "its backup is off" in refused.err and "art. 3.5" in refused.err, refused
    assert night.archives() == []


def test_the_list_says_until_when_and_what_was_never_restored(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    _archive(night, "web-1", 2, 3 * _GIB)
    _archive(night, "web-1", 12, _GIB, protected=True)
    night.fake.add_archives([{"storage": STORE, "vmid": 4711, "ctime": 1, "size": 1, "notes": "by hand"}])
    text = night.desk.run("backup", "list").out
    assert "kept 7 days" in text and text.count("never restored") == 2
    assert "stays: protected in Proxmox" in text and "1 archive belongs to no machine of ours" in text
    listed = json.loads(night.desk.run("backup", "list", "dupont/web-1", "--format", "json").out)
    assert [archive["bytes"] for archive in listed[0]["archives"]] == [_GIB, 3 * _GIB]
    assert listed[0]["archives"][1]["restore_test"] is None


def test_the_volume_is_shown_by_machine_and_by_client(night: NightDesk) -> None:
    night.deliver("web-1", "db-1", days=7)
    _archive(night, "web-1", 1, 3 * _GIB)
    _archive(night, "web-1", 2, 2 * _GIB)
    _archive(night, "db-1", 1, _GIB)
    document = json.loads(night.desk.run("backup", "volume", "--format", "json").out)
    assert document["clients"] == {"dupont": 6 * _GIB}
    assert {item["machine"]: item["bytes"] for item in document["machines"]} == {
        "web-1": 5 * _GIB,
        "db-1": _GIB,
    }
    text = night.desk.run("backup", "volume", "dupont").out
    assert "dupont   6.00 GiB" in text and "2 archives" in text


def test_a_copy_is_unplugged_has_an_identity_of_its_own_and_is_no_machine_of_ours(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    card = night.desk.machines()["web-1"]["config"]["net0"]
    # Other tools write link_down=0, and the archive has it so; Proxmox takes no key twice.
    night.fake.control("set_config", vmid=night.vmid("web-1"), net0=f"{card},firewall=0,link_down=0,mtu=1400")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    plan_before = night.desk.run("plan").out
    restored = night.desk.run("backup", "restore", "dupont/web-1", "--as", "web-1-tuesday")
    assert restored.code == 0 and "stopped and unplugged" in restored.out, restored
    machines = night.desk.machines()
    copy, original = machines["web-1-tuesday"], machines["web-1"]
    assert copy["status"] == "stopped" and copy["config"]["net0"].endswith("firewall=0,link_down=1,mtu=1400")
    assert copy["config"]["net0"].split(",")[0] != original["config"]["net0"].split(",")[0]
    assert str(copy["config"]["onboot"]) == "0" and str(copy["config"]["protection"]) == "0"
    assert night.desk.run("plan").out.splitlines()[:2] == plan_before.splitlines()[:2], (
        "it is not taken for the machine"
    )
    again = night.desk.run("backup", "restore", "dupont/web-1", "--as", "web-1-tuesday")
    assert again.code == 1 and "is called web-1-tuesday already" in again.err
    neither = night.desk.run("backup", "restore", "dupont/web-1")
    assert neither.code == 1 and "say where" in neither.err


def test_a_restore_into_the_original_wants_its_name_and_no_snapshots(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    for arguments in ([], ["--confirm", "dupont/db-1"]):
        refused = night.desk.run("backup", "restore", "dupont/web-1", "--in-place", *arguments)
        assert refused.code == 1 and (
            "--confirm dupont/web-1" in refused.err or "nothing was changed" in refused.err
        )
    assert night.desk.run("snapshot", "create", "dupont/web-1", "one").code == 0
    refused = night.desk.run("backup", "restore", "dupont/web-1", "--in-place", "--confirm", "dupont/web-1")
    assert refused.code == 1 and "it has snapshots" in refused.err.replace(
        "has snapshots (one)", "it has snapshots"
    )
    assert set(night.desk.machines()) == {"web-1"}
