"""What a night did: the data that the report, the metrics and the exit code are made from."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.contract.life import Standing


@dataclass(frozen=True, kw_only=True)
class DriftLine:
    """One difference that nobody asked for in a file."""

    client: str
    machine: str
    site: str
    what: str
    before: str | None
    after: str | None
    why: str | None


@dataclass(frozen=True, kw_only=True)
class SnapshotLine:
    """What became of one snapshot tonight.

    Attributes:
        action: ``taken`` or ``removed``; ``refused`` and ``failed`` with the reason; ``foreign`` for snapshots that
            others made on our machines: shown, never removed.
        expires_at: when its seven days are over (aware); None if it has no such end.
    """

    client: str
    machine: str
    site: str
    snapshot: str
    action: Literal["taken", "removed", "refused", "failed", "foreign"]
    message: str = ""
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class BackupLine:
    """What became of one machine's backup tonight.

    Attributes:
        result: ``done``; ``earlier`` (an earlier run of this night made it); ``failed``; ``not-started`` (the
            window closed before its turn); ``missing`` (it should have been made, and no step of the night could even
            try); ``not-created`` (its machine does not exist yet: no failure).
        seconds: how long it took; 0 if it was not made.
        size: bytes of the archive.
        volid: the archive; None if there is none.
    """

    client: str
    machine: str
    site: str
    node: str
    storage: str
    result: Literal["done", "earlier", "failed", "not-started", "missing", "not-created"]
    message: str = ""
    started_at: dt.datetime | None = None
    seconds: float = 0.0
    size: int = 0
    volid: str | None = None
    upid: str | None = None

    @property
    def failed(self) -> bool:
        """Whether a backup that should have been made was not."""
        return self.result in ("failed", "not-started", "missing")


@dataclass(frozen=True, kw_only=True)
class RetentionLine:
    """An archive whose days are over.

    Attributes:
        result: ``removed``; ``kept`` (protected, or the last good one); ``failed``.
        message: why it was kept or could not be removed.
    """

    client: str
    machine: str
    site: str
    volid: str
    taken_at: dt.datetime
    size: int
    result: Literal["removed", "kept", "failed"]
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RestoreTestLine:
    """One restore test.

    Attributes:
        taken_at: when the archive was made.
        result: ``sound``; ``failed``; ``not-started`` (no time left, or nothing to run it on).
        message: what was found, or why it failed.
        seconds: from the restore to the removal of the copy.
    """

    client: str
    machine: str
    site: str
    volid: str
    taken_at: dt.datetime
    result: Literal["sound", "failed", "not-started"]
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StorageLine:
    """A storage's health and whether the coming nights fit.

    Attributes:
        site: the cluster that it was read from.
        stands_at: the data centre where it stands.
        purpose: ``machines`` or ``backups``.
        status: ``available``, or what Proxmox says instead.
        total, used: bytes.
        forecast: for tonight and the next seven nights, the night and the bytes expected to be used after it;
            empty for storages of machines.
        full_on: the first night that does not fit; None if all do.
        message: what is wrong, and the remedy; empty if nothing is.
    """

    site: str
    name: str
    stands_at: str
    purpose: Literal["machines", "backups"]
    status: str
    total: int
    used: int
    forecast: tuple[tuple[dt.date, int], ...] = ()
    full_on: dt.date | None = None
    message: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.message


@dataclass(frozen=True, kw_only=True)
class MachineLine:
    """Where one machine stands in the morning.

    Attributes:
        retention_days: None if its backup is off.
        newest_good: when its newest good backup was made; None if there is none.
        archives: how many there are.
        size: their bytes together: what article 3.5 has shown to the client.
        tested_on: when a backup of it was last restored and found sound; None: never restored.
    """

    client: str
    machine: str
    contract: str
    site: str
    retention_days: int | None
    newest_good: dt.datetime | None
    archives: int
    size: int
    tested_on: dt.date | None


@dataclass(frozen=True, kw_only=True)
class ForeignArchives:
    """Archives on our backup storages that belong to no machine of ours: left alone."""

    site: str
    storage: str
    archives: int
    size: int


@dataclass(frozen=True, kw_only=True)
class UnbelievedArchive:
    """An archive whose notes claim to be a machine's of ours, and are not believed: left alone, and asked about.

    Attributes:
        reason: why, human-readable.
    """

    site: str
    volid: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class UpdateLine(MachineUpdate):
    """What became of one machine's automatic updates tonight (article 3.8.3).

    Attributes:
        window: when its maintenance window opens and closes (aware); None if it has no turn tonight.
    """

    window: tuple[dt.datetime, dt.datetime] | None = None

    @property
    def failed(self) -> bool:
        """Whether somebody has to do something about it that nobody knew of yesterday."""
        return not self.well and self.result != "held"


@dataclass(frozen=True, kw_only=True)
class GuestLine:
    """What was seen in one managed machine tonight.

    Attributes:
        automatic: whether its updates are installed automatically.
        security, others: updates that are due, after tonight's.
        staying: updates that stay away: held in the machine, excluded by the file, kept back.
        waiting_hours: working hours since the oldest of those due was first seen; None if none is known.
        held_since: since when it is held back from automatic updates; None if it is not.
        reboot: why it has to be restarted; None if it has not.
        dropped: packets that its firewall dropped since the last night; None if that could not be read.
        refused_ssh: new SSH connections that it refused since then, from addresses that may not.
        top: what was dropped most: how often in a sample, and who wanted what (``203.0.113.9 tcp 3389``).
        problem: why it could not be looked at; empty if it was.
        stopped: it could not be looked at because somebody shut it down: told, and no failure.
        unsupervised: why it is not supervised although it should be; empty if it is, or that could not be seen.
    """

    client: str
    machine: str
    site: str
    automatic: bool
    security: int = 0
    others: int = 0
    staying: int = 0
    waiting_hours: float | None = None
    held_since: dt.datetime | None = None
    reboot: str | None = None
    dropped: int | None = None
    refused_ssh: int | None = None
    top: tuple[tuple[int, str], ...] = ()
    problem: str = ""
    stopped: bool = False
    unsupervised: str = ""

    @property
    def unseen(self) -> bool:
        """Whether it should have been looked at and could not be."""
        return bool(self.problem) and not self.stopped


@dataclass(frozen=True, kw_only=True)
class UpdateDelay:
    """How long updates took in the last days (article 3.8.3: 72 working hours on average).

    Attributes:
        days: how many days are counted.
        packages: how many were installed.
        average_hours: working hours from publication, or from the client's request; None if none was installed.
    """

    days: int
    packages: int
    average_hours: float | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the run expects of itself at its start.

    Attributes:
        backups: how many are to be made.
        ends_at: when the last one should end.
        closes_at: when the window closes.
        bound_seconds: no schedule could be shorter than that.
        planned_seconds: how long this one is expected to take.
    """

    backups: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    closes_at: dt.datetime
    bound_seconds: float
    planned_seconds: float

    @property
    def fits(self) -> bool:
        """Whether it ends before the window closes."""
        return self.ends_at <= self.closes_at


