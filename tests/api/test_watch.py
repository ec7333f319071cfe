"""``orchestrator watch``: what the samples of a cluster become, and what explains a machine that is down."""

from __future__ import annotations

import datetime as dt

import pytest

from orchestrator.history import open_history
from orchestrator.history.declared import Outage
from orchestrator.history.observations import Observations
from orchestrator.history.records import read
from tests.api.desk import Desk, machine
from tests.api.watch_desk import START, WatchDesk, at, states


@pytest.fixture
def watching(desk: Desk) -> WatchDesk:
    """Two machines that run, seen once."""
    found = WatchDesk(desk)
    found.round()
    return found


def _close(told: list[tuple[str, str, int]], *expected: tuple[str, str, int]) -> None:
    assert states(told) == states(list(expected)), told
    for (_, _, seconds), (_, _, wanted) in zip(told, expected, strict=True):
        assert abs(seconds - wanted) <= 10, told  # Proxmox measures every ten seconds


def test_a_round_is_one_call_a_cluster(watching: WatchDesk) -> None:
    watching.rounds(6)
    watching.fake.control("reset_calls")
    done = watching.rounds(2)
    assert watching.fake.calls() == {"GET /cluster/metrics/export": 1}
    assert done.sites[0].states == {"up": 2, "down": 0, "unknown": 0}
    assert watching.told(start=START) == [("up", "", 480)]


def test_a_killed_process_is_down_from_the_first_failed_sample_to_the_first_good_one(
    watching: WatchDesk,
) -> None:
    watching.fake.control("eventd", verbose=True)
    watching.rounds(4)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(20)
    watching.fake.control("start_guest", vmid=101)
    done = watching.rounds(6)
    _close(watching.told(), ("up", "", 240), ("down", "process", 1200), ("up", "", 360))
    assert watching.told("web-2") == [("up", "", 1800)]
    assert [turn.machine for turn in done.sites[0].turns] == []


def test_a_guest_that_powers_off_is_down_from_inside(watching: WatchDesk) -> None:
    watching.fake.control("eventd", verbose=True)
    watching.fake.control("end_guest", vmid=101, how="inside")
    watching.rounds(4)
    _close(watching.told(), ("up", "", 0), ("down", "inside", 240))


def test_without_the_nodes_log_a_shutdown_and_a_kill_are_not_told_apart_and_stay_unknown(
    watching: WatchDesk,
) -> None:
    watching.fake.control("end_guest", vmid=101, how="inside")
    watching.fake.control("end_guest", vmid=102, how="killed")
    watching.go(minutes=2)
    done = watching.round()
    assert any("cannot be told apart" in text for text in done.notices)
    for name in watching.names:
        assert watching.told(name)[-1][:2] == ("down", "unknown")


def test_a_guest_that_its_node_killed_for_memory_is_told_so_without_a_setting(watching: WatchDesk) -> None:
    watching.fake.control("end_guest", vmid=101, how="memory")
    watching.rounds(2)
    last = watching.seen()[-1]
    assert (last.state, last.cause, last.detail) == (
        "down",
        "process",
        "its node ran out of memory and killed it",
    )


def test_a_stop_by_the_orchestrator_is_its_own_and_one_by_somebody_else_says_who(watching: WatchDesk) -> None:
    watching.rounds(2)
    cluster = watching.fake.cluster()
    cluster.run_task("POST", "/nodes/pve1/qemu/101/status/stop")
    watching.fake.control("foreign_task", kind="qmstop", vmid=102, user="alice@pam")
    watching.fake.control("end_guest", vmid=102, how="terminated")
    watching.fake.control("eventd", verbose=True)
    watching.rounds(2)
    own, other = watching.seen()[-1], watching.seen("web-2")[-1]
    assert (own.state, own.cause) == ("down", "own")
    assert (other.state, other.cause, other.detail) == ("down", "person", "qmstop by alice@pam")


def test_a_machine_whose_file_wants_it_stopped_is_down_as_planned(watching: WatchDesk) -> None:
    watching.file(machine("web-1", power="stopped"), machine("web-2"))
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(4)
    assert states(watching.told())[-1] == ("down", "planned")
    watching.file()
    watching.rounds(4)
    assert states(watching.told())[-2:] == [("down", "planned"), ("down", "own")]


