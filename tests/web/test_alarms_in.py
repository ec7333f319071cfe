"""Alertmanager over HTTP: a token for alarms, limits, sent again it changes nothing; acknowledged by a program."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.alarms.recorded import find
from orchestrator.alarms.webhook import LARGEST
from orchestrator.interface.scopes import Scope
from orchestrator.operations.tokens import NewToken, add_token
from orchestrator.web.app import application
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_alarms import MINUTE, NOON, alert, webhook
from tests.unit.test_sites import SITES

ADDRESS = "/api/v1/alarms/alertmanager"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A provider with dupont's web-1 and web-2. It is a minute past noon."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sites.yaml").write_text(SITES)
    files = folder / "subscriptions"
    files.mkdir()
    (files / "dupont.yaml").write_text(file_of(machine() + machine(name="web-2")))
    settings = Settings(
        public_url="https://panel.example",
        inventory=str(folder),
        files=(files,),
        history=str(folder / "history.db"),
        reports=Path(folder),
    )
    with pytest.MonkeyPatch.context() as patched, open_desk(settings) as opened:
        patched.setattr(Desk, "now", lambda _: NOON + MINUTE)
        yield opened


class Sender:
    """A program with a token."""

    def __init__(self, client: TestClient, token: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def send(self, body: bytes, address: str = ADDRESS) -> tuple[int, Any]:
        """Send a body; the status and the answer."""
        sent = self._client.post(
            address, content=body, headers={**self._headers, "content-type": "application/json"}
        )
        return sent.status_code, sent.json() if "json" in sent.headers["content-type"] else sent.text

    def say(self, address: str, **said: str) -> tuple[int, Any]:
        """Send a document."""
        return self.send(json.dumps(said).encode(), address)


@pytest.fixture(scope="module")
def senders(desk: Desk) -> Iterator[Mapping[str, Sender]]:
    """Programs by what their tokens are for."""

    def token(name: str, scopes: Collection[Scope], client: str | None = None) -> str:
        return add_token(desk, NewToken(name=name, scopes=scopes, client=client), who="test")[0]

    with TestClient(application(desk), base_url="https://panel.example") as client:
        yield {
            "alarms": Sender(client, token("monitoring", [Scope.ALARMS])),
            "read": Sender(client, token("billing", [Scope.READ])),
            "client": Sender(client, token("theirs", [Scope.ALARMS], "dupont")),
            "nobody": Sender(client, ""),
        }


def event(number: int, **labels: str) -> dict[str, Any]:
    return alert(fingerprint=f"{number:x}", labels={"machine": "web-1", **labels})


def test_an_event_is_recorded_once_closed_by_recovery_and_a_stranger_is_named(
    senders: Mapping[str, Sender], desk: Desk
) -> None:
    monitoring = senders["alarms"]
    body = webhook(event(1), event(2, machine="web-9"))
    status, answer = monitoring.send(body)
    assert (status, answer["raised"], answer["unchanged"]) == (200, 1, 0)
    assert answer["left"] == ["DiskFull of dupont/web-9 was not recorded: no file has it"]
    status, answer = monitoring.send(body)
    assert (status, answer["raised"], answer["unchanged"]) == (200, 0, 1)
    (known,) = desk.alarms.all()
    assert (known.alarm.client, known.alarm.machines, known.recorded.who) == (
        "dupont",
        ("web-1",),
        "supervision",
    )
    over = {**event(1), "status": "resolved", "endsAt": (NOON + MINUTE / 2).isoformat()}
    assert monitoring.send(webhook(over))[1]["closed"] == 1
    assert desk.alarms.all()[0].alarm.closed_by == "recovery"


@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("read", 403), ("client", 404)])
def test_only_a_token_of_the_provider_for_alarms_sends_any(
    senders: Mapping[str, Sender], desk: Desk, who: str, status: int
) -> None:
    before = desk.history.last_number()
    assert senders[who].send(webhook(event(77)))[0] == status
    assert senders[who].say("/api/v1/alarms/1/acknowledge", by="mallory")[0] == status
    assert desk.history.last_number() == before


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 409, "it is not JSON in UTF-8"),
        (b"\xff", 409, "it is not JSON in UTF-8"),
        (b"[" * 100_000, 409, "it is not JSON in UTF-8"),
        (b"{}", 409, "version"),
        (webhook(version="3"), 409, "version"),
        (b" " * (LARGEST + 1), 413, "bytes at most"),
    ],
    ids=["nothing", "no text", "too deep", "empty", "another version", "too large"],
)
def test_what_is_no_webhook_is_refused_and_nothing_is_recorded(
    senders: Mapping[str, Sender], desk: Desk, body: bytes, status: int, said: str
) -> None:
    before = desk.history.last_number()
    found, answer = senders["alarms"].send(body)
    assert found == status and said in str(answer), answer
    assert desk.history.last_number() == before


def test_a_webhook_as_large_as_allowed_is_read(senders: Mapping[str, Sender]) -> None:
    body = webhook(event(3), filler="x" * (LARGEST - 10_000))
    assert LARGEST - 10_000 < len(body) <= LARGEST
    assert senders["alarms"].send(body)[1]["raised"] == 1


def test_a_program_acknowledges_in_the_name_of_a_person(senders: Mapping[str, Sender], desk: Desk) -> None:
    monitoring = senders["alarms"]
    monitoring.send(webhook(event(4)))
    number = desk.alarms.all()[-1].number
    address = f"/api/v1/alarms/{number}/acknowledge"
    for refused in ({"by": ""}, {"by": "a\nb"}, {"by": "alice", "word": "x" * 201}, {"word": "x"}):
        assert monitoring.say(address, **refused)[0] == 422, refused
    assert monitoring.say("/api/v1/alarms/999999/acknowledge", by="alice")[0] == 404
    status, answer = monitoring.say(address, by="alice", word="on my way")
    assert (status, answer["state"]) == (200, "acknowledged")
    known = find(desk.history, number)
    assert (known.alarm.acknowledged_by, known.recorded.who) == ("alice", "token monitoring")
    assert known.recorded.why == "acknowledged by alice: on my way"
    assert monitoring.say(address, by="alice")[0] == 200, "again, nothing changes"
    assert find(desk.history, number).recorded.number == known.recorded.number
    status, answer = monitoring.say(address, by="bob")
    assert status == 409 and "was acknowledged by alice already" in answer["detail"]


def test_while_the_site_file_is_broken_alertmanager_is_asked_to_send_again(
    senders: Mapping[str, Sender], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = Path(desk.settings.inventory or "") / "sites.yaml"
    monkeypatch.setattr(Desk, "now", lambda _: NOON + 2 * MINUTE)
    sites.write_text("sites: 1\n")
    try:
        status, answer = senders["alarms"].send(webhook(event(5)))
        assert status == 503 and "sites.yaml" in answer["detail"]
    finally:
        sites.write_text(SITES)
    assert senders["alarms"].send(webhook(event(5)))[1]["raised"] == 1
