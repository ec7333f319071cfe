"""Whom a report is for: the provider, who sees all of it, or one client, who sees only what is theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from orchestrator.nightly.result import BackupLine, MachineLine, NightReport
from orchestrator.reports.language import Speech


class OfMachine(Protocol):
    """A line about one machine."""

    @property
    def client(self) -> str:
        """Whose it is."""

    @property
    def machine(self) -> str:
        """Its name."""

    @property
    def site(self) -> str:
        """Where it is."""


L = TypeVar("L", bound=OfMachine)


@dataclass(frozen=True, kw_only=True)
class Telling:
    """A night, told to somebody.

    Attributes:
        report: what is told; for a client nothing else than the client's own lines.
        speech: in which language.
        client: to whom; None: the provider.
        incomplete: whether a client's lines may be missing: the night had problems that the client is not shown.
    """

    report: NightReport
    speech: Speech
    client: str | None
    incomplete: bool

    def name(self, line: OfMachine) -> str:
        """What a machine is called: a client needs not be told whose it is."""
        return line.machine if self.client is not None else f"{line.client}/{line.machine}"

    @property
    def unmade(self) -> tuple[MachineLine, ...]:
        """A client's machines with backup on that no backup is told of.

        The provider reads why under the problems of the site. The client is not shown those, and must not take a
        night without backups for a good one.
        """
        if self.client is None:
            return ()
        told = {key(line) for line in self.report.backups}
        return tuple(m for m in self.report.machines if m.retention_days is not None and key(m) not in told)

    @property
    def unknown(self) -> bool:
        """Whether a client's machines may have gone unseen, all of them."""
        return self.incomplete and not self.report.machines and not self.report.backups

    @property
    def managed(self) -> bool:
        """Whether the night had to do with managed machines."""
        return bool(self.report.updates or self.report.guests)

    @property
    def failures(self) -> int:
        """How many things went wrong, as this reader is told."""
        return self.report.failures + len(self.unmade)


def key(line: OfMachine) -> tuple[str, str, str]:
    """What tells one machine from another."""
    return line.client, line.machine, line.site


def made(line: BackupLine) -> bool:
    """Whether there is a backup of this night."""
    return line.result in ("done", "earlier")


def held_back(report: NightReport) -> set[tuple[str, str, str]]:
    """The machines that get no automatic updates until somebody has looked, those of tonight included."""
    held = {key(line) for line in report.guests if line.held_since is not None}
    return held | {key(line) for line in report.updates if line.result in ("held", "rolled-back", "broken")}


def only(report: NightReport, client: str) -> NightReport:
    """Return the report with one client's lines, and nothing about storages, sites or others."""

    def theirs(lines: tuple[L, ...]) -> tuple[L, ...]:
        return tuple(line for line in lines if line.client == client)

    machines, backups = theirs(report.machines), theirs(report.backups)
    return replace(
        report,
        sites=tuple(sorted({line.site for line in machines} | {line.site for line in backups})),
        forecast=None,
        problems=(),
        drift=theirs(report.drift),
        snapshots=theirs(report.snapshots),
        backups=backups,
        retention=theirs(report.retention),
        tests=theirs(report.tests),
        storages=(),
        machines=machines,
        foreign=(),
        unbelieved=(),
        updates=theirs(report.updates),
        guests=theirs(report.guests),
        contracts=tuple(line for line in report.contracts if line.client == client),
        delay=None,  # it is everybody's
    )
