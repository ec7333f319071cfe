"""Figures over time, from real counters: what `rrddata` shows.

Every running guest is looked at every few seconds (its QEMU's processor time and memory, what its disks
and cards have moved); the looks of one minute become one row. Rows are kept for a day and in a file, so
that a killed server goes on where it was. Where nothing was measured a row has its time only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.qemu import Counters, GuestNotRunningError, Guests

SAMPLE_SECONDS = 10.0
STEPS = {"hour": 60, "day": 1800, "week": 10800, "month": 43200, "year": 604800}
"""Seconds of a row, by time frame."""

_ROWS_SHOWN = 70
_MINUTE = 60
_KEPT_MINUTES = 24 * 60
_log = logging.getLogger(__name__)

Row = dict[str, float]


@dataclass
class _Minute:
    """The looks of the minute that is going on."""

    start: int = 0
    looks: list[Row] = field(default_factory=list)


class Figures:
    """The figures of one node's guests."""

    def __init__(self, folder: Path, node: str, guests: Guests) -> None:
        self._folder = folder
        self._node = node
        self._guests = guests
        self._before: dict[int, tuple[float, Counters]] = {}
        self._processors: dict[int, float] = {}
        self._now: defaultdict[int, _Minute] = defaultdict(_Minute)
        folder.mkdir(parents=True, exist_ok=True)
        self._rows = {int(path.stem): _load(path) for path in folder.glob("*.json")}

    async def measure_for_ever(self) -> None:
        """Look at the guests again and again; ends when it is cancelled."""
        while True:
            try:
                for node, vmid in await self._guests.running():
                    if node == self._node:
                        await self.measure(vmid)
            except OSError:
                _log.exception("guests of %s could not be measured", self._node)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def measure(self, vmid: int) -> None:
        """Look at one guest and remember what it did since the last look."""
        with suppress(GuestNotRunningError):
            now, counters = time.time(), await self._guests.counters(self._node, vmid)
            before = self._before.get(vmid)
            self._before[vmid] = (now, counters)
            if before is not None and before[1].uptime_seconds < counters.uptime_seconds:
                look = _rates(now - before[0], before[1], counters)
                self._processors[vmid] = look["cpu"]
                self._remember(vmid, int(now), look)

    def processor(self, vmid: int) -> float:
        """Processors that a guest used at the last look (1.0 is one of the host's, fully)."""
        return self._processors.get(vmid, 0.0)

    def rows(self, vmid: int, timeframe: str, maxima: dict[str, float]) -> list[dict[str, Any]]:
        """The rows of a time frame, oldest first; `maxima` is added to rows that have figures."""
        step = STEPS[timeframe]
        last = int(time.time()) // step * step
        buckets: defaultdict[int, list[Row]] = defaultdict(list)
        for start, row in self._rows.get(vmid, {}).items():
            buckets[start // step * step].append(row)
        shown = []
        for start in range(last - (_ROWS_SHOWN - 1) * step, last + 1, step):
            found = buckets.get(start)
            shown.append({"time": start} | (_mean(found) | maxima if found else {}))
        return shown

    def forget(self, vmid: int) -> None:
        """Drop what is known of a VM that was removed."""
        for known in (self._before, self._processors, self._now, self._rows):
            known.pop(vmid, None)
        (self._folder / f"{vmid}.json").unlink(missing_ok=True)

    def _remember(self, vmid: int, now: int, look: Row) -> None:
        minute = self._now[vmid]
        start = now // _MINUTE * _MINUTE
        if minute.start != start:
            minute.start, minute.looks = start, []
        minute.looks.append(look)
        rows = self._rows.setdefault(vmid, {})
        first_of_minute = start not in rows
        rows[start] = _mean(minute.looks)
        if first_of_minute:
            for old in [key for key in rows if key < start - _KEPT_MINUTES * _MINUTE]:
                del rows[old]
            (self._folder / f"{vmid}.json").write_text(json.dumps(rows))


def _rates(seconds: float, before: Counters, now: Counters) -> Row:
    """What a guest did, a second: bytes, and processors in use."""
    return {
        "cpu": (now.cpu_seconds - before.cpu_seconds) / seconds,
        "mem": float(now.memory_bytes),
        "netin": (now.net_in_bytes - before.net_in_bytes) / seconds,
        "netout": (now.net_out_bytes - before.net_out_bytes) / seconds,
        "diskread": (now.disk_read_bytes - before.disk_read_bytes) / seconds,
        "diskwrite": (now.disk_written_bytes - before.disk_written_bytes) / seconds,
    }


def _mean(rows: list[Row]) -> Row:
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def _load(path: Path) -> dict[int, Row]:
    """The rows of a file; one that was cut short by a crash starts anew."""
    try:
        return {int(start): row for start, row in json.loads(path.read_text()).items()}
    except ValueError:
        return {}
