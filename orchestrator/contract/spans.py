"""Spans of time and what is made of them: half-open [start, end), in UTC, exact to the microsecond.

Everything but :func:`union` takes and gives spans that are sorted and do not overlap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A span of time: the start belongs to it, the end does not."""

    start: dt.datetime
    end: dt.datetime

    @classmethod
    def of(cls, start: dt.datetime, end: dt.datetime) -> Span:
        """A span between two aware moments.

        Subtracting moments of one zone compares clock faces, so spans are in UTC.

        Raises:
            ValueError: a moment has no zone, or the end is not after the start.
        """
        if start.utcoffset() is None or end.utcoffset() is None:
            raise ValueError(f"{start} to {end}: a moment without a time zone")
        if end <= start:
            raise ValueError(f"{end} is not after {start}")
        return cls(start.astimezone(dt.UTC), end.astimezone(dt.UTC))


Spans = Sequence[Span]


def union(spans: Iterable[Span]) -> list[Span]:
    """What is in any of the spans, which may overlap and come in any order."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            if span.end > joined[-1].end:
                joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return joined


def intersection(one: Spans, other: Spans) -> list[Span]:
    """What is in both."""
    both: list[Span] = []
    left = right = 0
    while left < len(one) and right < len(other):
        a, b = one[left], other[right]
        start, end = max(a.start, b.start), min(a.end, b.end)
        if start < end:
            both.append(Span(start, end))
        if a.end <= b.end:
            left += 1
        else:
            right += 1
    return both


def difference(one: Spans, other: Spans) -> list[Span]:
    """What is in the first and not in the second."""
    left: list[Span] = []
    place = 0
    for start, end in one:
        while place < len(other) and other[place].end <= start:
            place += 1
        at, reached = place, start
        while at < len(other) and other[at].start < end:
            if other[at].start > reached:
                left.append(Span(reached, other[at].start))
            reached = max(reached, other[at].end)
            at += 1
        if reached < end:
            left.append(Span(reached, end))
    return left


def length(spans: Iterable[Span]) -> dt.timedelta:
    """How long they are together; none of them overlap."""
    return sum((end - start for start, end in spans), dt.timedelta(0))
