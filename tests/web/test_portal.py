"""A client's pages: what it has, what it may ask for, and nothing of anybody else's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.history.errors import HistoryUnavailable
from orchestrator.reports import wording
from orchestrator.web import client_documents
from orchestrator.web.desk import Desk as WebDesk
from orchestrator.web.page import Need
from orchestrator.web.pages import every_page
from tests.api.desk import Desk
from tests.web.portal_world import CLIENTS, HIDDEN, STAFF, portal_world
from tests.web.signed_in import Browser, signed_in

World = tuple[WebDesk, Desk]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with portal_world(tmp_path_factory.mktemp("portal")) as made:
        yield made


@pytest.fixture(scope="module")
def pages(world: World) -> dict[str, dict[str, str]]:
    """Every client's pages, by client and address."""
    found: dict[str, dict[str, str]] = {}
    machines = {"dupont": "web-1", "martin": "shop-1", "legrand": "app-1", "petit": "mail-1"}
    for client, name in machines.items():
        with signed_in(world[0], CLIENTS[client]) as browser:
            addresses = ("/portal", f"/portal/machines/{name}", "/portal/history", "/portal/requests",
                         "/portal/service-level", f"/portal/history?machine={name}")  # fmt: skip
            found[client] = {address: browser.get(address).text for address in addresses}
    return found


def plain(text: str) -> str:
    """The words of a page, with ordinary blanks."""
    shown = re.sub(r"<[^>]*>", " ", text)
    return re.sub(r"\s+", " ", shown.replace("\u00a0", " ").replace("&#39;", "'"))


def test_nothing_of_the_providers_and_of_other_clients_is_on_any_page(
    pages: dict[str, dict[str, str]],
) -> None:
    for client, found in pages.items():
        others = {other for other in CLIENTS if other != client}
        for address, text in found.items():
            assert [hidden for hidden in (*HIDDEN, *others) if hidden in text] == [], (client, address)


def test_no_string_of_history_and_records_is_markup(pages: dict[str, dict[str, str]]) -> None:
    for client, found in pages.items():
        for address, text in found.items():
            assert "<script>" not in text and "<img src=x" not in text, (client, address)
    assert "&lt;script&gt;" in pages["dupont"]["/portal/history"]


def test_the_overview_has_machines_contract_and_what_needs_attention(
    pages: dict[str, dict[str, str]],
) -> None:
    text = plain(pages["dupont"]["/portal"])
    for said in (
        "Vos Services : dupont", "web-1 en marche Cloud VM Avancé 2 1,0 Gio 4,0 Gio 203.0.113.",
        "Référence du contrat C-dupont", "DataCenter DC Paris 3, Saint-Denis", "Infogérance niveau Supervision",
        "0 utilisés sur 4, 4 restants", "Phase Probatoire jusqu’au", "(article 4.2)", "Le devis D-2026-7 prend fin le",
        "99,85 % –", "sans engagement : période probatoire",
    ):  # fmt: skip
        assert said in text, said


def test_the_volume_of_backups_is_to_the_byte_that_of_the_command(
    world: World, pages: dict[str, dict[str, str]]
) -> None:
    told = json.loads(world[1].run("backup", "volume", "--format", "json").out)["machines"]
    (volume,) = [item["bytes"] for item in told if item["machine"] == "web-1"]
    assert volume == 1_986_422_374
    text = plain(pages["dupont"]["/portal/machines/web-1"])
    assert "Volumétrie de la Machine Virtuelle 1,8 Gio (1 986 422 374 octets)" in text
    assert "Volumétrie totale de vos Sauvegardes 1,8 Gio (1 986 422 374 octets)" in text
    assert "Durée de Rétention 7 jours calendaires" in text and "réussi le" in text


def test_essential_shows_resources_snapshots_history_and_firewall_alone(
    pages: dict[str, dict[str, str]],
) -> None:
    text = plain(pages["martin"]["/portal/machines/shop-1"])
    for said in ("Cloud VM Essentiel", "Snapshots", "Historique", "Firewall basic", "ticket 4711"):
        assert said in text, said
    for said in ("Sauvegarde (article 3.5)", "Consommation", "onsole", "Redémarrage"):
        assert said not in text, said
    kinds = re.findall(r'<option value="([a-z]+)"', pages["martin"]["/portal/requests"])
    assert kinds == ["snapshot", "change", "hardware"]


def test_the_provider_is_named_and_its_people_are_not(pages: dict[str, dict[str, str]]) -> None:
    text = plain(pages["dupont"]["/portal/history"])
    assert "Création d’un Snapshot before-migration web-1 réussi Prestataire ticket 4711" in text
    assert "oscar" not in text and "Prestataire (administration et Supervision)" in plain(
        pages["dupont"]["/portal/machines/web-1"]
    )


