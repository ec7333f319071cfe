# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a cluster keeps of its VMs' figures: a row for each interval, as ``rrddata`` answers on 8.x and on 9.x.

pvestatd tells every node of every VM (``update_qemu_status``): of one that runs all its figures, of one that is
stopped its sizes alone. pmxcfs keeps them a minute each; counters are kept as rates, and one that falls is unknown
(``DS:netin:DERIVE:120:0:U``). ``PVE::RRD::create_rrd_data`` answers with rows that are as far apart as the timeframe
has it. A row's time is the end of its interval; it holds what is known of at least half of it, and nothing else: what
nobody measured is a row with ``time`` alone. A VM that was never measured has no file, which is an error.
Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

from typing import Any

from fakepve import PveError

from tests.api.fakepve_access import Accounts

_ROWS = {
    "8": {
        "hour": (60, 70),
        "day": (1800, 70),
        "week": (10_800, 70),
        "month": (43_200, 70),
        "year": (604_800, 70),
    },
    "9": {
        "hour": (60, 60),
        "day": (60, 1440),
        "week": (1800, 336),
        "month": (1800, 1440),
        "year": (21_600, 1440),
    },
}
"""Seconds of a row, and how many there are, by release and timeframe."""

_SIZES = ("maxcpu", "maxmem", "maxdisk", "disk")
"""What is told of a stopped VM, too."""
_ONLY_9 = ("memhost", "pressurecpusome", "pressurecpufull", "pressureiosome", "pressureiofull")


class Graphs(Accounts):
    """A cluster that keeps figures."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.measured: dict[int, dict[int, dict[str, float]]] = {}
        """By VM and end of a minute."""

    def _routes_graphs(self) -> list[tuple[str, str, Any]]:
        return [("GET", "/nodes/{node}/qemu/{vmid}/rrddata", self._rrddata)]

    async def _rrddata(self, values: dict[str, Any], user: str) -> list[dict[str, float]]:
        release = self.version.partition(".")[0]
        vmid = int(values["vmid"])
        if vmid not in self.measured:
            file = f"pve-vm-9.0/{vmid}" if release == "9" else f"pve2-vm/{vmid}"
            raise PveError(
                500,
                "RRD error: rrdcached@unix:/var/run/rrdcached.sock: rrd_fetch_r failed: opening "
                f"'/var/lib/rrdcached/db/{file}': No such file or directory",
            )
        seconds, count = _ROWS[release][values["timeframe"]]
        last = int(self.clock.time()) // seconds * seconds
        largest = values.get("cf") == "MAX"
        return [
            {"time": end} | self._row(vmid, end - seconds, end, largest=largest)
            for end in range(last - seconds * (count - 1), last + 1, seconds)
        ]

    def _row(self, vmid: int, start: int, end: int, *, largest: bool) -> dict[str, float]:
        minutes = [self.measured[vmid].get(minute, {}) for minute in range(start + 60, end + 1, 60)]
        row = {}
        for name in sorted({name for minute in minutes for name in minute}):
            known = [minute[name] for minute in minutes if name in minute]
            if 2 * len(known) >= len(minutes):
                row[name] = max(known) if largest else sum(known) / len(known)
        return row


class GraphOps:
    """Part of what the process can be told."""

    node: Any

    def op_measure(
        self, vmid: int, start: int, end: int, figures: dict[str, float], stopped: bool = False
    ) -> None:
        """Let a VM have had these figures all the time from ``start`` to ``end`` (seconds, whole minutes).

        What is not given is 0 in one that runs; None was not measured, as a counter that fell.
        """
        vm = self.node.vm(vmid)
        usual = {
            "maxcpu": float(vm.config.get("cores", 1)),
            "maxmem": float(int(vm.config["memory"]) * 1024**2),
            "maxdisk": 4.0 * 1024**3,
            "disk": 0.0,
        }
        if not stopped:
            running = ["cpu", "mem", "netin", "netout", "diskread", "diskwrite"]
            running += _ONLY_9 if self.node.version.startswith("9.") else ()
            usual |= dict.fromkeys(running, 0.0)
        minute = {name: value for name, value in (usual | figures).items() if value is not None}
        kept = self.node.measured.setdefault(vmid, {})
        kept.update(dict.fromkeys(range(start + 60, end + 1, 60), minute))
