"""Will tonight's backups and those of the next seven nights fit? Counted from what is known: sizes and dates.

Every night is expected to go well: each machine gets one more archive, as large as the last. So there is always a
newer good archive, and none stays past its days for being the last good one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.contract.calendar import add_calendar_days
from orchestrator.contract.retention import Dated, judge

NIGHTS = 8
"""Tonight and the next seven."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One machine's part of a storage.

    Attributes:
        size: bytes that each night adds, 0 or more: the size of the newest good archive, or an estimate where there
            is none yet; the even share of it where its backups go to several storages; 0 if its backup is off.
        tonight: whether tonight adds one too; False if tonight's is made already.
        days: the retention in force; None: nothing is added, each archive runs out its own days, and the last good
            one is counted as staying, which at most says that too much is in use.
        archives: those it has on the storage, with their sizes in bytes.

    Raises:
        ValueError: if the size is below 0, or there is one without a retention.
    """

    size: float
    tonight: bool
    days: int | None
    archives: tuple[tuple[Dated, int], ...]

    def __post_init__(self) -> None:
        if self.size < 0 or (self.size and self.days is None):
            raise ValueError(f"no night adds {self.size} bytes kept for {self.days} days")


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The coming nights on one storage.

    Attributes:
        nights: each night with the bytes in use when it is over.
        peaks: each night with the bytes in use when its archives are written and nothing is removed yet.
        full_on: the first night whose backups do not fit; None if all fit.
    """

    nights: tuple[tuple[dt.date, int], ...]
    peaks: tuple[tuple[dt.date, int], ...]
    full_on: dt.date | None


@dataclass(frozen=True, kw_only=True)
class _Held:
    """An archive that is on the storage, or will be."""

    taken_at: dt.datetime
    days: int
    protected: bool
    good: bool
    size: float


def forecast(
    loads: Iterable[Load], *, begins: dt.datetime, night: dt.date, total: int, used: int
) -> Forecast:
    """Count the coming nights.

    In each night the new archives are written before old ones are removed, so what must fit is the sum of both.

    Args:
        loads: the machines whose backups go there, or went.
        begins: when retention runs tonight (aware); it runs at the same time of day on the next nights.
        night: tonight.
        total, used: bytes of the storage now.
    """
    moments = [add_calendar_days(begins, index) for index in range(NIGHTS)]
    added, removed = [0.0] * NIGHTS, [0.0] * NIGHTS
    for load in loads:
        for index in range(0 if load.tonight else 1, NIGHTS):
            added[index] += load.size
        for index, size in _removals(load, moments):
            removed[index] += size
    in_use = float(used)
    nights, peaks, full_on = [], [], None
    for index in range(NIGHTS):
        day = night + dt.timedelta(days=index)
        in_use += added[index]
        peaks.append((day, _bytes(in_use)))
        if full_on is None and added[index] and _bytes(in_use) > total:
            full_on = day
        in_use -= removed[index]
        nights.append((day, _bytes(in_use)))
    return Forecast(nights=tuple(nights), peaks=tuple(peaks), full_on=full_on)


def _bytes(in_use: float) -> int:
    """Whole bytes; storages that compress hold less than their files' sizes, but not less than nothing."""
    return max(round(in_use), 0)


def _removals(load: Load, moments: list[dt.datetime]) -> list[tuple[int, float]]:
    """Which of the nights removes how many bytes of a machine's: of what it has, and of what the nights add."""
    held = [
        _Held(
            taken_at=archive.taken_at,
            days=archive.days,
            protected=archive.protected,
            good=archive.good,
            size=size,
        )
        for archive, size in load.archives
    ]
    if load.days is not None and load.size:
        held += [
            _Held(taken_at=moment, days=load.days, protected=False, good=True, size=load.size)
            for moment in moments[0 if load.tonight else 1 :]
        ]
    # What goes by the last night went in the first one that found its days over: judged once, not night by night.
    verdicts = judge(held, moments[-1], days=load.days, keep_last=load.days is None)
    return [
        (next(index for index, moment in enumerate(moments) if moment >= verdict.ends), verdict.archive.size)
        for verdict in verdicts
        if verdict.goes
    ]
