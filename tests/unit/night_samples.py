"""Nights for tests: one in which a bit of everything happened, a good one, and any night at all."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Any, get_args

from hypothesis import strategies as st

from orchestrator.applying.restart_outcome import RestartEnding
from orchestrator.contract.calendar import PARIS
from orchestrator.guests.packages import InstalledPackage
from orchestrator.nightly.archive_step import ForeignArchives, UnbelievedArchive
from orchestrator.nightly.drift_step import DriftLine
from orchestrator.nightly.due_backups import BackupForecast, BackupLine
from orchestrator.nightly.guest_look import GuestLine, UpdateDelay, WaitingUpdate
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.nightly.restart_round import RestartLine
from orchestrator.nightly.restart_step import WaitingRestart
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.retention_step import RetentionLine
from orchestrator.nightly.snapshot_step import SnapshotLine
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.nightly.update_round import UpdateLine
from tests.hostile_texts import HOSTILE

GIB = 1024**3
NIGHT = dt.date(2026, 11, 23)


def paris(day: int, hour: int, minute: int = 0) -> dt.datetime:
    """A moment in November 2026."""
    return dt.datetime(2026, 11, day, hour, minute, tzinfo=PARIS)


def backup(client: str, machine: str, **changes: Any) -> BackupLine:
    """A backup that was made."""
    line: dict[str, Any] = {
        "client": client,
        "machine": machine,
        "site": "paris",
        "node": "pve1",
        "storage": "backup-lyon",
        "result": "done",
        "started_at": paris(23, 22, 5),
        "seconds": 725.0,
        "size": 12 * GIB,
        "volid": f"backup-lyon:backup/vzdump-qemu-101-{machine}.vma.zst",
    }
    return BackupLine(**(line | changes))


def machine(client: str, name: str, **changes: Any) -> MachineLine:
    """A machine whose backup was made."""
    line: dict[str, Any] = {
        "client": client,
        "machine": name,
        "contract": f"C-{client}",
        "site": "paris",
        "retention_days": 7,
        "newest_good": paris(23, 22, 17),
        "archives": 7,
        "size": 80 * GIB,
        "tested_on": dt.date(2026, 11, 16),
    }
    return MachineLine(**(line | changes))


def package(name: str, old: str, new: str, *, security: bool = False) -> InstalledPackage:
    """A package that an update replaced."""
    return InstalledPackage(name=name, old=old, new=new, security=security, published=paris(20, 11))


def update(client: str, name: str, **changes: Any) -> UpdateLine:
    """A machine that was updated in the second wave of its window."""
    line: dict[str, Any] = {
        "client": client,
        "machine": name,
        "site": "paris",
        "result": "installed",
        "window": (paris(23, 22), paris(24, 2)),
        "wave": 2,
        "installed": (
            package("bash", "5.2.15-2", "5.2.15-3"),
            package("openssl", "3.0.11-1", "3.0.13-1~deb12u1", security=True),
        ),
        "seconds": 95.0,
    }
    return UpdateLine(**(line | changes))


def guest(client: str, name: str, **changes: Any) -> GuestLine:
    """A managed machine where nothing is due and nobody was refused."""
    line: dict[str, Any] = {
        "client": client,
        "machine": name,
        "site": "paris",
        "automatic": True,
        "dropped": 0,
        "refused_ssh": 0,
    }
    return GuestLine(**(line | changes))


def updating_night() -> NightReport:
    """Updates that went well, and one of each way to fail; six failures."""
    nothing: dict[str, Any] = {"installed": (), "seconds": 0.0}
    stopped = "wave 1 did not end well (dupont/db-1, martin/db-1): look there first, then begin again"
    return night(
        machines=tuple(
            machine(client, name, retention_days=None)
            for client, names in (
                ("dupont", ("app-1", "db-1", "web-1", "web-2")),
                ("martin", ("db-1", "web-1")),
            )
            for name in names
        ),
        updates=(
            update("dupont", "web-1", restarted=True),
            update(
                "dupont",
                "web-2",
                installed=tuple(package(f"lib{n:02}", "1", "2", security=n > 18) for n in range(20)),
                reboot="linux-image-amd64",
                message="done without a snapshot to go back to: two are there (art. 3.2)",
            ),
            update("dupont", "app-1", result="nothing-due", wave=0, **nothing),
            update(
                "dupont",
                "db-1",
                result="rolled-back",
                wave=1,
                installed=(),
                tried=("postgresql-15 15.9-0", "nginx|extra 1.22*1"),
                message="nothing serves TCP 5432 any more; it was brought back to what it was before",
            ),
            update(
                "martin",
                "db-1",
                result="broken",
                wave=1,
                installed=(),
                message="mariadb does not run any more",
            ),
            update("martin", "web-1", result="not-started", wave=0, message=stopped, **nothing),
            update(
                "dupont",
                "web-3",
                result="unreachable",
                message="SSH failed: PLAY RECAP db-1.martin",
                **nothing,
            ),
            update(
                "dupont",
                "web-4",
                result="held",
                window=None,
                wave=0,
                message="held back since 2026-11-20",
                **nothing,
            ),
        ),
        guests=(
            guest(
                "dupont",
                "web-1",
                dropped=18_204,
                refused_ssh=312,
                top=((61, "203.0.113.9 tcp 3389"), (12, "2001:db8::7 tcp 23")),
            ),
            guest("dupont", "web-2", reboot="linux-image-amd64", dropped=0),
            guest(
                "dupont", "app-1", automatic=False, security=2, others=5, waiting_hours=90.0, dropped=40_000
            ),
            guest("dupont", "db-1", security=1, others=1, waiting_hours=81.5, held_since=paris(24, 1)),
            guest("martin", "db-1", held_since=paris(24, 1), dropped=None, refused_ssh=None),
            guest("martin", "web-1", others=3, staying=2, waiting_hours=72.0, dropped=1, refused_ssh=None),
            guest(
                "dupont",
                "web-4",
                held_since=paris(20, 23),
                dropped=None,
                refused_ssh=None,
                problem="web-4: Ansible could not reach it: PLAY RECAP db-1.martin",
            ),
            guest(
                "martin",
                "old-1",
                dropped=None,
                refused_ssh=None,
                problem="SSH failed: no route to host",
            ),
        ),
        delay=UpdateDelay(days=90, packages=1214, average_hours=31.25),
    )


def night(**changes: Any) -> NightReport:
    """A good night with nothing in it but what is given: its own attributes, and lines under any name."""
    report: dict[str, Any] = {
        "night": NIGHT,
        "run": "20261123T210000.000000Z",
        "started_at": paris(23, 22, 0),
        "ended_at": paris(24, 2, 41),
        "sites": ("lyon", "paris"),
    }
    lines: list[Any] = []
    for name, value in changes.items():
        if name in {field.name for field in fields(NightReport)}:
            report[name] = value
        elif value is not None:
            lines += value if isinstance(value, tuple) else (value,)
    return NightReport(**report, lines=tuple(lines))


def good_night() -> NightReport:
    """Two machines, both backed up."""
    return night(
        backups=(backup("dupont", "web-1"), backup("martin", "db-1", result="earlier", seconds=0.0)),
        machines=(machine("dupont", "web-1"), machine("martin", "db-1")),
    )


def eventful_night() -> NightReport:
    """Something of everything; six failures."""
    return night(
        forecast=BackupForecast(
            backups=4,
            starts_at=paris(23, 22),
            ends_at=paris(24, 3),
            closes_at=paris(24, 8),
            bound_seconds=9000.0,
            planned_seconds=18000.0,
        ),
        problems=("site nice cannot be read: pve-nice.example.net did not answer within 30 s",),
        drift=(
            DriftLine(
                client="dupont",
                machine="old-1",
                site="paris",
                what="vcpus",
                before="2",
                after="4",
                why="changed outside",
            ),
        ),
        snapshots=(
            SnapshotLine(
                client="dupont",
                machine="web-1",
                site="paris",
                snapshot="before-migration",
                action="taken",
                expires_at=paris(30, 22, 3),
            ),
            SnapshotLine(
                client="martin",
                machine="db-1",
                site="paris",
                snapshot="third",
                action="refused",
                message="db-1 has two snapshots (art. 3.2)",
            ),
            SnapshotLine(client="martin", machine="db-1", site="paris", snapshot="by-hand", action="foreign"),
        ),
        backups=(
            backup("dupont", "web-1"),
            backup("dupont", "db-1", result="earlier", size=40 * GIB, seconds=0.0),
            backup(
                "martin",
                "db-1",
                result="failed",
                size=0,
                volid=None,
                message="job errors | no space left on device\nremove an archive or enlarge backup-lyon",
            ),
            backup("martin", "web-1", result="not-started", size=0, volid=None, started_at=None, seconds=0.0),
        ),
        retention=(
            RetentionLine(
                client="dupont",
                machine="web-1",
                site="paris",
                volid="backup-lyon:backup/old.vma.zst",
                taken_at=paris(16, 22, 15),
                size=11 * GIB,
                result="removed",
            ),
            RetentionLine(
                client="martin",
                machine="db-1",
                site="paris",
                volid="backup-lyon:backup/last.vma.zst",
                taken_at=paris(14, 22, 15),
                size=9 * GIB,
                result="kept",
                message="the last good backup (art. 3.5)",
            ),
        ),
        tests=(
            RestoreTestLine(
                client="dupont",
                machine="db-1",
                site="paris",
                volid="backup-lyon:backup/db.vma.zst",
                taken_at=paris(22, 22, 30),
                result="sound",
                message="booted, the agent answered after 41 s",
                seconds=130.0,
            ),
            RestoreTestLine(
                client="martin",
                machine="db-1",
                site="paris",
                volid="backup-lyon:backup/last.vma.zst",
                taken_at=paris(14, 22, 15),
                result="failed",
                message="the copy did not boot",
                seconds=300.0,
            ),
        ),
        storages=(
            StorageLine(
                site="paris",
                name="backup-lyon",
                stands_at="lyon",
                purpose="backups",
                status="available",
                total=1000 * GIB,
                used=870 * GIB,
                forecast=tuple((NIGHT + dt.timedelta(days=n), (880 + 30 * n) * GIB) for n in range(8)),
                full_on=dt.date(2026, 11, 28),
                message="the night of 2026-11-28 does not fit: enlarge it",
            ),
            StorageLine(
                site="paris",
                name="local-lvm",
                stands_at="paris",
                purpose="machines",
                status="available",
                total=4096 * GIB,
                used=1024 * GIB,
            ),
        ),
        machines=(
            machine("dupont", "web-1", size=80 * GIB),
            machine("dupont", "db-1", size=320 * GIB, retention_days=31, tested_on=dt.date(2026, 11, 24)),
            machine("martin", "db-1", newest_good=paris(14, 22, 15), archives=1, size=9 * GIB),
            machine("martin", "web-1", newest_good=None, archives=0, size=0, tested_on=None),
            machine(
                "martin",
                "old-1",
                retention_days=None,
                newest_good=None,
                archives=0,
                size=0,
                tested_on=None,
                contract="C-other",
            ),
        ),
        foreign=(ForeignArchives(site="paris", storage="backup-lyon", archives=3, size=50 * GIB),),
    )


# Any night. Texts hold what breaks tables and pages, and what moves cursors.
_TEXTS = st.one_of(
    st.sampled_from(
        ["", "web-1", "<script>alert(1)</script>", "a|b", "x\ny\r\nz", "**b** _c_ `d` [e](f)", "&amp;"]
    ),
    st.text(st.characters(), max_size=30),
    HOSTILE,
)
_MOMENTS = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC))
_DAYS = st.dates(dt.date(2024, 1, 1), dt.date(2030, 1, 1))
_BYTES = st.integers(0, 2**53)  # as many as a float, and so Prometheus, holds exactly: 8 PiB
_SECONDS = st.floats(0, 10**6)
_COUNTS = st.integers(0, 10**9)
_HOURS = st.floats(0, 10**5)
_KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "expires_at": st.none() | _MOMENTS,
    "started_at": _MOMENTS,
    "taken_at": _MOMENTS,
    "newest_good": st.none() | _MOMENTS,
    "ends_at": _MOMENTS,
    "starts_at": _MOMENTS,
    "closes_at": _MOMENTS,
    "tested_on": st.none() | _DAYS,
    "deduplicated": st.booleans(),
    "picture": st.none() | st.binary(max_size=20),
    "check": st.sampled_from(["", "passed", "failed"]),
    "full_on": st.none() | _DAYS,
    "retention_days": st.none() | st.integers(1, 400),
    "archives": st.integers(0, 10**6),
    "backups": st.integers(0, 10**6),
    "size": _BYTES,
    "total": _BYTES,
    "used": _BYTES,
    "seconds": _SECONDS,
    "bound_seconds": _SECONDS,
    "planned_seconds": _SECONDS,
    "forecast": st.lists(st.tuples(_DAYS, _BYTES), max_size=4).map(tuple),
    "action": st.sampled_from(["taken", "removed", "refused", "failed", "foreign"]),
    "purpose": st.sampled_from(["machines", "backups"]),
    "window": st.none() | st.tuples(_MOMENTS, _MOMENTS),
    "wave": _COUNTS,
    "tried": st.lists(_TEXTS, max_size=12).map(tuple),
    "restarted": st.booleans(),
    "reboot": st.none() | _TEXTS,
    "automatic": st.booleans(),
    "security": _COUNTS,
    "others": _COUNTS,
    "staying": _COUNTS,
    "waiting_hours": st.none() | _HOURS,
    "held_since": st.none() | _MOMENTS,
    "dropped": st.none() | _COUNTS,
    "refused_ssh": st.none() | _COUNTS,
    "top": st.lists(st.tuples(_COUNTS, _TEXTS), max_size=7).map(tuple),
    "refused_out": st.none() | _COUNTS,
    "top_out": st.lists(st.tuples(_COUNTS, _TEXTS), max_size=7).map(tuple),
    "days": st.integers(1, 400),
    "packages": _COUNTS,
    "updates": _COUNTS,
    "since": _MOMENTS,
    "opens": st.none() | _MOMENTS,
    "missed": st.none() | st.tuples(_MOMENTS, _MOMENTS),
    "settings": st.dictionaries(_TEXTS, _TEXTS, max_size=3),
    "on_request": st.booleans(),
    "hours": _HOURS,
    "over_at": _MOMENTS,
    "average_hours": st.none() | _HOURS,
    "installed": st.lists(
        st.builds(
            InstalledPackage,
            name=_TEXTS,
            old=_TEXTS,
            new=_TEXTS,
            security=st.booleans(),
            published=st.none() | _MOMENTS,
        ),
        max_size=12,
    ).map(tuple),
}
_RESULTS = {
    BackupLine: ["done", "earlier", "failed", "not-started", "missing", "not-created"],
    RetentionLine: ["removed", "kept", "failed"],
    RestoreTestLine: ["sound", "failed", "not-started"],
    UpdateLine: [
        "installed",
        "nothing-due",
        "untouched",
        "rolled-back",
        "broken",
        "unreachable",
        "not-started",
        "held",
    ],
    RestartLine: list(get_args(RestartEnding)),
}


def _any(kind: type[Any]) -> st.SearchStrategy[Any]:
    known = dict(_KNOWN)
    if kind in _RESULTS:
        known["result"] = st.sampled_from(_RESULTS[kind])
    return st.builds(kind, **{field.name: known.get(field.name, _TEXTS) for field in fields(kind)})


def _some(kind: type[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(_any(kind), max_size=3).map(tuple)


def _distinct(kind: type[Any], *names: str) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(
        _any(kind), max_size=3, unique_by=lambda line: tuple(getattr(line, name) for name in names)
    ).map(tuple)


any_night: st.SearchStrategy[NightReport] = st.builds(
    night,
    night=_DAYS,
    run=_TEXTS,
    started_at=_MOMENTS,
    ended_at=_MOMENTS,
    sites=st.lists(_TEXTS, max_size=3).map(tuple),
    forecast=st.none() | _any(BackupForecast),
    problems=st.lists(_TEXTS, max_size=3).map(tuple),
    drift=_some(DriftLine),
    snapshots=_some(SnapshotLine),
    backups=_some(BackupLine),
    retention=_some(RetentionLine),
    tests=_some(RestoreTestLine),
    storages=_distinct(StorageLine, "site", "name"),
    machines=_distinct(MachineLine, "client", "machine", "site"),
    foreign=_some(ForeignArchives),
    unbelieved=_some(UnbelievedArchive),
    updates=_distinct(UpdateLine, "client", "machine", "site"),
    guests=_distinct(GuestLine, "client", "machine", "site"),
    delay=st.none() | _any(UpdateDelay),
    waiting=_some(WaitingUpdate),
    restarts=_distinct(RestartLine, "client", "machine", "site"),
    waiting_restarts=_distinct(WaitingRestart, "client", "machine", "site"),
)
