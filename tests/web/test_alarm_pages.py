"""Alarms on pages: the most severe first, acknowledged with a word, closed, acted on, each with its procedure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.alarms.recorded import find
from orchestrator.operations.alarms import Reception, receive_into
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_alarms import MINUTE, NOON, alert, webhook
from tests.unit.test_sites import SITES
from tests.web.signed_in import Browser, signed_in


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A provider with dupont's web-1 and web-2, a procedure of its own, and no alarm. It is a minute past noon."""
    (tmp_path / "sites.yaml").write_text(SITES)
    files, own = tmp_path / "subscriptions", tmp_path / "procedures"
    files.mkdir()
    own.mkdir()
    (files / "dupont.yaml").write_text(file_of(machine() + machine(name="web-2")))
    (own / "own.md").write_text(
        "# Own\n\n1. See [full disks](disk-full.md), [a site](https://docs.example/x?a=1&b=2) and `df -h`.\n\n"
        "<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![y](https://evil.example/y.png) <b>b</b>\n"
    )
    monkeypatch.setattr(Desk, "now", lambda _: NOON + MINUTE)
    settings = Settings(
        public_url="https://panel.example",
        inventory=str(tmp_path),
        files=(files,),
        history=str(tmp_path / "history.db"),
        reports=tmp_path,
        procedures=(own,),
    )
    with open_desk(settings) as opened:
        yield opened


@pytest.fixture
def operator(desk: Desk) -> Iterator[Browser]:
    with signed_in(desk, "oscar") as browser:
        yield browser


def send(desk: Desk, *alerts: dict[str, object], at: dt.datetime = NOON + MINUTE) -> Reception:
    return receive_into(desk.history, webhook(*alerts), desk.files.read(at), at)


def labelled(number: int, severity: str, rule: str, **labels: str) -> dict[str, object]:
    return alert(
        fingerprint=f"{number:x}",
        labels={"severity": severity, "alertname": rule, "machine": "web-1", **labels},
    )


def rules(text: str) -> list[str]:
    return re.findall(r'<a href="/alarms/\d+">([^<]+)</a>', text)


def test_the_most_severe_comes_first_and_what_is_over_last(desk: Desk, operator: Browser) -> None:
    assert "No alarms" in operator.get("/alarms").text
    send(
        desk,
        labelled(1, "warning", "DiskFullSoon"),
        labelled(2, "critical", "MachineDown", machine="web-2"),
        labelled(3, "page-me", "Unheard"),
        labelled(4, "info", "Quiet"),
        {**labelled(5, "critical", "Over"), "status": "resolved", "endsAt": (NOON + MINUTE / 2).isoformat()},
    )
    assert rules(operator.get("/alarms").text) == ["MachineDown", "Unheard", "DiskFullSoon", "Quiet", "Over"]
    for query, found in (
        ({"state": "going on"}, ["MachineDown", "Unheard", "DiskFullSoon", "Quiet"]),
        ({"state": "closed"}, ["Over"]),
        ({"machine": "web-2"}, ["MachineDown"]),
        ({"severity": "warning"}, ["DiskFullSoon"]),
        ({"client": "martin"}, []),
        ({"state": "nonsense"}, []),
    ):
        assert rules(operator.get("/alarms", query).text) == found, query


def test_a_webhook_that_is_sent_again_changes_nothing_and_the_list_is_read_anew_when_one_comes(
    desk: Desk, operator: Browser
) -> None:
    for _ in range(2):
        send(desk, labelled(1, "critical", "MachineDown"))
        assert rules(operator.get("/alarms").text) == ["MachineDown"]
    send(desk, labelled(2, "critical", "DiskFull"))
    assert len(rules(operator.get("/alarms").text)) == 2


