"""A client's first hour and the restore at three in the morning, as their pages have them, and what goes wrong then.

One lab and one booted guest for the whole module: ``ferrand/web-1`` of the first hour.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from lab.image import ensure_image
from lab.vma import CLUSTER, VmaReader, VmaWriter
from tests.lab.lab_handle import Client
from tests.lab.pages import Shell, Step, follow, missing, steps
from tests.lab.stage import Stage

_NAME = "ferrand/web-1"
_HOST = "web-1.ferrand"
_FILE = "/home/admin/precious"


def first_hour() -> tuple[list[Step], list[Step], list[Step]]:
    """The first hour until a machine runs, its night with a restore, and how the lab is taken away."""
    page = steps("first-hour.md")
    night = next(
        number for number, step in enumerate(page) if step.command.startswith("orchestrator nightly")
    )
    last = next(number for number, step in enumerate(page) if step.command.startswith("python -m lab stop"))
    assert 0 < night < last
    return page[:night], page[night:last], page[last:]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Where the pages are followed; their own commands start the lab."""
    ensure_image()
    made = Stage(tmp_path_factory.mktemp("pages"))
    yield made
    if made.lab.state.exists():
        made.close()


@pytest.fixture(scope="module")
def shell(stage: Stage) -> Iterator[Shell]:
    opened = Shell(stage.folder, stage.lab)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def running(shell: Shell, stage: Stage) -> Stage:
    """The machine of the first hour runs."""
    follow(shell, first_hour()[0])
    return stage


@pytest.fixture(scope="module")
def backed_up(running: Stage, shell: Shell) -> Stage:
    """The night of the first hour has passed: there is an archive, which was tested."""
    _write(running, "worth-keeping")
    follow(shell, first_hour()[1])
    return running


@pytest.fixture
def api(running: Stage) -> Client:
    return running.lab.client()


def _vm(api: Client, name: str = "web-1") -> dict[str, Any]:
    return next(vm for vm in api.machines() if vm["name"] == name)