def test_a_suspended_contract_explains_its_machines(watching: WatchDesk) -> None:
    watching.rounds(2)
    contract = {
        "status": "suspended",
        "reference": "C-dupont",
        "starts": "2026-03-01",
        "site": "paris",
        "suspension": {"since": "2026-11-10", "reference": "R-1"},
    }
    watching.file(contract=contract)
    assert not watching.round().problems
    watching.fake.control("end_guest", vmid=101, how="terminated")
    watching.rounds(2)
    assert states(watching.told())[-1] == ("down", "planned")


def test_machines_of_a_node_that_the_cluster_calls_off_are_down_and_up_again_with_it(desk: Desk) -> None:
    desk.fakes["paris"].control("add_nodes", names=["pve2"])
    watching = WatchDesk(desk, "web-1")
    watching.add(102, "web-2", node="pve2")
    watching.round()
    watching.rounds(4)
    watching.fake.control("set_node", name="pve2", online=False)
    watching.rounds(10)
    watching.fake.control("set_node", name="pve2", online=True)
    watching.fake.control("start_guest", vmid=102)
    watching.rounds(4)
    told = watching.told("web-2")
    assert states(told) == [("up", ""), ("down", "node"), ("up", "")]
    assert 480 <= told[1][2] <= 720
    assert watching.told("web-1") == [("up", "", 1080)]


def test_a_node_that_lost_the_others_calls_nobody_down(desk: Desk) -> None:
    desk.fakes["paris"].control("add_nodes", names=["pve2"])
    watching = WatchDesk(desk, "web-1")
    watching.add(102, "web-2", node="pve2")
    watching.round()
    watching.fake.control("set_quorum", quorate=False)
    watching.fake.control("set_node", name="pve2", online=False)
    watching.rounds(4)
    assert states(watching.told("web-2"))[-1] == ("unknown", "silent")


def test_machines_of_a_node_whose_daemon_hangs_are_unknown(desk: Desk) -> None:
    desk.fakes["paris"].control("add_nodes", names=["pve2"])
    watching = WatchDesk(desk, "web-1")
    watching.add(102, "web-2", node="pve2")
    watching.round()
    watching.rounds(2)
    watching.fake.control("hang", nodes=["pve2"])
    watching.rounds(6)
    assert states(watching.told("web-2"))[-1] == ("unknown", "silent")
    watching.fake.control("hang", nodes=[])
    watching.rounds(2)
    assert states(watching.told("web-2"))[-1] == ("up", "")


def test_an_observer_that_was_away_for_a_day_leaves_a_gap_that_says_so(watching: WatchDesk) -> None:
    watching.rounds(2)
    watching.go(days=1)
    done = watching.round()
    assert done.sites[0].gap is not None
    watching.rounds(2)
    told = watching.seen()
    assert [(item.state, item.cause, item.detail) for item in told] == [
        ("up", "", ""),
        ("unknown", "not observed", "nobody looked"),
        ("up", "", ""),
    ]
    assert told[1].end - told[1].start > dt.timedelta(hours=23)


def test_a_site_that_does_not_answer_is_unknown_with_its_reason_and_the_command_fails(
    watching: WatchDesk,
) -> None:
    watching.rounds(2)
    watching.fake.fault("GET", ".*", "error", status=503, times=1000)
    watching.go(minutes=10)
    done = watching.round()
    assert not done.well
    assert "503" in done.sites[0].problem
    last = watching.seen()[-1]
    assert (last.state, last.cause) == ("unknown", "not observed")
    assert "503" in last.detail
    watching.fake.control("clear_faults")
    watching.go(hours=2)
    watching.round()
    assert "503" in watching.seen(start=at(3), end=at(60))[0].detail


def test_half_an_hour_of_samples_makes_up_for_an_observer_that_was_away_for_a_while(
    watching: WatchDesk,
) -> None:
    watching.rounds(2)
    watching.go(minutes=10)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.go(minutes=5)
    watching.fake.control("start_guest", vmid=101)
    watching.go(minutes=5)
    watching.round()
    _close(watching.told(), ("up", "", 720), ("down", "unknown", 300), ("up", "", 300))


