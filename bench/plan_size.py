"""Plans for 1,000, 3,000 and 10,000 machines from a recorded observation: CPU seconds a part, peak memory, growth.

    python -m bench.plan_size [MACHINES...]

The observation is recorded: the API's answers as JSON texts, as Proxmox would send them, read by the program's own
reading code without a network. Ten machines a client, a file each; every hundredth machine differs from its file.
Each size runs in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml

from orchestrator.proxmox import Cluster
from orchestrator.resources.desired import DesiredMachine, pool_of

_SIZES = (1_000, 3_000, 10_000)
_PER_CLIENT = 10
_DIFFERS = 100
_NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
_GIB = 1024**3


class Recorded:
    """A cluster that answers from what was recorded, and counts what it was asked."""

    site = "paris"
    bulk_reader = None

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self.calls = 0

    def address_of(self, _node: str) -> str:
        """There is one."""
        return ""

    def hand_over(self) -> None:
        """There is no connection."""

    def get(self, path: str, **_: Any) -> Any:
        """Answer a read, decoding its JSON as from the wire."""
        self.calls += 1
        return json.loads(self._answers[path])

    def get_later(self, path: str) -> Callable[[], Any]:
        """As it does, decoded later."""
        return lambda: self.get(path)


def _record(desired: tuple[DesiredMachine, ...]) -> dict[str, str]:
    from tests.unit.plan_worlds import World

    world = World.empty()
    resources: list[dict[str, Any]] = [
        {"type": "node", "node": "pve1", "status": "online", "maxmem": 512 * _GIB, "mem": _GIB, "maxcpu": 64},
        {"type": "storage", "node": "pve1", "storage": "local", "status": "available", "content": "images",
         "shared": 0, "maxdisk": 10**15, "disk": 10**12, "plugintype": "dir"},
        {"type": "qemu", "node": "pve1", "vmid": 9000, "name": "debian-12", "template": 1, "status": "stopped",
         "maxmem": _GIB, "maxcpu": 1},
    ]  # fmt: skip
    answers = {
        "/access/permissions": json.dumps(_PERMISSIONS),
        "/version": json.dumps({"version": "8.4.1"}),
        "/pools": json.dumps(
            [{"poolid": pool} for pool in sorted({pool_of(item.client) for item in desired})]
        ),
    }
    for number, item in enumerate(desired):
        world.clone(item)
        for _ in range(2):
            world.make(item, item.network.range[0] + number)
        config = world.configs.pop(item.key)
        if number % _DIFFERS == 0:
            config["memory"] = "256"
        vmid = 10_000 + number
        pending = [{"key": key, "value": value} for key, value in config.items()]
        answers[f"/nodes/pve1/qemu/{vmid}/pending"] = json.dumps(
            [*pending, {"key": "digest", "value": f"{number:040x}"}]
        )
        resources.append(
            {"type": "qemu", "node": "pve1", "vmid": vmid, "name": item.name, "status": "running", "uptime": 10**6,
             "pool": pool_of(item.client), "tags": config["tags"], "maxmem": _GIB, "maxcpu": 1}
        )  # fmt: skip
    answers["/cluster/resources"] = json.dumps(resources)
    return answers


_PERMISSIONS = {
    "/vms": dict.fromkeys(
        ["VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Monitor", "VM.PowerMgmt", "VM.Snapshot"]
        + ["VM.Snapshot.Rollback"]
        + [
            f"VM.Config.{name}"
            for name in ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network")
        ]
        + ["VM.Config.Options"],
        1,
    ),
    "/storage": {"Datastore.AllocateSpace": 1, "Datastore.Audit": 1},
    "/pool": {"Pool.Allocate": 1, "Pool.Audit": 1},
    "/nodes": {"Sys.Audit": 1},
    "/sdn": {"SDN.Use": 1},
}
"""What the token of docs/proxmox.md may do."""


def _write(folder: Path, machines: int) -> None:
    from tests.api.desk import machine, subscription

    (folder / "subscriptions").mkdir()
    managed = {"level": "supervision", "standard_changes_per_month": 4}
    for number in range(machines // _PER_CLIENT):
        made = subscription(
            f"c{number}", [machine(f"m{index}") for index in range(_PER_CLIENT)], managed_services=managed
        )
        (folder / "subscriptions" / f"c{number}.yaml").write_text(
            yaml.safe_dump(json.loads(json.dumps(made)), sort_keys=False)
        )
    site = {
        "api": {"url": "https://h:8006", "token_id": "u@pve!t", "token_secret": {"env": "T"}},
        "storage": "local",
        "disk_format": "qcow2",
        "networks": [{"name": "public", "bridge": "vmbr0", "subnet": "10.0.0.0/16", "gateway": "10.0.0.1",
                      "range": "10.0.1.0-10.0.254.255"}],
        "images": {"debian-12": {"template": "debian-12"}},
    }  # fmt: skip
    key = made["administration"]["ssh_keys"][0]
    management = {"addresses": ["192.0.2.10/32"], "ssh_public_key": key, "ssh_private_key": "id"}
    (folder / "sites.yaml").write_text(json.dumps({"management": management, "sites": {"paris": site}}))


def _measure(machines: int, folder: Path, answers: dict[str, str] | None, tell: Any) -> None:
    from orchestrator.__main__ import tune_collector
    from orchestrator.planning.document import to_document
    from orchestrator.planning.interventions import with_interventions
    from orchestrator.planning.plan import make_plan
    from orchestrator.planning.safety import with_risks
    from orchestrator.planning.text import render_plan
    from orchestrator.resources.desired import desired_machines
    from orchestrator.resources.observing import observe
    from orchestrator.sites import load_provider
    from orchestrator.subscriptions import load

    tune_collector()
    parts: dict[str, float] = {}
    started = time.process_time()

    def part(name: str) -> None:
        nonlocal started
        parts[name] = time.process_time() - started
        started = time.process_time()

    provider = load_provider(folder / "sites.yaml")
    loaded = load([folder / "subscriptions"], provider)
    desired = desired_machines([item.subscription for item in loaded.subscriptions], provider)
    part("files")
    if answers is None:
        tell.send(_record(desired))
        return
    cluster = Recorded(answers)
    started = time.process_time()
    observed = {"paris": observe(cast(Cluster, cluster), "paris", names={item.name for item in desired})}
    part("observation")
    plan = make_plan(desired, observed, _NOW)
    plan = with_risks(with_interventions(plan, {}), observed, provider.safety)
    part("plan")
    lines = sum(1 for _ in render_plan(plan))
    part("text")
    size = len(to_document(plan).model_dump_json())
    part("JSON")
    changed = sum(bool(machine.effective) for machine in plan.machines)
    assert changed == machines // _DIFFERS, (changed, plan.failures)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tell.send({"parts": parts, "calls": cluster.calls, "lines": lines, "bytes": size, "peak": peak})


def _run(machines: int) -> dict[str, Any]:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, machines)
        answers: dict[str, str] | None = None
        for _ in range(2):  # one process records, another one measures
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_measure, args=(machines, folder, answers, theirs))
            process.start()
            answers = found = ours.recv()
            process.join()
    measured: dict[str, Any] = found
    return measured


def main() -> None:
    """Measure and print."""
    sizes = [int(text) for text in sys.argv[1:]] or list(_SIZES) if __name__ == "__main__" else list(_SIZES)
    first: dict[str, Any] | None = None
    print(
        "plan from a recorded observation, every hundredth machine differs (CPU seconds: other load does not count)"
    )
    print(
        "  machines     CPU s  (files  observation  plan  text  JSON)   peak MiB   calls  JSON KiB  time a machine"
    )
    for machines in sizes:
        found = _run(machines)
        parts = found["parts"]
        total = sum(parts.values())
        first = first or {"each": total / machines}
        print(
            f"  {machines:>8}  {total:>8.2f}  ({parts['files']:.2f}  {parts['observation']:.2f}  {parts['plan']:.2f}  "
            f"{parts['text']:.2f}  {parts['JSON']:.2f})   {found['peak']:>8.0f}   {found['calls']:>5}   "
            f"{found['bytes'] // 1024:>8}   {total / machines / first['each']:.2f} of the first"
        )


if __name__ == "__main__":
    main()
