"""Thousands of odd marks and configurations of one machine: no traceback, and nobody else's plan is another."""

from __future__ import annotations

import copy
import json
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.operations import preparing
from orchestrator.planning.document import to_document
from orchestrator.planning.review import render_markdown
from orchestrator.planning.text import render_plan
from orchestrator.proxmox import NotFound
from orchestrator.resources.desired import desired_machines
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import HOST_KEY, Desk, machine, subscription

MUTATIONS = 600
"""Of each kind."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1e20, -0.5, 2**63, 10**400, float("nan"), float("inf"), "", " ", "soon", "²", "٣",
    "1" * 5000, "\r\n", "\x1b[31m", "\u2028", "--", "-->", "<!--", "{{ 7*7 }}", "192.0.2.300", "2026-02-30", "scsi99",
    [], {}, [[]], {"x": 1}, ["x"], [None], {"": ""}, "a" * 9000, "ip=192.0.2.300/24", "ip=::1/64", "size=4X", ",,,",
    "local:1/x,size=-4G", "local:1/x,size=1e9G", "order=", "current=", "=", "=,=", "0", "none", "local:",
)  # fmt: skip


class Recorded:
    """A cluster that answers as it did once, but for what is changed."""

    def __init__(self, cluster: Any) -> None:
        self.site = cluster.site
        self.token_id = cluster.token_id
        self.bulk_reader = None
        self._cluster = cluster
        self._answers: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}

    def address_of(self, node: str) -> str:
        return str(self._cluster.address_of(node))

    def hand_over(self) -> None:
        """There is no connection."""

    def get(self, path: str, *, params: Any = None, **more: Any) -> Any:
        key = json.dumps([path, params, more], sort_keys=True)
        if path in self.changed:
            return copy.deepcopy(self.changed[path])
        if key not in self._answers:
            try:
                self._answers[key] = self._cluster.get(path, params=params, **more)
            except NotFound as error:
                self._answers[key] = error
        if isinstance(self._answers[key], NotFound):
            raise self._answers[key]
        return copy.deepcopy(self._answers[key])

    def get_later(self, path: str) -> Any:
        answer = self.get(path)
        return lambda: answer


class World:
    """A site of two clients with machines in service, and what its files ask for."""

    def __init__(self, desk: Desk) -> None:
        named = [
            machine("web-1", address="203.0.113.10"),
            machine("db-1"),
            machine("new-1", address="203.0.113.90"),
        ]
        desk.write(subscription("dupont", named[:2]), subscription("martin", [machine("shop-1")]))
        assert desk.apply().code == 0
        desk.put_in_service(firewall=True, host_keys=(HOST_KEY,))
        fake = desk.fakes["paris"]
        fake.add_vms(1, first=500, config={"ipconfig0": "ip=203.0.113.50/24"})
        # Machines are made side by side: which of them has the lowest number is not ours to choose.
        self.vmid = next(vm["vmid"] for vm in desk.machines().values() if vm["name"] == "web-1")
        self.victim = f"/nodes/pve1/qemu/{self.vmid}/pending"
        fake.add_snapshot(self.vmid, "before", snaptime=1_790_000_000)
        desk.write(subscription("dupont", named), subscription("martin", [machine("shop-1", memory="2GiB")]))
        self.provider = load_provider(desk.folder / "sites.yaml")
        loaded = load([desk.folder / "subscriptions"], self.provider)
        self.desired = desired_machines([item.subscription for item in loaded.subscriptions], self.provider)
        self.cluster = Recorded(fake.cluster())
        self.sound = self.others(self.plan())
        assert self.sound["martin/shop-1"]["changes"] and not self.sound["dupont/new-1"]["refused"]
        self.entries = self.cluster.get(self.victim)

    def plan(self) -> Any:
        asked = preparing.Wanted(provider=self.provider, desired=self.desired)
        plan = preparing.prepare(asked, {"paris": self.cluster}, {}).plan  # type: ignore[dict-item]
        document = to_document(plan)
        assert list(render_plan(plan)) and render_markdown(document)
        return json.loads(document.model_dump_json())

    @staticmethod
    def others(document: Any) -> dict[str, Any]:
        return {
            f"{item['client']}/{item['machine']}": item
            for item in document["machines"]
            if (item["client"], item["machine"]) != ("dupont", "web-1")
        }

    def check(self, entries: Any, what: Any) -> bool:
        """Plan with another answer about the victim; return whether it could be read."""
        self.cluster.changed = {self.victim: entries}
        document = self.plan()
        assert self.others(document) == self.sound, what
        assert not document["failures"], what
        (found,) = [item for item in document["machines"] if item["machine"] == "web-1"]
        assert not any(
            change["kind"] in ("create", "retire") or change["erases"] for change in found["changes"]
        ), what
        unread = [item for item in document["unreadable"] if item["vmid"] == self.vmid]
        assert bool(unread) is (found["digest"] is None), what
        if unread:
            assert found["refused"] and unread[0]["reason"] in found["changes"][0]["why"], what
        return not unread


@pytest.fixture
def world(desk: Desk) -> World:
    return World(desk)


def _described(entries: list[dict[str, Any]], text: Any) -> list[dict[str, Any]]:
    return [{**entry, "value": text} if entry["key"] == "description" else entry for entry in entries]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _places(value[index], (*path, index))


def _with(value: Any, path: tuple[Any, ...], new: Any, *, drop: bool) -> Any:
    if not path:
        return new
    made = copy.copy(value)
    if drop and len(path) == 1:
        del made[path[0]]
    else:
        made[path[0]] = _with(made[path[0]], path[1:], new, drop=drop)
    return made


def test_odd_marks_are_their_machines_alone(world: World) -> None:
    """Every field of a full mark is each odd value once, at least; and texts that only look like a mark."""
    (notes,) = [entry["value"] for entry in world.entries if entry["key"] == "description"]
    before, _, rest = notes.partition("<!-- orchestrator ")
    text, _, after = rest.partition(" -->")
    mark = json.loads(text)
    mark["update"] = {
        "state": "held",
        "since": "2026-09-21T14:13:20Z",
        "snapshot": "s1",
        "reason": "x",
        "packages": ["a 1"],
    }
    mark |= {"snapshots": {"s1": "2026-03-01"}, "tested": "2026-03-01", "restart_due": 1_790_000_000}
    assert world.check(_described(world.entries, f"{before}<!-- orchestrator {json.dumps(mark)} -->"), "full")
    read = 0
    places = [path for path in _places(mark) if path]
    for path in places:
        for odd in ODD:
            for drop in (False, *([True] if odd is None else [])):
                changed = _with(mark, path, odd, drop=drop)
                try:
                    told = f"{before}<!-- orchestrator {json.dumps(changed)} -->{after}"
                except ValueError:
                    continue
                read += world.check(_described(world.entries, told), (path, odd, drop))
    assert 0 < read < len(places) * len(ODD) / 4, "most of them are no marks"
    deep = "[" * 20_000 + "]" * 20_000
    whole = f"<!-- orchestrator {text} -->"
    for odd_text in (whole * 2, whole[:-4], whole[:200], f"<!-- orchestrator {deep} -->", "<!-- orchestrator {} -->",
                     f'<!-- orchestrator {{"v":1,"x":{deep}}} -->', whole.replace('"v"', '"v":1,"v"'), "x" * 300_000,
                     "<!-- orchestrator {" * 5000, ""):  # fmt: skip
        assert not world.check(_described(world.entries, odd_text), odd_text[:300])


def test_notes_with_any_character_changed_are_their_machines_alone(world: World) -> None:
    chance = random.Random(20)
    (notes,) = [entry["value"] for entry in world.entries if entry["key"] == "description"]
    for _ in range(MUTATIONS):
        place = chance.randrange(len(notes))
        new = chance.choice(string.printable + '"{}[]<>-\\\x00²') * chance.choice((0, 1, 1, 3))
        told = notes[:place] + new + notes[place + chance.choice((0, 1, 1, 40)) :]
        world.check(_described(world.entries, told), told)


def test_odd_configurations_are_their_machines_alone(world: World) -> None:
    chance = random.Random(21)
    usual = [entry["key"] for entry in world.entries if entry["key"] not in ("description", "tags", "digest")]
    keys = [*usual, "scsi0", "scsi5", "virtio1", "ide2", "ipconfig0", "ipconfig1", "net0", "boot", "memory", "cores",
            "sockets", "agent", "sshkeys", "efidisk0", "unused0", "lock", "parent"]  # fmt: skip
    for _ in range(MUTATIONS):
        key, odd = chance.choice(keys), chance.choice(ODD)
        rest = [entry for entry in world.entries if entry["key"] != key]
        side = chance.choice(("value", "value", "pending", "delete"))
        entries = (
            [*rest, {"key": key, side: 1 if side == "delete" else odd}] if chance.random() < 0.9 else rest
        )
        world.check(entries, (key, side, odd))
