"""Two runs never change one client at once: whatever names the cluster, whichever computer, whoever was killed."""

from __future__ import annotations

import copy
import datetime as dt
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.applying.freezing import FreezeWatch
from orchestrator.applying.lock import RunLocks
from orchestrator.applying.lock_note import LockNote, Process, read_note
from orchestrator.applying.site_lock import (
    RENEW_SECONDS,
    STALE_SECONDS,
    TRUST_SECONDS,
    Held,
    LocksLost,
    Timing,
)
from orchestrator.operations.run import open_run
from orchestrator.proxmox import Cluster, ping_agent
from orchestrator.sites import load_provider
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.forwarder import Forwarder
from tests.api.together import Together

SPAWN = multiprocessing.get_context("spawn")
ELSEWHERE = Process(computer="another computer", pid=1, started=1)


class Clock:
    """A run's clocks: waiting makes them go on, and nothing else does."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self.wall = dt.datetime(2026, 11, 23, 14, 0, tzinfo=dt.UTC)
        self.waited = 0.0
        self.on_pause: Any = lambda: None

    def pause(self, seconds: float) -> None:
        self.pass_(seconds)
        self.waited += seconds
        self.on_pause()

    def pass_(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += dt.timedelta(seconds=seconds)

    @property
    def timing(self) -> Timing:
        return Timing(steady=lambda: self.steady, now=lambda: self.wall, pause=self.pause)


@dataclass
class Elsewhere:
    """A run on another computer, of which only the lock can be seen."""

    cluster: Cluster
    note: LockNote
    pool: str = "orchestrator-lock-0123456789abcdef"

    def take(self) -> Elsewhere:
        self.cluster.post("/pools", poolid=self.pool, comment=self.note.write())
        return self

    def renew(self) -> None:
        self.note = self.note.renewed(at=self.note.at, claims=self.note.claims)
        self.cluster.put(f"/pools/{self.pool}", comment=self.note.write())


def elsewhere(cluster: Cluster, at: dt.datetime) -> Elsewhere:
    note = LockNote(
        holder="alice on ci (pid 1)",
        process=ELSEWHERE,
        site="paris",
        beat=1,
        at=at,
        claims=frozenset({"client/dupont"}),
    )
    return Elsewhere(cluster, note).take()


def locks(cluster: Cluster, holder: str, clock: Clock | None = None, **options: Any) -> RunLocks:
    return RunLocks({"paris": cluster}, holder, timing=clock.timing if clock else None, **options)


def pools(fakepve: FakePve) -> list[str]:
    return [name for name in fakepve.dump()["pools"] if name.startswith("orchestrator-lock-")]


def test_a_second_run_is_told_who_holds_the_client_and_others_go_on(
    fakepve: FakePve, cluster: Cluster
) -> None:
    address = IPv4Address("203.0.113.10")
    with locks(cluster, "alice (pid 1)") as first, locks(cluster, "bob") as second:
        first.clients(["dupont", "martin"])
        first.clients(["dupont"])  # what is ours is ours
        with pytest.raises(Held, match=r"alice \(pid 1\) is changing martin: wait"):
            second.clients(["martin"])
        with pytest.raises(Held, match=r"alice \(pid 1\) is changing martin: wait"):
            second.refuse_busy(["martin"])
        second.night()
        with second.changing(["martin", "durand"]) as others:
            assert others == {"martin": "alice (pid 1)"}
            with second.changing(["durand"]) as again:
                assert again == {"durand": "bob"}, "another step of the same night has it"
            with locks(cluster, "carol") as third:
                with pytest.raises(Held, match="bob is changing durand"):
                    third.clients(["durand"])
                with pytest.raises(Held, match="bob is running"):
                    third.night()
                assert third.addresses("paris", [address]) == {}
                assert second.addresses("paris", [address]) == {address: "carol"}
            with locks(cluster, "dave") as fourth:
                assert fourth.addresses("paris", [address]) == {}, "carol's run has ended"
        with locks(cluster, "erin") as fifth:
            fifth.clients(["durand"])
            fifth.check("paris")
    assert pools(fakepve) == []


def _hold_for_ever(options: dict[str, Any], tell: Connection) -> None:
    locks(Cluster(**options), "alice (pid 1)").clients(["dupont"])
    tell.send("taken")
    tell.recv()


def test_a_killed_run_of_this_computer_is_taken_over_at_once(fakepve: FakePve, cluster: Cluster) -> None:
    ours, theirs = SPAWN.Pipe()
    names = ("url", "token_id", "token_secret", "ca_file", "site")
    options = {name: getattr(fakepve, name) for name in names}
    process = SPAWN.Process(target=_hold_for_ever, args=(options, theirs))
    process.start()
    assert ours.recv() == "taken"
    clock = Clock()
    clock.wall = dt.datetime.now(dt.UTC)
    with locks(cluster, "bob", clock) as second:
        with pytest.raises(Held, match=r"alice \(pid 1\) is changing dupont"):
            second.clients(["dupont"])
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        second.clients(["dupont"])
        assert len(pools(fakepve)) == 1 and not clock.waited


@pytest.mark.parametrize("hours", [-3, 0, 3])
def test_a_dead_run_of_another_computer_is_taken_over_after_it_was_watched(
    fakepve: FakePve, cluster: Cluster, hours: int
) -> None:
    """Whatever its clock said: only the observer's own counts."""
    clock = Clock()
    elsewhere(cluster, clock.wall + dt.timedelta(hours=hours))
    told: list[str] = []
    with locks(cluster, "bob", clock, tell=told.append) as second:
        if not hours:  # it seems to live: a moment ago it gave a sign of life
            with pytest.raises(Held, match=r"alice on ci \(pid 1\) is changing dupont"):
                second.clients(["dupont"])
            assert clock.waited == 0
            clock.pass_(STALE_SECONDS)
        second.clients(["dupont"])
        assert clock.waited >= STALE_SECONDS or not hours
        second.check("paris")
        assert len(pools(fakepve)) == 1
    assert bool(told) == bool(hours) and all("watching it" in text for text in told)


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_living_run_with_a_wrong_clock_keeps_its_lock(
    fakepve: FakePve, cluster: Cluster, hours: int
) -> None:
    clock = Clock()
    other = elsewhere(cluster, clock.wall + dt.timedelta(hours=hours))
    clock.on_pause = lambda: other.renew() if clock.waited >= RENEW_SECONDS else None
    with locks(cluster, "bob", clock) as second, pytest.raises(Held, match="alice on ci"):
        second.clients(["dupont"])
    assert RENEW_SECONDS <= clock.waited < STALE_SECONDS
    assert pools(fakepve) == [other.pool]


