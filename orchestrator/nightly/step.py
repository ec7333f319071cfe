"""What every step of a night is, and what the steps of one night share.

A step is one file: what it decides before anything is changed, what ``--dry-run`` shows of it, its work, its lines for
the report, and how they are told: failures, facts on the first screen, sections, figures. It has its place in
:mod:`orchestrator.nightly.steps`, and nothing else knows it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from orchestrator.applying.limits import Limits
from orchestrator.contract.calendar import night_of
from orchestrator.errors import told

if TYPE_CHECKING:
    from rich.text import Text

    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.result import Line, NightReport
    from orchestrator.nightly.telling import Failures, Telling
    from orchestrator.reports.figures import Figures
    from orchestrator.reports.page import Cell, Section
    from orchestrator.resources.holdings import SiteReading

T = TypeVar("T")
S = TypeVar("S", bound="Step")


class Work:
    """The work of one night: what its steps read, decided and did.

    Attributes:
        night: the run.
        history: the run's.
        started_at: when it began (aware).
        readings: the sites as they were read; the archives are read anew during the night.
        failures: the sites that could not be read, and why.
        problems: what concerns a whole site or the run itself, human-readable.
        lines: what the steps tell.
        limits: of what is written at a time.
        backed_up: machines that the history knows a backup of.
    """

    def __init__(self, night: Night, history: History, steps: Iterable[type[Step]]) -> None:
        self.night = night
        self.history = history
        self.started_at = night.clock()
        self.readings: dict[str, SiteReading] = {}
        self.failures: Mapping[str, str] = {}
        self.problems: list[str] = list(night.file_problems)
        self.lines: list[Line] = []
        self.limits = Limits()
        self.backed_up: frozenset[tuple[str, str]] = frozenset()
        self._steps = {kind: kind(self) for kind in steps}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in the order in which they first have their turn."""
        return tuple(self._steps.values())

    def step(self, kind: type[S]) -> S:
        """Another step of this night, for what it decided or did."""
        found = self._steps[kind]
        assert isinstance(found, kind)  # noqa: S101  (it is kept under its own class)
        return found

    @property
    def tonight(self) -> dt.date:
        """The night it belongs to."""
        return night_of(self.started_at)

    @property
    def frozen(self) -> bool:
        """Whether somebody stopped every change at one of the sites: then this night changes nothing anywhere."""
        return any(reading.observed.state.frozen for reading in self.readings.values())

    def decided(self, name: str, decide: Callable[[], T], otherwise: T) -> T:
        """Decide something. What cannot be decided is a problem of the night: the rest is decided all the same."""
        try:
            return decide()
        except Exception as error:
            self.problems.append(f"{name}: the step was aborted: {told(error)}")
            return otherwise


class Step:
    """One step of a night.

    Attributes:
        name: as the log, the progress and the problems name it.
        changes: whether it changes something: it is left out while changes are stopped.
    """

    name: ClassVar[str]
    changes: ClassVar[bool] = False

    def __init__(self, work: Work) -> None:
        self.work = work

    # Before anything is changed

    def decide(self) -> None:
        """Decide from what was read what is to be done. Changes nothing."""

    def preview(self) -> Iterator[Text]:
        """What ``--dry-run`` shows of it."""
        return iter(())

    def summary(self) -> str:
        """What ``--dry-run`` counts of it in its last line; empty if it counts nothing."""
        return ""

    def announcement(self) -> dict[str, Any]:
        """What the log's first event says of it."""
        return {}

    # The work

    @property
    def wanted(self) -> bool:
        """Whether there is any use in running it."""
        return type(self).run is not Step.run and not (self.changes and self.work.frozen)

    def run(self) -> None:
        """Do it, and add its lines to those of the night. What it raises ends this step alone."""

    # The report: of the lines alone, for they may be of any night

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """What went wrong of what it tells, each failure exactly once."""
        return iter(())

    @staticmethod
    def facts(telling: Telling) -> Iterator[tuple[str, Cell]]:
        """What the first screen says of it, with its name."""
        return iter(())

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """Its parts of the page."""
        return iter(())

    @staticmethod
    def lines_for_client(report: NightReport) -> Iterator[Line]:
        """Lines that only a client is told, in place of what a client is not shown.

        Args:
            report: the client's own lines.
        """
        return iter(())

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """Set its figures for monitoring."""