def test_a_live_migration_is_no_restart_and_a_restart_between_two_looks_is_unknown_for_its_length(
    desk: Desk,
) -> None:
    desk.fakes["paris"].control("add_nodes", names=["pve2"])
    watching = WatchDesk(desk)
    watching.fake.control("metrics", there=False)  # looks are two minutes apart
    watching.round()
    watching.rounds(4)
    watching.go(seconds=30)
    watching.fake.control("move_guest", vmid=101, node="pve2")
    watching.fake.control("end_guest", vmid=102, how="killed")
    watching.go(seconds=20)
    watching.fake.control("start_guest", vmid=102)
    watching.rounds(4)
    assert {state for state, _, _ in watching.told()} == {"up"}
    _close(watching.told("web-2"), ("up", "", 240), ("unknown", "restart", 50), ("up", "", 240))


@pytest.mark.parametrize("why", ["older than 8.2.5", "no Sys.Audit on /"])
def test_without_samples_the_clusters_list_is_read_in_one_call(desk: Desk, why: str) -> None:
    watching = WatchDesk(desk)
    watching.fake.control("round_lists", lists=0)
    if why == "older than 8.2.5":
        watching.fake.control("metrics", there=False)
    else:
        watching.fake.control("grant", grants={"/vms": ["VM.Audit"], "/pool": ["Pool.Audit"]})
    first = watching.round()
    assert bool(first.notices) is (why != "older than 8.2.5")
    watching.fake.control("reset_calls")
    watching.rounds(2)
    assert watching.fake.calls() == {"GET /cluster/resources": 1}
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(4)
    assert watching.told()[-1][:2] == ("down", "unknown")


def test_one_failed_look_between_good_ones_is_no_outage(desk: Desk) -> None:
    watching = WatchDesk(desk)
    watching.fake.control("metrics", there=False)
    watching.round()
    watching.rounds(2)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(2)
    assert watching.told()[-1][:2] != ("down", "unknown")
    watching.fake.control("start_guest", vmid=101)
    watching.rounds(4)
    assert states(watching.told()) == [("up", ""), ("unknown", "once"), ("up", "")]


def test_clocks_that_differ_record_nothing_and_say_so(watching: WatchDesk) -> None:
    watching.rounds(2)
    watching.go(minutes=2)
    done = watching.round(ahead=3600)
    assert "s ahead of the site's, so nothing was recorded" in done.sites[0].problem
    watching.rounds(2)
    assert states(watching.told()) == [("up", "")]


def test_a_clock_that_goes_back_for_everybody_writes_nothing_twice(watching: WatchDesk) -> None:
    watching.rounds(10)
    before = watching.seen(end=at(10))
    watching.go(minutes=-5)
    done = watching.round()
    assert "went back" in done.sites[0].problem
    assert watching.seen(end=at(9)) == [
        type(before[0])(start=START, end=at(9), state="up", cause="", source="export")
    ]


def test_a_machine_that_is_destroyed_ends_and_its_number_may_be_a_strangers(watching: WatchDesk) -> None:
    watching.rounds(2)
    watching.fake.control("remove_vm", vmid=101)
    watching.add(101, "web-1", pool="client-martin", config={"tags": "client-martin;orchestrator"})
    watching.fake.control("start_guest", vmid=101)
    watching.rounds(4)
    assert states(watching.told())[-1] == ("unknown", "not observed")
    assert watching.told("web-2") == [("up", "", 360)]


def test_what_was_observed_is_shown_as_text_and_as_json(desk: Desk) -> None:
    watching = WatchDesk(desk)
    watching.fake.clock(dt.datetime.now(dt.UTC).timestamp(), 1.0)
    first = desk.run("watch", "subscriptions")
    assert first.code == 0, first
    assert "paris: 2 up, 0 down, 0 unknown" in first.out
    assert desk.run("watch", "subscriptions", "--format", "json").code == 0
    shown = desk.run("watch", "--show", "dupont/web-1")
    assert "dupont/web-1" in shown.out
    assert "site paris: last observed" in shown.out
    assert '"machine": "web-1"' in desk.run("watch", "--show", "all", "--format", "json").out
    missing = desk.run("watch", "--show", "dupont/nosuch")
    assert missing.code == 1
    assert "ever observed" in missing.err