@dataclass(frozen=True, kw_only=True)
class ContractLine:
    """A contract that is not simply in force (articles 9 and 10).

    Attributes:
        last_day: of the thirty working days; None if nobody ended it.
        days_left: working days that are left.
        message: why, and what became of it tonight.
        failed: whether what had to be done could not be.
    """

    client: str
    contract: str
    standing: Standing
    last_day: dt.date | None
    days_left: int
    message: str
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """A whole night.

    Attributes:
        night: the day it began on.
        run: the run's name in the history.
        sites: the sites it covered.
        problems: what concerns a whole site or the run itself (a site that could not be read), in words.
    """

    night: dt.date
    run: str
    started_at: dt.datetime
    ended_at: dt.datetime
    sites: tuple[str, ...]
    forecast: Forecast | None
    problems: tuple[str, ...] = ()
    drift: tuple[DriftLine, ...] = ()
    snapshots: tuple[SnapshotLine, ...] = ()
    backups: tuple[BackupLine, ...] = ()
    retention: tuple[RetentionLine, ...] = ()
    tests: tuple[RestoreTestLine, ...] = ()
    storages: tuple[StorageLine, ...] = ()
    machines: tuple[MachineLine, ...] = ()
    foreign: tuple[ForeignArchives, ...] = ()
    unbelieved: tuple[UnbelievedArchive, ...] = ()
    updates: tuple[UpdateLine, ...] = ()
    guests: tuple[GuestLine, ...] = ()
    delay: UpdateDelay | None = None
    contracts: tuple[ContractLine, ...] = ()

    @property
    def failures(self) -> int:
        """How many things went wrong: what the exit code and the first line of the report say."""
        return (
            len(self.problems)
            + sum(line.action in ("failed", "refused") for line in self.snapshots)
            + sum(line.failed for line in self.backups)
            + sum(line.result == "failed" for line in self.retention)
            + sum(line.result in ("failed", "not-started") for line in self.tests)
            + sum(not line.healthy for line in self.storages)
            + sum(line.failed for line in self.updates)
            + sum(line.unseen + bool(line.unsupervised) for line in self.guests)
            + sum(line.failed for line in self.contracts)
        )

    @property
    def clients(self) -> frozenset[str]:
        """Every client that something is told of."""
        by_machine = (self.machines, self.backups, self.guests, self.updates, self.snapshots)
        named = {line.client for lines in by_machine for line in lines}
        return frozenset(named | {line.client for line in self.contracts})

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return self.failures == 0
