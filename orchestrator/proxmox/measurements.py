"""What a cluster measured of a VM over an hour, a day, a week, a month or a year: one call, nothing is stored by us.

pvestatd tells of each VM every ten seconds: of one that runs what it uses, of one that is stopped its size alone. What
nobody told is missing, never 0. Counters are kept as rates; a rate is missing where its counter fell (after a restart).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.proxmox.errors import BadAnswer, ServerError
from orchestrator.proxmox.shapes import NUMBER, SIZE, wrong

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

Timeframe = Literal["hour", "day", "week", "month", "year"]
Consolidation = Literal["AVERAGE", "MAX"]

MOST_ROWS = 20_000
"""Rows of an answer; the most that Proxmox VE has is some 1,500, and twice that after an upgrade from 8."""

_DAY = 86_400
MOST_SECONDS: Mapping[Timeframe, int] = {
    "hour": _DAY,
    "day": 4 * _DAY,
    "week": 30 * _DAY,
    "month": 120 * _DAY,
    "year": 1_200 * _DAY,
}
"""Between the first and the last row: twice what Proxmox VE answers, 8.x with coarser rows included, and more."""

_FIELDS = ("cpu", "maxcpu", "mem", "maxmem", "disk", "maxdisk", "diskread", "diskwrite", "netin", "netout")
_NO_FILE = ("rrd error", "no such file or directory")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured in an interval.

    Attributes:
        ends: when the interval ends, in seconds since 1970. It begins where the one before it ends: how long it is
            depends on the timeframe and on the version, and after an upgrade from 8 to 9 it changes within an answer.
        values: 0 or more, what is known: cpu (share of all vCPUs), maxcpu, mem, maxmem, disk, maxdisk (bytes), netin,
            netout, diskread, diskwrite (bytes per second). Of a stopped VM sizes alone; empty if nothing was measured.
    """

    ends: int
    values: Mapping[str, float]


def read_measurements(
    cluster: Calls, node: str, vmid: int, timeframe: Timeframe, consolidation: Consolidation = "AVERAGE"
) -> tuple[Measurement, ...]:
    """Read what was measured of a VM, the oldest first: one call. Needs VM.Audit.

    Args:
        cluster: the API.
        node: any that answers; every node knows the figures of all.
        vmid: the VM.
        timeframe: how far back.
        consolidation: the average of each interval, or the largest value in it.

    Raises:
        BadAnswer: there are more rows, or more time is between them, than there can be: a graph of a thousand years has
            hundreds of megabytes.
        ProxmoxError: it could not be read. A VM that was never measured yet has no rows; that is none.
    """
    path = f"/nodes/{node}/qemu/{vmid}/rrddata"
    try:
        rows = cluster.get(path, timeframe=timeframe, cf=consolidation)
    except ServerError as error:
        if all(words in str(error).lower() for words in _NO_FILE):
            return ()
        raise
    if len(rows) > MOST_ROWS:
        raise BadAnswer(
            f"{len(rows)} rows of measurements, expected {MOST_ROWS} at most",
            site=cluster.site,
            call=f"GET {path}",
        )
    found = {int(row["time"]): _values(row) for row in rows}
    if found and max(found) - min(found) > MOST_SECONDS[timeframe]:
        raise BadAnswer(
            f"measurements over {(max(found) - min(found)) // _DAY} days, expected "
            f"{MOST_SECONDS[timeframe] // _DAY} at most for a {timeframe}",
            site=cluster.site,
            call=f"GET {path}",
        )
    return tuple(Measurement(ends=ends, values=found[ends]) for ends in sorted(found))


def read_allocated(cluster: Calls, node: str, storage: str, vmid: int) -> dict[str, int]:
    """How many bytes of a storage each disk of a VM takes, by volume, as far as the storage knows: one call.

    Storages of files know it; LVM, LVM-thin, ZFS and Ceph do not tell.

    Raises:
        ProxmoxError: the storage could not be read.
    """
    listed = cluster.get(f"/nodes/{node}/storage/{storage}/content", content="images", vmid=vmid)
    return dict(_allocated(listed, vmid))


def _allocated(listed: Iterable[Mapping[str, Any]], vmid: int) -> Iterable[tuple[str, int]]:
    for entry in listed:
        volume, used = entry.get("volid"), entry.get("used")
        if not isinstance(volume, str) or used is None or wrong(used, SIZE) or wrong(entry.get("vmid"), SIZE):
            continue
        if int(entry["vmid"]) == vmid:
            yield volume, int(used)


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    """What is known of an interval: a value that is no number, or less than 0, is not.

    Without a sound use of vCPU or RAM a row would look like that of a stopped VM: nothing is known of it.
    """
    told = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    known = {
        name: float(value) for name, value in told.items() if not wrong(value, NUMBER) and float(value) >= 0
    }
    return {} if any(name in told and name not in known for name in ("cpu", "mem")) else known