def _outages(watching: WatchDesk) -> list[tuple[str, dt.datetime, dt.datetime | None, str | None]]:
    """What was recorded: machine, from, to, notified by whom."""
    with open_history(watching.history) as history:
        recorded = read(history, kinds=(Outage,)).of(Outage)
    return [
        (item.said.machines[0], item.said.start, item.said.end, item.said.notified_by) for item in recorded
    ]


def test_an_outage_is_recorded_as_notified_by_supervision_and_ends_with_the_first_good_look(
    watching: WatchDesk,
) -> None:
    watching.fake.control("eventd", verbose=True)
    watching.rounds(4)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.fake.control("end_guest", vmid=102, how="inside")
    watching.rounds(4)
    (begun,) = _outages(watching)
    assert (begun[0], begun[2], begun[3]) == ("web-1", None, "supervision")
    watching.fake.control("start_guest", vmid=101)
    watching.fake.control("start_guest", vmid=102)
    watching.rounds(4)
    ((name, start, end, _),) = _outages(watching)
    (down,) = (item for item in watching.seen() if item.state == "down")
    assert (name, start, end) == ("web-1", down.start, down.end)
    watching.rounds(4)
    assert len(_outages(watching)) == 1


@pytest.mark.parametrize(("level", "recorded"), [("full", 1), ("supervision", 0)])
def test_the_guests_own_fault_counts_only_at_level_full(desk: Desk, level: str, recorded: int) -> None:
    watching = WatchDesk(desk, "web-1")
    watching.file(managed_services={"level": level})
    assert not watching.round().problems
    watching.fake.control("end_guest", vmid=101, how="inside")
    watching.rounds(4)
    assert len(_outages(watching)) == recorded


def test_what_nobody_wants_running_is_no_outage(watching: WatchDesk) -> None:
    watching.file(machine("web-2"))  # web-1 is in no file any more
    watching.fake.control("eventd", verbose=True)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(4)
    assert watching.told()[-1][:2] == ("down", "process")
    assert _outages(watching) == []


def test_an_outage_that_was_recorded_before_a_crash_is_not_recorded_again(watching: WatchDesk) -> None:
    watching.fake.control("eventd", verbose=True)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(2)
    (before,) = _outages(watching)
    with Observations(watching.history) as observations:  # the crash was before it was noted
        ((known, span),) = observations.to_settle("paris")
        observations.settle("paris", known, span, 0)
    watching.rounds(2)
    assert _outages(watching) == [before]


def test_the_night_tells_of_hours_without_observation_and_of_stops_that_somebody_must_decide(
    desk: Desk,
) -> None:
    watching = WatchDesk(desk)
    begin = dt.datetime.now(dt.UTC).timestamp() - 6 * 3600
    watching.fake.set_clock(begin)
    watching.round()
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(6)  # and then nobody looks any more
    watching.fake.clock(begin + 6 * 3600, 1.0)
    report = desk.folder / "reports"
    options = ("--in-working-hours", "--language", "en", "--report-dir", str(report))
    answer = desk.run("nightly", "subscriptions", "--history", str(watching.history), *options)
    assert answer.code == 1
    (page,) = report.glob("*.md")
    text = page.read_text()
    assert "Site not observed" in text
    assert "nobody looked" in text
    assert "dupont/web-1" in text.partition("Stops to be decided")[2]


def test_a_machine_whose_storage_is_away_and_that_nothing_else_explains_is_down_for_it(desk: Desk) -> None:
    watching = WatchDesk(desk)
    watching.round()
    watching.fake.set_storage("local", active=False)
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.rounds(4)
    last = watching.seen()[-1]
    assert (last.state, last.cause) == ("down", "storage")
    assert "storage local is" in last.detail
    assert [name for name, *_ in _outages(watching)] == ["web-1"]
