"""The amount of a credit (article 6): a share of the month's fee, at most 20 % of it in any thirty days. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

CAP_PERCENT = 20
CAP_DAYS = 30
"""Article 6: the credits of a service that are issued in any 30 consecutive days."""

_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A credit that was issued for a service: when, and how much."""

    on: dt.date
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What is issued.

    Attributes:
        amount: EUR, in cents.
        uncapped: what it would be without the cap; what is above the amount lapses.
    """

    amount: Decimal
    uncapped: Decimal

    @property
    def lapsed(self) -> Decimal:
        """What the cap took, for good."""
        return self.uncapped - self.amount


def credit(percent: int, fee: Decimal, *, on: dt.date, issued: Iterable[Issued]) -> Amount:
    """The credit of one service for one month.

    Args:
        percent: of the fee: 5, 10 or 20.
        fee: of the month that the credit is for, EUR.
        on: the date of issue.
        issued: what was issued before for the same service; other services are independent.
    """
    before = sum(
        (item.amount for item in issued if 0 <= (on - item.on).days < CAP_DAYS),
        Decimal(0),
    )
    uncapped = fee * percent / 100
    room = max(fee * CAP_PERCENT / 100 - before, Decimal(0))
    return Amount(amount=_cents(min(uncapped, room)), uncapped=_cents(uncapped))


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, rounding=ROUND_HALF_UP)
