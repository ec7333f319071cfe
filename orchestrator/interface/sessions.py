"""Sessions of the Interface: kept here and not in the browser, so that they can be ended from here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Session:
    """Of an account that has signed in.

    Attributes:
        identity: a number for lists and for the history; it opens nothing.
        began: when.
    """

    identity: int
    account: str
    began: dt.datetime
