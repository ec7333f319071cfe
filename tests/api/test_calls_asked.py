"""What is read follows from what is asked: one machine at a site with a thousand costs a handful of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.resources.desired import pool_of
from tests.api.desk import CLOSED, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.unit.plan_worlds import World

CLIENTS, EACH = 200, 5
OTHERS = CLIENTS * EACH


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with 200 clients of five machines each, which all bear the same five names, as their files want them."""
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path_factory.mktemp("large"), {"paris": fake})
        desk.sites["paris"]["networks"][0].update(
            subnet="10.0.0.0/16", gateway="10.0.0.1", range="10.0.1.0-10.0.254.255"
        )
        desk.write_sites()
        desk.write(*(_file(number) for number in range(CLIENTS)))
        world, vms = World.empty(), list[dict[str, Any]]()
        for number, item in enumerate(desk.desired()):
            world.clone(item)
            for _ in range(2):
                world.make(item, item.network.range[0] + number)
            vms.append({"vmid": 10_000 + number, "name": item.name, "status": "running", "pool": pool_of(item.client),
                        "config": world.configs[item.key]})  # fmt: skip
        fake.control("add_vms", vms=vms)
        yield desk


def _file(number: int, *more: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A client's file; ``changes`` are those of its machine m1."""
    machines = [machine(f"m{i}", **(changes if i == 1 else {})) for i in range(EACH)]
    return subscription(f"c{number}", [*machines, *more])


def _write(desk: Desk, changed: dict[str, Any] | None) -> None:
    """Write one client's file anew; the others' stay."""
    assert changed is not None
    import yaml

    path = Path(desk.folder) / "subscriptions" / f"{changed['client']}.yaml"
    path.write_text(yaml.safe_dump(changed, sort_keys=False))


def _calls(desk: Desk, *command: str, code: int = 0) -> tuple[int, int, str]:
    """Run a command. Returns how many calls it made, how many of them read machines' configurations, its output."""
    fake = desk.fakes["paris"]
    fake.control("reset_calls")
    answer = desk.run(*command)
    assert answer.code == code, answer
    calls = fake.calls(locks=True)
    read = sum(n for call, n in calls.items() if re.fullmatch(r"GET /nodes/pve1/qemu/1\d{4}/pending", call))
    print(command, sum(calls.values()), read)
    for call, n in sorted(calls.items(), key=lambda x: -x[1])[:40]:
        print("   ", n, call)
    return sum(calls.values()), read, answer.out


def test_x(large: Desk) -> None:
    _calls(large, "plan")
    _calls(large, "plan", "--only", "c3/m1")
    _calls(large, "plan", "--only", "c3")
    _calls(large, "plan", "subscriptions/c3.yaml")
    _calls(large, "show", "c3/m1")
    _write(large, _file(3, memory="2GiB"))
    _calls(large, "plan", "--only", "c3/m1")
    _calls(large, "apply", "--only", "c3/m1", "--yes", "--no-guests", "--restart-now")
    _write(large, _file(3, machine("new-1", address="10.0.200.1"), memory="2GiB"))
    _calls(large, "apply", "--only", "c3/new-1", "--yes", "--no-guests", code=0)
    _write(large, _file(3, machine("new-1", address="10.0.200.1"), machine("new-2"), memory="2GiB"))
    _calls(large, "apply", "--only", "c3/new-2", "--yes", "--no-guests", code=0)
    assert False
