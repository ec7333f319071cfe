"""What a night did: lines of the steps, from which the report, the metrics and the exit code are made."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar, TypeVar


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that a night's report tells. Each step has its own, beside it.

    Attributes:
        sighting: whether a line of this kind shows that its machine was seen tonight.
    """

    sighting: ClassVar[bool] = False

    @property
    def failed(self) -> bool:
        """Whether it tells of a failure."""
        return False

    @property
    def failures(self) -> int:
        """How many things went wrong."""
        return int(self.failed)

    def concerns(self, client: str) -> bool:
        """Whether it may be told to a client: lines about sites or about everybody may not."""
        del client
        return False


@dataclass(frozen=True, kw_only=True)
class LineOfClient(Line):
    """A line about one client."""

    client: str

    def concerns(self, client: str) -> bool:
        """Whether it is about this client."""
        return self.client == client


@dataclass(frozen=True, kw_only=True)
class LineOfMachine(LineOfClient):
    """A line about one machine."""

    machine: str
    site: str


L = TypeVar("L", bound=Line)


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """A whole night.

    Attributes:
        night: the day it began on.
        run: the run's name in the history.
        sites: the sites it covered.
        problems: what concerns a whole site or the run itself (a site that could not be read), human-readable.
        lines: what the steps tell.
    """

    night: dt.date
    run: str
    started_at: dt.datetime
    ended_at: dt.datetime
    sites: tuple[str, ...]
    problems: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()

    def of(self, kind: type[L]) -> tuple[L, ...]:
        """The lines of one kind, in their order."""
        return tuple(line for line in self.lines if isinstance(line, kind))

    @property
    def failures(self) -> int:
        """How many things went wrong: what the exit code and the first line of the report say."""
        return len(self.problems) + sum(line.failures for line in self.lines)

    @property
    def clients(self) -> frozenset[str]:
        """Every client that something is told of."""
        return frozenset(line.client for line in self.of(LineOfClient))

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return self.failures == 0
