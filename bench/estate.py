"""``show`` of the whole estate against a plan of the same machines: files, one node or twenty, 31 archives a machine.

    python -m bench.estate [MACHINES]

The clusters are those of ``bench.plan``: modelled nodes with three workers each, 6 ms for a call. Both commands run in
turn, as a user would; what counts is their ratio. The backup storage has 31 archives of each machine, all listed by one
call: the plan does not read them.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from pathlib import Path

from bench.nodes import Nodes
from bench.worlds import point_at, run, settled
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from tests.api.desk import Desk
from tests.api.fakepve_handle import FakePve

_NODES = 20
_LARGE = 10_000
_MILLISECONDS = 6
_NIGHTS = 31
_STORE = "backup-lyon"
_AT_ONCE = 50_000
_GIB = 1024**3


def _archives(desk: Desk, fake: FakePve) -> None:
    """Give every machine an archive of each of the last nights."""
    fake.add_storage(_STORE, shared=True, total=10**17)
    desk.sites["paris"]["backup_storages"] = [{"name": _STORE, "site": "lyon"}]
    now = int(dt.datetime.now().timestamp())
    found = []
    for vm in fake.dump()["vms"].values():
        if vm["template"]:
            continue
        client = vm["pool"].removeprefix("client-")
        notes = archive_notes(
            ArchiveMark(client=client, machine=vm["name"], contract=f"C-{client}", days=_NIGHTS)
        )
        found += [
            {"storage": _STORE, "vmid": vm["vmid"], "size": 5 * _GIB, "notes": notes, "ctime": now - night * 86400}
            for night in range(_NIGHTS)
        ]  # fmt: skip
    for start in range(0, len(found), _AT_ONCE):
        fake.add_archives(found[start : start + _AT_ONCE])


def _compare(machines: int, nodes: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake, Nodes(fake, nodes) as modelled:
        desk = settled(Path(folder), fake, machines, nodes=nodes)
        _archives(desk, fake)
        point_at(desk, modelled.urls)
        modelled.need(0)
        for command in ("plan", "show"):
            run(desk, command)  # the model keeps the answers from now on
        modelled.need(_MILLISECONDS)
        seconds: dict[str, list[float]] = {"plan": [], "show": []}
        for _ in range(rounds):
            for command, found in seconds.items():
                modelled.calls()
                took = run(desk, command)
                found.append(took.seconds)
                calls = sum(len(calls) for calls in modelled.calls())
                print(
                    f"    {command}: {took.seconds:6.2f} s, {took.cpu:.2f} s of a processor, {took.mib:.0f} MiB, "
                    f"{calls} calls"
                )
        plan, show = min(seconds["plan"]), min(seconds["show"])
        print(
            f"  {machines} machines on {nodes} nodes, {machines * _NIGHTS} archives: plan {plan:.2f} s, "
            f"show {show:.2f} s = {show / plan:.2f} times"
        )


def main() -> None:
    """Measure and print."""
    print(f"the estate at a glance beside a plan, {_MILLISECONDS} ms a call")
    if __name__ == "__main__" and len(sys.argv) > 1:
        machines = int(sys.argv[1])
        _compare(machines, _NODES, 1 if machines >= _LARGE else 3)
        return
    _compare(1000, 1, 3)
    _compare(1000, _NODES, 3)
    _compare(_LARGE, _NODES, 1)


if __name__ == "__main__":
    main()
