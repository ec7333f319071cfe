"""A stop for every change: who set it is said, and nothing is written while it holds."""

from __future__ import annotations

import datetime as dt
from itertools import count
from pathlib import Path

from orchestrator.applying.apply import apply_plan
from orchestrator.applying.freezing import LOOK_AGAIN_SECONDS, FreezeWatch, Frozen
from orchestrator.applying.journal import Journal
from orchestrator.history import open_history
from orchestrator.planning.plan import make_plan
from orchestrator.progress import Progress
from orchestrator.proxmox import FREEZE_POOL
from orchestrator.resources.desired import desired_machines
from orchestrator.resources.observing import observe
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


def _writes(desk: Desk) -> list[str]:
    return [call for call in desk.fakes["paris"].calls() if not call.startswith("GET ")]


def test_a_freeze_stops_every_command_and_a_thaw_lets_them_go_on(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.put_in_service()
    first = desk.run("freeze", "the storage loses data, ticket 99")
    assert first.code == 0 and "paris: frozen" in first.out, first
    second = desk.run("freeze", "me too")
    assert second.code == 0 and "frozen already:" in second.out and "ticket 99" in second.out
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB"), machine("new-1")]))
    desk.fakes["paris"].control("reset_calls")
    shown = desk.run("plan")
    assert shown.code == 0 and "paris is frozen" in shown.out and "ticket 99" in shown.out
    assert "frozen" in desk.run("plan", "--format", "markdown").out.lower()
    for command in (
        ("apply", "--yes", "--no-guests"),
        ("snapshot", "create", "dupont/web-1", "now"),
    ):
        answer = desk.run(*command)
        assert answer.code == 1 and "ticket 99" in answer.err + answer.out, (command, answer)
        assert "Traceback" not in answer.err
    night = desk.run("nightly", "--in-working-hours")
    report = (desk.folder / "state" / "orchestrator" / "reports").glob("*.md")
    assert night.code == 1 and "ticket 99" in next(report).read_text(), night
    assert _writes(desk) == []
    thawed = desk.run("thaw")
    assert thawed.code == 0 and "it had been frozen by" in thawed.out and "ticket 99" in thawed.out
    assert desk.run("thaw").out.strip() == "paris: was not frozen"
    assert desk.apply().code == 0
    assert set(desk.machines()) == {"web-1", "new-1"}


def test_a_site_that_cannot_be_reached_is_not_called_frozen(desk: Desk) -> None:
    desk.fakes["paris"].fault("POST", "/pools", "reset", times=50)
    answer = desk.run("freeze", "why not")
    assert answer.code == 1 and "paris: NOT reached" in answer.out, answer


def test_a_run_under_way_stops_before_a_later_step(fakepve: FakePve) -> None:
    cluster = fakepve.cluster()
    now = [0.0]
    watch = FreezeWatch({"paris": cluster}, monotonic=lambda: now[0])
    watch("paris")
    cluster.post("/pools", poolid=FREEZE_POOL, comment="alice: stop")
    watch("paris")  # what was seen moments ago still counts
    now[0] = LOOK_AGAIN_SECONDS
    try:
        watch("paris")
    except Frozen as error:
        assert "alice: stop" in str(error) and "orchestrator thaw" in str(error)
    else:
        raise AssertionError("it did not stop")


def test_a_freeze_that_comes_while_an_apply_runs_stops_it_before_its_next_step(
    desk: Desk, tmp_path: Path
) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    provider = load_provider(desk.folder / "sites.yaml")
    loaded = load([desk.folder / "subscriptions"], provider)
    desired = desired_machines([item.subscription for item in loaded.subscriptions], provider)
    cluster = desk.fakes["paris"].cluster()
    observed = {"paris": observe(cluster, "paris", names={"web-1"})}
    plan = make_plan(desired, observed, dt.datetime.now(dt.UTC))

    class Freezing(Progress):
        def step(self, client: str, machine: str, what: str) -> None:
            if what == "clone":
                desk.fakes["paris"].cluster().post("/pools", poolid=FREEZE_POOL, comment="alice: stop it")

    later = count(step=LOOK_AGAIN_SECONDS)  # every look at the clock is that much later
    with open_history(tmp_path / "h.db") as history:
        gate = FreezeWatch({"paris": cluster}, monotonic=lambda: float(next(later)))
        journal = Journal(history=history, who="test", why="test", run="r", progress=Freezing(), gate=gate)
        (outcome,) = apply_plan(plan, {"paris": cluster}, observed, journal, ssh=None)
    assert outcome.result == "failed" and "alice: stop it" in outcome.message
    (vm,) = desk.machines().values()
    assert vm["status"] == "stopped" and "ipconfig0" not in vm["config"], "cloned, and nothing more"
    assert desk.run("thaw").code == 0
    assert desk.apply().code == 0
    assert [vm["status"] for vm in desk.machines().values()] == ["running"]
