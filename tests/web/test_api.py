"""The JSON API: tokens with scopes and an end, one client's tokens, problems, paging, requests."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.history.database import ENTRIES
from orchestrator.interface.look_writing import keep_clients, keep_site
from orchestrator.interface.looked import LookedClient, LookedFirewall, LookedMachine, LookedRule, LookedSite
from orchestrator.interface.roles import Role
from orchestrator.interface.scopes import Scope
from orchestrator.interface.tokens import TOKENS
from orchestrator.operations.tokens import NewToken, add_token, revoke_token
from tests.web.desks import Browser, ClockedDesk, add, clocked_desk

ROOT = Path(__file__).parents[2]
RULES = (
    LookedRule(kind="open", what="tcp 443", others=("any",)),
    LookedRule(kind="provider", what="ssh", others=("192.0.2.10/32",)),
)


def looked(client: str, name: str) -> LookedMachine:
    return LookedMachine(
        client=client,
        machine=name,
        site="paris",
        data_centre="Paris",
        node="pve-secret",
        vmid=4711,
        state="running",
        offer="cloud-vm-advanced",
        vcpus=2,
        memory_mib=512,
        disk_gib=4.0,
        firewall=LookedFirewall(loaded=RULES, asked=RULES, limited=False),
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockedDesk]:
    """dupont with 60 machines, martin with one; the files of the examples."""
    folder = tmp_path_factory.mktemp("api")
    inventory, files = str(ROOT / "inventories" / "example"), (ROOT / "examples",)
    with clocked_desk(folder, inventory=inventory, files=files) as opened:
        machines = [looked("dupont", "web-1"), *(looked("dupont", f"app-{n:02}") for n in range(59))]
        keep_site(
            opened.database, LookedSite(site="paris"), [*machines, looked("martin", "shop-1")], opened.now()
        )
        keep_clients(
            opened.database,
            [LookedClient(client="dupont", file="yes"), LookedClient(client="martin", file="yes")],
            [],
            ["paris"],
        )
        yield opened


class Caller:
    """A program with a token."""

    def __init__(self, desk: ClockedDesk, name: str, *scopes: Scope, client: str | None = None) -> None:
        self.token, _ = add_token(desk, NewToken(name=name, scopes=scopes, client=client), who="test")
        self._client = Browser(desk).client

    def send(self, method: str, path: str, *, status: int = 200, **more: Any) -> Any:
        """Send a request, and see that the answer has a status; errors are problems."""
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        answer = self._client.request(method, f"/api/v1{path}", headers=headers, **more)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
        return answer.json()

    def file(self, path: str, **query: str) -> Any:
        """Download."""
        headers = {"authorization": f"Bearer {self.token}"}
        answer = self._client.get(f"/api/v1{path}", headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        return answer

    def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        """Read."""
        return self.send("GET", path, status=status, params=query or None)


@pytest.fixture(scope="module")
def reader(desk: ClockedDesk) -> Caller:
    return Caller(desk, "reader", Scope.READ)


@pytest.fixture(scope="module")
def dupont(desk: ClockedDesk) -> Caller:
    return Caller(desk, "dupont", Scope.READ, Scope.REQUESTS, client="dupont")


def test_machines_are_filtered_and_paged(reader: Caller) -> None:
    first = reader.get("/machines", client="dupont", size=25)
    assert (first["total"], first["pages"], len(first["items"])) == (60, 3, 25)
    last = reader.get("/machines", client="dupont", size=25, page=3)
    assert [item["machine"] for item in last["items"]][-1] == "web-1"
    assert [item["machine"] for item in reader.get("/machines", q="shop")["items"]] == ["shop-1"]
    assert reader.get("/machines", size=201, status=422)["code"] == "invalid-request"
    slip = reader.get("/machines", clinet="dupont", status=422)["detail"]
    assert "no parameter 'clinet'" in slip and "client" in slip


def test_a_machine_has_all_that_the_look_found(reader: Caller) -> None:
    found = reader.get("/machines/dupont/web-1")
    assert (
        found["place"]
        == {"node": "pve-secret", "vmid": 4711}
        == {key: found["document"][key] for key in ("node", "vmid")}
    )
    assert [rule["kind"] for rule in found["firewall"]] == ["open", "provider"]
    assert reader.get("/clients/dupont")["machines"] == 60


def test_the_token_of_a_client_sees_that_client_alone_and_nothing_of_the_provider(
    desk: ClockedDesk, dupont: Caller
) -> None:
    assert dupont.get("/machines")["total"] == 60
    assert [item["client"] for item in dupont.get("/clients")["items"]] == ["dupont"]
    text = str(dupont.get("/machines/dupont/web-1")) + str(dupont.get("/machines"))
    assert "pve-secret" not in text and "4711" not in text and "192.0.2.10" not in text
    for theirs, nobodys in (
        ("/machines/martin/shop-1", "/machines/nobody/shop-1"),
        ("/clients/martin", "/clients/nobody"),
        ("/machines?client=martin", "/machines?client=nobody"),
        ("/requests?client=martin", "/requests?client=nobody"),
        ("/alarms?client=martin", "/alarms?client=nobody"),
        ("/history/1", "/history/999999"),
        ("/clients/martin/reports", "/clients/nobody/reports"),
        ("/clients/martin/reports/2026-10", "/clients/nobody/reports/2026-10"),
        ("/nights", "/nights/nothing"),
    ):
        assert dupont.get(theirs, status=404) == dupont.get(nobodys, status=404), theirs
    dupont.get("/machines", q="pve-secret", status=403)
    dupont.get("/machines", sort="node", status=403)
    asked = {"kind": "change", "words": "more"}
    theirs = dupont.send("POST", "/requests", json={"client": "martin", **asked}, status=404)
    assert theirs == dupont.send("POST", "/requests", json={"client": "nobody", **asked}, status=404)


def test_a_token_does_only_what_its_scopes_say(desk: ClockedDesk, reader: Caller) -> None:
    refused = reader.send(
        "POST", "/requests", json={"client": "dupont", "kind": "change", "words": "more"}, status=403
    )
    assert (refused["code"], "--scope requests" in refused["detail"]) == ("scope-missing", True)
    sender = Caller(desk, "sender", Scope.ALARMS)
    assert sender.get("/machines", status=403)["code"] == "scope-missing"
    reader.send("POST", "/alarms/alertmanager", json={}, status=403)


def test_what_is_no_valid_token_is_refused_the_same_way(desk: ClockedDesk, reader: Caller) -> None:
    caller = Caller(desk, "ended", Scope.READ)
    forged = [
        "",
        "Bearer",
        "Bearer x",
        f"Basic {caller.token}",
        f"Bearer {caller.token}x",
        "Bearer " + "é" * 47,
    ]
    answers = [
        reader.send("GET", "/machines", status=401, headers={"authorization": one.encode()}) for one in forged
    ]
    assert all(one == answers[0] for one in answers)
    caller.get("/machines")
    revoke_token(desk, "ended", who="test")
    assert caller.get("/machines", status=401) == answers[0]
    passing = Caller(desk, "passing", Scope.READ)
    desk.clock.pass_by(days=91)
    assert passing.get("/machines", status=401) == answers[0]
    desk.clock.pass_by(days=-91)


def test_a_sessions_cookie_opens_nothing_of_the_api(desk: ClockedDesk) -> None:
    add(desk, "olga")
    browser = Browser(desk)
    browser.sign_in("olga")
    assert browser.signed_in and browser.get("/api/v1/machines").status_code == 401


def test_only_the_hash_of_a_token_is_kept_and_its_use_is_noted(desk: ClockedDesk, reader: Caller) -> None:
    reader.get("/machines")
    kept = b"".join(path.read_bytes() for path in Path(desk.settings.history).parent.glob("history.db*"))
    assert reader.token.encode() not in kept
    from orchestrator.operations.tokens import list_tokens

    used = {token.name: token.used for token in list_tokens(desk)}
    assert used["reader"] is not None and desk.now() - used["reader"] < dt.timedelta(minutes=2)


def test_requests_are_registered_listed_and_closed_and_the_history_names_the_token(
    desk: ClockedDesk, dupont: Caller
) -> None:
    body = {"client": "dupont", "machine": "web-1", "kind": "change", "words": "8 GiB of memory, please"}
    made = dupont.send("POST", "/requests", json=body, status=201)["registered"]
    assert [(one["machines"], one["state"]) for one in made] == [(["web-1"], "open")]
    number = made[0]["number"]
    assert dupont.get(f"/requests/{number}") == made[0]
    assert [one["number"] for one in dupont.get("/requests")["items"]] == [number]
    dupont.send("POST", f"/requests/{number}/close", json={"result": "done"}, status=404)
    desks = Caller(desk, "tickets", Scope.READ, Scope.REQUESTS)
    closed = desks.send("POST", f"/requests/{number}/close", json={"result": "done"})
    assert (closed["state"], closed["outcome"], closed["result"]) == ("closed", "done", "done")
    desks.send("POST", f"/requests/{number}/close", json={"result": "again"}, status=409)
    assert dupont.get("/requests")["total"] == 0 and dupont.get("/requests", state="all")["total"] == 1
    whos = {entry.who for entry in desk.history.entries(action="request")}
    assert {"token dupont", "token tickets"} <= whos
    future = {**body, "came": "2999-01-01T00:00:00Z"}
    assert "in the future" in desks.send("POST", "/requests", json=future, status=409)["detail"]
    assert dupont.send("POST", "/requests", json=future, status=403)["code"] == "came-now"
    assert dupont.send("POST", "/requests", json={**body, "kind": "restart"}, status=201)["registered"]


def test_a_clients_token_has_the_limits_of_its_offer(desk: ClockedDesk) -> None:
    martin = Caller(desk, "martin-asks", Scope.REQUESTS, client="martin")
    body = {"client": "martin", "machine": "shop-1", "words": "please"}
    refused = martin.send("POST", "/requests", json={**body, "kind": "restart"}, status=403)
    assert refused["code"] == "contract-offer", "Cloud VM Essentiel has no restarts (article 3.3)"
    assert martin.send("POST", "/requests", json={**body, "kind": "change"}, status=201)["registered"]


def test_a_client_reads_its_history_as_its_portal_shows_it(desk: ClockedDesk, dupont: Caller) -> None:
    def append(client: str, why: str) -> None:
        desk.history.append(
            who="olga", why=why, client=client, machine="web-1", site="paris", action="backup", result="failed",
            message="pve-secret: no space", upid="UPID:pve-secret:1", run="r",
        )  # fmt: skip

    append("martin", "theirs")
    append("dupont", "moved to pve-secret")
    append("dupont", "ticket 77")
    items = dupont.get("/history")["items"]
    assert [(one["who"], one["action"], one["why"]) for one in items[:2]] == [
        ("provider", "backup", "ticket 77"),
        ("provider", "backup", ""),
    ]
    assert {one["client"] for one in items} == {"dupont"}
    text = str(items)
    assert "pve-secret" not in text and "olga" not in text and "theirs" not in text
    dupont.get("/history", who="olga", status=403)


def test_the_token_of_a_contract_that_is_over_shows_nothing(desk: ClockedDesk) -> None:
    gone = Caller(desk, "gone", Scope.READ, client="nobody-any-more")
    for path in ("/machines", "/clients", "/requests", "/history"):
        gone.get(path, status=404)


@pytest.mark.parametrize(
    "body",
    [{}, {"client": "dupont"}, {"client": "dupont", "kind": "party", "words": "x"}, [], "x"],
)
def test_a_request_that_is_none_is_refused_and_nothing_is_registered(
    desk: ClockedDesk, dupont: Caller, body: Any
) -> None:
    before = len(desk.history.entries(action="request"))
    assert dupont.send("POST", "/requests", json=body, status=422)["code"] == "invalid-request"
    assert len(desk.history.entries(action="request")) == before


@pytest.mark.parametrize("table", [ENTRIES.name, TOKENS.name])
def test_a_broken_database_is_described_to_tokens_of_the_provider_alone(
    desk: ClockedDesk, dupont: Caller, table: str
) -> None:
    provider = Caller(desk, table.replace("_", "-"), Scope.READ)
    with desk.database.writing() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO gone"))
    try:
        ours, theirs = (one.get("/history", status=503)["detail"] for one in (provider, dupont))
    finally:
        with desk.database.writing() as connection:
            connection.execute(sa.text(f"ALTER TABLE gone RENAME TO {table}"))
    assert theirs == "this cannot be done at the moment: try again later"
    assert ("history.db" in ours) is (table == ENTRIES.name), (
        "nobody is known whose token cannot be looked up"
    )


def test_what_is_wrong_is_told_as_a_problem(desk: ClockedDesk, dupont: Caller) -> None:
    assert dupont.get("/nothing", status=404)["code"] == "not-found"
    dupont.send("PUT", "/machines", status=405)
    dupont.send("POST", "/requests", content=b"x" * 1_100_000, status=413)
    assert dupont.get("/service-level/2998-01", status=409)["code"] == "month-to-come"
    dupont.get("/service-level/2026-13", status=422)


def test_the_service_level_of_a_month(desk: ClockedDesk, dupont: Caller, reader: Caller) -> None:
    month = (desk.now().replace(day=1) - dt.timedelta(days=1)).strftime("%Y-%m")
    assert {row["client"] for row in dupont.get(f"/service-level/{month}")["items"]} <= {"dupont"}
    assert {row["client"] for row in reader.get(f"/service-level/{month}")["items"]} == {"dupont", "martin"}


def test_alarms_come_in_by_the_webhook(desk: ClockedDesk, dupont: Caller, reader: Caller) -> None:
    sender = Caller(desk, "alertmanager", Scope.ALARMS)
    start = (desk.now() - dt.timedelta(minutes=5)).isoformat()
    alert = {
        "status": "firing",
        "fingerprint": "ab12",
        "labels": {"alertname": "DiskFull", "severity": "critical", "client": "dupont", "machine": "web-1"},
        "annotations": {},
        "startsAt": start,
        "endsAt": "0001-01-01T00:00:00Z",
    }
    webhook = {"version": "4", "status": "firing", "alerts": [alert]}
    assert sender.send("POST", "/alarms/alertmanager", json=webhook)["raised"] == 1
    assert sender.send("POST", "/alarms/alertmanager", json=webhook) == {
        "raised": 0,
        "closed": 0,
        "unchanged": 1,
        "left": [],
    }
    assert [one["rule"] for one in dupont.get("/alarms")["items"]] == ["DiskFull"]
    number = dupont.get("/alarms")["items"][0]["number"]
    assert reader.get(f"/alarms/{number}")["machines"] == ["web-1"]
    martin = Caller(desk, "martin", Scope.READ, client="martin")
    assert martin.get("/alarms")["total"] == 0
    assert martin.get(f"/alarms/{number}", status=404) == martin.get("/alarms/999999", status=404)
    sender.send("POST", "/alarms/alertmanager", content=b"no JSON", status=409)


def test_every_operation_refuses_who_has_no_token(desk: ClockedDesk) -> None:
    client = Browser(desk).client
    schema = client.get("/api/v1/openapi.json").json()
    assert len(schema["paths"]) >= 10
    for path, operations in schema["paths"].items():
        for method in operations:
            address = (
                path.replace("{", "").replace("}", "").replace("month", "2026-11").replace("number", "1")
            )
            answer = client.request(method, address, json={})
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/docs").status_code == 303 and client.get("/redoc").status_code == 303


def test_documents_are_the_clients_for_the_provider_and_for_the_client_itself(
    desk: ClockedDesk, reader: Caller, dupont: Caller
) -> None:
    listed = reader.get("/clients/dupont/reports")
    assert listed == dupont.get("/clients/dupont/reports")
    month = listed["months"][0]
    for caller in (reader, dupont):
        made = caller.file(f"/clients/dupont/reports/{month}", form="html")
        assert made.headers["content-disposition"] == f'attachment; filename="rapport-{month}-dupont.html"'
        assert 'lang="fr"' in made.text and "pve-secret" not in made.text
        assert 'lang="en"' in caller.file(f"/clients/dupont/reports/{month}", form="html", language="en").text
    assert not listed["reversibility"]
    reader.get("/clients/dupont/reports/reversibility", status=404)
    reader.get("/clients/dupont/reports/2999-01", form="html", status=404)
    reader.get("/clients/nobody/reports", status=404)
    for wrong in ({"form": "exe"}, {"language": "de"}, {"output": "x"}):
        reader.get(f"/clients/dupont/reports/{month}", status=422, **wrong)


def test_the_provider_downloads_on_the_clients_page_what_the_client_gets(desk: ClockedDesk) -> None:
    add(desk, "rolf", Role.READER)
    browser = Browser(desk)
    browser.sign_in("rolf")
    text = browser.get("/clients/dupont").text
    addresses = re.findall(r'href="(/clients/dupont/reports/[^"]+/html)"', text)
    assert addresses and f"{addresses[0].removesuffix('html')}pdf" in text
    made = browser.get(addresses[0])
    assert made.status_code == 200 and "pve-secret" not in made.text
    assert made.headers["content-disposition"].startswith('attachment; filename="rapport-')
    for path in ("dupont/reports/2999-01/html", "dupont/reports/x/pdf", "nobody/reports/2026-10/html"):
        assert browser.get(f"/clients/{path}").status_code == 404
