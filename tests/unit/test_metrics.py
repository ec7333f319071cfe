"""The figures for Prometheus, read back with Prometheus' own parser."""

from __future__ import annotations

import datetime as dt
import math
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.contract.calendar import PARIS
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.guest_look import GuestLine, UpdateDelay
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.nightly.metrics import LAST_SUCCESS, write_metrics
from orchestrator.nightly.restart_round import RestartLine
from orchestrator.nightly.restart_step import WaitingRestart
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.nightly.update_round import UpdateLine
from orchestrator.shown import label
from tests.unit.night_samples import (
    GIB,
    any_night,
    eventful_night,
    good_night,
    machine,
    night,
    paris,
    updating_night,
)

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(path: Path) -> Figures:
    """Every sample of a file by name and labels."""
    families = list(text_string_to_metric_families(path.read_bytes().decode()))
    samples = [sample for family in families for sample in family.samples]
    assert all(family.documentation and family.type == "gauge" for family in families)
    figures = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(figures) == len(samples)
    return figures


def of(client: str, name: str, site: str = "paris") -> tuple[tuple[str, str], ...]:
    return (("client", label(client)), ("machine", label(name)), ("site", label(site)))


def test_a_night_s_figures(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.prom"
    report = eventful_night()
    write_metrics(report, path)
    figures = read(path)
    end = paris(24, 2, 41).timestamp()
    assert figures["orchestrator_nightly_last_run_timestamp_seconds", ()] == end
    assert figures["orchestrator_nightly_duration_seconds", ()] == 4 * 3600 + 41 * 60
    assert figures["orchestrator_nightly_backup_bytes", ()] == 52 * GIB
    assert figures["orchestrator_nightly_failures", ()] == 6
    web = of("dupont", "web-1")
    assert figures["orchestrator_backup_newest_good_timestamp_seconds", web] == paris(23, 22, 17).timestamp()
    assert figures["orchestrator_backup_newest_good_age_seconds", web] == 4 * 3600 + 24 * 60
    assert figures["orchestrator_backup_volume_bytes", web] == 80 * GIB
    tested = dt.datetime(2026, 11, 16, tzinfo=PARIS).timestamp()
    assert figures["orchestrator_restore_tested_timestamp_seconds", web] == tested
    backups, machines = (
        (("site", "paris"), ("storage", "backup-lyon")),
        (("site", "paris"), ("storage", "local-lvm")),
    )
    assert figures["orchestrator_storage_used_bytes", backups] == 870 * GIB
    assert figures["orchestrator_storage_total_bytes", machines] == 4096 * GIB
    assert figures["orchestrator_storage_full_in_nights", backups] == 5
    assert ("orchestrator_storage_full_in_nights", machines) not in figures


def test_a_machine_without_any_good_backup_or_restore_is_older_than_any_limit(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    write_metrics(night(machines=(machine("c", "m", newest_good=None, tested_on=None),)), path)
    figures = read(path)
    assert figures["orchestrator_backup_newest_good_timestamp_seconds", of("c", "m")] == 0
    assert figures["orchestrator_backup_newest_good_age_seconds", of("c", "m")] == math.inf
    assert figures["orchestrator_restore_tested_timestamp_seconds", of("c", "m")] == 0


def test_a_machine_whose_backup_is_off_has_a_volume_and_nothing_to_be_alarmed_about(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    write_metrics(night(machines=(machine("c", "m", retention_days=None),)), path)
    assert {name for name, labels in read(path) if labels == of("c", "m")} == {
        "orchestrator_backup_volume_bytes"
    }


def test_a_storage_that_takes_every_night_is_never_full(tmp_path: Path) -> None:
    fine = replace(eventful_night().of(StorageLine)[0], full_on=None, message="")
    write_metrics(night(storages=(fine,)), tmp_path / "o.prom")
    labels = (("site", "paris"), ("storage", "backup-lyon"))
    assert read(tmp_path / "o.prom")["orchestrator_storage_full_in_nights", labels] == math.inf


def test_what_is_due_held_back_and_failed_in_managed_machines(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    write_metrics(updating_night(), path)
    figures = read(path)

    def figure(name: str, labels: tuple[tuple[str, str], ...]) -> float | None:
        return figures.get((f"orchestrator_{name}", tuple(sorted(labels))))

    app, web, db = of("dupont", "app-1"), of("dupont", "web-2"), of("dupont", "db-1")
    assert figure("updates_pending", (*app, ("security", "true"))) == 2
    assert figure("updates_pending", (*app, ("security", "false"))) == 5
    assert [figure("reboot_required", labels) for labels in (app, web)] == [0, 1]
    assert [figure("updates_held", labels) for labels in (app, web, db)] == [0, 0, 1]
    assert [figure("updates_failed_tonight", labels) for labels in (app, web, db)] == [0, 0, 1]
    assert figure("updates_delay_average_working_seconds", ()) == 31.25 * 3600
    assert figure("firewall_dropped_packets", app) == 40_000
    assert figure("firewall_refused_ssh", of("dupont", "web-1")) == 312
    assert "since the last night" in path.read_text()


def test_of_a_machine_that_was_not_looked_into_nothing_is_said_but_whether_it_is_held_back(
    tmp_path: Path,
) -> None:
    path = tmp_path / "o.prom"
    write_metrics(updating_night(), path)
    told = {name: value for (name, labels), value in read(path).items() if ("machine", "old-1") in labels}
    assert told == {"orchestrator_updates_held": 0, "orchestrator_supervision_missing": 1}


def test_without_an_installation_there_is_no_average_delay(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    write_metrics(night(delay=UpdateDelay(days=90, packages=0, average_hours=None)), path)
    assert "orchestrator_updates_delay_average_working_seconds" not in path.read_text()


def test_a_bad_night_keeps_the_time_of_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    write_metrics(good_night(), path)
    good = paris(24, 2, 41).timestamp()
    assert read(path)[LAST_SUCCESS, ()] == good
    bad = night(problems=("x",), started_at=paris(24, 22), ended_at=paris(25, 3))
    for _ in range(2):
        write_metrics(bad, path)
        assert read(path)[LAST_SUCCESS, ()] == good
    assert read(path)["orchestrator_nightly_last_run_timestamp_seconds", ()] == paris(25, 3).timestamp()
    write_metrics(night(ended_at=paris(26, 3)), path)
    assert read(path)[LAST_SUCCESS, ()] == paris(26, 3).timestamp()


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xff\xfe not utf-8",
        b"no metrics at all {{{",
        f"{LAST_SUCCESS} many".encode(),
        f"{LAST_SUCCESS} NaN".encode(),
        f"{LAST_SUCCESS} +Inf".encode(),
        f'{LAST_SUCCESS}{{a="b'.encode(),
        b"# TYPE x histogram\nx_bucket 1\n# TYPE",
        bytes(range(256)),
    ],
)
def test_a_file_that_makes_no_sense_does_no_harm(before: bytes, tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    path.write_bytes(before)
    write_metrics(night(problems=("x",)), path)
    assert read(path)[LAST_SUCCESS, ()] == 0


def test_a_folder_in_the_way_is_an_error_and_leaves_nothing_that_node_exporter_reads(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    path.mkdir()
    with pytest.raises(OSError):
        write_metrics(good_night(), path)
    assert [found.name for found in tmp_path.glob("*.prom")] == ["o.prom"]


def test_the_file_is_readable_by_all_whatever_the_umask_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "o.prom"
    before = os.umask(0o077)
    try:
        write_metrics(good_night(), path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=60, deadline=None)
@given(report=any_night)
def test_the_figures_of_any_night_are_read_back(report: NightReport) -> None:
    # Names are reduced to what a label can hold: two that become the same are one series.
    for lines in (report.of(MachineLine), report.of(GuestLine), report.of(UpdateLine)):
        assume(len({of(line.client, line.machine, line.site) for line in lines}) == len(lines))
    assume(
        len({(label(line.site), label(line.name)) for line in report.of(StorageLine)})
        == len(report.of(StorageLine))
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "o.prom"
        write_metrics(report, path)
        figures = read(path)
    assert figures["orchestrator_nightly_failures", ()] == report.failures
    assert (figures[LAST_SUCCESS, ()] > 0) == report.well
    for line in report.of(MachineLine):
        labels = of(line.client, line.machine, line.site)
        assert figures["orchestrator_backup_volume_bytes", labels] == line.size
        newest = figures.get(("orchestrator_backup_newest_good_timestamp_seconds", labels))
        assert (newest is None) == (line.retention_days is None)
        if newest is not None:
            assert newest == (line.newest_good.timestamp() if line.newest_good else 0)
    for storage in report.of(StorageLine):
        where = (("site", label(storage.site)), ("storage", label(storage.name)))
        known = bool(storage.total)  # a storage that cannot be asked has no size, and none is told
        assert figures.get(("orchestrator_storage_used_bytes", where)) == (storage.used if known else None)
        assert figures.get(("orchestrator_storage_total_bytes", where)) == (storage.total if known else None)
    expected = 3 * sum(line.retention_days is not None for line in report.of(MachineLine)) + len(
        report.of(MachineLine)
    )
    for line in report.of(MachineLine):
        passed = figures.get(("orchestrator_restore_check_passed", of(line.client, line.machine, line.site)))
        told = line.check if line.retention_days is not None else ""
        assert passed == ({"passed": 1, "failed": 0}[told] if told else None)
        expected += passed is not None
    due = [line for line in report.of(BackupLine) if line.result != "not-created"]
    expected += len({of(line.client, line.machine, line.site) for line in due})
    expected += len(report.of(GuestLine))
    expected += 2 * sum(bool(line.total) for line in report.of(StorageLine))
    expected += sum(bool(line.forecast) or line.full_on is not None for line in report.of(StorageLine))
    expected += 3 * sum(not line.problem for line in report.of(GuestLine))
    named = {of(line.client, line.machine, line.site) for line in report.of(GuestLine)}
    named |= {of(line.client, line.machine, line.site) for line in report.of(UpdateLine)}
    expected += len(named)
    expected += len(report.of(UpdateLine))
    expected += len(report.of(RestartLine)) + 2 * len(report.of(WaitingRestart))
    for waiting in report.of(WaitingRestart):
        since = waiting.since.timestamp() if waiting.since else 0
        labels = of(waiting.client, waiting.machine, waiting.site)
        assert figures["orchestrator_restart_waiting_since_timestamp_seconds", labels] == since
    expected += sum(line.dropped is not None for line in report.of(GuestLine))
    expected += sum(line.refused_ssh is not None for line in report.of(GuestLine))
    expected += sum(line.refused_out is not None for line in report.of(GuestLine))
    expected += sum(delay.average_hours is not None for delay in report.of(UpdateDelay))
    assert len(figures) == expected + 5


@pytest.mark.parametrize("report", [eventful_night(), updating_night()], ids=["eventful", "updating"])
def test_names_and_texts_are_as_prometheus_wants_them(report: NightReport, tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.prom"
    write_metrics(report, path)
    promtool = Path(sys.executable).parent / "promtool"
    checked = subprocess.run(
        [str(promtool), "check", "metrics"], stdin=path.open(), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