def test_a_suspended_client_reads_and_asks_for_nothing(
    world: World, pages: dict[str, dict[str, str]]
) -> None:
    assert "Les Services sont suspendus depuis le" in plain(pages["legrand"]["/portal"])
    page = plain(pages["legrand"]["/portal/requests"])
    assert "Les Services sont suspendus (article 9) : aucune demande n’est possible." in page
    assert "Envoyer la demande" not in page
    before = world[0].history.last_number()
    with signed_in(world[0], CLIENTS["legrand"]) as browser:
        for fields in ({"kind": "restart", "machine": "app-1"}, {"kind": "change", "text": "x"}):
            answer = browser.send("/portal/requests", "/portal/requests", fields, status=409)
            assert "Les Services sont suspendus (article 9)" in plain(answer.text)
        month = {"machine": "app-1", "month": "2026-10"}
        assert "article 9" in browser.send("/portal", "/portal/credits", month, status=409).text
    assert world[0].history.last_number() == before


def test_a_client_whose_contract_ends_reads_with_the_days_left_and_one_that_ended_sees_that_alone(
    world: World, pages: dict[str, dict[str, str]]
) -> None:
    assert "il reste 30 jours ouvrés pour copier vos données (article 10)" in plain(pages["petit"]["/portal"])
    with signed_in(world[0], CLIENTS["lemoine"]) as browser:
        home = plain(browser.get("/portal").text)
        assert "trente jours ouvrés de l’article 10 est écoulé" in home and "old-1" not in home
        for address in (
            "/portal/history",
            "/portal/requests",
            "/portal/service-level",
            "/portal/machines/old-1",
        ):
            assert "y a rien à cette adresse" in browser.get(address, status=404).text


def test_3_8_3_a_request_is_registered_when_it_is_sent_and_answered_by_the_provider(world: World) -> None:
    with signed_in(world[0], CLIENTS["dupont"]) as browser:
        sent = {"kind": "restart", "machine": "db-1", "text": "la base\n ne répond   plus"}
        answer = browser.send("/portal/requests", "/portal/requests", sent)
        page = plain(browser.get(answer.headers["location"]).text)
        assert "Votre demande est enregistrée : n°" in page
        assert re.search(r"Redémarrage la base ne répond plus db-1 .* camille", page)
        again = browser.send("/portal/requests", "/portal/requests", sent, status=409)
        assert "déjà enregistrée et en cours" in plain(again.text)
    (row,) = json.loads(world[1].run("request", "list", "dupont", "--format", "json").out)
    assert (row["kind"], row["machines"], row["asked_by"], row["words"]) == (
        "restart", ["db-1"], "camille", "la base ne répond plus",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("client", "fields", "said"),
    [
        (
            "martin",
            {"kind": "restart", "machine": "shop-1"},
            "pas une fonctionnalité du Service souscrit (article 3)",
        ),
        (
            "martin",
            {"kind": "update", "machine": "shop-1"},
            "prestation de l’Infogérance, qui n’est pas souscrite",
        ),
        ("dupont", {"kind": "restart"}, "Choisissez une Machine Virtuelle"),
        ("dupont", {"kind": "change", "text": "  "}, "Décrivez votre demande"),
        ("dupont", {"kind": "change", "text": "x" * 901}, "900 caractères au plus"),
        ("dupont", {"kind": "change", "text": "a\u202eb"}, "caractères qui ne peuvent pas être enregistrés"),
        ("dupont", {"kind": "console", "machine": "web-1"}, "n’a pas pu être enregistrée"),
        ("dupont", {}, "n’a pas pu être enregistrée"),
    ],
)
def test_what_cannot_be_asked_for_says_why_and_registers_nothing(
    world: World, client: str, fields: dict[str, str], said: str
) -> None:
    before = world[0].history.last_number()
    with signed_in(world[0], CLIENTS[client]) as browser:
        answer = browser.send("/portal/requests", "/portal/requests", fields, status=409)
    assert said in plain(answer.text)
    assert world[0].history.last_number() == before


def test_a_machine_of_another_client_is_not_there_to_be_asked_about(world: World) -> None:
    with signed_in(world[0], CLIENTS["dupont"]) as browser:
        for name in ("crm-1", "no-such-machine"):
            fields = {"kind": "restart", "machine": name}
            browser.send("/portal/requests", "/portal/requests", fields, status=404)
            browser.send("/portal", "/portal/credits", {"machine": name, "month": "2026-10"}, status=404)


def test_the_language_of_the_account_is_switched_on_the_page(world: World) -> None:
    with signed_in(world[0], CLIENTS["petit"]) as browser:
        sent = {"language": "en", "back": "/portal/history"}
        assert browser.send("/portal", "/portal/language", sent).headers["location"] == "/portal/history"
        assert "Your services: petit" in plain(browser.get("/portal").text)
        away = browser.send("/portal", "/portal/language", {"language": "fr", "back": "//evil.example"})
        assert away.headers["location"] == "/"
        assert "Vos Services : petit" in plain(browser.get("/portal").text)


