"""Several addresses of one cluster: who is asked where, and what happens when one of them is off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.proxmox import (
    Cluster,
    ProxmoxError,
    TlsRefused,
    Uncertain,
    Unreachable,
    read_vm,
    side_by_side,
)
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import IMPATIENT, FakePve

TIME = "/nodes/{}/time"
LISTING = "GET /nodes"


class Nodes:
    """A cluster of three nodes, each with an API address of its own; ``pve1`` has that of the site."""

    def __init__(self, fake: FakePve) -> None:
        fake.control("add_nodes", names=["pve2", "pve3"])
        self.fake = fake
        self.urls = {"pve1": fake.url, **{name: fake.control("add_address") for name in ("pve2", "pve3")}}

    def cluster(self, **options: object) -> Cluster:
        return self.fake.cluster(nodes=self.urls, **options)

    def off(self, *names: str) -> None:
        for name in names:
            self.fake.control("address", url=self.urls[name], listening=False)

    def on(self, name: str) -> None:
        self.fake.control("address", url=self.urls[name], listening=True)

    def calls(self) -> dict[str, dict[str, int]]:
        """What was asked where, but for which cluster it is."""
        asked = {name: self.fake.control("calls_at", url=url) for name, url in self.urls.items()}
        return {
            name: {call: n for call, n in calls.items() if call != LISTING} for name, calls in asked.items()
        }

    def listings(self) -> dict[str, int]:
        """How often each was asked which cluster it is."""
        asked = {name: self.fake.control("calls_at", url=url) for name, url in self.urls.items()}
        return {name: calls.get(LISTING, 0) for name, calls in asked.items()}


@pytest.fixture
def nodes(fakepve: FakePve) -> Nodes:
    return Nodes(fakepve)


def test_a_node_is_asked_at_its_own_address_and_all_else_at_the_sites(nodes: Nodes) -> None:
    cluster = nodes.cluster()
    for name in [*nodes.urls, *nodes.urls]:
        cluster.get(TIME.format(name))
    cluster.get("/version")
    cluster.post("/pools", poolid="client-dupont")
    assert nodes.listings() == {"pve1": 1, "pve2": 1, "pve3": 1}
    assert nodes.calls() == {
        "pve1": {"GET /nodes/pve1/time": 2, "GET /version": 1, "POST /pools": 1},
        "pve2": {"GET /nodes/pve2/time": 2},
        "pve3": {"GET /nodes/pve3/time": 2},
    }


def test_an_address_that_is_off_is_stood_in_for_and_not_tried_at_every_call(nodes: Nodes) -> None:
    cluster = nodes.cluster()
    nodes.off("pve2")
    for _ in range(3):
        cluster.get(TIME.format("pve2"))
    assert nodes.calls()["pve1"] == {"GET /nodes/pve2/time": 3}
    assert cluster.calls == {"GET": 4}  # one was refused


def test_when_the_sites_address_is_off_the_nodes_serve_reads_and_writes(nodes: Nodes) -> None:
    cluster = nodes.cluster()
    nodes.off("pve1")
    assert cluster.get("/version")["version"]
    cluster.post("/pools", poolid="client-dupont")
    assert set(nodes.fake.dump()["pools"]) == {"client-dupont"}
    assert nodes.calls()["pve2"] == {"GET /version": 1, "POST /pools": 1}
    nodes.off("pve2", "pve3")
    fresh = nodes.cluster()
    with pytest.raises(Unreachable, match="no connection: Connection refused") as caught:
        fresh.get("/version")
    assert nodes.urls["pve1"] in caught.value.text
    nodes.on("pve1")
    assert fresh.get("/version")["version"]


def test_a_write_that_may_have_arrived_is_not_sent_to_another_address(nodes: Nodes) -> None:
    nodes.fake.fault("POST", "/pools", "reset", after=True)
    with pytest.raises(Uncertain):
        nodes.cluster().post("/pools", poolid="client-dupont")
    assert nodes.fake.calls("POST") == {"POST /pools": 1}


def test_a_read_that_broke_off_is_made_at_another_address(nodes: Nodes) -> None:
    nodes.fake.fault("GET", "/version", "reset")
    assert nodes.cluster().get("/version")["version"]
    assert nodes.calls()["pve2"] == {"GET /version": 1}


def test_whom_nobody_trusts_is_not_asked(nodes: Nodes, tmp_path: Path) -> None:
    with FakePve() as other:
        stranger = other.ca_file.parent
        shown = [str(stranger / "server.pem"), str(stranger / "server.key")]
        elsewhere = nodes.fake.control("add_address", certificate=shown)
        cluster = nodes.fake.cluster(nodes={"pve2": elsewhere})
        assert cluster.get(TIME.format("pve2"))["time"]
        assert nodes.fake.control("calls_at", url=elsewhere) == {}
        with pytest.raises(TlsRefused, match="its certificate is not trusted"):
            nodes.fake.cluster(url=elsewhere, nodes=nodes.urls).get("/version")
        assert nodes.fake.control("calls_at", url=elsewhere) == {}


@pytest.fixture
def copied(nodes: Nodes) -> Iterator[FakePve]:
    """Another cluster that the same token opens, and whose certificate is trusted; its nodes have the same names."""
    shown = [str(nodes.fake.ca_file.parent / name) for name in ("server.pem", "server.key")]
    with FakePve() as other:
        other.control("know_token", token_id=nodes.fake.token_id, secret=nodes.fake.token_secret)
        other.control("add_nodes", names=["pve2", "pve3"])
        other.url = other.control("add_address", certificate=shown)
        yield other


def _asked(other: FakePve) -> set[str]:
    calls: dict[str, int] = other.control("calls_at", url=other.url)
    return set(calls)


def test_another_cluster_is_asked_nothing_and_changed_in_nothing(nodes: Nodes, copied: FakePve) -> None:
    cluster = nodes.fake.cluster(nodes={**nodes.urls, "pve2": copied.url}, patience=IMPATIENT)
    assert cluster.get(TIME.format("pve2"))["time"]
    cluster.post("/nodes/pve2/qemu", vmid=500)
    assert nodes.calls()["pve1"] == {"GET /nodes/pve2/time": 1, "POST /nodes/pve2/qemu": 1}
    nodes.off("pve1", "pve3")
    nodes.fake.control("drop_connections")
    with pytest.raises(Unreachable):
        cluster.get("/version")
    assert _asked(copied) == {LISTING}


def test_while_the_sites_address_is_off_those_that_agree_with_each_other_serve(
    nodes: Nodes, copied: FakePve
) -> None:
    nodes.off("pve1")
    cluster = nodes.fake.cluster(nodes={**nodes.urls, "pve9": copied.url}, patience=IMPATIENT)
    cluster.post("/pools", poolid="client-dupont")
    for name in ("pve2", "pve3", "pve9"):
        cluster.get(TIME.format(name if name != "pve9" else "pve3"))
    with pytest.raises(ProxmoxError):
        cluster.get(TIME.format("pve9"))
    assert _asked(copied) == {LISTING}


def test_a_node_that_was_taken_out_of_the_cluster_does_not_stand_in_for_it(
    nodes: Nodes, copied: FakePve
) -> None:
    """It has only itself; that the site file names it does not count."""
    nodes.off("pve1")
    alone = nodes.fake.cluster(nodes={"pve3": copied.url}, patience=IMPATIENT)
    with pytest.raises(Unreachable):
        alone.post("/pools", poolid="client-dupont")
    assert _asked(copied) == {LISTING}


def test_a_node_that_joins_meanwhile_makes_no_stranger_of_an_address(nodes: Nodes) -> None:
    cluster = nodes.cluster()
    cluster.get(TIME.format("pve2"))
    nodes.fake.control("add_nodes", names=["pve4"])
    cluster.get(TIME.format("pve3"))
    assert nodes.calls()["pve3"] == {"GET /nodes/pve3/time": 1}


def test_doctor_names_an_address_of_another_cluster(nodes: Nodes, copied: FakePve, desk: Desk) -> None:
    desk.sites["paris"]["api"]["nodes"] = {**nodes.urls, "pve2": copied.url}
    desk.write_sites()
    examined = json.loads(desk.run("doctor", "--format", "json").out)
    (found,) = (item for item in examined["findings"] if item["subject"] == "API of pve2")
    assert found["severity"] == "error"
    assert "another cluster answers there" in found["found"] and copied.url in found["found"]


def test_machines_are_read_two_at_a_time_at_each_address(nodes: Nodes) -> None:
    """Six at once, of three nodes: none would go on if they were not."""
    for number, name in enumerate(nodes.urls):
        nodes.fake.add_vms(4, first=1000 + 100 * number, node=name)
    cluster = nodes.cluster()
    machines = [(name, 1000 + 100 * number + i) for i in range(4) for number, name in enumerate(nodes.urls)]
    together = threading.Barrier(6, timeout=120)

    def read(place: tuple[str, int]) -> int:
        together.wait()
        return read_vm(cluster, *place).vmid

    found = side_by_side(cluster, machines, lambda place: place[0], read)
    assert found == [vmid for _, vmid in machines]
    assert {name: sum(calls.values()) for name, calls in nodes.calls().items()} == dict.fromkeys(
        nodes.urls, 4
    )
    assert 6 <= nodes.fake.control("connections") <= 8  # two may ask the site's address which cluster it has


def test_readers_leave_their_connections_to_those_after_them(fakepve: FakePve) -> None:
    fakepve.add_vms(8)
    cluster = fakepve.cluster()
    for _ in range(5):
        read = side_by_side(
            cluster, range(1000, 1008), lambda _: "pve1", lambda vmid: read_vm(cluster, "pve1", vmid).vmid
        )
        assert read == list(range(1000, 1008))
    assert fakepve.control("connections") == 2


def test_what_one_reader_meets_ends_the_others(fakepve: FakePve) -> None:
    fakepve.add_vms(1000)
    fakepve.fault("GET", "/nodes/pve1/qemu/1001/pending", "error", status=401, text="no ticket")
    cluster = fakepve.cluster(patience=IMPATIENT)
    with pytest.raises(Exception, match="no ticket"):
        side_by_side(
            cluster, range(1000, 2000), lambda _: "pve1", lambda vmid: read_vm(cluster, "pve1", vmid)
        )
    assert sum(fakepve.calls().values()) < 200


def test_a_site_whose_address_is_off_is_planned_and_doctor_names_it(fakepve: FakePve, desk: Desk) -> None:
    second, third = (fakepve.control("add_address") for _ in range(2))
    fakepve.control("add_nodes", names=["pve2"])
    desk.sites["paris"]["api"]["nodes"] = {"pve1": fakepve.url, "pve2": second, "pve9": third}
    desk.write_sites()
    desk.write(subscription("dupont", [machine("web-1")]))
    fakepve.control("address", url=fakepve.url, listening=False)
    planned = desk.run("plan")
    assert planned.code == 0, planned.err
    examined = json.loads(desk.run("doctor", "--format", "json").out)
    found = {item["subject"]: item for item in examined["findings"]}
    assert found["API"]["severity"] == "ok"
    assert found["API of pve1"]["severity"] == "warning"
    assert fakepve.url in found["API of pve1"]["found"]
    assert "the cluster has no node pve9" in found["API of pve9"]["found"]
    assert found["API of nodes"]["found"].startswith("pve2: ")


@pytest.mark.parametrize("url", ["http://192.0.2.1:8006", "https://192.0.2.1:8006/api2", "192.0.2.1"])
def test_an_address_of_a_node_is_checked_where_it_stands(desk: Desk, url: str) -> None:
    desk.sites["paris"]["api"]["nodes"] = {"pve1": url}
    desk.write_sites()
    desk.write(subscription("dupont", [machine("web-1")]))
    refused = desk.run("plan")
    assert refused.code == 1
    assert "the address of the API is https://HOST:PORT, without a path" in refused.err
