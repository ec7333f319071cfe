"""One machine among many, and few machines among others': API calls and seconds of the whole command.

    python -m bench.one [MACHINES]

Nodes as in ``bench.plan``, at 0 and 6 ms a call: a plan of one machine (``--only``), an apply of one change to it, and
a plan of five machines of a site that has 330.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.nodes import Nodes
from bench.worlds import point_at, run, settled
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

_ROUNDS = 3
_ONE = "c3/m1"
_SITE = 330


def _measure(desk: Desk, nodes: Nodes, what: str, *command: str, before: Callable[[int], None]) -> None:
    """Run a command at each pace, and print its calls and the best of its times."""
    for milliseconds in (0, 6):
        nodes.need(milliseconds)
        best = float("inf")
        for number in range(_ROUNDS):
            before(number)
            nodes.calls()
            best = min(best, run(desk, *command).seconds)
        calls = sum(map(len, nodes.calls()))
        print(f"  {what}, {milliseconds} ms a call: {calls} calls, {best:.2f} s")


def _among_many(machines: int) -> None:
    print(f"one machine of {machines}")
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake, Nodes(fake) as nodes:
        desk = settled(Path(folder), fake, machines)
        point_at(desk, nodes.urls)
        client = _ONE.partition("/")[0]
        _measure(
            desk, nodes, f"plan --only {_ONE}", "plan", "--only", _ONE, "--detailed-exitcode",
            before=lambda _: None,
        )  # fmt: skip
        nodes.keep(False)
        sizes = iter(range(1, 100))

        def changed(_: int) -> None:
            """Its file asks for another size than it has."""
            wanted = [machine(f"m{index}") for index in range(5)]
            wanted[1]["memory"] = f"{1024 + 64 * next(sizes)}MiB"
            text = yaml.safe_dump(subscription(client, wanted), sort_keys=False)
            (desk.folder / "subscriptions" / f"{client}.yaml").write_text(text)

        _measure(
            desk, nodes, f"apply --only {_ONE}, more memory",
            "apply", "--yes", "--no-guests", "--restart-now", "--only", _ONE,
            before=changed,
        )  # fmt: skip


def _among_others() -> None:
    print(f"five machines of a site with {_SITE}")
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake, Nodes(fake) as nodes:
        desk = settled(Path(folder), fake, _SITE)
        point_at(desk, nodes.urls)
        for path in (desk.folder / "subscriptions").iterdir():
            if path.stem != "c3":
                path.unlink()
        _measure(desk, nodes, "plan", "plan", before=lambda _: None)


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 1000
    _among_many(machines)
    _among_others()


if __name__ == "__main__":
    main()