def test_of_many_that_take_a_dead_runs_lock_over_at_once_one_gets_it(fakepve: FakePve) -> None:
    """Eight times six runs, each with a connection of its own, find the same dead lock at the same moment."""
    runs = 6
    for number in range(8):
        dead = elsewhere(fakepve.cluster(), Clock().wall - dt.timedelta(days=1))
        start, end = threading.Barrier(runs), threading.Barrier(runs)

        def run(name: int, start: threading.Barrier = start, end: threading.Barrier = end) -> str:
            clock = Clock()
            with locks(fakepve.cluster(), f"run {name}", clock) as one:
                one.refuse_busy(["dupont"])  # seen for the first time
                clock.pass_(STALE_SECONDS)
                start.wait(60)
                try:
                    one.clients(["dupont"])
                    one.check("paris")
                    won = "won"
                except Held as error:
                    won = str(error)
                end.wait(60)
                if won == "won":
                    assert one.look("paris") == "", "nobody removed the winner's lock"
                return won

        with ThreadPoolExecutor(runs) as pool:
            answers = list(pool.map(run, range(runs)))
        assert answers.count("won") == 1, (number, answers)
        assert pools(fakepve) == [], dead


def test_a_run_that_lost_its_lock_begins_nothing_more(fakepve: FakePve, cluster: Cluster) -> None:
    clock = Clock()
    with locks(cluster, "alice", clock) as first:
        first.clients(["dupont"])
        first.check("paris")
        # It slept: its own lock may have been taken over, and it may not know.
        (own,) = pools(fakepve)
        clock.pass_(TRUST_SECONDS)
        first.check("paris")  # renewed
        note = read_note(str(fakepve.dump()["pools"][own]["comment"]))
        assert note is not None and note.claims == {"client/dupont"} and note.beat == 2
        cluster.delete(f"/pools/{own}")
        with pytest.raises(LocksLost, match="not there any more"):
            first.look("paris")
        with pytest.raises(LocksLost, match="nothing more is changed"):
            first.check("paris")
    with locks(cluster, "bob", clock) as second:
        second.clients(["dupont"])
        clock.pass_(STALE_SECONDS)
        with pytest.raises(LocksLost, match="could not be renewed"):
            second.check("paris")


