"""Several runs, several people: one client's machines are changed by one run at a time, others do not wait."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.applying.apply import apply_plan
from orchestrator.applying.journal import Journal
from orchestrator.applying.lock import RunLocks
from orchestrator.history import open_history
from orchestrator.planning.plan import make_plan
from orchestrator.proxmox import Cluster
from orchestrator.resources.observing import observe
from orchestrator.resources.register import with_register
from tests.api.desk import Desk, machine, subscription
from tests.api.together import Together
from tests.postgres import postgresql
from tests.unit.history_samples import write

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql() as url:
        yield url


def test_a_history_in_postgresql_takes_entries_of_several_processes(database: str) -> None:
    names = ("durand", "martin")
    processes = [SPAWN.Process(target=write, args=(database, 25, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with open_history(database) as history:
        found = history.verify()
        assert found.ok and found.count == 50, found
        for name in names:
            assert [entry.action for entry in history.entries(client=name)] == [
                f"step {number}" for number in reversed(range(25))
            ]


def test_first_runs_at_the_same_time_make_one_history(database: str) -> None:
    """Everybody starts from an empty database at once: each is served, and the chain has one beginning."""
    people = 6
    server = sa.create_engine(database, isolation_level="AUTOCOMMIT")
    for number in range(10):
        with closing(server.connect()) as connection:
            connection.execute(sa.text(f"CREATE DATABASE first_{number}"))
        fresh = str(sa.make_url(database).set(database=f"first_{number}"))
        start = threading.Barrier(people)

        def run(client: int, fresh: str = fresh, start: threading.Barrier = start) -> None:
            start.wait()
            write(fresh, 1, f"client-{client}")

        with ThreadPoolExecutor(people) as pool:
            for done in [pool.submit(run, client) for client in range(people)]:
                done.result()
        with open_history(fresh) as history:
            found = history.verify()
            assert found.ok and found.count == people, found
    server.dispose()


def _environment(desk: Desk, history: str | None = None) -> dict[str, str]:
    return {
        "ORCHESTRATOR_INVENTORY": str(desk.folder / "sites.yaml"),
        "XDG_STATE_HOME": str(desk.folder / "state"),
        "COLUMNS": "200",
        **({"ORCHESTRATOR_HISTORY": history} if history else {}),
    }


def _remove(cluster: Cluster, vm: dict[str, Any]) -> None:
    path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
    cluster.run_task("POST", f"{path}/status/stop", timeout_seconds=30)
    cluster.put(f"{path}/config", protection=0)
    cluster.run_task("DELETE", path, timeout_seconds=30)


ROUNDS = 30
MEETING = 4
"""In every fourth round both ask for their locks at the same moment, and neither has changed anything before; in the
others they meet as they happen to."""


def test_of_two_runs_of_one_client_one_makes_its_machine_every_time(desk: Desk, database: str) -> None:
    """Every other time with the history in PostgreSQL."""
    desk.write(subscription("dupont", [machine("web-1")]))
    fake = desk.fakes["paris"]
    cluster = fake.cluster()
    apply = ["apply", "--yes", "--no-guests"]
    places = (str(desk.folder / "history.db"), database)
    with Together(desk.folder, _environment(desk)) as both:
        for number in range(ROUNDS):
            command = [*apply, "--history", places[number % 2]]
            if meeting := number % MEETING == 0:
                fake.fault("POST", "/pools", "meet", times=2)
            answers = both.run(command, command)
            codes = sorted(answer.code for answer in answers)
            assert codes == [0, 1] or (codes == [0, 0] and not meeting), answers
            if codes == [0, 1]:
                (second,) = (answer for answer in answers if answer.code == 1)
                told = second.err + second.out
                assert "is changing dupont: wait until that run has ended" in told or "plan again" in told, (
                    answers
                )
            (vm,) = desk.machines().values()
            assert vm["status"] == "running"
            _remove(cluster, vm)
    for place in places:
        with open_history(place) as history:
            runs = [
                entry.run for entry in reversed(history.entries(client="dupont")) if entry.machine == "web-1"
            ]
        blocks = [run for run, _ in groupby(runs)]
        assert len(blocks) == len(set(blocks)) >= ROUNDS // 2, "one run's steps stand together"


def test_runs_on_two_clients_go_on_side_by_side_and_never_give_one_address_twice(desk: Desk) -> None:
    """Two people, each with one client's file alone: both plans want the first free address."""
    names = ("dupont", "martin")
    fake = desk.fakes["paris"]
    cluster = fake.cluster()
    with Together(desk.folder, _environment(desk)) as both:
        for number in range(10):
            desk.write(*(subscription(name, [machine(f"{name}-{number}")]) for name in names))
            commands = [["apply", "--yes", "--no-guests", f"subscriptions/{name}.yaml"] for name in names]
            if meeting := number % MEETING == 0:
                fake.fault("POST", "/pools", "meet", times=2)
            first = both.run(*commands)
            told = [answer for answer in first if "plan again" in answer.out]
            assert len(told) == 1 or not meeting, first
            assert all("is changing" not in answer.err for answer in first), first
            assert all(answer.code == 0 or "plan again" in answer.out for answer in first), first
            assert [answer.code for answer in both.run(*commands)] == [0, 0], (
                "whoever was told to, planned again"
            )
            used = [vm["config"]["ipconfig0"] for vm in desk.machines().values()]
            assert len(set(used)) == len(used) == 2, used
            for vm in desk.machines().values():
                _remove(cluster, vm)


