"""A whole night of 2,000 machines on 20 nodes: the backups' schedule against the best possible, calls, memory.

    python -m bench.night [MACHINES]

The hypervisor is fakepve in a process of its own, its clock sped up; each machine has 31 archives from earlier nights.
Durations are log-normal from a fixed seed, and are in the history as last night's times, as after any real night. A few
nodes have as much to do as one slot can take, so the order matters (``bench.orders``). What is compared with the lower
bound is what really ran: from the first backup's begin to the last one's end, by the cluster's own clock. It runs
in a process of its own, whose peak memory is that of the whole program.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bench.orders import NODES, plain_order, spread
from orchestrator.applying.journal import Journal
from orchestrator.history import open_history
from orchestrator.nightly.backup_step import BackupStep
from orchestrator.nightly.context import Night
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.night_run import carry_out, plan_night
from orchestrator.nightly.retention_step import RetentionLine
from orchestrator.nightly.schedule import Job, lower_bound
from orchestrator.proxmox import Cluster, Patience
from orchestrator.resources.desired import desired_machines, pool_of
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from orchestrator.resources.notes import read_mark, write_mark
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import AGENT
from tests.unit.plan_worlds import World

_SEED = 20261123
_PER_CLIENT = 10
_SPEED = 120.0
_BEGINS = dt.datetime(2026, 11, 23, 22, 0, tzinfo=ZoneInfo("Europe/Paris"))
_STORES = {"vault-1": 2, "vault-2": 3, "vault-3": 4}
_DAY = 86400
_GIB = 1024**3


def _files(desk: Desk, machines: int) -> None:
    desk.sites["paris"]["networks"][0].update(
        subnet="10.0.0.0/16", gateway="10.0.0.1", range="10.0.1.0-10.0.254.255"
    )
    desk.sites["paris"]["backup_storages"] = [
        {"name": name, "site": "lyon", "backups_at_a_time": slots} for name, slots in _STORES.items()
    ]
    desk.write_sites()
    desk.write(
        *(
            subscription(
                f"c{number}", [machine(f"m{i}", backup={"retention_days": 31}) for i in range(_PER_CLIENT)]
            )
            for number in range(machines // _PER_CLIENT)
        )
    )


def _prepare(folder: Path, fake: FakePve, machines: int) -> dict[int, float]:
    """Machines in service with 31 archives each, and how long each one's backup takes. Returns that by VM id."""
    chance = random.Random(_SEED)
    nodes = [f"node{number}" for number in range(NODES)]
    fake.control("add_nodes", names=nodes)
    fake.control("add_template", vmid=9000, name="debian-12")
    desk = Desk(folder, {"paris": fake})
    _files(desk, machines)
    for name in _STORES:
        fake.add_storage(name, shared=True, total=10**16)
    provider = load_provider(folder / "sites.yaml")
    loaded = load([folder / "subscriptions"], provider)
    world, vms, seconds = World.empty(), list[dict[str, Any]](), dict[int, float]()
    archives = []
    lengths = [chance.lognormvariate(4.5, 1.0) for _ in range(machines)]
    places = spread(lengths, sum(_STORES.values()), chance)
    with open_history(folder / "history.db") as history:
        for number, item in enumerate(
            desired_machines([x.subscription for x in loaded.subscriptions], provider)
        ):
            world.clone(item)
            for _ in range(2):
                world.make(item, item.network.range[0] + number)
            vmid, node = 10_000 + number, nodes[places[number]]
            config = world.configs[item.key]
            mark = read_mark(config["description"])
            assert mark is not None
            # All but a night's share were tested: what is measured is the backups, restore tests take a few.
            tested = (_BEGINS - dt.timedelta(days=1 + number % 27)).date()
            config["description"] = write_mark(mark.with_(ready=True, tested=tested), config["description"])
            vms.append({"vmid": vmid, "name": item.name, "node": node, "status": "running",
                        "pool": pool_of(item.client), "config": config,
                        "agent": {"files": {**AGENT["files"], "/etc/hostname": f"{item.name}\n"}}})  # fmt: skip
            seconds[vmid] = lengths[number]
            history.append(
                who="timer", why="night", client=item.client, machine=item.name, site="paris", action="backup",
                result="ok", run="before", seconds=seconds[vmid],
            )  # fmt: skip
            notes = archive_notes(
                ArchiveMark(client=item.client, machine=item.name, contract=item.contract, days=31)
            )
            archives += [
                {"storage": list(_STORES)[age % 3], "vmid": vmid, "size": 5 * _GIB, "notes": notes,
                 "ctime": int(_BEGINS.timestamp()) - age * _DAY - number}
                for age in range(1, 32)
            ]  # fmt: skip
    fake.control("add_vms", vms=vms)
    fake.add_archives(archives)
    fake.backup_behaviour(seconds=seconds, default_size=5 * _GIB)
    return seconds