@pytest.mark.parametrize(
    "comment",
    ["", "{", "[" * 5000, '{"holder": "x"}', '{"claims": 1e999}', "held by \x1b[2J hand", json.dumps([1])],
)
def test_a_lock_that_cannot_be_read_keeps_others_away_until_it_is_dead(
    fakepve: FakePve, cluster: Cluster, comment: str
) -> None:
    cluster.post("/pools", poolid="orchestrator-lock-0123456789abcdef", comment=comment)
    clock = Clock()
    with locks(cluster, "bob", clock) as second:
        with second.changing(["dupont"]) as others:
            assert "an unknown run (pool orchestrator-lock-0123456789abcdef in Proxmox)" in others["dupont"]
        second.clients(["dupont"])
        assert clock.waited >= STALE_SECONDS
        assert "orchestrator-lock-0123456789abcdef" not in pools(fakepve)


def test_a_holder_is_told_without_what_a_terminal_would_obey(cluster: Cluster) -> None:
    other = elsewhere(cluster, Clock().wall)
    other.note = replace(other.note, holder="alice \x1b[2J\r\n\u202e(pid 1)")
    other.renew()
    with locks(cluster, "bob", Clock()) as second, pytest.raises(Held) as told:
        second.clients(["dupont"])
    assert str(told.value).isprintable()


@pytest.fixture
def lyon() -> Iterator[FakePve]:
    with FakePve(site="lyon") as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        yield fake


def _inventory(desk: Desk, name: str, sites: dict[str, Any]) -> str:
    whole = yaml.safe_load((desk.folder / "sites.yaml").read_text())
    path = desk.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**whole, "sites": sites}, sort_keys=False))
    return str(path)


def test_two_inventories_of_one_cluster_make_one_machine(
    fakepve: FakePve, lyon: FakePve, tmp_path: Path
) -> None:
    """One names Paris alone, by another address; the other Paris and Lyon. Each has a history of its own."""
    fakepve.control("add_template", vmid=9000, name="debian-12")
    desk = Desk(tmp_path, {"paris": fakepve, "lyon": lyon})
    desk.write(subscription("dupont", [machine("web-1")]))
    with Forwarder(fakepve.url) as other:
        elsewhere_ = copy.deepcopy(desk.sites["paris"])
        elsewhere_["api"]["url"] = other.url
        alone = _inventory(desk, "paris-alone", {"paris": elsewhere_})
        environment = {"XDG_STATE_HOME": str(desk.folder / "state"), "COLUMNS": "200"}
        commands = [
            ["apply", "--yes", "--no-guests", "-i", inventory, "--history", str(desk.folder / f"{number}.db")]
            for number, inventory in enumerate((alone, str(desk.folder / "sites.yaml")))
        ]
        with Together(desk.folder, environment) as both:
            for number in range(6):
                if meeting := number == 0:  # both ask for their locks before either has changed anything
                    fakepve.fault("POST", "/pools", "meet", times=2)
                answers = both.run(*commands)
                (vm,) = desk.machines().values()  # says so if there are two of one name
                assert vm["status"] == "running"
                codes = sorted(answer.code for answer in answers)
                assert codes == [0, 1] or (codes == [0, 0] and not meeting), answers
                for answer in answers:
                    told = answer.err + answer.out
                    assert not answer.code or "is changing dupont" in told or "plan again" in told, answers
                path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
                cluster = fakepve.cluster()
                cluster.run_task("POST", f"{path}/status/stop", timeout_seconds=30)
                cluster.put(f"{path}/config", protection=0)
                cluster.run_task("DELETE", path, timeout_seconds=30)
        twice = _inventory(desk, "twice", {"paris": desk.sites["paris"], "lyon": elsewhere_})
        answer = desk.run("apply", "--yes", "--no-guests", "-i", twice)
        assert answer.code == 1 and "are one cluster: name each cluster once" in answer.err, answer
    assert pools(fakepve) == [] and pools(lyon) == []


