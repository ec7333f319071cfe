"""A night in a few figures and lines, as JSON beside its report: for programs, and for lists of nights."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.failures import culprits
from orchestrator.nightly.telling import Telling
from orchestrator.reports.language import Speech

if TYPE_CHECKING:
    from orchestrator.nightly.result import NightReport

_NAMED = 20
"""How many failures are named; the report names all."""


class NightSummary(BaseModel):
    """What a night came to.

    Attributes:
        night: the day it began on.
        run: its name in the history.
        failures: how many things went wrong.
        culprits: the first of them, in English, a line each; the last line says how many more there are.
        backups_wanted, backups_made: machines.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    night: dt.date
    run: str
    sites: tuple[str, ...]
    started_at: dt.datetime
    ended_at: dt.datetime
    failures: int = Field(ge=0)
    culprits: tuple[str, ...]
    backups_wanted: int = Field(ge=0)
    backups_made: int = Field(ge=0)

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return self.failures == 0


def summary_of(report: NightReport) -> NightSummary:
    """The summary of a night."""
    telling = Telling(report=report, speech=Speech("en"), client=None, incomplete=False)
    wanted = [line for line in report.of(BackupLine) if line.result != "not-created"]
    return NightSummary(
        night=report.night,
        run=report.run,
        sites=report.sites,
        started_at=report.started_at,
        ended_at=report.ended_at,
        failures=report.failures,
        culprits=culprits(telling, _NAMED),
        backups_wanted=len(wanted),
        backups_made=sum(line.made for line in wanted),
    )
