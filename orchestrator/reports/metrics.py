"""A night's figures for Prometheus: a file for node exporter's textfile collector.

What a night leaves must still be right hours later: alerts compare timestamps with the time, for an age in a file
stands still. Where something never happened the timestamp is 0, so that the same alert tells of it.
"""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.contract.calendar import PARIS
from orchestrator.counting import counted
from orchestrator.nightly.result import NightReport
from orchestrator.reports.scope import held_back, key, made
from orchestrator.shown import label

LAST_SUCCESS = "orchestrator_nightly_last_success_timestamp_seconds"

_FILE_MODE = 0o644
"""Node exporter runs as another user. The file holds names of clients and machines, and no secret."""

_HOUR = 3600

_LARGEST_BYTES = 64 * 1024 * 1024

_MACHINE = ("client", "machine", "site")
_STORAGE = ("site", "storage")


class Figure(Gauge):
    """A gauge whose labels may come from marks and whose value may come from a guest: any text, any number."""

    def labels(self, *values: object, **named: object) -> Self:
        """The child of these labels, each in one line and of limited length."""
        return super().labels(*(label(str(value)) for value in values), **named)

    def set(self, value: float) -> None:
        """Set the figure; a number that is too large for Prometheus becomes +Inf."""
        try:
            super().set(float(value))
        except OverflowError:
            super().set(math.inf)


