"""Restarts in windows: what another run did meanwhile, what stops the others, and what has become out of date."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable

import pytest

from orchestrator.applying.due_restart import RestartTerms
from orchestrator.applying.journal import Journal
from orchestrator.applying.restart_candidates import Restartable, concerned_machines
from orchestrator.applying.restart_outcome import MachineRestart
from orchestrator.applying.restart_waves import RestartRun
from orchestrator.history import open_history
from orchestrator.nightly.restart_round import RestartLine
from orchestrator.nightly.restart_step import WaitingRestart
from orchestrator.operations import due_round
from orchestrator.resources.notes import RestartNote, read_mark, write_mark
from orchestrator.resources.survey import Asked, observe_sites
from tests.api.desk import Desk, machine
from tests.api.night_desk import PARIS
from tests.api.test_night_restarts import _DAY, _NIGHT, _due, _open_window, _Restarts


@pytest.fixture
def night(desk: Desk) -> _Restarts:
    return _Restarts(desk)


def _read(night: _Restarts) -> list[Restartable]:
    """The machines that wait, as a run has read them."""
    clusters = {"paris": night.fake.cluster()}
    desired = night.desk.desired()
    read = observe_sites(clusters, Asked(desired=desired, least=True))
    return concerned_machines(desired, read.observed, clusters, dt.datetime.now(dt.UTC))


def _run(
    night: _Restarts,
    machines: list[Restartable],
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    refused: str | None = None,
    unwell: tuple[str, ...] = (),
) -> list[MachineRestart]:
    """A round of restarts over machines as they were read."""
    with open_history(night.desk.folder / "history.db") as history:
        journal = Journal(history=history, who="test", why="a round", run="round-1")
        terms = RestartTerms(
            journal=journal,
            clock=clock,
            boot_seconds=3.0,
            may_begin=lambda _machine: refused,
            pause=lambda _seconds: time.sleep(0.01),
        )
        return RestartRun(terms=terms, unwell=frozenset(unwell)).run(machines)


def _write_note(night: _Restarts, name: str, note: RestartNote | None) -> None:
    vm = night.desk.machines()[name]
    text = vm["config"]["description"]
    mark = read_mark(text)
    assert mark is not None
    night.fake.cluster().put(
        f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config",
        description=write_mark(mark.with_(restart=note), text),
    )


def test_the_next_runs_of_the_timer_leave_the_others_of_a_client_whose_machine_did_not_come_back(
    night: _Restarts,
) -> None:
    """The timer comes every five minutes, while the window is still open."""
    names = ("web-1", "web-2", "web-3")
    night.waits(*names, apart=True)
    others = {name: [other for other in names if other != name] for name in names}
    night.write(
        *(machine(name, memory="2GiB", apart_from=others[name]) for name in names), window=_open_window()
    )
    night.set_vm("web-1", hangs_with={"memory": "2048"})
    first = _due(night, "--log-format", "json")
    ended = [json.loads(line) for line in first.err.splitlines() if "machine-ended" in line]
    assert [(line["machine"], line["end"], line["message"]) for line in ended] == [
        ("web-1", "failed", "put back")
    ], "nothing is under way there any more, whatever comes after it"
    assert first.code == 1 and "dupont/web-1: put back" in first.out, first
    assert "dupont/web-2: not started: wave 1 did not end well (dupont/web-1)" in first.out
    night.fake.control("reset_calls")

    looked, second = _due(night, "--dry-run"), _due(night)
    said = "dupont/web-2: another machine of dupont did not come back in this window"
    assert f"not restarted: {said}" in looked.out and "would be" not in looked.out, looked
    assert "dupont/web-3: not started: a machine of dupont did not come back in this window" in second.out
    assert second.code == 0 and night.power() == [], second

    # Somebody has looked: the others have their turn.
    assert night.desk.run("restart", "dupont/web-1", "--release").code == 0
    night.set_vm("web-1", hangs_with=None)
    third = _due(night)
    assert "dupont/web-2: restarted" in third.out and "dupont/web-3: restarted" in third.out, third


def test_a_guest_that_did_not_shut_down_stops_nobody(night: _Restarts) -> None:
    """It runs as before, and what waits for it waits on."""
    night.waits("web-1", "web-2")
    night.write(*(machine(name, memory="2GiB") for name in ("web-1", "web-2")), window=_open_window())
    held = RestartNote(
        state="held",
        since=dt.datetime.now(dt.UTC).replace(microsecond=0),
        settings={"memory": "2048"},
        before={"memory": "1024"},
        reason="its guest did not shut down when it was asked to",
    )
    _write_note(night, "web-1", held)
    answer = _due(night)
    assert answer.code == 0 and "dupont/web-2: restarted" in answer.out and "web-1" not in answer.out, answer
    assert night.power() == ["reboot"]


def test_a_hold_that_another_run_has_set_meanwhile_stays(night: _Restarts) -> None:
    """Read before, begun after: the other run has put the settings back, and nothing waits any more."""
    night.waits("web-1")
    (stale,) = _read(night)
    held = RestartNote(
        state="held",
        since=dt.datetime.now(dt.UTC).replace(microsecond=0),
        settings={"memory": "2048"},
        before={"memory": "1024"},
        reason="it did not come back",
    )
    vm = night.desk.machines()["web-1"]
    night.fake.cluster().put(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config", memory=1024)
    _write_note(night, "web-1", held)
    (ended,) = _run(night, [stale])
    assert ended.result == "held" and "it did not come back" in ended.message, ended
    assert night.mark("web-1").restart == held and night.power() == []
    assert night.plan("web-1")["memory"]["kind"] == "notice", "apply does not set it again"


def test_a_restart_that_was_noted_and_never_made_is_not_taken_for_made_because_more_waits_now(
    night: _Restarts,
) -> None:
    """Killed after its note; then another memory was applied, so what waits is something else than what was noted."""
    night.waits("web-1")
    began = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=1)
    note = RestartNote(state="running", since=began, settings={"memory": "1536"}, before={"memory": "1024"})
    _write_note(night, "web-1", note)
    (machine_read,) = _read(night)
    later = began + dt.timedelta(hours=1)
    night.fake.clock(later.timestamp(), 1.0)  # it was started a day before that note
    (ended,) = _run(night, [machine_read], lambda: later, refused="its window is closed")
    assert (ended.result, ended.message) == ("not-started", "its window is closed"), ended
    assert night.mark("web-1").restart is None and night.memory("web-1") == ("1024", "2048")


def test_what_an_earlier_run_began_is_seen_through_although_a_machine_of_its_client_did_not_come_back(
    night: _Restarts,
) -> None:
    """It may be down."""
    night.waits("web-1", "web-2")
    note = RestartNote(
        state="going-back",
        since=dt.datetime.now(dt.UTC).replace(microsecond=0),
        settings={"memory": "2048"},
        before={"memory": "1024"},
        reason="it did not come back",
    )
    vm = night.desk.machines()["web-1"]
    night.fake.cluster().put(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config", memory=1024)
    _write_note(night, "web-1", note)
    night.set_vm("web-1", status="stopped", qmpstatus="stopped")
    ended = _run(night, _read(night), unwell=("dupont",))
    assert {line.machine: line.result for line in ended} == {"web-1": "put-back", "web-2": "not-started"}, (
        ended
    )
    assert night.power() == ["start"] and night.memory("web-2") == ("1024", "2048")


def test_a_contract_that_ends_between_the_plan_of_the_night_and_the_window_is_kept(night: _Restarts) -> None:
    """The night reads files at ten in the evening; the window opens at midnight, when the suspension has begun."""
    night.waits("web-1")
    suspension = {"since": f"{_DAY + dt.timedelta(days=1)}", "reference": "LRAR-1"}
    night.write(machine("web-1", memory="2GiB"), status="suspended", suspension=suspension)
    (waiting,) = _read(night)
    midnight = dt.datetime.combine(_DAY + dt.timedelta(days=1), dt.time(0, 30), PARIS)
    (ended,) = _run(night, [waiting], lambda: midnight)
    assert ended.result == "nothing-due" and "out of service meanwhile" in ended.message, ended
    assert night.power() == []


def test_a_window_that_closes_while_sites_are_read_begins_nothing(night: _Restarts) -> None:
    """The next window, a week later, leaves time: but it is not open."""
    night.waits("web-1")
    (waiting,) = _read(night)

    closed = _NIGHT + dt.timedelta(hours=1, minutes=31)
    said = due_round._no_time(waiting, dt.timedelta(minutes=13), closed)
    assert said is not None and said.startswith("its window has closed; the next one opens "), said


def test_the_dry_run_of_the_timer_does_not_promise_what_would_not_be_done(night: _Restarts) -> None:
    night.waits("web-1")
    night.write(machine("web-1", memory="2GiB"), window=_open_window())
    vm = night.desk.machines()["web-1"]
    night.fake.cluster().put(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config", cpu="host")
    looked = _due(night, "--dry-run")
    assert "not restarted: dupont/web-1: a restart would also take up what nobody applied" in looked.out, (
        looked
    )
    assert "would be" not in looked.out
    night.fake.cluster().put(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config", revert="cpu,memory")
    looked = _due(night, "--dry-run")
    assert "nothing waits for a restart in the windows that are open" in looked.out, looked


def test_a_window_that_passed_is_told_also_if_the_setting_was_written_while_one_was_open(
    night: _Restarts,
) -> None:
    """The rest of that window may have been too short; the next one was whole."""
    night.waits("web-1")
    everyday = _open_window()
    night.write(machine("web-1", memory="2GiB"), window=everyday)
    opens = dt.time.fromisoformat(everyday["from"])
    after = dt.datetime.combine(dt.datetime.now(PARIS).date() + dt.timedelta(days=3), opens, PARIS)
    report = night.restarts(after - dt.timedelta(hours=1), closes_at=after - dt.timedelta(minutes=30))
    assert not report.of(RestartLine), report.of(RestartLine)
    (waiting,) = report.of(WaitingRestart)
    assert waiting.failed and waiting.missed is not None, waiting
