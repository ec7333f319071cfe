"""Clusters in which every machine is as its file wants it, and the command run on them, timed from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.floor import Loop
from bench.nodes import Nodes
from orchestrator.resources.desired import desired_machines, pool_of
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.unit.plan_worlds import World

_PER_CLIENT = 5
_API = "/api2/json"


def node_names(count: int) -> list[str]:
    """The names of so many nodes; the first is there from the beginning."""
    return [f"pve{number + 1}" for number in range(count)]


def settled(folder: Path, fake: FakePve, machines: int, *, nodes: int = 1) -> Desk:
    """Clients of five machines each, all of them made and running, one after the other on each node."""
    names = node_names(nodes)
    if nodes > 1:
        fake.control("add_nodes", names=names[1:])
    fake.control("add_template", vmid=9000, name="debian-12")
    desk = Desk(folder, {"paris": fake})
    desk.sites["paris"]["networks"][0].update(
        subnet="10.0.0.0/16", gateway="10.0.0.1", range="10.0.1.0-10.0.254.255"
    )
    desk.write_sites()
    desk.write(
        *(
            subscription(f"c{number}", [machine(f"m{index}") for index in range(_PER_CLIENT)])
            for number in range(machines // _PER_CLIENT)
        )
    )
    provider = load_provider(folder / "sites.yaml")
    loaded = load([folder / "subscriptions"], provider)
    world = World.empty()
    vms: list[dict[str, Any]] = []
    for number, item in enumerate(
        desired_machines([item.subscription for item in loaded.subscriptions], provider)
    ):
        world.clone(item)
        for _ in range(2):
            world.make(item, item.network.range[0] + number)
        vms.append({"vmid": 10_000 + number, "name": item.name, "status": "running", "node": names[number % nodes],
                    "pool": pool_of(item.client), "config": world.configs.pop(item.key)})  # fmt: skip
    fake.control("add_vms", vms=vms)
    return desk


def point_at(desk: Desk, urls: Sequence[str]) -> None:
    """Let the site file name these addresses: the first one as the site's, all of them as those of the nodes."""
    api = desk.sites["paris"]["api"]
    api["url"] = urls[0]
    api.pop("nodes", None)
    if len(urls) > 1:
        api["nodes"] = dict(zip(node_names(len(urls)), urls, strict=True))
    desk.write_sites()


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        seconds: from its start to its end.
        cpu: seconds of the processor that it used.
        mib: its peak resident memory.
    """

    seconds: float
    cpu: float
    mib: float


def run(desk: Desk, *arguments: str) -> Run:
    """Run the command as a user would, to its end; it must do what it is asked."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.launch", sys.executable, "-m", "orchestrator", *arguments],
        cwd=desk.folder,
        env={**os.environ, "ORCHESTRATOR_INVENTORY": str(desk.folder / "sites.yaml"),
             "XDG_STATE_HOME": str(desk.folder / "state"), "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    took = json.loads(done.stdout)
    assert took["code"] == 0, took["text"]
    return Run(took["seconds"], took["cpu"], took["mib"])


def loops_of(nodes: Nodes, at_once: int = 2) -> list[Loop]:
    """The reads of the command that ran last, shared between the connections that it may have: two an address."""
    loops = []
    for url, calls in zip(nodes.urls, nodes.calls(), strict=True):
        paths = [call.partition(" ")[2] for call in calls if call.startswith("GET ")]
        loops += [(url, paths[start::at_once]) for start in range(at_once) if paths[start::at_once]]
    return loops