def test_an_alarm_is_acknowledged_with_a_word_which_the_history_keeps(desk: Desk, operator: Browser) -> None:
    (made,) = send(desk, labelled(1, "critical", "MachineDown")).raised
    page = f"/alarms/{made.number}"
    operator.send(page, f"{page}/acknowledge", {"word": "  on  my way "})
    known = find(desk.history, made.number)
    assert (known.alarm.acknowledged_by, known.recorded.who) == ("oscar", "oscar")
    assert known.recorded.why == "acknowledged by oscar: on my way"
    text = operator.get(page).text
    assert "Looked after by</dt><dd>oscar" in text and "acknowledged by oscar: on my way" in text
    assert f"{page}/acknowledge" not in text, "once is enough"
    with signed_in(desk, "rachel") as reader:
        seen = reader.get(page).text
        assert "MachineDown" in seen and f"{page}/close" not in seen
        token = operator.get(page).text.partition('name="form_token" value="')[2][:64]
        refused = reader.client.post(f"{page}/close", data={"word": "x", "form_token": token})
        assert refused.status_code == 404, "a reader changes nothing"
    assert find(desk.history, made.number).alarm.end is None


def test_an_action_is_recorded_and_a_close_needs_a_reason(desk: Desk, operator: Browser) -> None:
    (made,) = send(desk, labelled(1, "critical", "MachineDown")).raised
    page = f"/alarms/{made.number}"
    labelled_fields = re.findall(r'<label for="([^"]+)"', operator.get(page).text)
    assert len(set(labelled_fields)) == len(labelled_fields) >= 3, "each label is that of a field of its own"
    operator.send(page, f"{page}/action", {"what": "started it", "result": "no-effect"})
    (action,) = find(desk.history, made.number).actions
    assert (action.said.by, action.said.text, action.said.result) == ("oscar", "started it", "no-effect")
    assert action.said.procedure == "disk-full", "that of its rule"
    refused = operator.send(page, f"{page}/close", {"word": " "}, status=409)
    assert "an alarm is closed with a reason" in refused.text
    for what in ("", "x" * 201, "a\u202eb"):
        operator.send(page, f"{page}/action", {"what": what, "result": "done"}, status=409)
    operator.send(page, f"{page}/close", {"word": "the rule is gone"})
    known = find(desk.history, made.number)
    assert (known.alarm.closed_by, known.recorded.why) == ("oscar", "the rule is gone")
    assert "is over since" in operator.send(page, f"{page}/close", {"word": "again"}, status=409).text


def test_procedures_are_shown_the_own_ones_first_and_nothing_of_them_is_markup(
    desk: Desk, operator: Browser
) -> None:
    event = labelled(1, "critical", "Own")
    event["annotations"] = {"summary": "x", "procedure": "own"}
    (made,) = send(desk, event).raised
    for path in (f"/alarms/{made.number}", "/procedures/own"):
        text = operator.get(path).text
        assert '<a href="/procedures/disk-full">full disks</a>' in text
        assert '<a href="https://docs.example/x?a=1&amp;b=2" rel="noreferrer">a site</a>' in text
        assert "<code>df -h</code>" in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "<b>" not in text
        assert "<script>" not in text and 'href="javascript' not in text and "<img" not in text
    assert "What to do" in operator.get("/procedures/machine-down").text
    for name in ("nothing", "..%2Fsites", "own.md", "%2e%2e", "Own"):
        operator.get(f"/procedures/{name}", status=404)


def test_a_procedure_that_cannot_be_read_does_not_hide_the_alarm(desk: Desk, operator: Browser) -> None:
    (own,) = desk.settings.procedures
    (own / "disk-full.md").write_bytes(b"\xff\xfe")
    (made,) = send(desk, labelled(1, "critical", "MachineDown")).raised
    assert "is not UTF-8 text" in operator.get(f"/alarms/{made.number}").text
    (own / "disk-full.md").write_text("x" * 300_000)
    assert "more than 256 KiB" in operator.get(f"/alarms/{made.number}").text


def test_what_is_no_alarm_is_not_found_and_clients_have_none_here(desk: Desk, operator: Browser) -> None:
    (made,) = send(desk, labelled(1, "critical", "MachineDown")).raised
    for number in ("0", str(made.number + 1), "x", "9" * 30, "-1"):
        operator.get(f"/alarms/{number}", status=404)
    with signed_in(desk, "camille") as client:
        for path in ("/alarms", f"/alarms/{made.number}", "/procedures/own"):
            client.get(path, status=404)
