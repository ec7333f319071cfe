"""A plan without changes for 1,000 machines: API calls, time against a bare loop of the same reads, memory.

    python -m bench.plan [MACHINES]

The hypervisor is fakepve in a process of its own. The bare loop is ``requests`` with one kept-alive
connection that makes the same calls and decodes their JSON, nothing else. Both run alternately, three times;
the ratio is that of the best of each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from orchestrator.proxmox import Cluster
from orchestrator.resources.desired import DesiredMachine, desired_machines, pool_of
from orchestrator.sites import load_provider
from orchestrator.sites.model import Provider
from orchestrator.subscriptions import load
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.unit.plan_worlds import World

_PER_CLIENT = 5
_ROUNDS = 3


def _prepare(folder: Path, fake: FakePve, machines: int) -> tuple[Desk, tuple[DesiredMachine, ...]]:
    """A cluster in which every machine is as its file wants it."""
    fake.control("add_template", vmid=9000, name="debian-12")
    desk = Desk(folder, {"paris": fake})
    desk.sites["paris"]["networks"][0].update(
        subnet="10.0.0.0/16", gateway="10.0.0.1", range="10.0.1.0-10.0.254.255"
    )
    desk.write_sites()
    clients = machines // _PER_CLIENT
    desk.write(
        *(subscription(f"c{n}", [machine(f"m{i}") for i in range(_PER_CLIENT)]) for n in range(clients))
    )
    provider = load_provider(folder / "sites.yaml")
    loaded = load([folder / "subscriptions"], provider)
    desired = desired_machines([item.subscription for item in loaded.subscriptions], provider)
    world = World.empty()
    vms: list[dict[str, Any]] = []
    for number, item in enumerate(desired):
        world.clone(item)
        for _ in range(2):
            world.make(item, item.network.range[0] + number)
        vms.append({"vmid": 10_000 + number, "name": item.name, "status": "running", "pool": pool_of(item.client),
                    "config": world.configs[item.key]})  # fmt: skip
    fake.control("add_vms", vms=vms)
    return desk, desired


def _bare_loop(fake: FakePve, vmids: list[int]) -> float:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(fake.ca_file)
    session.headers["Authorization"] = f"PVEAPIToken={fake.token_id}={fake.token_secret}"
    paths = ["/version", "/access/permissions", "/version", "/pools", "/cluster/resources"]
    paths += [f"/nodes/pve1/qemu/{vmid}/pending" for vmid in vmids]
    started = time.perf_counter()
    for path in paths:
        session.get(f"{fake.url}/api2/json{path}").json()
    return time.perf_counter() - started


def _plan(
    fake: FakePve, provider: Provider, desired: tuple[DesiredMachine, ...]
) -> tuple[float, dict[str, int]]:
    from orchestrator.cli.planning import Request, prepare

    cluster: Cluster = fake.cluster()
    started = time.perf_counter()
    prepared = prepare(Request(provider=provider, desired=desired), {"paris": cluster}, {})
    seconds = time.perf_counter() - started
    assert not prepared.plan.has_changes and not prepared.plan.has_errors, "the plan must be empty"
    return seconds, cluster.calls


def _command(desk: Desk) -> tuple[float, float]:
    """Run the command itself: seconds, and its peak resident memory in MiB."""
    started = time.perf_counter()
    process = desk.start("plan", "--detailed-exitcode")
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake:
        desk, desired = _prepare(Path(folder), fake, machines)
        provider = load_provider(Path(folder) / "sites.yaml")
        vmids = [10_000 + number for number in range(len(desired))]
        bare: list[float] = []
        planned: list[float] = []
        calls: dict[str, int] = {}
        for _ in range(_ROUNDS):
            bare.append(_bare_loop(fake, vmids))
            seconds, calls = _plan(fake, provider, desired)
            planned.append(seconds)
        seconds, peak = _command(desk)
    print(f"plan without changes, {len(desired)} machines")
    print(
        f"  API calls           {sum(calls.values())} = one a machine + {sum(calls.values()) - len(desired)}"
    )
    print(f"  bare loop           {min(bare):.2f} s")
    print(f"  observe and plan    {min(planned):.2f} s = {min(planned) / min(bare):.2f} times the bare loop")
    print(f"  the whole command   {seconds:.2f} s = {seconds / min(bare):.2f} times, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
