"""The life of a contract: in force, suspended (article 9), ending, ended (article 10). Pure: dates in, a standing out.

After the registered letter is received, the services go on for thirty working days, so that the client can copy its
data; then the provider may erase. A client in default of payment has no such time: its machines are stopped at once.
Erasing waits the thirty days all the same: the contract gives no earlier date, and nothing brings data back.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from orchestrator.contract.calendar import add_working_days, day_in_paris, working_days_after
from orchestrator.errors import Reason
from orchestrator.shown import quoted

REVERSIBILITY_DAYS = 30
"""Article 10: working days after the registered letter was received."""


class Standing(StrEnum):
    """Where a contract stands on a day."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """Machines are stopped, nothing is deleted, everything resumes as it was (article 9)."""
    ENDING = "ending"
    """Notice was given; the services go on while the client copies its data (article 10)."""
    ENDED = "ended"
    """The thirty working days are over."""


@dataclass(frozen=True, kw_only=True)
class ContractLife:
    """What a file says of its contract's life.

    Attributes:
        reference: the contract's.
        starts: its first day; None if that is not known.
        suspended_since: the day from which it is suspended; None if it is not.
        suspension_reference: of the letter that says so.
        notice: the day the registered letter that ends it was received; None if nobody ended it.
        notice_reference: of that letter.
        default_of_payment: the client did not pay: no reversibility (article 10).
    """

    reference: str
    starts: dt.date | None = None
    suspended_since: dt.date | None = None
    suspension_reference: str = ""
    notice: dt.date | None = None
    notice_reference: str = ""
    default_of_payment: bool = False

    @cached_property
    def last_day(self) -> dt.date | None:
        """The thirtieth working day after notice: what is erased is erased later. None if nobody ended it."""
        return None if self.notice is None else add_working_days(self.notice, REVERSIBILITY_DAYS)

    def standing(self, moment: dt.datetime) -> Standing:
        """Where it stands at a moment (aware)."""
        today = day_in_paris(moment)
        if self.notice is not None and self.last_day is not None:
            if today > self.last_day:
                return Standing.ENDED
            if self.default_of_payment and today >= self.notice:
                return Standing.SUSPENDED
        if self.suspended_since is not None and today >= self.suspended_since:
            return Standing.SUSPENDED
        return Standing.ENDING if self.notice is not None and today >= self.notice else Standing.ACTIVE

    def not_begun(self, moment: dt.datetime) -> Reason:
        """Why nothing is made yet, human-readable; empty from the contract's first day on."""
        if self.starts is None or day_in_paris(moment) >= self.starts:
            return ""
        return f"the contract {quoted(self.reference)} starts on {self.starts}: nothing is made before"

    def days_left(self, moment: dt.datetime) -> int:
        """Working days of article 10 that are left after today; 0 if none are, or nobody ended the contract."""
        if self.last_day is None:
            return 0
        return min(working_days_after(day_in_paris(moment), self.last_day), REVERSIBILITY_DAYS)

    def why(self, moment: dt.datetime) -> Reason:
        """Why its machines are not in service, in words; empty if they are."""
        standing = self.standing(moment)
        notice = f"notice of {self.notice} ({quoted(self.notice_reference)})"
        if standing is Standing.ENDED:
            return f"the contract ended: {notice}, last day {self.last_day} (art. 10)"
        if standing is not Standing.SUSPENDED:
            return ""
        if self.suspended_since is None:
            return f"{notice} in default of payment: no reversibility (art. 10)"
        return f"suspended since {self.suspended_since} ({quoted(self.suspension_reference)}, art. 9)"
