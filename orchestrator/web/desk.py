"""What the pages work with: the settings, the database, the history and the clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from orchestrator.history import History
from orchestrator.history.database import Database
from orchestrator.interface.database import make_tables, open_interface
from orchestrator.operations.client_looks import ClientLooks
from orchestrator.operations.history_check import HistoryCheck
from orchestrator.operations.month_levels import MonthLevels
from orchestrator.operations.nights import NightReports
from orchestrator.operations.recent_alarms import RecentAlarms
from orchestrator.operations.recent_figures import RecentFigures
from orchestrator.operations.recent_files import RecentFiles
from orchestrator.operations.recent_requests import RecentRequests
from orchestrator.web.renewal import Renewal
from orchestrator.web.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the pages work with. Safe to be used from several threads.

    Attributes:
        database: of the history, with the Interface's tables beside it.
        history: in that database.
    """

    settings: Settings
    database: Database
    history: History

    def now(self) -> dt.datetime:
        """The time, aware."""
        return dt.datetime.now(dt.UTC)

    @cached_property
    def files(self) -> RecentFiles:
        """The clients' files, read again when they have changed."""
        return RecentFiles(self.settings.inventory, self.settings.files)

    @cached_property
    def figures(self) -> RecentFigures:
        """The graphs that people looked at lately."""
        return RecentFigures(self.settings.inventory)

    @cached_property
    def levels(self) -> MonthLevels:
        """The months whose service level was computed lately."""
        return MonthLevels(self.history, self.settings.history, self.files)

    @cached_property
    def alarms(self) -> RecentAlarms:
        """The alarms, read again when one has changed."""
        return RecentAlarms(self.history)

    @cached_property
    def requests(self) -> RecentRequests:
        """The open requests, read again when one has changed."""
        return RecentRequests(self.history)

    @cached_property
    def client_looks(self) -> ClientLooks:
        """The looks at clients that were recorded lately."""
        return ClientLooks(self.database, self.history, self.now)

    @cached_property
    def check(self) -> HistoryCheck:
        """The last check of the history's chain."""
        return HistoryCheck(self.history)

    @cached_property
    def nights(self) -> NightReports:
        """The nights' reports."""
        return NightReports(self.settings.reports)

    @cached_property
    def renewal(self) -> Renewal:
        """What renews the last look."""
        return Renewal(self.settings, self.database, self.now)


@contextmanager
def open_desk(settings: Settings) -> Iterator[Desk]:
    """Open the database, and close it in the end.

    Raises:
        HistoryUnavailable: it cannot be used.
    """
    database = open_interface(settings.history)
    try:
        make_tables(database)
        yield Desk(settings=settings, database=database, history=History(database))
    finally:
        database.close()
