"""How long backups are kept (article 3.5): rolling calendar days, computed from the archives' own dates.

Proxmox's ``keep-daily`` keeps the last backup of so many days *that have one*; the contract counts calendar days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from orchestrator.contract.calendar import add_calendar_days, night_of

FUTURE_SLACK = dt.timedelta(hours=1)
"""By so much an archive's date may be later than the clock says: clocks of nodes differ a little."""


class Dated(Protocol):
    """What retention needs to know of an archive."""

    @property
    def taken_at(self) -> dt.datetime:
        """When it was made (aware)."""

    @property
    def days(self) -> int:
        """The retention it was made under, calendar days."""

    @property
    def protected(self) -> bool:
        """Whether somebody forbade its removal in Proxmox."""

    @property
    def good(self) -> bool:
        """Whether it can be counted on: not known to be bad."""


A = TypeVar("A", bound=Dated)


def dated_later(archive: Dated, now: dt.datetime) -> bool:
    """Whether an archive's date is in the future (``now`` is aware): the clock that gave it was wrong."""
    return archive.taken_at > now + FUTURE_SLACK


@dataclass(frozen=True, kw_only=True)
class Verdict(Generic[A]):
    """What retention says about one archive.

    Attributes:
        ends: when its days are over.
        over: whether they are.
        kept_because: why it stays although its days are over; None for all others.
        dated_later: whether its date is in the future: nobody knows how old it is, so it stays, and no other archive
            goes for its sake.
    """

    archive: A
    ends: dt.datetime
    over: bool
    kept_because: str | None = None
    dated_later: bool = False

    @property
    def goes(self) -> bool:
        """Whether it is to be removed now."""
        return self.over and self.kept_because is None


def judge(
    archives: Iterable[A], now: dt.datetime, *, days: int | None, keep_last: bool, copies: int = 1
) -> tuple[Verdict[A], ...]:
    """Say which archives of one machine stay and which go.

    An archive stays until its days are over, to the hour; then it goes, unless it is protected or the last good one.

    Args:
        archives: all of one machine.
        now: the time, aware.
        days: the retention in force; None where backup is off or the machine is out of its file: each archive
            then runs out the days that it was made under.
        keep_last: never let the last good one go: for machines whose backup is on (article 3.5), and for those that
            are only out of their file, for that is not the end of a contract (article 10).
        copies: how many archives of one night are the last good backup together (article 3.2).

    Returns:
        A verdict for each, the oldest first.
    """
    ordered = sorted(archives, key=lambda archive: archive.taken_at)
    good = [archive for archive in ordered if archive.good and not dated_later(archive, now)]
    last_good = [item for item in good[-copies:] if night_of(item.taken_at) == night_of(good[-1].taken_at)]
    verdicts = []
    for archive in ordered:
        ends = add_calendar_days(archive.taken_at, archive.days if days is None else days)
        later = dated_later(archive, now)
        over = now >= ends and not later
        because = None
        if over and archive.protected:
            because = "protected in Proxmox"
        elif over and keep_last and any(archive is item for item in last_good):
            because = "the last good backup (art. 3.5)"
        verdicts.append(
            Verdict(archive=archive, ends=ends, over=over, kept_because=because, dated_later=later)
        )
    return tuple(verdicts)
