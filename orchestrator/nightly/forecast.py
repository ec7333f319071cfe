"""Will tonight's backups and those of the next seven nights fit? Counted from what is known: sizes and dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.contract.calendar import add_calendar_days
from orchestrator.contract.retention import Dated

NIGHTS = 8
"""Tonight and the next seven."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One machine's part of a storage.

    Attributes:
        size: bytes that each night adds; 0 if its backup is off, or tonight's is made already.
        tonight: whether tonight adds one too.
        days: the retention in force; None: each archive runs out its own.
        archives: those it has on the storage, with their sizes in bytes.
    """

    size: float
    tonight: bool
    days: int | None
    archives: tuple[tuple[Dated, int], ...]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The coming nights on one storage.

    Attributes:
        nights: each night with the bytes in use when it is over.
        full_on: the first night whose backups do not fit, before anything is removed; None if all fit.
    """

    nights: tuple[tuple[dt.date, int], ...]
    full_on: dt.date | None


def forecast(
    loads: Iterable[Load], *, begins: dt.datetime, night: dt.date, total: int, used: int
) -> Forecast:
    """Count the coming nights.

    In each night the new archives are written before old ones are removed, so what must fit is the sum of both.

    Args:
        loads: the machines whose backups go there.
        begins: when retention runs tonight (aware); it runs at the same time of day on the next nights.
        night: tonight.
        total, used: bytes of the storage now.
    """
    every = list(loads)
    added = [0.0] * NIGHTS
    freed = [0.0] * NIGHTS
    moments = [add_calendar_days(begins, index) for index in range(NIGHTS)]
    for load in every:
        for index in range(0 if load.tonight else 1, NIGHTS):
            added[index] += load.size
            gone = index + (load.days or NIGHTS)
            if gone < NIGHTS:
                freed[gone] += load.size
        for archive, size in load.archives:
            ending = _ends_in(archive, load.days, moments)
            if ending is not None:
                freed[ending] += size
    in_use, nights, full_on = float(used), [], None
    for index in range(NIGHTS):
        in_use += added[index]
        day = night + dt.timedelta(days=index)
        if full_on is None and added[index] > 0 and in_use > total:
            full_on = day
        in_use -= freed[index]
        nights.append((day, round(in_use)))
    return Forecast(nights=tuple(nights), full_on=full_on)


def _ends_in(archive: Dated, days: int | None, moments: list[dt.datetime]) -> int | None:
    """The number of the night whose retention removes an archive; None if none of these does."""
    if archive.protected:
        return None
    ends = add_calendar_days(archive.taken_at, archive.days if days is None else days)
    return next((index for index, moment in enumerate(moments) if moment >= ends), None)