def write_metrics(report: NightReport, path: Path) -> None:
    """Write the figures of a night, in one step: a reader sees the old file or the new one.

    The time of the last good night is taken over from the file that is there, if this night was not good.

    Args:
        report: the night.
        path: ends in ``.prom``, or node exporter does not read it.

    Raises:
        OSError: the file cannot be written.
    """
    last_success = report.ended_at.timestamp() if report.well else _last_success(path)
    registry = CollectorRegistry()
    _night(report, last_success, registry)
    _machines(report, registry)
    _storages(report, registry)
    _updates(report, registry)
    _firewalls(report, registry)
    draft = path.with_name(f"{path.name}.draft")  # its name has no .prom at its end: never read half written
    try:
        write_to_textfile(str(draft), registry)
        draft.chmod(_FILE_MODE)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _last_success(path: Path) -> float:
    """When the last good night ended, as the file says that is there; 0 if it says nothing sensible."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return 0.0
        families = list(text_string_to_metric_families(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, IndexError):
        return 0.0
    for family in families:
        for sample in family.samples:
            if sample.name == LAST_SUCCESS and math.isfinite(sample.value) and sample.value >= 0:
                return sample.value
    return 0.0


def _night(report: NightReport, last_success: float, registry: CollectorRegistry) -> None:
    figures = (
        (LAST_SUCCESS, "End of the last night without any failure, 0 if there was none", last_success),
        (
            "orchestrator_nightly_last_run_timestamp_seconds",
            "End of the last night, good or not",
            report.ended_at.timestamp(),
        ),
        (
            "orchestrator_nightly_duration_seconds",
            "How long the last night's run took",
            report.ended_at.timestamp() - report.started_at.timestamp(),
        ),
        (
            "orchestrator_nightly_backup_bytes",
            "Size of the backups made in the last night",
            sum(line.size for line in report.backups if made(line)),
        ),
        ("orchestrator_nightly_failures", "How many things went wrong in the last night", report.failures),
    )
    for name, meaning, value in figures:
        Figure(name, meaning, registry=registry).set(value)


def _machines(report: NightReport, registry: CollectorRegistry) -> None:
    newest = Figure(
        "orchestrator_backup_newest_good_timestamp_seconds",
        "When the newest good backup was made, 0 if there is none; machines whose backup is on",
        _MACHINE,
        registry=registry,
    )
    age = Figure(
        "orchestrator_backup_newest_good_age_seconds",
        "Age of the newest good backup at the end of the last night; alerts take the timestamp",
        _MACHINE,
        registry=registry,
    )
    tested = Figure(
        "orchestrator_restore_tested_timestamp_seconds",
        "Day that a backup was last restored and found sound, 0 if never; machines whose backup is on",
        _MACHINE,
        registry=registry,
    )
    missed = Figure(
        "orchestrator_backup_failed_tonight",
        "1 if a machine that should have been backed up in the last night was not; machines whose backup is on",
        _MACHINE,
        registry=registry,
    )
    for backup in report.backups:
        if backup.result != "not-created":
            missed.labels(*key(backup)).set(backup.failed)
    volume = Figure(
        "orchestrator_backup_volume_bytes",
        "Size of all the backups that are kept",
        _MACHINE,
        registry=registry,
    )
    for line in report.machines:
        labels = (line.client, line.machine, line.site)
        volume.labels(*labels).set(line.size)
        if line.retention_days is None:  # nothing is due: an old backup is no reason for an alert
            continue
        if line.newest_good is None:
            newest.labels(*labels).set(0)
            age.labels(*labels).set(math.inf)
        else:
            newest.labels(*labels).set(line.newest_good.timestamp())
            age.labels(*labels).set(report.ended_at.timestamp() - line.newest_good.timestamp())
        tested.labels(*labels).set(0 if line.tested_on is None else _midnight(line.tested_on))


def _storages(report: NightReport, registry: CollectorRegistry) -> None:
    used = Figure("orchestrator_storage_used_bytes", "What is used of a storage", _STORAGE, registry=registry)
    total = Figure("orchestrator_storage_total_bytes", "Size of a storage", _STORAGE, registry=registry)
    full = Figure(
        "orchestrator_storage_full_in_nights",
        "Nights until the first that does not fit: 0 is the last night's own, +Inf if the next seven fit",
        _STORAGE,
        registry=registry,
    )
    for line in report.storages:
        labels = (line.site, line.name)
        if line.total:  # else nobody knows
            used.labels(*labels).set(line.used)
            total.labels(*labels).set(line.total)
        if line.full_on is not None:
            full.labels(*labels).set((line.full_on - report.night).days)
        elif line.forecast:
            full.labels(*labels).set(math.inf)


def _updates(report: NightReport, registry: CollectorRegistry) -> None:
    pending = Figure(
        "orchestrator_updates_pending",
        "Updates still due after the last night, security updates apart; managed machines that were looked into",
        (*_MACHINE, "security"),
        registry=registry,
    )
    reboot = Figure(
        "orchestrator_reboot_required",
        "1 if a managed machine still has to be restarted after the last night; those that were looked into",
        _MACHINE,
        registry=registry,
    )
    held = Figure(
        "orchestrator_updates_held",
        "1 if a managed machine gets no automatic updates until somebody has looked",
        _MACHINE,
        registry=registry,
    )
    unsupervised = Figure(
        "orchestrator_supervision_missing",
        "1 if a machine that should be supervised is not, or could not be looked into in the last night",
        _MACHINE,
        registry=registry,
    )
    for line in report.guests:
        unsupervised.labels(*key(line)).set(bool(line.unsupervised or line.unseen))
    failed = Figure(
        "orchestrator_updates_failed_tonight",
        "1 if a machine's automatic updates failed or were not begun in the last night; machines whose turn it was",
        _MACHINE,
        registry=registry,
    )
    for line in report.guests:
        if line.problem:  # nothing is known of it: zeros would say that all is well
            continue
        labels = key(line)
        pending.labels(*labels, "true").set(line.security)
        pending.labels(*labels, "false").set(line.others)
        reboot.labels(*labels).set(line.reboot is not None)
    held_now = held_back(report)
    for labels in sorted({key(line) for line in report.guests} | {key(line) for line in report.updates}):
        held.labels(*labels).set(labels in held_now)
    for update in report.updates:
        failed.labels(*key(update)).set(update.failed)
    if report.delay is not None and report.delay.average_hours is not None:
        Figure(
            "orchestrator_updates_delay_average_working_seconds",
            "Seconds of working hours from publication or request to installation, average of the last "
            f"{counted(report.delay.days, 'day')}",
            registry=registry,
        ).set(report.delay.average_hours * _HOUR)


def _firewalls(report: NightReport, registry: CollectorRegistry) -> None:
    dropped = Figure(
        "orchestrator_firewall_dropped_packets",
        "Packets that a managed machine's firewall dropped since the last night (not a counter)",
        _MACHINE,
        registry=registry,
    )
    refused = Figure(
        "orchestrator_firewall_refused_ssh",
        "New SSH connections that a managed machine's firewall refused since the last night (not a counter)",
        _MACHINE,
        registry=registry,
    )
    for line in report.guests:
        if line.dropped is not None:
            dropped.labels(*key(line)).set(line.dropped)
        if line.refused_ssh is not None:
            refused.labels(*key(line)).set(line.refused_ssh)


def _midnight(day: dt.date) -> float:
    return dt.datetime.combine(day, dt.time(), PARIS).timestamp()
