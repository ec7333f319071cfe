"""Answers of a hypervisor that cannot be: nobody is down because of them, and the next round is as good as ever."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.api.desk import Desk
from tests.api.watch_desk import WatchDesk


def _sample(**changes: Any) -> dict[str, Any]:
    at = int(time.time())
    return {"id": "qemu/101", "metric": "uptime", "timestamp": at, "type": "gauge", "value": 0, **changes}


ODD: dict[str, dict[str, Any]] = {
    "a time that is text": {"timestamp": "now"},
    "a time before all times": {"timestamp": -1},
    "a time in the far future": {"timestamp": 10**12},
    "an hour ahead": {"timestamp": int(time.time()) + 3600},
    "no value": {"value": None},
    "a value without measure": {"value": 10**300},
    "no id": {"id": None},
    "another's number": {"id": "qemu/999999999"},
    "a number as a path": {"id": "qemu/../../101"},
}

ANSWERS = {
    "no object": "[]",
    "nothing in it": "{}",
    "null": '{"data": null}',
    "no list": '{"data": {"data": {}}}',
    "null for a sample": '{"data": {"data": [null]}}',
    "a number that is none": '{"data": {"data": [{"id": "qemu/101", "metric": "uptime", "value": NaN}]}}',
    "HTML": "<html></html>",
    **{name: json.dumps({"data": {"data": [_sample(**changes)]}}) for name, changes in ODD.items()},
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_samples_that_cannot_be_put_nobody_down(desk: Desk, text: str) -> None:
    watching = WatchDesk(desk)
    watching.round()
    watching.go(minutes=2)
    watching.fake.fault("GET", "/cluster/metrics/export", "answer", text=text, times=99)
    watching.round()
    watching.fake.control("clear_faults")
    watching.rounds(2)
    assert {state for name in watching.names for state, _, _ in watching.told(name)} == {"up"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/cluster/tasks", '{"data": [null]}'),
        ("/cluster/tasks", '{"data": [{"upid": 7}, {"upid": "UPID:pve1:\\u001b[31m:x"}, {"upid": null}]}'),
        ("/nodes/pve1/journal", '{"data": [7, null]}'),
        ("/nodes/pve1/journal", '{"data": {}}'),
        (
            "/nodes/pve1/journal",  # what a program on the node writes about another one is not what qmeventd says
            '{"data": ["Nov 10 09:00:00 pve1 sshd[1]: qmeventd[2]: 101: executing cleanup (graceful: 1, guest: 1)"]}',
        ),
    ],
)
def test_what_explains_a_stop_may_be_anything_and_the_stop_is_recorded_as_unexplained(
    desk: Desk, path: str, text: str
) -> None:
    watching = WatchDesk(desk)
    watching.fake.control("eventd", verbose=path == "/cluster/tasks")
    watching.round()
    watching.fake.control("end_guest", vmid=101, how="killed")
    watching.fake.fault("GET", path, "answer", text=text, times=99)
    watching.rounds(2)
    expected = "process" if path == "/cluster/tasks" else "unknown"
    assert watching.told()[-1][:2] == ("down", expected)


def test_a_round_that_is_killed_is_made_up_for_by_the_next(desk: Desk) -> None:
    watching = WatchDesk(desk)
    watching.fake.clock(time.time(), 1.0)
    inventory = ("subscriptions", "--history", str(watching.history))
    assert desk.run("watch", *inventory).code == 0
    assert desk.kill_at("GET", "/cluster/metrics/export", "watch", *inventory)
    show = ("watch", "--show", "all", "--format", "json", "--history", str(watching.history))
    for _ in range(100):  # what was seen within one second has no length yet
        assert desk.run("watch", *inventory).code == 0
        seen = [item["seen"] for item in json.loads(desk.run(*show).out)["machines"]]
        if all(any(interval["source"] for interval in intervals) for intervals in seen):
            break
    for intervals in seen:
        assert {interval["state"] for interval in intervals if interval["source"]} == {"up"}


def test_the_pause_between_rounds_leaves_no_gap(desk: Desk) -> None:
    for text in ("9s", "5m", "2", "-1m", "2h", "١٠s"):
        answer = desk.run("watch", "--every", text)
        assert answer.code == 1 and "from 10s to 4m" in answer.err, answer