def _child(folder: Path, connection: dict[str, str]) -> None:
    """Run the night; print what it did as JSON."""
    provider = load_provider(folder / "sites.yaml")
    loaded = load([folder / "subscriptions"], provider)
    desired = desired_machines([item.subscription for item in loaded.subscriptions], provider)
    # As often as in real time: every two seconds of the night.
    patience = Patience(first_poll=0.2 / _SPEED, longest_poll=2.0 / _SPEED)
    cluster = Cluster(
        site="paris",
        url=connection["url"],
        token_id=connection["token_id"],
        token_secret=connection["token_secret"],
        ca_file=Path(connection["ca_file"]),
        patience=patience,
    )
    started = time.monotonic()

    def clock() -> dt.datetime:
        return _BEGINS + dt.timedelta(seconds=(time.monotonic() - started) * _SPEED)

    with open_history(folder / "history.db") as history:
        night = Night(
            provider=provider,
            desired={item.key: item for item in desired},
            clusters={"paris": cluster},
            journal=Journal(history=history, who="timer", why="night", run="bench"),
            clock=clock,
            tell=lambda event, **fields: None,
            closes_at=_BEGINS + dt.timedelta(days=2),
            boot_seconds=1.0,
        )
        plan = plan_night(night, history)
        forecast = plan.step(BackupStep).plan.forecast
        assert forecast is not None
        report = carry_out(plan)
    print(
        json.dumps(
            {
                "planned": forecast.planned_seconds,
                "bound": forecast.bound_seconds,
                "backups": sum(line.result == "done" for line in report.of(BackupLine)),
                "removed": sum(line.result == "removed" for line in report.of(RetentionLine)),
                "calls": sum(cluster.calls.values()),
            }
        )
    )


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 2 and sys.argv[1] == "--child":
        _child(Path(sys.argv[2]), json.loads(sys.argv[3]))
        return
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake:
        seconds = _prepare(Path(folder), fake, machines)
        fake.clock(_BEGINS.timestamp(), _SPEED)
        connection = {
            name: str(getattr(fake, name)) for name in ("url", "token_id", "token_secret", "ca_file")
        }
        child = [sys.executable, "-m", "bench.night", "--child", folder, json.dumps(connection)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.launch", *child], capture_output=True, text=True, check=True
        )
        took = json.loads(done.stdout)
        assert took["code"] == 0, took["text"]
        result = json.loads(took["text"].splitlines()[-1])
        runs = [run for run in fake.backup_runs() if run["ok"]]
    lasted = max(run["ended"] for run in runs) - min(run["started"] for run in runs)
    jobs = [
        Job(key=("c", str(run["vmid"])), site="paris", node=run["node"], storages=tuple(_STORES),
            seconds=seconds[run["vmid"]], size=0)
        for run in runs
    ]  # fmt: skip
    slots = {("paris", name): number for name, number in _STORES.items()}
    bound, plain = lower_bound(jobs, slots), plain_order(jobs, slots)
    print(
        f"a night of {machines} machines on {NODES} nodes, {machines * 31} archives, {_SPEED:.0f} times as fast"
    )
    print(f"  backups       {result['backups']} done, {result['removed']} archives removed")
    print(
        f"  as planned    {result['planned'] / 3600:.2f} h = {result['planned'] / result['bound']:.3f} times the bound"
    )
    print(
        f"  as it ran     {lasted / 3600:.2f} h = {lasted / bound:.3f} times the bound for the same durations"
    )
    print(
        f"  plain order   {plain / 3600:.2f} h = {plain / bound:.3f} times the bound, if nothing took time but backups"
    )
    print(f"  API calls     {result['calls']} = {result['calls'] / machines:.1f} a machine, polls included")
    print(f"  peak memory   {took['mib']:.0f} MiB")


if __name__ == "__main__":
    main()
