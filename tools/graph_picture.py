"""Draw docs/figures.svg: the graphs of a machine over a model day, as ``orchestrator figures`` draws them.

python -m tools.graph_picture
"""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

from orchestrator.contract.calendar import PARIS
from orchestrator.proxmox.measurements import Measurement
from orchestrator.reports.graph_svg import svg
from orchestrator.reports.series import MachineGraphs, graphs_of

PICTURE = Path(__file__).parents[1] / "docs" / "figures.svg"

_GIB = 1024.0**3
_STOPPED = (10.0, 10.5)
_NOT_MEASURED = (15.0, 15.75)


def model_day() -> MachineGraphs:
    """A day of a machine with 2 vCPU and 4 GiB: stopped for half an hour, and not measured for a while."""
    midnight = int(dt.datetime(2026, 11, 24, tzinfo=PARIS).timestamp())
    measured = [
        Measurement(ends=midnight + 60 * minute, values=_values(minute / 60)) for minute in range(1, 1441)
    ]
    return graphs_of(measured, client="dupont", machine="web-1", timeframe="day")


def _values(hour: float) -> dict[str, float]:
    if _NOT_MEASURED[0] < hour <= _NOT_MEASURED[1]:
        return {}
    sizes = {"maxcpu": 2.0, "maxmem": 4 * _GIB, "maxdisk": 32 * _GIB, "disk": 0.0}
    if _STOPPED[0] < hour <= _STOPPED[1]:
        return sizes
    busy = max(math.sin((hour - 7) / 12 * math.pi), 0.0)
    ripple = 0.5 + 0.5 * math.sin(hour * 9)
    return sizes | {
        "cpu": 0.04 + 0.5 * busy + 0.06 * ripple,
        "mem": (1.6 + 1.4 * busy) * _GIB,
        "diskread": 2e5 + 3e6 * busy * ripple,
        "diskwrite": 1e5 + 8e5 * busy,
        "netin": 2e4 + 4e5 * busy * ripple,
        "netout": 3e4 + 9e5 * busy,
    }


def main() -> None:
    """Write it."""
    PICTURE.write_text(svg(model_day(), language="en"))


if __name__ == "__main__":
    main()
