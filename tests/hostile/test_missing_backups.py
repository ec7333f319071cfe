"""What should have been backed up or inspected and was not is a failure with its name, wherever people look."""

from __future__ import annotations

import copy
import datetime as dt
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestrator.resources.notes import read_mark, write_mark
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.night_desk import AGENT, NightDesk

_MANAGED = {
    "level": "supervision",
    "updates": "automatic",
    "maintenance_window": {"days": ["sunday"], "from": "22:00", "to": "23:30"},
}


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


@pytest.fixture
def pinged() -> Iterator[tuple[str, list[str]]]:
    """A dead man's switch: its URL, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/check", asked
    server.shutdown()


def _run(night: NightDesk, *arguments: str) -> tuple[Answer, str, str]:
    """A night; its answer, its report, its metrics."""
    folder = night.desk.folder
    answer = night.desk.run(
        *("nightly", "--in-working-hours", "--language", "en"),
        *("--report-dir", str(folder / "reports"), "--client-reports", str(folder / "clients")),
        *("--metrics-file", str(folder / "night.prom")),
        *arguments,
    )
    reports = list((folder / "reports").glob("*.md"))
    assert reports, answer
    report = reports[0].read_text()
    return answer, report, (folder / "night.prom").read_text()


def test_every_machine_of_a_sound_file_is_backed_up_or_is_a_failure_with_its_name(night: NightDesk) -> None:
    names = ("web-1", "db-1", "old-1", "gone-1", "soon-1")
    others = subscription("managed", [machine("srv-1"), machine("off-1")], managed_services=_MANAGED)

    def files(*machines: str) -> None:
        made = [machine(name, backup={"retention_days": 7}) for name in machines]
        night.desk.write(subscription("dupont", made), others)

    files(*names[:4])
    assert night.desk.apply().code == 0
    night.desk.put_in_service()
    files_inside = {**AGENT["files"], "/etc/hostname": "db-1"}
    night.fake.guest_agent({"files": files_inside}, vmid=night.vmid("db-1"))
    cluster = night.fake.cluster()
    assert night.desk.run("backup", "now", "dupont/gone-1").code == 0
    night.fake.control("remove_vm", vmid=night.vmid("gone-1"))
    shut = night.vmid("off-1")  # by its owner: its backup could be made, nobody could look into it
    cluster.post(f"/nodes/pve1/qemu/{shut}/status/stop")
    night.fake.control("report")
    for name in ("web-1", "srv-1"):
        cluster.put(f"/nodes/pve1/qemu/{night.vmid(name)}/config", description="written over by somebody")
    notes = night.desk.machines()["old-1"]["config"]["description"]
    mark = read_mark(notes)
    assert mark is not None
    retired = write_mark(mark.with_(retired=dt.date(2026, 11, 1)), notes)
    cluster.put(f"/nodes/pve1/qemu/{night.vmid('old-1')}/config", description=retired)
    files(*names)

    answer, report, metrics = _run(night)
    assert answer.code == 1 and "1 of 4 backups" in answer.out, answer
    client = next((night.desk.folder / "clients" / "dupont").glob("*.md")).read_text()
    for name in ("web-1", "old-1", "gone-1"):
        labels = f'{{client="dupont",machine="{name}",site="paris"}}'
        assert f"orchestrator_backup_failed_tonight{labels} 1.0" in metrics
        assert f"dupont/{name}" in report and name in client
    assert 'orchestrator_backup_failed_tonight{client="dupont",machine="db-1",site="paris"} 0.0' in metrics
    assert "its notes carry no mark" in report and "it was retired on" in report
    assert "it was erased or renamed" in report
    assert "could not be backed up tonight" in client
    assert 'backup_failed_tonight{client="dupont",machine="soon-1"' not in metrics
    assert all("Not created or taken over yet" in text for text in (report, client))
    assert "managed/srv-1" in report and "Machine not inspected" in report
    assert 'orchestrator_supervision_missing{client="managed",machine="srv-1",site="paris"} 1.0' in metrics
    managed = next((night.desk.folder / "clients" / "managed").glob("*.md")).read_text()
    assert 'orchestrator_supervision_missing{client="managed",machine="off-1",site="paris"} 0.0' in metrics
    assert "managed/off-1" in report and "the machine is stopped: it was not inspected" in managed
    assert "orchestrator_nightly_failures 4.0" in metrics


def test_a_night_ends_with_a_report_whatever_is_missing(
    night: NightDesk, pinged: tuple[str, list[str]]
) -> None:
    """The files, a site's token, one client's folder of reports; then the history itself."""
    url, asked = pinged
    night.deliver("web-1")
    (night.desk.folder / "subscriptions").rename(night.desk.folder / "elsewhere")
    lyon = copy.deepcopy(night.desk.sites["paris"])
    lyon["api"]["token_secret"] = {"file": str(night.desk.folder / "none")}
    lyon["backup_storages"] = []
    lyon["api"]["url"] = "https://127.0.0.1:9"
    night.desk.sites["lyon"] = lyon
    night.desk.write_sites()
    (night.desk.folder / "clients").mkdir()
    (night.desk.folder / "clients" / "dupont").write_text("a file stands where its folder would be")

    answer, report, metrics = _run(night, "--ping-url", url)
    assert answer.code == 1 and "1 of 1 backup" in answer.out and len(night.archives()) == 1, answer
    assert "subscriptions does not exist" in report and "site lyon could not be read" in report
    assert "the report for the client dupont could not be written" in report
    assert "orchestrator_nightly_failures 3.0" in metrics and asked == ["/check/fail"]

    # Nobody's file says what should be there; the archives of the last days do.
    path = f"/nodes/pve1/qemu/{night.vmid('web-1')}/config"
    night.fake.cluster().put(path, description="written over")
    answer, report, metrics = _run(night)
    assert answer.code == 1 and "0 of 1 backup" in answer.out and "dupont/web-1" in report, answer
    assert 'orchestrator_backup_failed_tonight{client="dupont",machine="web-1",site="paris"} 1.0' in metrics

    bad = night.desk.folder / "bad.db"
    bad.write_text("this is no history" * 100)
    (night.desk.folder / "elsewhere").rename(night.desk.folder / "subscriptions")
    answer, report, metrics = _run(night, "--ping-url", url, "--history", str(bad))
    assert answer.code == 1 and "Traceback" not in answer.err, answer
    assert "the night was aborted" in report and "orchestrator_nightly_failures 1.0" in metrics
    assert asked == ["/check/fail", "/check/fail"]


def test_a_machine_whose_mark_is_damaged_is_never_said_to_be_erased_although_its_file_takes_it_over(
    night: NightDesk,
) -> None:
    night.deliver("web-1")
    vmid = night.vmid("web-1")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    night.files("web-1", adopt=vmid, address="203.0.113.10")
    damaged = night.desk.machines()["web-1"]["config"]["description"].replace('"machine"', '"machine')
    night.fake.control("set_config", vmid=vmid, description=damaged)
    answer, report, _ = _run(night)
    assert answer.code == 1 and "our mark in its notes cannot be read" in report, report
    assert "it was erased or renamed" not in report
