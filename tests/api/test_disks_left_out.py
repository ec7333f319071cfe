"""A disk that the client leaves out of the backup: the client defines the data to be saved (article 3.5)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk

_SYSTEM = {"name": "system", "size": "4GiB"}
_DATA = {"name": "data", "size": "8GiB"}


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _write(desk: Desk, *, backup: bool) -> None:
    disks = [_SYSTEM, {**_DATA, **({} if backup else {"backup": False})}]
    desk.write(subscription("dupont", [machine("web-1", disks=disks, backup={"retention_days": 7})]))


def _data_disk(desk: Desk) -> str:
    config = desk.machines()["web-1"]["config"]
    (value,) = [value for key, value in config.items() if key.startswith("scsi") and "size=8G" in str(value)]
    return str(value)


def _change(desk: Desk) -> dict[str, Any] | None:
    changes = [change for item in desk.plan()["machines"] for change in item["changes"]]
    return next((change for change in changes if change["what"] == "backup of disk data"), None)


def test_3_5_a_disk_left_out_of_the_backup_has_proxmoxs_own_option(night: NightDesk) -> None:
    desk = night.desk
    _write(desk, backup=False)
    assert desk.apply().code == 0
    desk.put_in_service()
    assert "backup=0" in _data_disk(desk) and _change(desk) is None
    assert "left out of the backup" in desk.run("show", "dupont/web-1").out
    _write(desk, backup=True)
    planned = _change(desk)
    assert planned is not None and (planned["before"], planned["after"]) == ("left out", "in the backup")
    assert planned["drift"] is False and planned["change_class"] == "standard", planned
    assert desk.apply().code == 0
    assert "backup=0" not in _data_disk(desk) and _change(desk) is None


def test_what_somebody_left_out_by_hand_is_drift_and_is_set_back(night: NightDesk) -> None:
    desk = night.desk
    _write(desk, backup=True)
    assert desk.apply().code == 0
    desk.put_in_service()
    vm = desk.machines()["web-1"]
    slot = next(key for key, value in vm["config"].items() if str(value) == _data_disk(desk))
    path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config"
    desk.fakes["paris"].cluster().put(path, params={slot: f"{_data_disk(desk)},backup=0"})
    planned = _change(desk)
    assert planned is not None and planned["drift"] is True and planned["after"] == "in the backup", planned
    assert desk.apply().code == 0
    assert "backup=0" not in _data_disk(desk)


def test_a_restore_says_that_the_disk_is_not_in_the_archive(night: NightDesk) -> None:
    desk = night.desk
    _write(desk, backup=False)
    assert desk.apply().code == 0
    desk.put_in_service()
    assert desk.run("backup", "now", "dupont/web-1").code == 0
    answer = desk.run("backup", "restore", "dupont/web-1", "--as", "web-1-tuesday")
    assert answer.code == 0, answer
    assert (
        "the disk data is not in the archive: it was left out of the backup (art. 3.5), or added later"
        in answer.err
    )
    copy = desk.machines()["web-1-tuesday"]["config"]
    assert not [value for value in copy.values() if "size=8G" in str(value)]
    refused = desk.run("backup", "restore", "dupont/web-1", "--in-place", "--confirm", "somebody")
    assert refused.code == 1 and "it keeps what it holds now" in refused.err, refused


def test_what_an_archive_holds_is_told_by_the_archive_and_not_by_todays_file(night: NightDesk) -> None:
    desk = night.desk
    archives = []
    ended = 0
    for backup in (True, False):
        while int(time.time()) == ended:  # archives are named by the second
            time.sleep(0.05)
        _write(desk, backup=backup)
        assert desk.apply().code == 0
        desk.put_in_service()
        made = desk.run("backup", "now", "dupont/web-1")
        assert made.code == 0, made
        archives.append(next(word for word in made.out.split() if ":backup/" in word))
        ended = int(time.time())
    whole, without = archives
    assert whole != without

    def restored(name: str, volid: str) -> tuple[str, bool]:
        answer = desk.run("backup", "restore", "dupont/web-1", "--as", name, "--archive", volid)
        assert answer.code == 0, answer
        config = desk.machines()[name]["config"]
        return answer.err, any("size=8G" in str(value) for value in config.values())

    said, has = restored("web-1-whole", whole)
    assert has and said == "", said
    _write(desk, backup=True)
    assert desk.apply().code == 0
    said, has = restored("web-1-without", without)
    assert not has and "the disk data is not in the archive" in said, said
