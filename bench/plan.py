"""A plan without changes: the whole command against bare loops of the same reads, on one node and on twenty.

    python -m bench.plan [MACHINES]

The nodes are modelled (``bench.nodes``): three workers each, 0 and 6 ms for a call. The floor is ``http.client`` in
bare loops over as many connections as the command may have, their JSON decoded, in a process of its own that counts
from the first connection on (``bench.floor``). The command is run as a user would: Python's start, files, plan and text
are in its time. Both run in turn; the ratio is that of the best of each.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.floor import floor
from bench.nodes import Nodes
from bench.worlds import Run, loops_of, point_at, run, settled
from tests.api.desk import Desk
from tests.api.fakepve_handle import FakePve

_ROUNDS = 3
_NODES = 20
_LARGE = 10_000
_MILLISECONDS = (0, 6)


def _compare(desk: Desk, fake: FakePve, nodes: Nodes, milliseconds: float, rounds: int) -> tuple[float, Run]:
    """The best of the floor and of the command."""
    nodes.need(0)
    run(desk, "plan", "--detailed-exitcode")  # the model keeps the answers from now on
    nodes.calls()
    run(desk, "plan", "--detailed-exitcode")
    loops = loops_of(nodes)
    nodes.need(milliseconds)
    floors, runs = [], []
    for _ in range(rounds):
        floors.append(floor(loops, fake.ca_file, f"{fake.token_id}={fake.token_secret}"))
        runs.append(run(desk, "plan", "--detailed-exitcode"))
    calls = sum(len(paths) for _, paths in loops)
    best = min(runs, key=lambda one: one.seconds)
    print(
        f"  {milliseconds:g} ms a call: floor {min(floors):6.2f} s, command {best.seconds:6.2f} s = "
        f"{best.seconds / min(floors):.2f} times ({best.cpu:.2f} s of a processor, {best.mib:.0f} MiB); "
        f"{calls} calls over {len(loops)} connections"
    )
    return min(floors), best


def _one_node(machines: int) -> None:
    print(f"plan without changes, {machines} machines on one node")
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake, Nodes(fake) as nodes:
        desk = settled(Path(folder), fake, machines)
        point_at(desk, nodes.urls)
        for milliseconds in _MILLISECONDS:
            _compare(desk, fake, nodes, milliseconds, _ROUNDS)


def _several_nodes(machines: int, rounds: int) -> None:
    print(f"plan without changes, {machines} machines on {_NODES} nodes")
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake, Nodes(fake, _NODES) as nodes:
        desk = settled(Path(folder), fake, machines, nodes=_NODES)
        for milliseconds in _MILLISECONDS:
            seconds = {}
            for urls in (nodes.urls[:1], nodes.urls):
                print(f"  {'one address asks all' if len(urls) == 1 else 'each node at its own address'}")
                point_at(desk, urls)
                _, best = _compare(desk, fake, nodes, milliseconds, rounds)
                seconds[len(urls)] = best.seconds
            print(
                f"  {milliseconds:g} ms: {seconds[1] / seconds[_NODES]:.1f} times as fast at their own addresses"
            )


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 1000
    _one_node(machines)
    _several_nodes(machines, _ROUNDS)
    _several_nodes(_LARGE, 1)


if __name__ == "__main__":
    main()