def test_a_page_costs_the_same_number_of_queries_whatever_a_client_has(world: World) -> None:
    counted: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        counted.append(statement)

    engine = world[0].database._engine
    sa.event.listen(engine, "before_cursor_execute", count)
    found: dict[str, dict[str, int]] = {}
    try:
        for client, name in (("martin", "shop-1"), ("dupont", "web-1")):  # one machine, and two with backups
            with signed_in(world[0], CLIENTS[client]) as browser:
                for address in ("/portal", f"/portal/machines/{name}", "/portal/history", "/portal/requests"):
                    counted.clear()
                    browser.get(address)
                    found.setdefault(address.replace(name, "NAME"), {})[client] = len(counted)
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)
    assert {address: one["martin"] for address, one in found.items()} == {
        address: one["dupont"] for address, one in found.items()
    }
    assert max(max(one.values()) for one in found.values()) <= 40, found


def test_the_provider_words_the_pages_as_it_likes(world: World, tmp_path: Path) -> None:
    (tmp_path / "wording.yaml").write_text('fr: { portal_title: "Espace de {client}" }\n')
    wording.use_wording(tmp_path / "wording.yaml")
    try:
        with signed_in(world[0], CLIENTS["martin"]) as browser:
            assert "Espace de martin" in browser.get("/portal").text
    finally:
        wording.use_wording(None)


