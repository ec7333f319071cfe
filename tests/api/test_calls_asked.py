"""What is read follows from what is asked: one machine at a site with a thousand costs a handful of calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml

from orchestrator.resources.desired import pool_of
from orchestrator.resources.notes import read_mark, write_mark
from orchestrator.resources.reading_ahead import ReadingAhead
from tests.api.desk import Answer, Desk, machine, subscription
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
        for number in range(CLIENTS):
            _write(desk, number)
        world, vms = World.empty(), list[dict[str, Any]]()
        for number, item in enumerate(desk.desired()):
            world.clone(item)
            for _ in range(2):
                world.make(item, item.network.range[0] + number)
            config, vmid = world.configs[item.key], 10_000 + number
            mark = read_mark(config["description"])
            assert mark is not None
            config["description"] = write_mark(mark.with_(vmid=vmid), config["description"])
            vms.append({"vmid": vmid, "name": item.name, "status": "running", "pool": pool_of(item.client),
                        "config": config})  # fmt: skip
        fake.control("add_vms", vms=vms)
        yield desk


def _write(desk: Desk, number: int, *more: dict[str, Any], **changes: Any) -> None:
    """Write one client's file: its five machines, m1 with ``changes``, and more of them."""
    machines = [machine(f"m{i}", **(changes if i == 1 else {})) for i in range(EACH)]
    path = desk.folder / "subscriptions" / f"c{number}.yaml"
    path.write_text(yaml.safe_dump(subscription(f"c{number}", [*machines, *more]), sort_keys=False))


def _calls(desk: Desk, *command: str, code: int = 0) -> tuple[int, int, Answer]:
    """Run a command. Return how many reads of the thousand machines' configurations and how many other calls it made,
    and its answer.
    """
    fake = desk.fakes["paris"]
    fake.control("reset_calls")
    answer = desk.run(*command)
    assert answer.code == code, answer
    calls = fake.calls(locks=True)
    read = sum(n for call, n in calls.items() if re.fullmatch(r"GET /nodes/pve1/qemu/1\d{4}/pending", call))
    return read, sum(calls.values()) - read, answer


def test_plans_of_one_client_or_machine_read_nothing_of_the_others(large: Desk) -> None:
    everything, lists, _ = _calls(large, "plan")
    assert (everything, lists) == (OTHERS, 4)
    assert _calls(large, "plan", "--only", "c3/m1")[:2] == (1, 4)
    for command in (("plan", "--only", "c3"), ("plan", "subscriptions/c3.yaml"), ("show", "c3/m1")):
        assert _calls(large, *command)[:2] == (EACH, 4), command
    read, others, _ = _calls(large, "snapshot", "create", "c4/m1", "before")
    assert read + others <= 30
    read, others, _ = _calls(large, "snapshot", "list", "c4/m1")
    assert read + others <= EACH + 6

    loaded = large.run("plan", "--only", "c3/m1", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert loaded.code == 0 and "orchestrator.planning.plan" in loaded.err
    assert not re.search(r"\| +(sqlalchemy|ansible)\b", loaded.err), "nobody asks them for anything"

    # What somebody renamed is found among the client's machines, and one that is not is looked for everywhere.
    fake, only = large.fakes["paris"], ("plan", "--only", "c5/m1", "--format", "json")
    number = json.loads(large.run(*only).out)["machines"][0]["vmid"]
    for change, expected in (
        ({"name": "renamed"}, 1),
        ({"name": "m2"}, 2),  # those of one name
        ({"name": "m1", "tags": "orchestrator;client-c6"}, OTHERS),
    ):
        fake.control("set_config", vmid=number, **change)
        lost = expected == OTHERS
        read, lists, answer = _calls(large, *only, code=int(lost))
        (planned,) = json.loads(answer.out)["machines"]
        assert (read, planned["vmid"], planned["refused"]) == (expected, number, lost)
        assert lists <= (6 if lost else 4)
    fake.control("set_config", vmid=number, tags="orchestrator;client-c5")


def test_what_is_read_while_the_files_are_is_only_a_guess(large: Desk) -> None:
    """A glance at the files says whose machines they are about: a wrong one changes no plan, and costs no call."""
    path, before = large.folder / "subscriptions" / "c8.yaml", _calls(large, "plan", "--only", "c8")
    assert before[:2] == (EACH, 4)
    path.write_text(json.dumps(yaml.safe_load(path.read_text())))  # no such line in it
    assert _calls(large, "plan", "subscriptions/c8.yaml")[:2] == (EACH, 4)
    after = _calls(large, "plan", "--only", "c8")
    assert (after[:2], after[2].out) == (before[:2], before[2].out)
    _write(large, 8)

    fake = large.fakes["paris"]
    fake.control("reset_calls")
    everybody = {f"c{number}" for number in range(CLIENTS)}
    with closing(fake.cluster()) as cluster, ReadingAhead({"paris": cluster}) as ahead:
        ahead.read(everybody)  # the files were wrong
    assert sum(fake.calls().values()) < OTHERS / 2, "nobody wants the rest"


def test_applying_to_one_machine_reads_the_others_only_where_an_address_is_given(large: Desk) -> None:
    apply = ("apply", "--yes", "--no-guests", "--restart-now", "--only")
    _write(large, 7, memory="2GiB")
    read, others, answer = _calls(large, *apply, "c7/m1")
    assert read + others <= 30 and "reboot" in answer.out, (read, others)
    assert _calls(large, "plan", "--only", "c7/m1")[:2] == (1, 4)

    new = machine("new-1", address="10.0.200.1"), machine("new-2")
    _write(large, 7, *new, memory="2GiB")
    read, others, _ = _calls(large, *apply, "c7")
    assert others <= 2 * 40 and read <= 2 * OTHERS, "once to plan, once when the addresses are locked"
    # One call more: its state is asked of its node while the list still shows what was before it was started.
    assert _calls(large, "plan", "--only", "c7/new-2")[:2] in ((0, 4 + 1), (0, 4 + 2))
    assert _calls(large, "plan", "--only", "c7")[:2] in ((EACH, 4 + 2), (EACH, 4 + 3))
