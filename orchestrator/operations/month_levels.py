"""The service level of everybody in a month, for a page: computed once, and again when something has changed.

A thousand services take seconds. So a month is computed beside the request, by one thread, and its rows are kept; pages
say when that was. A month that is over is computed again only if a record, a file or a machine's life has changed; the
current one also when its rows are a minute old.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.months import Month
from orchestrator.errors import OrchestratorError, told
from orchestrator.history import History
from orchestrator.history.declared import KINDS
from orchestrator.history.delays import INSTALLED
from orchestrator.history.renames import RENAME
from orchestrator.operations.recent_files import RecentFiles
from orchestrator.operations.service_level import CLONED, months_of
from orchestrator.reports.client_month import ClientMonth, CreditState, ServiceMonth

_LOG = logging.getLogger(__name__)
_CURRENT_SECONDS = 60
_MONTHS = 14
"""That are kept: a year, and those beside it."""
_ACTIONS = frozenset({*KINDS, INSTALLED, CLONED, RENAME})
"""Entries by which a month may change."""


@dataclass(frozen=True, kw_only=True)
class LevelRow:
    """One service's month, as a list shows it.

    Attributes:
        offer: empty for a machine that has left the file.
        availability: of the month; None if it does not apply, or nobody looked.
        met: whether the objective of article 6 is met; None if that is not known.
        outages: how many, counted or not.
        percent: the credit's share of the fee; 0: none.
        amount: what was issued, or would be today; None without a fee or a credit.
    """

    client: str
    machine: str
    offer: str
    applies: bool
    in_probation: bool
    availability: Fraction | None
    met: bool | None
    counted: dt.timedelta
    excused: dt.timedelta
    outages: int
    percent: int
    credit_state: CreditState
    amount: Decimal | None


@dataclass(frozen=True, kw_only=True)
class MonthRows:
    """A month of everybody.

    Attributes:
        at: the time of the reckoning (aware).
        final: the month was over then.
        unreadable_files: clients' files that have errors: their services are not among the rows.
    """

    rows: tuple[LevelRow, ...]
    at: dt.datetime
    final: bool
    unreadable_files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page has of a month.

    Attributes:
        month: None: it is being computed for the first time, or could not be.
        outdated: it is being computed again.
        problem: why it could not be computed; empty if it could.
    """

    month: MonthRows | None = None
    outdated: bool = False
    problem: str = ""


@dataclass(kw_only=True)
class _Kept:
    """A month that was computed, and of what."""

    month: MonthRows
    number: int
    stamp: object


class MonthLevels:
    """Months that were computed lately. Safe to use from several threads."""

    def __init__(self, history: History, place: str, files: RecentFiles) -> None:
        """Compute nothing yet.

        Args:
            history: an open one.
            place: where it is, for the observations beside it.
            files: the clients' files.
        """
        self._history = history
        self._place = place
        self._files = files
        self._guard = threading.Condition()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._problems: dict[str, str] = {}
        self._working: set[str] = set()

    def of(self, month: Month, now: dt.datetime, *, wait: float = 2.0) -> Shown:
        """A month as it was computed last; what is outdated is computed again beside.

        Args:
            month: that has begun.
            now: the time (aware).
            wait: how many seconds to wait for a month that must be computed; then the page says that it is.

        Raises:
            HistoryUnavailable: the history cannot be read.
        """
        key = str(month)
        with self._guard:
            kept = self._kept.get(key)
        state = "none" if kept is None else self._state(kept, now)
        if kept is not None and state == "fresh":
            return Shown(month=kept.month)
        self._begin(key, month, now)
        if state != "aged":
            with self._guard:
                self._guard.wait_for(lambda: key not in self._working, timeout=wait)
        with self._guard:
            kept = self._kept.get(key)
            return Shown(
                month=kept.month if kept else None,
                outdated=key in self._working and kept is not None,
                problem=self._problems.get(key, ""),
            )

    def _state(self, kept: _Kept, now: dt.datetime) -> str:
        """``fresh``, ``aged`` (nothing has changed but the time) or ``changed``."""
        last = self._history.last_number()
        if last != kept.number:
            if _ACTIONS & self._history.actions_since(kept.number):
                return "changed"
            kept.number = last
        if self._files.read(now).stamp != kept.stamp:
            return "changed"
        if kept.month.final or now - kept.month.at < dt.timedelta(seconds=_CURRENT_SECONDS):
            return "fresh"
        return "aged"

    def _begin(self, key: str, month: Month, now: dt.datetime) -> None:
        with self._guard:
            if key in self._working:
                return
            self._working.add(key)
        threading.Thread(target=self._work, args=(key, month, now), name=f"level-{key}", daemon=True).start()

    def _work(self, key: str, month: Month, now: dt.datetime) -> None:
        kept, problem = None, ""
        try:
            kept = self._compute(month, now)
        except OrchestratorError as error:
            problem = str(error)
        except Exception as error:  # the page tells a defect; the program goes on
            _LOG.exception("the service level of %s", key)
            problem = told(error)
        with self._guard:
            self._working.discard(key)
            self._problems[key] = problem
            if kept is not None:
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > _MONTHS:
                    self._problems.pop(self._kept.popitem(last=False)[0], None)
            self._guard.notify_all()

    def _compute(self, month: Month, now: dt.datetime) -> _Kept:
        number = self._history.last_number()  # before anything is read: what is added meanwhile is read again
        files = self._files.read(now)
        months = months_of(files.subscriptions, month, self._history, now, self._place)
        found = MonthRows(
            rows=tuple(row for item in months for row in _rows(item, now)),
            at=now,
            final=now >= month.span.end,
            unreadable_files=tuple(sorted({problem.file for problem in files.errors})),
        )
        return _Kept(month=found, number=number, stamp=files.stamp)


def _rows(month: ClientMonth, now: dt.datetime) -> Iterator[LevelRow]:
    for service in month.services:
        level = service.level
        yield LevelRow(
            client=month.client,
            machine=service.machine,
            offer=service.offer,
            applies=level.applies,
            in_probation=level.wholly_in_probation,
            availability=level.availability,
            met=level.met,
            counted=level.counted,
            excused=sum((time for _, time in level.excused), dt.timedelta(0)),
            outages=len(level.outages),
            percent=service.credit.said.percent if service.credit else level.percent,
            credit_state=service.credit_state,
            amount=_amount(service, day_in_paris(now)),
        )


def _amount(service: ServiceMonth, today: dt.date) -> Decimal | None:
    if service.credit is not None:
        return service.credit.said.amount
    due = service.amount(today)
    return None if due is None else due.amount
