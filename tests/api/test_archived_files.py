"""Files out of an archive on a backup server, as pve-storage's FileRestore.pm has it; what a guest wrote is hostile."""

from __future__ import annotations

import base64
import io
import json
import stat
import time
import warnings
import zipfile
from typing import Any

import pytest

from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from tests.api.desk import Desk
from tests.api.night_desk import STORE, NightDesk

ROOT = "/drive-scsi0.img.fidx/part/1"
FILES: dict[str, str | None] = {
    "/drive-scsi0.img.fidx": None,
    "/drive-scsi0.img.fidx/part": None,
    ROOT: None,
    f"{ROOT}/etc": None,
    f"{ROOT}/etc/fstab": "/dev/sda1 / ext4\n",
    f"{ROOT}/etc/ssh": None,
    f"{ROOT}/etc/ssh/sshd_config": "Port 22\n",
}


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    made = NightDesk(desk)
    made.fake.add_storage(STORE, type="pbs", shared=True, server="pbs.example.net", datastore="tank")
    made.deliver("web-1", "db-1")
    made.fake.control("archived_files", files=FILES)
    return made


def _archive(night: NightDesk, name: str = "web-1", days: float = 1) -> str:
    notes = archive_notes(ArchiveMark(client="dupont", machine=name, contract="C-dupont", days=7))
    made = {"storage": STORE, "vmid": night.vmid(name), "ctime": int(time.time() - days * 86400)}
    night.fake.add_archives([{**made, "size": 2**30, "notes": notes}])
    return str(max(night.archives(), key=lambda item: item["ctime"])["volid"])


def _packed(*names: str, mode: int = stat.S_IFREG, content: bytes = b"x") -> str:
    made = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(made, "w") as packed:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            packed.writestr(info, content)
    return base64.b64encode(made.getvalue()).decode()


def _copy(night: NightDesk, path: str, *more: str) -> Any:
    to = str(night.desk.folder / "out")
    return night.desk.run("backup", "files", "dupont/web-1", "--copy", f"{ROOT}/{path}", "--to", to, *more)


def _there(night: NightDesk) -> dict[str, str]:
    out = night.desk.folder / "out"
    return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}


def test_files_in_an_archive_are_listed_and_copied_and_the_history_keeps_it(night: NightDesk) -> None:
    volid = _archive(night)
    listed = night.desk.run("backup", "files", "dupont/web-1", f"{ROOT}/etc")
    assert listed.code == 0 and volid in listed.out and f"{ROOT}/etc/fstab" in listed.out, listed
    top = json.loads(night.desk.run("backup", "files", "dupont/web-1", "--format", "json").out)
    assert [item["path"] for item in top["files"]] == ["/drive-scsi0.img.fidx"]
    made = _copy(night, "etc/fstab", "--reason", "ticket 12")
    assert made.code == 0 and _there(night) == {"fstab": "/dev/sda1 / ext4\n"}, made
    assert stat.S_IMODE((night.desk.folder / "out/fstab").stat().st_mode) == 0o600
    assert _copy(night, "etc").code == 0
    assert _there(night)["etc/ssh/sshd_config"] == "Port 22\n" and _there(night)["etc/fstab"].startswith(
        "/dev"
    )
    entries = json.loads(night.desk.run("history", "dupont/web-1", "--format", "json", "--limit", "2").out)
    copies = [entry for entry in entries if entry["action"] == "copy files"]
    assert len(copies) == 2 and {entry["result"] for entry in copies} == {"ok"}
    assert "ticket 12" in {entry["why"] for entry in copies}
    again = _copy(night, "etc/fstab")
    assert again.code == 1 and "nothing is replaced" in again.err
    assert not list((night.desk.folder / "out").glob(".*"))


def test_an_archive_of_another_machine_and_one_on_another_type_of_storage_are_refused(
    night: NightDesk,
) -> None:
    _archive(night)
    other = _archive(night, "db-1", 0.5)
    refused = night.desk.run("backup", "files", "dupont/web-1", "--archive", other)
    assert refused.code == 1 and "has no archive" in refused.err, refused
    night.fake.set_storage(STORE, type="dir")
    plain = _archive(night, days=0.1)
    refused = night.desk.run("backup", "files", "dupont/web-1", "--archive", plain)
    assert refused.code == 1 and f"restore dupont/web-1 --as NAME --archive {plain}" in refused.err, refused
    assert not [call for call in night.fake.calls("GET") if "file-restore" in call]


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (_packed("etc/a", "etc/../../../evil"), "lead out of the folder"),
        (_packed("etc/a", "/evil"), "lead out of the folder"),
        (_packed("etc/a", "etc/a"), "cannot be written"),
        (_packed("etc/a", content=bytes(4 * 2**20)), "--limit"),
        (base64.b64encode(b"no zip").decode(), "did not come whole"),
    ],
    ids=["up", "absolute", "twice", "bomb", "no-zip"],
)
def test_a_hostile_folder_is_refused_and_nothing_of_it_stays(
    night: NightDesk, packed: str, said: str
) -> None:
    _archive(night)
    night.fake.control("archived_files", files=FILES, packed=packed)
    answer = _copy(night, "etc", "--limit", "0.002")
    assert answer.code == 1 and said in answer.err, answer
    assert list((night.desk.folder / "out").iterdir()) == []


def test_links_are_left_out_and_a_download_that_breaks_off_is_no_copy(night: NightDesk) -> None:
    _archive(night)
    night.fake.control("archived_files", files=FILES, packed=_packed("etc/a", mode=stat.S_IFLNK))
    answer = _copy(night, "etc")
    assert answer.code == 0 and "1 link or device left out" in answer.out and _there(night) == {}, answer
    night.fake.control("archived_files", files=FILES, cut=5)
    answer = _copy(night, "etc/fstab")
    assert answer.code == 1 and "the file has 17 bytes and 5 came" in answer.err, answer
    answer = _copy(night, "etc/ssh")
    assert answer.code == 1 and "did not come whole" in answer.err, answer


def test_names_of_a_guest_move_no_cursor(night: NightDesk) -> None:
    _archive(night)
    night.fake.control("archived_files", files={**FILES, f"{ROOT}/etc/\x1b[2J\xff": "x"})
    listed = night.desk.run("backup", "files", "dupont/web-1", f"{ROOT}/etc")
    assert listed.code == 0 and "\x1b" not in listed.out and r"\x1b[2J" in listed.out, listed
    assert json.loads(
        night.desk.run("backup", "files", "dupont/web-1", f"{ROOT}/etc", "--format", "json").out
    )
    wrong = night.desk.run("backup", "files", "dupont/web-1", f"{ROOT}/../x")
    assert wrong.code == 1 and "not a path in an archive" in wrong.err
