"""Times as people write them: in Paris, unless they say another offset (``2026-11-10 17:30``)."""

from __future__ import annotations

import datetime as dt
import re

from orchestrator.contract.calendar import PARIS

_WRITTEN = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)"
    r" ?(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?"
)
_HOW = 'write it as "2026-11-10 17:30", Paris time, with seconds or an offset such as +01:00 if needed'


def read_moment(value: object) -> dt.datetime:
    """Read a time; what comes without an offset is Paris time.

    Raises:
        ValueError: it is not a time; or without an offset it exists twice, or not at all, because the clocks change.
    """
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value} has no time zone")
        return value
    match = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"not a time: {_HOW}")
    try:
        offset = (match["offset"] or "").replace("Z", "+00:00")
        moment = dt.datetime.fromisoformat(f"{match['day']}T{match['time']}{offset}")
    except ValueError:
        raise ValueError(f"there is no such day or time of day: {_HOW}") from None
    return moment if offset else _in_paris(moment)


def _in_paris(naive: dt.datetime) -> dt.datetime:
    first, second = naive.replace(tzinfo=PARIS, fold=0), naive.replace(tzinfo=PARIS, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(dt.UTC).astimezone(PARIS).replace(tzinfo=None) != naive:
        raise ValueError("there is no such time in Paris: the clocks are set forward over it")
    raise ValueError(
        "this time comes twice, the clocks are set back: add +02:00 for the first, +01:00 for the second"
    )
