"""What the program promises a kind of thing that a client has at a site: a made-up one, with several things each.

Its things are kept as pools ``net-CLIENT-NAME``, their subnet as the pool's comment, because the model keeps those.
What files ask is given by the tests. Nothing but the list of kinds is told of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.show import show_machines
from orchestrator.operations.apply import Applied, ApplyRequest, apply
from orchestrator.planning.document import to_document
from orchestrator.planning.review import render_html, render_markdown
from orchestrator.planning.text import render_plan
from orchestrator.proxmox import Cluster, ClusterState, Need
from orchestrator.proxmox.pools import read_pools
from orchestrator.resources import kinds
from orchestrator.resources.change import Asked, Change, ChangeClass, Effect, Judged
from orchestrator.resources.desired import DesiredClient, DesiredMachine
from orchestrator.resources.kind import Call, ClientKind, ResourceKind, Step
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.pool import POOL
from orchestrator.resources.redundancy import REDUNDANCY
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

COMMITS = "net-active"


class Networks(ClientKind[Mapping[str, str]]):
    """Private networks, named in files; what is in use is not removed."""

    name = "network"
    where = "Datacenter > Permissions > Pools"
    needs = (Need(privilege="SDN.Allocate", path="/sdn", features=("private networks",)),)

    def __init__(self) -> None:
        self.files: dict[str, dict[str, str]] = {}
        self.used: dict[str, tuple[str, ...]] = {}
        self.busy: set[str] = set()

    def asked(self, client: DesiredClient) -> tuple[str, ...]:
        return tuple(self.files.get(client.client, ()))

    def uses(self, desired: DesiredMachine) -> tuple[str, ...]:
        return self.used.get(desired.name, ())

    def concerns(self, client: DesiredClient) -> bool:
        return True

    def read(
        self, cluster: Cluster, state: ClusterState, clients: Sequence[DesiredClient]
    ) -> Mapping[str, str]:
        return {name: comment for name, comment in read_pools(cluster).items() if name.startswith("net-")}

    def steps(self, client: DesiredClient, found: Mapping[str, str]) -> list[Step]:
        ours = f"net-{client.client}-"
        there = {name.removeprefix(ours): subnet for name, subnet in found.items() if name.startswith(ours)}
        asked = self.files.get(client.client, {})
        made = [self._step(ours, name, there.get(name), subnet) for name, subnet in asked.items()]
        waiting: list[Step] = []
        if found.get(COMMITS) == "0":  # made by a run that did not come to activate it
            changes = [replace(step.change, before=None) for step in made if step.change.before]
            waiting = [Step(change=change) for change in changes]
        gone = [self._step(ours, name, subnet, None) for name, subnet in there.items() if name not in asked]
        return [step for step in (*made, *gone) if step.change.before != step.change.after] + waiting

    def _step(self, ours: str, name: str, before: str | None, after: str | None) -> Step:
        effect = Effect.CREATE if before is None else Effect.UPDATE
        change = Change(
            effect=effect, what=self.name, thing=self.name, part=name, before=before, after=after,
            erases=after is None, why="it is in no file any more" if after is None else None,
        )  # fmt: skip
        if after is None:
            call = Call(action="remove network", method="DELETE", path=f"/pools/{ours}{name}")
        elif before is None:
            params: dict[str, str | int | float] = {"poolid": f"{ours}{name}", "comment": after}
            call = Call(action="create network", method="POST", path="/pools", params=params)
        else:
            path = f"/pools/{ours}{name}"
            call = Call(action="change network", method="PUT", path=path, params={"comment": after})
        return Step(change=change, calls=(call,), last=after is None)

    def shown(self, client: str, found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        ours = f"net-{client}-"
        yield from (
            (name.removeprefix(ours), subnet) for name, subnet in found.items() if name.startswith(ours)
        )

    def objection(self, change: Change, found: Mapping[str, str]) -> str:
        return f"{change.part} is still in use" if change.after is None and change.part in self.busy else ""

    def commit(self, found: Mapping[str, str]) -> Sequence[Call]:
        count = int(found.get(COMMITS, "0").split(":")[0]) + 1
        params: dict[str, str | int | float] = {"comment": str(count)}
        return (Call(action="activate networks", method="PUT", path=f"/pools/{COMMITS}", params=params),)


class Licences(ResourceKind[Asked]):
    """Licences of a machine: noted in its mark, nothing is called for them."""

    name = "licence"
    where = "its notes"
    changes = ("licence",)
    judged = Judged(ChangeClass.STANDARD, "an option of the subscription")

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def asked(self, desired: DesiredMachine) -> Asked:
        return {"product": self.files[desired.name]} if desired.name in self.files else {}

    def words(self, asked: Asked) -> str:
        return f"licence {asked['product']}"

    def concerns(self, machine: ObservedMachine, desired: DesiredMachine | None) -> bool:
        return True

    def read(
        self,
        cluster: Cluster,
        state: ClusterState,
        machines: Sequence[tuple[ObservedMachine, DesiredMachine | None]],
    ) -> Mapping[int, Asked]:
        marks = {machine.summary.vmid: machine.mark for machine, _ in machines}
        return {
            vmid: mark.applied.kinds.get(self.name, {}) if mark and mark.applied else {}
            for vmid, mark in marks.items()
        }

    def steps(self, desired: DesiredMachine | None, observed: ObservedMachine, found: Asked) -> list[Step]:
        asked = self.asked(desired) if desired else found
        if asked == found:
            return []
        change = Change(effect=Effect.UPDATE, what=self.name, before=found or None, after=asked or None)
        return [Step(change=change)]


def list_kinds(monkeypatch: pytest.MonkeyPatch, table: str, kinds: tuple[object, ...]) -> None:
    """Put other kinds into one of the lists, wherever it is known."""
    for name, module in list(sys.modules.items()):
        if name.startswith("orchestrator.") and hasattr(module, table):
            monkeypatch.setattr(module, table, kinds)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    """The kind, listed after the pool."""
    kind = Networks()
    list_kinds(monkeypatch, "CLIENT_KINDS", (POOL, kind))
    return kind


class Applying:
    """Applies in this process: the made-up kind is known nowhere else."""

    def __init__(self, desk: Desk, networks: Networks, fake: FakePve) -> None:
        self.desk = desk
        self.networks = networks
        self.fake = fake
        fake.cluster().post("/pools", poolid=COMMITS, comment="0")

    def __call__(self, *, agree: bool = True, **options: Any) -> Applied:
        request = ApplyRequest(
            inventory=str(self.desk.folder / "sites.yaml"), paths=(self.desk.folder / "subscriptions",),
            leave_guests=True, **options,
        )  # fmt: skip
        return apply(request, show=lambda plan: None, agree=lambda: agree)

    @property
    def there(self) -> dict[str, str]:
        """The networks that there are, with their subnets."""
        pools = read_pools(self.fake.cluster())
        return {name.removeprefix("net-"): text for name, text in pools.items() if name.startswith("net-")}


@pytest.fixture
def applying(
    desk: Desk, networks: Networks, fakepve: FakePve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Applying]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    desk.write(subscription("dupont", [machine("web-1")]), subscription("martin", [machine("db-1")]))
    yield Applying(desk, networks, fakepve)


def test_things_of_clients_are_made_before_machines_and_activated_once(applying: Applying) -> None:
    kind = applying.networks
    kind.files = {
        "dupont": {"front": "10.20.0.0/24", "back": "10.20.1.0/24"},
        "martin": {"front": "10.20.0.0/24"},
    }
    kind.used = {"web-1": ("front",)}
    made = applying()
    assert made.well, made.outcomes
    assert {(item.client, item.machine) for item in made.outcomes or ()} == {
        ("dupont", "network/front"), ("dupont", "network/back"), ("martin", "network/front"),
        ("dupont", "web-1"), ("martin", "db-1"),
    }  # fmt: skip
    assert applying.there == {
        "dupont-front": "10.20.0.0/24", "dupont-back": "10.20.1.0/24", "martin-front": "10.20.0.0/24",
        "active": "1",
    }  # fmt: skip
    assert not applying().plan.shared, "what was applied is as the files ask"


def test_the_plan_says_so_on_every_face(applying: Applying) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24"}}
    plan = applying(agree=False).plan
    text = "\n".join(line.plain for line in render_plan(plan))
    assert "+ network front   10.20.0.0/24" in text and "1 shared" in text
    document = to_document(plan)
    (item,) = [item for item in document.items if item.kind == "network"]
    assert (item.address, item.site, item.changes[0].after) == (
        "dupont/network/front",
        "paris",
        "10.20.0.0/24",
    )
    for page in (render_markdown(document), render_html(document)):
        assert "dupont/network/front" in page and "1 shared" in page


def test_one_thing_is_applied_alone_by_its_address(applying: Applying) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24", "back": "10.20.1.0/24"}}
    made = applying(only="dupont/network/back")
    assert [(item.client, item.machine) for item in made.outcomes or ()] == [("dupont", "network/back")]
    assert "dupont-back" in applying.there and "dupont-front" not in applying.there
    assert not applying.desk.machines()


def test_a_machine_brings_what_it_uses_and_no_more(applying: Applying) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24", "back": "10.20.1.0/24"}}
    applying.networks.used = {"web-1": ("front",)}
    assert applying(only="dupont/web-1").well
    assert "dupont-front" in applying.there and "dupont-back" not in applying.there


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_answer_that_is_lost_is_answered_by_looking(applying: Applying, method: str) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24"}}
    applying.fake.fault(method, "/pools(/net-active)?", "reset", after=True)
    made = applying(only="dupont/network/front")
    assert made.well and applying.there == {"dupont-front": "10.20.0.0/24", "active": "1"}


def test_what_was_made_and_not_activated_is_activated_by_the_next_run(applying: Applying) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24"}}
    applying.fake.fault("PUT", "/pools/net-active", "error", status=400, text="not now")
    made = applying(only="dupont/network/front")
    (outcome,) = made.outcomes or ()
    assert outcome.result == "failed" and "not now" in outcome.message
    assert applying.there == {"dupont-front": "10.20.0.0/24", "active": "0"}
    assert applying(only="dupont/network/front").well and applying.there["active"] == "1"


def test_show_tells_what_a_client_has(applying: Applying, capsys: pytest.CaptureFixture[str]) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24"}, "martin": {"front": "10.20.0.0/24"}}
    applying()
    show_machines("dupont", str(applying.desk.folder / "sites.yaml"), None)
    said = capsys.readouterr().out
    assert "dupont/network/front   10.20.0.0/24" in said and "martin/" not in said


def test_what_goes_goes_after_the_machines_if_it_was_allowed_and_nothing_uses_it(applying: Applying) -> None:
    kind = applying.networks
    kind.files = {"dupont": {"front": "10.20.0.0/24", "back": "10.20.1.0/24"}}
    applying()
    kind.files = {"dupont": {"front": "10.20.0.0/24"}}
    with pytest.raises(Exception, match="--allow erase:dupont/network/back"):
        applying()
    assert "dupont-back" in applying.there
    kind.busy = {"back"}
    kept = applying(allow=("erase:dupont/network/back",))
    told = {item.machine: (item.result, item.message) for item in kept.outcomes or ()}
    assert told["network/back"] == ("failed", "back is still in use")
    kind.busy = set()
    assert applying(allow=("erase:dupont/network/back",)).well
    assert set(applying.there) == {"dupont-front", "active"}


def test_what_cannot_be_made_keeps_only_those_machines_that_use_it(applying: Applying) -> None:
    kind = applying.networks
    kind.files = {"dupont": {"no such name": "10.20.0.0/24"}, "martin": {"front": "10.20.0.0/24"}}
    kind.used = {"web-1": ("no such name",)}
    applying.desk.write(
        subscription("dupont", [machine("web-1"), machine("web-2")]),
        subscription("martin", [machine("db-1")]),
    )
    made = applying()
    results = {(item.client, item.machine): item.result for item in made.outcomes or ()}
    assert results == {
        ("dupont", "network/no such name"): "failed", ("dupont", "web-1"): "failed", ("dupont", "web-2"): "partly",
        ("martin", "network/front"): "done", ("martin", "db-1"): "partly",
    }  # fmt: skip
    kind.files["dupont"], kind.used = {"front": "10.20.0.0/24"}, {"web-1": ("front",)}
    assert applying().well, "the next run goes on from there"


def test_a_kind_that_cannot_be_read_is_told_and_the_rest_goes_on(
    applying: Applying, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = applying.networks
    kind.files = {"dupont": {"front": "10.20.0.0/24"}}
    kind.used = {"web-1": ("front",)}
    from orchestrator.proxmox import ServerError

    def read(*_: Any) -> Mapping[str, str]:
        raise ServerError("the list is broken", site="paris", call="GET /cluster/sdn/vnets")

    monkeypatch.setattr(kind, "read", read)
    made = applying()
    results = {(item.client, item.machine): item.result for item in made.outcomes or ()}
    assert results[("dupont", "network/*")] == "refused"
    assert (results[("dupont", "web-1")], results[("martin", "db-1")]) == ("failed", "partly")
    assert made.plan.has_errors and not made.well


def test_its_privileges_are_needed_where_a_file_asks_for_it(applying: Applying) -> None:
    desired = applying.desk.desired()
    assert not [need for need in kinds.needs_of_kinds(desired) if need.path == "/sdn"]
    applying.networks.files = {"martin": {"front": "10.20.0.0/24"}}
    assert [need.privilege for need in kinds.needs_of_kinds(desired) if need.path == "/sdn"] == [
        "SDN.Allocate"
    ]


def test_a_client_that_is_suspended_keeps_what_it_has(applying: Applying) -> None:
    applying.networks.files = {"dupont": {"front": "10.20.0.0/24"}}
    applying()
    applying.networks.files = {}
    (gone,) = applying(agree=False, only="dupont", allow=("erase:dupont/network/front",)).plan.shared
    assert gone.last
    contract = {
        "reference": "C-dupont", "starts": "2026-03-01", "site": "paris",
        "status": "suspended", "suspension": {"since": "2026-04-01", "reference": "LRAR-7"},
    }  # fmt: skip
    applying.desk.write(subscription("dupont", [machine("web-1")], contract=contract))
    assert not applying(agree=False).plan.shared


def test_what_a_machine_has_by_contract_alone_is_noted_in_its_mark(
    applying: Applying, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Licences()
    list_kinds(monkeypatch, "KINDS", (REDUNDANCY, kind))
    list_kinds(monkeypatch, "APART", (*kinds.APART, kind.name))
    list_kinds(monkeypatch, "EVERY_THING", (*kinds.EVERY_THING, kind.name))
    kind.files = {"web-1": "windows-server-2025"}
    assert "licence windows-server-2025" in _text(applying(only="dupont"))
    applying.desk.put_in_service(firewall=True)
    assert not applying(only="dupont").plan.has_changes
    kind.files = {"web-1": "windows-server-2022"}
    changed = applying(only="dupont/licence/web-1")
    (item,) = to_document(changed.plan).items
    assert (item.address, item.changes[0].before, item.changes[0].after) == (
        "dupont/licence/web-1", {"product": "windows-server-2025"}, {"product": "windows-server-2022"},
    )  # fmt: skip
    assert not applying(only="dupont").plan.has_changes, "the mark has it"
    kind.files = {}
    assert applying(only="dupont").well and not applying(only="dupont").plan.has_changes


def _text(applied: Applied) -> str:
    return "\n".join(line.plain for line in render_plan(applied.plan))
