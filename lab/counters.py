"""Real figures of a running guest, from the kernel and from its QEMU."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Counters:
    """Real figures of a running guest since its start.

    Attributes:
        cpu_seconds: processor time of its QEMU.
        memory_bytes: memory of the host that its QEMU holds.
        disk_read_bytes, disk_written_bytes: over all its disks.
        net_in_bytes, net_out_bytes: over all its cards, as the guest sees it.
        uptime_seconds: since QEMU was started.
    """

    cpu_seconds: float
    memory_bytes: int
    disk_read_bytes: int
    disk_written_bytes: int
    net_in_bytes: int
    net_out_bytes: int
    uptime_seconds: float


def read_counters(pid: int, drives: Iterable[Mapping[str, Any]], taps: list[str]) -> Counters:
    """Read the figures of a guest.

    Args:
        pid: its QEMU.
        drives: what QEMU answers to `query-blockstats`.
        taps: the names of its cards' taps.

    Raises:
        FileNotFoundError, ProcessLookupError: it has ended.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    net_in, net_out = _traffic(Path(f"/proc/{pid}/net/dev").read_text(), taps)
    done = [drive["stats"] for drive in drives]
    return Counters(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _CLOCK_TICKS,
        memory_bytes=pages * _PAGE_BYTES,
        disk_read_bytes=sum(stats["rd_bytes"] for stats in done),
        disk_written_bytes=sum(stats["wr_bytes"] for stats in done),
        net_in_bytes=net_in,
        net_out_bytes=net_out,
        uptime_seconds=_uptime() - int(fields[19]) / _CLOCK_TICKS,
    )


def _traffic(devices: str, taps: list[str]) -> tuple[int, int]:
    """Bytes into and out of the guest; what a tap receives is what the guest has sent."""
    into, out = 0, 0
    for line in devices.splitlines():
        name, _, figures = line.partition(":")
        if name.strip() in taps:
            fields = figures.split()
            into, out = into + int(fields[8]), out + int(fields[0])
    return into, out


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])