def test_what_only_reads_takes_no_lock_and_a_run_costs_few_calls_for_it(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    fake = desk.fakes["paris"]
    for command in (["plan"], ["show", "dupont/web-1"], ["nightly", "--dry-run"]):
        desk.run(*command)
    assert not [call for call in fake.calls(locks=True) if not call.startswith("GET ")]
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    fake.control("reset_calls")
    assert desk.apply().code == 0
    assert not [call for call in fake.calls(locks=True) if not call.startswith("GET ")], (
        "nothing to do, no lock"
    )
    desk.write(subscription("dupont", [machine("web-1", vcpus=2)]))
    assert desk.apply("--restart-now").code == 0
    taken = {
        call.partition(" ")[0]: n
        for call, n in fake.calls(locks=True).items()
        if "orchestrator-lock-" in call
    }
    assert taken == {"POST": 1, "DELETE": 1}


def test_a_site_that_gives_no_lock_is_not_changed_and_others_are(fakepve: FakePve, lyon: FakePve) -> None:
    clusters = {"paris": fakepve.cluster(), "lyon": lyon.cluster()}
    fakepve.fault(
        "POST", "/pools", "error", status=403, text="Permission check failed (/pool/x, Pool.Allocate)"
    )
    with RunLocks(clusters, "alice") as one:
        one.clients(["dupont"])
        one.check("lyon")
        with pytest.raises(LocksLost, match=r"no lock could be taken at paris: .*Pool\.Allocate"):
            one.check("paris")
    with RunLocks(clusters, "bob") as two:
        two.night()
        lyon.fault("PUT", "/pools/.*", "error", status=500, text="cluster not ready - no quorum?")
        with two.changing(["dupont"]) as others:
            assert others == {}
            two.check("paris")
            with pytest.raises(LocksLost, match="no quorum"):
                two.check("lyon")


def test_a_run_that_slept_in_the_middle_of_a_step_writes_nothing_more(
    fakepve: FakePve, cluster: Cluster
) -> None:
    """Its computer was suspended between two calls of one step; meanwhile another run took its lock over."""
    fakepve.add_vms(1, first=100)
    asleep, awake = Clock(), Clock()
    awake.wall += dt.timedelta(days=1)
    path = "/nodes/pve1/qemu/100/config"
    with locks(cluster, "alice", asleep) as first, locks(fakepve.cluster(), "bob", awake) as second:
        cluster.before_write = first.fence("paris")
        first.clients(["dupont"])
        cluster.put(path, description="alice was here")
        (pool,) = pools(fakepve)
        comment = json.loads(fakepve.dump()["pools"][pool]["comment"])
        cluster.put(f"/pools/{pool}", comment=json.dumps({**comment, "computer": "another computer"}))
        second.clients(["dupont"])
        asleep.pass_(awake.waited)
        with pytest.raises(LocksLost, match="nothing more is changed"):
            cluster.put(path, description="alice again")
        with pytest.raises(LocksLost, match="nothing more is changed"):
            cluster.post("/nodes/pve1/qemu/100/clone", newid=101)
        assert cluster.get(path)["description"].strip() == "alice was here"
        assert awake.waited >= STALE_SECONDS and list(fakepve.dump()["vms"]) == ["100"]


def test_a_run_asks_its_lock_before_every_write(desk: Desk) -> None:
    """So it writes nothing before it has one, and nothing when it has lost it; asking an agent is no write."""
    fake = desk.fakes["paris"]
    fake.add_vms(1, first=100, status="running")
    with open_run(load_provider(desk.folder)) as run:
        cluster = run.clusters["paris"]
        with pytest.raises(LocksLost, match="none was taken"):
            cluster.put("/nodes/pve1/qemu/100/config", memory=4096)
        ping_agent(cluster, "pve1", 100)
        run.locks.clients(["dupont"])
        cluster.put("/nodes/pve1/qemu/100/config", memory=1024)
        (pool,) = pools(fake)
        fake.cluster().delete(f"/pools/{pool}")
        with pytest.raises(LocksLost, match="not there any more"):
            run.locks.look("paris")
        with pytest.raises(LocksLost, match="nothing more is changed"):
            cluster.run_task("POST", "/nodes/pve1/qemu/100/status/stop")
    assert fake.dump()["vms"]["100"]["status"] == "running"


def test_a_site_that_only_says_it_took_the_lock_is_not_changed_and_others_are(
    fakepve: FakePve, lyon: FakePve
) -> None:
    lyon.fault("POST", "/pools", "answer", text='{"data": null}')
    with RunLocks({"paris": fakepve.cluster(), "lyon": lyon.cluster()}, "alice") as one:
        one.clients(["dupont"])
        one.check("paris")
        with pytest.raises(LocksLost, match="lock at lyon is lost"):
            one.check("lyon")


def test_a_dead_runs_lock_that_cannot_be_removed_is_named(fakepve: FakePve, cluster: Cluster) -> None:
    """Somebody put a machine into it: nobody but they can take it away, and every run waits until they do."""
    fakepve.add_vms(1, first=100)
    clock = Clock()
    dead = elsewhere(cluster, clock.wall - dt.timedelta(days=1))
    cluster.put("/pools", poolid=dead.pool, vms=100)
    told: list[str] = []
    with locks(cluster, "bob", clock, tell=told.append) as second:
        second.clients(["dupont"])
        second.look("paris")
        second.look("paris")
    (text,) = [text for text in told if "could not be removed" in text]
    assert dead.pool in text and "is not empty" in text and "Remove that pool" in text, told


def test_a_site_that_is_slow_to_say_whether_it_is_frozen_holds_up_no_other() -> None:
    asked, answered = threading.Event(), threading.Event()

    def look(site: str) -> str:
        if site == "lyon":
            asked.set()
            answered.wait(300)
        return ""

    watch = FreezeWatch({"paris": None, "lyon": None}, look=look)  # type: ignore[dict-item]
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(watch, "lyon")
        try:
            assert asked.wait(60)
            pool.submit(watch, "paris").result(timeout=120)
            assert not slow.done()
        finally:
            answered.set()


def test_only_proof_counts_a_process_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night under systemd's ProtectProc does not see other accounts' processes: they are not dead for that."""
    own = Process.this()
    assert own.computer and not own.dead
    assert replace(own, started=own.started + 1).dead, "another process has its number"
    assert not replace(own, started=own.started + 1, computer="another").dead
    ended = SPAWN.Process(target=print)
    ended.start()
    ended.join()
    assert replace(own, pid=ended.pid or 0).dead
    for pid in (0, 2**62):  # whoever may edit pools wrote that
        assert not replace(own, pid=pid).dead
    monkeypatch.setattr("orchestrator.applying.lock_note._started", lambda _pid: None)
    assert not own.dead