def documents(browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Every document that a client may download, made as a page."""
    text = browser.get("/portal/reports").text + browser.get("/portal/service-level?month=2026-10").text
    for address in dict.fromkeys(re.findall(r'href="(/portal/(?:reports|service-level)/[^"]+/html)"', text)):
        answer = browser.client.get(address)
        assert answer.status_code == 200, (address, answer.text[-500:])
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert answer.headers["content-type"] == "application/octet-stream"
        yield address, answer.content


def test_documents_name_nothing_of_the_providers_and_hold_no_markup_of_others(world: World) -> None:
    found: dict[str, int] = {}
    for client in ("dupont", "martin", "petit"):
        with signed_in(world[0], CLIENTS[client]) as browser:
            for address, made in documents(browser):
                text = made.decode()
                others = {other for other in CLIENTS if other != client}
                assert [hidden for hidden in (*HIDDEN, *others) if hidden in text] == [], (client, address)
                assert "<script>" not in text and "<img src=x" not in text, (client, address)
                found[client] = found.get(client, 0) + 1
    assert found["dupont"] > 5 and found["petit"] == found["dupont"] + 1, (
        "petit has a reversibility plan besides"
    )


def test_a_document_is_made_as_pdf_and_none_that_does_not_exist(world: World) -> None:
    with signed_in(world[0], CLIENTS["petit"]) as browser:
        made = browser.client.get("/portal/reports/reversibility/pdf")
        assert made.content.startswith(b"%PDF-") and made.headers["content-type"] == "application/pdf"
        assert 'filename="plan-de-reversibilite-petit.pdf"' in made.headers["content-disposition"]
        for address in (
            "2999-01/html",
            "2026-02/html",
            "2026-13/pdf",
            "x/html",
            "reversibility/exe",
            "2026-10/md",
        ):
            browser.get(f"/portal/reports/{address}", status=404)
        browser.get("/portal/service-level/2999-01/html", status=404)
    with signed_in(world[0], CLIENTS["dupont"]) as browser:
        browser.get("/portal/reports/reversibility/pdf", status=404)
        assert "personne n’a mis fin au contrat" in browser.get("/portal/reports").text


def test_few_documents_are_made_at_the_same_time(world: World) -> None:
    with signed_in(world[0], CLIENTS["dupont"]) as browser:
        held = [client_documents._AT_ONCE.acquire(blocking=False) for _ in range(2)]
        try:
            assert held == [True, True]
            answer = browser.client.get("/portal/service-level/2026-10/html")
            assert answer.status_code == 409 and "Trop de documents" in answer.text
        finally:
            for _ in held:
                client_documents._AT_ONCE.release()
        assert browser.client.get("/portal/service-level/2026-10/html").status_code == 200


def test_the_provider_answers_and_closes_what_was_asked_for(world: World) -> None:
    desk = world[0]
    with signed_in(desk, CLIENTS["petit"]) as browser:
        fields = {"kind": "hardware", "text": "une carte réseau <b>rapide</b>"}
        location = browser.send("/portal/requests", "/portal/requests", fields).headers["location"]
        number = location.rpartition("=")[2]
    with signed_in(desk, STAFF["operator"]) as browser:
        page = browser.get("/requests", {"client": "petit"}).text
        assert f"/requests/{number}" in page and "une carte réseau &lt;b&gt;rapide&lt;/b&gt;" in page
        address = f"/requests/{number}"
        assert "/plans/make" in browser.get(address).text
        leak = {"answer": "yes", "result": "a card in pve1"}
        refused = browser.send(address, address, leak, status=409)
        assert "the client is not shown pve1, which this answer names" in refused.text
        bare = browser.send(address, address, {"result": "x"}, status=409)
        assert "--answer yes or --answer no" in bare.text
        browser.send(address, address, {"answer": "no", "result": "pas de place"})
        assert f"/requests/{number}" not in browser.get("/requests", {"client": "petit"}).text
        assert f"/requests/{number}" in browser.get("/requests", {"client": "petit", "state": "closed"}).text
        again = browser.send("/requests/" + number, address, {"answer": "no", "result": "x"}, status=409)
        assert "was closed at" in again.text
        for missing in ("0", "999999", "x", "9" * 30):
            browser.get(f"/requests/{missing}", status=404)
    with signed_in(desk, STAFF["reader"]) as browser:
        assert "Answer and close" not in browser.get(f"/requests/{number}").text
    with signed_in(desk, CLIENTS["petit"]) as browser:
        page = plain(browser.get("/portal/requests").text)
        assert "non approuvée" in page and "pas de place" in page and "oscar" not in page
        assert f"Votre demande n° {number} a reçu une réponse" in plain(browser.get("/portal").text)


def test_a_form_of_another_page_changes_nothing_and_says_so_in_french(world: World) -> None:
    before = world[0].history.last_number()
    with signed_in(world[0], CLIENTS["dupont"]) as browser:
        sent = {"kind": "change", "text": "x", "form_token": "0" * 64}
        answer = browser.client.post("/portal/requests", data=sent)
    assert answer.status_code == 403 and "Ce formulaire est trop ancien" in answer.text
    assert world[0].history.last_number() == before


def test_an_error_of_ours_is_not_told_to_a_client(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise HistoryUnavailable("/var/lib/secret/history.db is locked")

    monkeypatch.setattr("orchestrator.web.portal_desk.portal_machines", broken)
    with signed_in(world[0], CLIENTS["dupont"]) as browser:
        answer = browser.get("/portal", status=503)
        assert "secret" not in answer.text and "Cette page ne peut pas être établie" in answer.text


def test_what_is_wrong_with_the_providers_files_is_told_to_no_client_on_any_page(world: World) -> None:
    desk, engineer = world
    path = engineer.folder / "sites.yaml"
    sound, asked = path.read_text(), 0
    with signed_in(desk, CLIENTS["dupont"]) as browser:
        token = re.search(r'name="form_token" value="([0-9a-f]{64})"', browser.get("/portal").text)
        assert token is not None
        path.write_text(f"{sound}\n  secret-node: [\n")
        vars(desk).pop("files")  # they are read anew
        for page in every_page():
            if page.need is Need.CLIENT:
                address = page.path.format(
                    machine="web-1", timeframe="day", month="2026-10", document="2026-10", form="html"
                )
                form = {
                    "form_token": token[1],
                    "kind": "",
                    "machine": "web-1",
                    "month": "2026-10",
                    "text": "x",
                }
                answer = browser.client.request(
                    page.method, address, data=form if page.method == "POST" else None
                )
                told = [
                    word
                    for word in (str(engineer.folder), "sites.yaml", "secret-node")
                    if word in answer.text
                ]
                assert not told, (page.method, address, answer.text)
                asked += 1
        path.write_text(sound)
        vars(desk).pop("files")
        assert asked > 10 and "web-1" in browser.get("/portal").text


def test_a_client_without_a_sound_file_reads_and_one_without_any_has_no_contract(world: World) -> None:
    desk, engineer = world
    path = engineer.folder / "subscriptions" / "durand.yaml"
    sound = path.read_text()
    with signed_in(desk, CLIENTS["durand"]) as browser:
        assert "crm-1" in browser.get("/portal").text
        path.write_text(sound + "surprise: 1\n")
        vars(desk).pop("files")
        page = plain(browser.get("/portal").text)  # the files are read anew
        assert "Votre contrat ne peut pas être lu pour le moment" in page and "crm-1" in page
        assert "Aucune demande n’est possible" in plain(browser.get("/portal/requests").text)
        browser.send("/portal/requests", "/portal/requests", {"kind": "change", "text": "x"}, status=409)
        path.unlink()
        vars(desk).pop("files")
        assert "Votre contrat est terminé" in plain(browser.get("/portal").text)
        browser.get("/portal/history", status=404)
        path.write_text(sound)
        vars(desk).pop("files")
        assert "crm-1" in browser.get("/portal").text
