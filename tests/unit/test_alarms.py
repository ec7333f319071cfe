"""Alarms (article 3.8.1): one an event, acknowledged by a name, closed by recovery, silent in maintenance, traced."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from orchestrator.alarms.recorded import known_alarms
from orchestrator.alarms.webhook import LARGEST, WebhookRefused, parse
from orchestrator.cli import app
from orchestrator.history import open_history
from orchestrator.history.declared import Alarm, AlarmAction, Maintenance
from orchestrator.history.records import add, read
from orchestrator.operations.alarms import ReceiveRequest, Reception, receive
from tests.hostile_texts import HOSTILE
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_sites import SITES

NOON = dt.datetime(2026, 11, 25, 11, 0, tzinfo=dt.UTC)
"""Wednesday, noon in Paris: no window is open."""
MINUTE = dt.timedelta(minutes=1)

Send = Callable[..., Reception]


def alert(**changes: Any) -> dict[str, Any]:
    """An alert as Alertmanager 0.25 sends it."""
    labels = {"alertname": "DiskFull", "severity": "critical", "client": "dupont", "machine": "web-1"}
    sent = {
        "status": "firing",
        "labels": {**labels, **changes.pop("labels", {})},
        "annotations": {"summary": "/ of dupont/web-1 has 4% left", "procedure": "disk-full"},
        "startsAt": NOON.isoformat().replace("+00:00", ".000000123Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "c0ffee0123456789",
        **changes,
    }
    if "ends" in sent:
        sent.update(status="resolved", endsAt=sent.pop("ends").isoformat())
    return sent


def webhook(*alerts: dict[str, Any], **changes: Any) -> bytes:
    body = {
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "orchestrator",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
        **changes,
    }
    return json.dumps(body).encode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of two clients, dupont with managed services, martin without."""
    (tmp_path / "sites.yaml").write_text(SITES)
    files = tmp_path / "subscriptions"
    files.mkdir()
    managed = file_of(machine() + machine(name="web-2"))
    (files / "dupont.yaml").write_text(managed)
    services = managed.index("managed_services"), managed.index("services:\n  - offer")
    alone = managed[: services[0]] + managed[services[1] :]
    (files / "martin.yaml").write_text(alone.replace("dupont", "martin").replace("C-2026-0042", "C-2"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ORCHESTRATOR_INVENTORY", str(tmp_path / "sites.yaml"))
    monkeypatch.delenv("ORCHESTRATOR_HISTORY", raising=False)
    return tmp_path


@pytest.fixture
def history(folder: Path) -> str:
    return str(folder / "history.db")


@pytest.fixture
def send(folder: Path, history: str) -> Send:
    def sent(*alerts: dict[str, Any], at: dt.datetime = NOON + MINUTE) -> Reception:
        body = webhook(*alerts)
        request = ReceiveRequest(body=body, inventory=str(folder / "sites.yaml"), history=history)
        return receive(request, at)

    return sent


def run(history: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["alarms", *arguments, "--history", history], env={"COLUMNS": "200"})


def known(history: str) -> list[Alarm]:
    with open_history(history) as opened:
        return [item.alarm for item in known_alarms(opened)]


def test_one_alarm_an_event_however_often_it_is_sent(send: Send, history: str) -> None:
    first, again = send(alert()), send(alert(), alert())
    (made,) = first.raised
    assert (made.said.client, made.said.machines, made.said.rule) == ("dupont", ("web-1",), "DiskFull")
    assert made.said.procedure == "disk-full" and made.said.acted_on
    assert again.raised == [] and again.unchanged == 2
    assert len(known(history)) == 1


def test_recovery_closes_it_and_what_comes_then_is_another_event(send: Send, history: str) -> None:
    send(alert())
    ended = alert(ends=NOON + 5 * MINUTE)
    assert len(send(ended, at=NOON + 6 * MINUTE).closed) == 1
    assert send(ended, alert(), at=NOON + 7 * MINUTE).unchanged == 2, "sent again, or late"
    later = (NOON + 9 * MINUTE).isoformat()
    assert len(send(alert(startsAt=later), at=NOON + 10 * MINUTE).raised) == 1
    first, second = known(history)
    assert (first.end, first.closed_by) == (NOON + 5 * MINUTE, "recovery")
    assert second.end is None and second.fingerprint == first.fingerprint


def test_an_event_that_began_again_before_its_recovery_was_sent_ends_the_earlier_one(
    send: Send, history: str
) -> None:
    send(alert())
    received = send(alert(startsAt=(NOON + 3 * MINUTE).isoformat()), at=NOON + 4 * MINUTE)
    assert len(received.closed) == len(received.raised) == 1
    first, second = known(history)
    assert first.end == second.start == NOON + 3 * MINUTE


def test_an_event_that_was_over_before_it_was_sent_is_an_alarm_all_the_same(send: Send, history: str) -> None:
    received = send(alert(ends=NOON + MINUTE), at=NOON + 2 * MINUTE)
    assert len(received.raised) == 1
    (alarm,) = known(history)
    assert (alarm.end, alarm.closed_by) == (NOON + MINUTE, "recovery")


@given(
    order=st.lists(st.sampled_from(["a", "a-ends", "b", "b-ends"]), max_size=8),
)
def test_whatever_order_webhooks_come_in_there_is_at_most_one_alarm_an_event(
    order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from orchestrator.alarms.events import Close, Raise, outcomes
    from orchestrator.history.records import Recorded

    starts = {"a": NOON, "b": NOON + 10 * MINUTE}
    alarms: dict[int, Recorded[Alarm]] = {}
    for name in order:
        start = starts[name[0]]
        sent = alert(startsAt=start.isoformat())
        if name.endswith("-ends"):
            sent = alert(startsAt=start.isoformat(), ends=start + 5 * MINUTE)
        (read_alert,) = parse(webhook(sent), NOON + dt.timedelta(hours=1)).alerts
        for outcome in outcomes(read_alert, list(alarms.values()), None, ()):
            if isinstance(outcome, Raise):
                number = len(alarms) + 1
                alarms[number] = Recorded(number=number, at=NOON, who="x", why="x", said=outcome.alarm)
            elif isinstance(outcome, Close):
                old = outcome.old
                alarms[old.number] = Recorded(
                    number=old.number, at=NOON, who="x", why="x", said=outcome.alarm
                )
    said = [item.said for item in alarms.values()]
    assert len({alarm.start for alarm in said}) == len(said) <= len({name[0] for name in order})
    assert sum(alarm.end is None for alarm in said) <= 1


def test_planned_maintenance_and_the_machines_own_window_are_silent_and_no_longer(
    send: Send, history: str
) -> None:
    with open_history(history) as opened:
        maintenance = Maintenance(
            client="dupont",
            machines=("web-2",),
            start=NOON - 5 * MINUTE,
            end=NOON + 5 * MINUTE,
            announced=NOON - 60 * MINUTE,
            reference="M-1",
        )
        add(opened, maintenance, who="alice", why="new disk")
    in_window = dt.datetime(
        2026, 11, 24, 22, 30, tzinfo=dt.UTC
    )  # Tuesday 23:30 in Paris; the window ends at 02:00
    sent = send(
        alert(labels={"machine": "web-2"}, fingerprint="02"),
        alert(startsAt=in_window.isoformat(), fingerprint="01"),
        alert(fingerprint="03"),
    )
    until = {made.said.fingerprint: made.said.silent_until for made in sent.raised}
    assert until == {
        "01": dt.datetime(2026, 11, 25, 1, 0, tzinfo=dt.UTC),
        "02": NOON + 5 * MINUTE,
        "03": None,
    }
    why = {made.said.fingerprint: made.said.silenced_by for made in sent.raised}
    assert why["01"] == "its maintenance window" and why["02"] == "M-1"
    listed = json.loads(run(history, "list", "--all", "--format", "json").output)
    states = {item["fingerprint"]: item["state"] for item in listed}
    assert states == {"01": "open", "02": "open", "03": "open"}, "it outlasted them all"
    send(
        alert(labels={"machine": "web-2"}, fingerprint="02", ends=NOON + 4 * MINUTE),
        at=NOON + 5 * MINUTE,
    )
    listed = json.loads(run(history, "list", "--format", "json").output)
    assert {item["fingerprint"] for item in listed} == {"01", "03"}


def test_without_managed_services_an_alarm_is_told_and_not_acted_on(send: Send, history: str) -> None:
    (made,) = send(alert(labels={"client": "martin"})).raised
    assert made.said.acted_on is False
    assert "told, not acted on (article 3.7)" in run(history, "list").output
    refused = run(history, "action", "add", str(made.number), "--by", "alice", "--what", "grew the disk")
    assert refused.exit_code == 1 and "article 3.7" in refused.output


def test_acknowledged_by_a_name_acted_on_and_all_of_it_in_the_history(send: Send, history: str) -> None:
    (made,) = send(alert()).raised
    number = str(made.number)
    assert run(history, "acknowledge", number, "--by", "alice").exit_code == 0
    assert run(history, "acknowledge", number, "--by", "alice").exit_code == 0, "said twice is no error"
    refused = run(history, "acknowledge", number, "--by", "bob")
    assert refused.exit_code == 1 and "by alice already" in refused.output
    done = run(
        history, "action", "add", number, "--by", "automatic", "--what", "cleaned", "--result", "failed"
    )
    assert done.exit_code == 0, done.output
    by_hand = ("--by", "alice", "--what", "grew the disk", "--procedure", "disk-full-soon")
    assert run(history, "action", "add", number, *by_hand).exit_code == 0
    assert run(history, "close", number, "--by", "alice", "--reason", "it has room").exit_code == 0
    again = run(history, "close", number, "--by", "alice", "--reason", "it has room")
    assert again.exit_code == 1 and f"alarm {number} is over" in again.output
    (item,) = json.loads(run(history, "list", "--all", "--format", "json").output)
    assert (item["number"], item["state"], item["closed_by"]) == (int(number), "closed", "alice")
    assert [(one["by"], one["procedure"], one["result"]) for one in item["actions"]] == [
        ("automatic", "disk-full", "failed"),
        ("alice", "disk-full-soon", "done"),
    ]
    with open_history(history) as opened:
        records = read(opened, kinds=(Alarm, AlarmAction), client="dupont")
        assert opened.verify().ok
        entries = opened.entries(action=["alarm", "alarm action"])
    assert records.unreadable == ()
    assert len(entries) == 5, "raised, acknowledged, two actions, closed: nothing was edited"
    assert all(one.who and one.why and one.client == "dupont" for one in entries)


def test_a_machine_that_no_file_has_is_named_and_left_and_the_others_count(
    folder: Path, history: str
) -> None:
    body = webhook(
        alert(labels={"machine": "web-9"}),
        alert(labels={"client": "nobody"}),
        alert(labels={"client": "../x"}),
        alert(fingerprint="01"),
    )
    (folder / "webhook.json").write_bytes(body.replace(b"2026-11-25", b"2025-11-25"))
    answer = run(history, "receive", "--file", "webhook.json")
    assert answer.exit_code == 1
    assert "DiskFull of dupont/web-9 was not recorded: no file has it" in answer.output
    assert "DiskFull of nobody/web-1 was not recorded" in answer.output
    assert "its label client cannot be a name" in answer.output
    assert len(known(history)) == 1


def test_an_alarm_of_the_providers_own_computers_has_no_client(send: Send, history: str) -> None:
    night = alert(fingerprint="01")
    night["labels"] = {"alertname": "NightDidNotRun", "severity": "critical"}
    storage = copy.deepcopy(night) | {"fingerprint": "02"}
    storage["labels"] = {"alertname": "StorageFullSoon", "severity": "warning", "site": "paris"}
    assert len(send(night, storage).raised) == 2 and send(night, storage).unchanged == 2
    assert {(alarm.client, alarm.site) for alarm in known(history)} == {(None, None), (None, "paris")}
    assert "NightDidNotRun  the provider" in run(history, "list").output


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        webhook(version="3"),
        webhook(alerts="many"),
        webhook(*([{}] * 1_001)),
        b" " * (LARGEST + 1),
    ],
    ids=["empty", "text", "not UTF-8", "a list", "deep", "version 3", "no list", "too many", "too large"],
)
def test_what_is_no_webhook_is_refused_whole(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        parse(body, NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        {"startsAt": (NOON + 20 * MINUTE).isoformat()},
        {"startsAt": "0001-01-01T00:00:00Z"},
        {"startsAt": "0002-01-01T00:00:00Z"},
        {"startsAt": "1999-12-31T23:59:59Z"},
        {"startsAt": "9999-12-31T23:59:59-14:00"},
        {"startsAt": "yesterday"},
        {"startsAt": 1_790_000_000},
        {"startsAt": "2026-11-25T11:00:00"},
        {"ends": NOON},
        {"ends": NOON - MINUTE},
        {"ends": NOON + 60 * MINUTE},
        {"fingerprint": "../../etc/passwd"},
        {"labels": {"machine": "web-1\n"}},
        {"labels": {"machine": "x" * 5_000}},
        {"labels": {str(number): "x" for number in range(200)}},
        {"annotations": {"summary": 1}},
        {"status": "perhaps"},
    ],
    ids=str,
)
def test_one_alert_that_cannot_be_is_named_and_the_others_count(wrong: dict[str, Any]) -> None:
    received = parse(webhook(alert(**wrong), alert(fingerprint="01")), NOON + MINUTE)
    assert [one.fingerprint for one in received.alerts] == ["01"]
    (told,) = received.unread
    assert told.startswith("alert 1 of the webhook was not recorded: ")


@given(text=HOSTILE)
def test_texts_of_others_are_recorded_as_visible_texts_of_limited_length(text: str) -> None:
    sent = alert(
        labels={"alertname": text, "severity": text},
        annotations={"summary": f"{text} postgresql://root:hunter2@db/x", "procedure": text},
    )
    received = parse(webhook(sent), NOON + MINUTE)
    for one in received.alerts:
        assert one.text.isprintable() and len(one.text) <= 300 and "hunter2" not in one.text
        assert one.rule.isprintable() and 0 < len(one.rule) <= 100
        assert one.procedure == "" or one.procedure.replace("-", "").isalnum()
        Alarm(
            client="dupont",
            start=one.start,
            fingerprint=one.fingerprint,
            rule=one.rule,
            severity=one.severity,
            procedure=one.procedure,
            text=one.text,
        )


def test_a_webhook_can_come_by_standard_input(folder: Path, history: str) -> None:
    body = webhook(alert()).replace(b"2026-11-25", b"2025-11-25")
    answer = CliRunner().invoke(app, ["alarms", "receive", "--history", history], input=body)
    assert answer.exit_code == 0 and "raised: DiskFull  dupont/web-1" in answer.output, answer.output


def test_numbers_that_are_none_are_refused(folder: Path, history: str, send: Send) -> None:
    send(alert())
    for arguments in (
        ("acknowledge", "99", "--by", "alice"),
        ("action", "add", "99", "--by", "a", "--what", "b"),
    ):
        refused = run(history, *arguments)
        assert refused.exit_code == 1 and "there is no alarm 99" in refused.output
    unnamed = run(history, "acknowledge", "1", "--by", " ")
    assert unnamed.exit_code == 1 and "--by" in unnamed.output
    future = ("action", "add", "1", "--by", "a", "--what", "b", "--at", "2126-01-01T00:00")
    assert "in the future" in run(history, *future).output
