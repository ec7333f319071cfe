"""What a node keeps of its VMs' figures: a row for each interval, as `rrddata` answers on Proxmox VE 8.

The node's statistics daemon tells of each VM every ten seconds: of one that runs all its figures, of one that is
stopped its sizes alone. Each minute is kept; counters are kept as rates, and one that fell is unknown. A row's time is
the end of its interval, and what nobody measured is a row with its time alone. The lab keeps two days, and only as long
as it runs: longer timeframes have as much as was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MINUTE = 60
_KEPT_MINUTES = 2 * 24 * 60

ROWS = {
    "hour": (60, 70),
    "day": (1800, 70),
    "week": (10_800, 70),
    "month": (43_200, 70),
    "year": (604_800, 70),
}
"""Seconds of a row, and how many there are, by timeframe."""

_SIZES = ("maxcpu", "maxmem", "disk", "maxdisk")
_GAUGES = ("cpu", "mem")
_COUNTERS = ("netin", "netout", "diskread", "diskwrite")


@dataclass(frozen=True)
class _Told:
    """What was told of a VM last."""

    at: float
    running: bool
    counters: Mapping[str, int]


@dataclass
class _Measured:
    """What is kept of one VM: the figures of its minutes, by their end."""

    last: _Told | None = None
    minutes: dict[int, dict[str, list[float]]] = field(default_factory=dict)


class Graphs:
    """The figures of one node's VMs."""

    def __init__(self) -> None:
        self._measured: dict[int, _Measured] = {}

    def tell(self, at: float, vmid: int, shown: Mapping[str, Any]) -> None:
        """Keep the figures of a VM.

        Args:
            at: Unix time.
            vmid: the VM.
            shown: its entry in the node's list, `maxcpu` in place of `cpus`.
        """
        measured = self._measured.setdefault(vmid, _Measured())
        running = shown["status"] == "running"
        figures = {name: float(shown[name]) for name in _SIZES}
        counters = {name: int(shown[name]) for name in _COUNTERS}
        if running:
            figures |= {name: float(shown[name]) for name in _GAUGES}
            figures |= _rates(measured.last, at, counters)
        minute = measured.minutes.setdefault(int(at // MINUTE + 1) * MINUTE, {})
        for name, value in figures.items():
            minute.setdefault(name, []).append(value)
        measured.last = _Told(at, running, counters)
        if len(measured.minutes) > _KEPT_MINUTES:
            del measured.minutes[min(measured.minutes)]

    def forget(self, vmid: int) -> None:
        """Drop what is known of a VM that was removed: its number may be given again."""
        self._measured.pop(vmid, None)

    def rows(self, now: float, vmid: int, timeframe: str, *, largest: bool) -> list[dict[str, float]]:
        """The rows of a timeframe, the oldest first; each holds what is known of at least half of its interval.

        Args:
            now: Unix time.
            vmid: the VM.
            timeframe: one of :data:`ROWS`.
            largest: the largest value of each interval instead of the average.
        """
        minutes = self._measured.get(vmid, _Measured()).minutes
        seconds, count = ROWS[timeframe]
        last = int(now) // seconds * seconds
        return [
            {"time": end}
            | _row((minutes.get(at, {}) for at in _ends(end, seconds)), seconds, largest=largest)
            for end in range(last - seconds * (count - 1), last + 1, seconds)
        ]


def _ends(end: int, seconds: int) -> range:
    return range(end - seconds + MINUTE, end + 1, MINUTE)


def _rates(last: _Told | None, at: float, counters: Mapping[str, int]) -> dict[str, float]:
    """Bytes per second since the last round; of a counter that fell, or that ran for no round, nothing."""
    if last is None or not last.running or at <= last.at:
        return {}
    grown = {name: value - last.counters[name] for name, value in counters.items()}
    return {name: value / (at - last.at) for name, value in grown.items() if value >= 0}


def _row(minutes: Iterable[Mapping[str, list[float]]], seconds: int, *, largest: bool) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for minute in minutes:
        for name, told in minute.items():
            values.setdefault(name, []).append(max(told) if largest else sum(told) / len(told))
    known = {name: found for name, found in values.items() if 2 * len(found) * MINUTE >= seconds}
    return {name: max(found) if largest else sum(found) / len(found) for name, found in known.items()}