@pytest.mark.parametrize("other", ["new", "being made", "moved"])
def test_an_address_that_was_given_since_the_plan_is_not_given_again(
    desk: Desk, tmp_path: Path, other: str
) -> None:
    """The other run has ended, and its lock is gone, before this one creates: it looks once more."""
    cluster = desk.fakes["paris"].cluster()
    if other != "new":
        desk.write(subscription("martin", [machine("mail-1")]))
        assert desk.apply().code == 0
        theirs = desk.machines()["mail-1"]
        config = f"/nodes/{theirs['node']}/qemu/{theirs['vmid']}/config"
    if other == "being made":
        cluster.put(config, delete="ipconfig0")
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    names = {"web-1", "web-2"}
    observed = {"paris": with_register(cluster, observe(cluster, "paris", names=names))}
    plan = make_plan(desk.desired(), observed, dt.datetime.now(dt.UTC))
    address = {item.machine: item.address for item in plan.machines}["web-1"]
    if other == "new":
        desk.fakes["paris"].add_vms(1, first=700, config={"ipconfig0": f"ip={address}/24"})
    else:
        cluster.put(config, ipconfig0=f"ip={address}/24,gw=203.0.113.1")
    with open_history(tmp_path / "h.db") as history, RunLocks({"paris": cluster}, "me") as locks:
        locks.clients(["dupont"])
        journal = Journal(history=history, who="test", why="test", run="r")
        outcomes = apply_plan(plan, {"paris": cluster}, observed, journal, ssh=None, locks=locks)
    told = {outcome.machine: outcome for outcome in outcomes}
    assert (
        f"was given {address} meanwhile: plan again" in told["web-1"].message
        and "web-1" not in desk.machines()
    )
    assert desk.machines()["web-2"]["status"] == "running"
    assert desk.apply().code == 0
    assert f"ip={address}/" not in desk.machines()["web-1"]["config"]["ipconfig0"]


def test_a_machine_whose_creation_was_interrupted_gets_no_address_of_a_stranger(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.run_killed(2, "apply", "--yes", "--no-guests", method="POST").killed
    assert "ipconfig0" not in desk.machines()["web-1"]["config"]
    desk.fakes["paris"].add_vms(1, first=700, config={"ipconfig0": "ip=203.0.113.10/24"})
    assert desk.apply().code == 0
    assert desk.machines()["web-1"]["config"]["ipconfig0"].startswith("ip=203.0.113.11/24")
