"""Observation: what a round of 10,000 machines costs, and how large a year of it is.

    python -m bench.watch [MACHINES]

A round is the whole command, with the files of all clients, against one cluster. The year is written through the store
as rounds would write it, some days at a time: each machine is restarted once a month and moved live once a month, a
hundred processes a day end and are started again, and the observer is away ten times.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from bench.worlds import run, settled
from orchestrator.history.intervals import Cause, Span, moment
from orchestrator.history.observations import Observations
from orchestrator.history.observed_site import Known, Outcome, SiteState
from tests.api.fakepve_handle import FakePve

_ROUNDS = 3
_DAYS = 365
_DAY = 86_400
_PER_MONTH = 30
_FAILURES = 100
_GAPS = 10
_AT_ONCE = 5
_BEGIN = 1_767_225_600


def _rounds(machines: int) -> None:
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake:
        desk = settled(Path(folder), fake, machines)
        first = run(desk, "watch", "subscriptions")
        fake.control("reset_calls")
        best = min((run(desk, "watch", "subscriptions") for _ in range(_ROUNDS)), key=lambda done: done.cpu)
        calls = sum(fake.calls().values()) / _ROUNDS
        print(f"a round of {machines} machines: {calls:g} call, {best.cpu:.1f} s of CPU, {best.mib:.0f} MiB")
        print(f"  the first one: {first.cpu:.1f} s of CPU")
        shown = run(desk, "watch", "--show", "c3")
        print(f"  what was observed of one client: {shown.cpu:.1f} s of CPU")


def _day(
    state: SiteState, changed: defaultdict[int, list[Span]], day: int, chance: random.Random, gap: bool
) -> None:
    """What a day makes of the intervals that were open."""
    start = _BEGIN + day * _DAY

    def up(vmid: int, ended: int, cause: Cause | None, until: int) -> None:
        """Let a machine be away from ``ended`` until ``until``, with a cause, or move without being away."""
        spans = changed[vmid] or [state.spans[vmid]]
        *before, last = spans
        middle = (
            []
            if cause is None
            else [
                Span(
                    start=ended,
                    end=until,
                    state="down" if cause is Cause.PROCESS else "unknown",
                    cause=cause,
                    source="export",
                    detail="its process on the node ended without a shutdown"
                    if cause is Cause.PROCESS
                    else "",
                )
            ]
        )
        closed = Span(**{**last.__dict__, "end": ended})
        begin = Span(start=until, end=None, state="up", cause=Cause.NONE, source="export")
        changed[vmid] = [*before, closed, *middle, begin]

    vmids = list(state.machines)
    for vmid in vmids[day % _PER_MONTH :: _PER_MONTH]:
        up(vmid, start + 10_000, Cause.OWN, start + 10_040)
        up(vmid, start + 20_000, None, start + 20_000)
    for vmid in chance.sample(vmids, min(_FAILURES, len(vmids))):
        up(vmid, start + 40_000, Cause.PROCESS, start + 40_600)
    if gap:
        for vmid in vmids:
            up(vmid, start + 60_000, None, start + 63_600)


def _year(machines: int) -> None:
    chance = random.Random(7)  # the same year every time
    known = {
        vmid: Known(vmid=vmid, client=f"c{vmid // 5}", machine=f"m{vmid % 5}", node="pve1")
        for vmid in range(10_000, 10_000 + machines)
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        with Observations(path) as store:
            began = Span(start=_BEGIN, end=None, state="up", cause=Cause.NONE, source="export")

            def outcome(spans: Mapping[int, list[Span]], until: int) -> Outcome:
                return Outcome(
                    until=until, machines=known, spans=spans, listed=until, guests=machines, source="export"
                )

            store.record("paris", lambda _: outcome({vmid: [began] for vmid in known}, _BEGIN + 10))
            for first in range(0, _DAYS, _AT_ONCE):

                def of_some_days(state: SiteState, first: int = first) -> Outcome:
                    changed: defaultdict[int, list[Span]] = defaultdict(list)
                    for day in range(first, first + _AT_ONCE):
                        _day(state, changed, day, chance, day % (_DAYS // _GAPS) == 1)
                    return outcome(changed, _BEGIN + (first + _AT_ONCE) * _DAY)

                store.record("paris", of_some_days)
            began_at = time.process_time()
            state = store.state("paris")
            read = time.process_time() - began_at
            began_at = time.process_time()
            store.record("paris", lambda _: outcome({}, _BEGIN + _DAYS * _DAY + 120))
            written = time.process_time() - began_at
            began_at = time.process_time()
            month = store.seen_of_all(moment(_BEGIN + 300 * _DAY), moment(_BEGIN + 330 * _DAY))
            asked = time.process_time() - began_at
        size = sum(file.stat().st_size for file in path.parent.iterdir())
        print(f"a year of {machines} machines: {size / 1024**2:.0f} MiB")
        print(
            f"  a quiet round after it: read {read:.2f} s, written {written:.3f} s of CPU ({len(state.spans)} open)"
        )
        count = sum(map(len, month.values()))
        print(f"  a month of all of them in one question: {asked:.1f} s of CPU, {count} intervals")


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 10_000
    _rounds(machines)
    _year(machines)


if __name__ == "__main__":
    main()