def _config(api: Client, name: str = "web-1") -> dict[str, Any]:
    vm = _vm(api, name)
    found: dict[str, Any] = api.get(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config")
    return found


def _machines(api: Client) -> set[str]:
    """The machines, without the copies that the pages let be made."""
    return {vm["name"] for vm in api.machines() if not vm["template"]} - {"web-1-yesterday", "web-1-3am"}


def _archive(api: Client, volid: str) -> Path:
    return Path(api.get(f"/nodes/{_vm(api)['node']}/storage/backup-lyon/content/{volid}")["path"])


def _write(stage: Stage, text: str) -> None:
    done = stage.inside(_HOST).run(f"echo {text} > {_FILE} && sync")
    assert done.rc == 0, done


def _content(stage: Stage) -> str | None:
    found = stage.inside(_HOST).run(f"cat {_FILE}")
    return found.stdout.strip() if found.rc == 0 else None


def test_the_first_hour_until_a_machine_runs_that_is_what_its_file_says(running: Stage) -> None:
    web = running.inside(_HOST)
    assert web.run("hostname; nproc").stdout.split() == ["web-1", "2"]
    assert int(web.run("df --output=size --block-size=1M / | tail -1").stdout) > 3500, (
        "the root file system has its disk"
    )
    assert web.run("sudo -n true").rc == 0
    assert "admin@ferrand" in web.file("/home/admin/.ssh/authorized_keys").content_string
    table = web.run("sudo nft list table inet orchestrator").stdout
    assert "policy drop" in table and "443" in table


def test_the_night_of_the_first_hour_is_reported_and_does_nothing_twice(
    backed_up: Stage, api: Client
) -> None:
    assert "link_down=1" in _config(api, "web-1-yesterday")["net0"], "a copy is unplugged"
    metrics, reports = backed_up.folder / "night.prom", backed_up.folder / "reports"
    asked = ("--in-working-hours", "--metrics-file", str(metrics), "--report-dir", str(reports))
    again = backed_up.run("nightly", *asked)
    assert again.code == 0 and "1 of 1 backup" in again.out, again
    events = {json.loads(line)["event"] for line in again.out.splitlines() if line.startswith("{")}
    assert {"night-started", "night-ended"} <= events
    assert not {"backup-started", "restore-test-started"} & events
    report = next(reports.glob("night-*.md")).read_text()
    assert "ferrand" in report and "web-1" in report
    tested = 'orchestrator_restore_tested_timestamp_seconds{client="ferrand",machine="web-1",site="paris"}'
    assert tested in metrics.read_text()


def test_the_restore_at_three_in_the_morning(backed_up: Stage, api: Client, shell: Shell) -> None:
    before = _vm(api)["vmid"]
    assert backed_up.inside(_HOST).run(f"rm {_FILE} && sync").rc == 0
    refused = backed_up.run("backup", "restore", _NAME, "--in-place")
    assert refused.code == 1 and f"--confirm {_NAME}" in refused.err, refused
    page = steps("restoring.md")
    assert any("--in-place" in step.command for step in page)
    follow(shell, page)
    assert _content(backed_up) == "worth-keeping" and _vm(api)["vmid"] == before
    assert _machines(api) == {"web-1"}
    assert not [key for key in _config(api) if key.startswith("unused")], "the replaced disks are gone"


def test_a_restore_that_does_not_boot_gives_the_machine_its_own_disks_back(
    running: Stage, api: Client
) -> None:
    _write(running, "still-mine")
    made = running.run("backup", "now", _NAME)
    assert made.code == 0, made
    volid = made.out.split()[-3]
    _empty_the_disks(_archive(api, volid))
    before = _vm(api)["vmid"]
    arguments = ("--in-place", "--archive", volid, "--confirm", _NAME, "--boot-timeout", "60")
    failed = running.run("backup", "restore", _NAME, *arguments)
    assert failed.code == 1 and "its guest agent was silent for 60 s" in failed.err, failed
    assert "Its own disks are back, and it runs again" in failed.err
    assert (_vm(api)["vmid"], _vm(api)["status"]) == (before, "running")
    vm = _vm(api)  # its agent answers, SSH comes later
    own = api.get(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/agent/file-read", file=_FILE)["content"]
    assert own.strip() == "still-mine"
    assert _machines(api) == {"web-1"}
    assert "no changes" in running.run("plan").out
    api.run("DELETE", f"/nodes/{_vm(api)['node']}/storage/backup-lyon/content/{volid}")


def _empty_the_disks(archive: Path) -> None:
    """Make an archive one of empty disks: whole, restorable, and nothing to boot from."""
    with subprocess.Popen(["zstd", "-q", "-d", "-c", str(archive)], stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        header = VmaReader(cast(BinaryIO, source.stdout)).header
        source.kill()
    plain = archive.with_suffix(".plain")
    with plain.open("wb") as target:
        writer = VmaWriter(target, header)
        for number, device in header.devices.items():
            for cluster in range(-(-device.size // CLUSTER)):
                writer.write(number, cluster, b"")
        writer.close()
    subprocess.run(["zstd", "-q", "-f", str(plain), "-o", str(archive)], check=True)
    plain.unlink()


def test_a_damaged_archive_fails_its_restore_test_and_says_so(backed_up: Stage, api: Client) -> None:
    listed = json.loads(backed_up.run("backup", "list", _NAME, "--format", "json").out)
    volid = listed[0]["archives"][-1]["volid"]
    path = _archive(api, volid)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    failed = backed_up.run("backup", "verify", _NAME, "--archive", volid)
    assert failed.code == 1 and volid in failed.err and "vma extract" in failed.err, failed
    assert "FAILED" in backed_up.run("backup", "list", _NAME).out
    assert _machines(api) == {"web-1"}
    history = json.loads(backed_up.run("history", _NAME, "--format", "json", "--limit", "3").out)
    assert ("restore test", "failed") in [(entry["action"], entry["result"]) for entry in history]


def test_the_lab_of_the_first_hour_leaves_no_trace_and_no_secret(running: Stage, shell: Shell) -> None:
    secrets = [path.read_bytes().strip() for path in running.lab.state.glob("*token*")]
    stored = [path.read_bytes() for path in (running.folder / "state").rglob("*") if path.is_file()]
    assert secrets and stored
    assert not [secret for secret in secrets for text in stored if secret in text]
    follow(shell, first_hour()[2])
    assert not running.lab.state.exists()


def test_a_line_that_is_not_said_is_noticed() -> None:
    said = "ferrand  no changes\n\nno changes\n"
    assert missing(("ferrand  no …", "no changes"), said) is None
    assert missing(("no changes", "ferrand  no changes"), said) == "ferrand  no changes"
    assert missing(("1 to create",), said) == "1 to create"
