"""The reversibility plan that a client receives at the end of its contract (article 10)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract.calendar import PARIS, add_working_days, working_days_after
from orchestrator.reports.language import Speech
from tests.api.desk import Desk, machine, subscription
from tests.unit.report_readers import Reader, markdown_tables, plain


def today() -> dt.date:
    """Asked when it is needed: a day may begin while the tests run."""
    return dt.datetime.now(PARIS).date()


NOTICE = today() - dt.timedelta(days=3)
LAST_DAY = add_working_days(NOTICE, 30)
DISKS = [{"name": "system", "size": "4GiB"}, {"name": "data", "size": "12GiB"}]


def _file(*machines: dict[str, Any], notice: dt.date | None = NOTICE, **changes: Any) -> dict[str, Any]:
    made = subscription("dupont", list(machines), **changes)
    if notice is not None:
        ending = {"notice": notice.isoformat(), "reference": "LRAR-2026-131"}
        made["contract"] |= {"status": "terminated", "termination": ending}
    return made


def _delivered(desk: Desk) -> None:
    """Machines of the client, one of which has left the file since, and one of another client."""
    martin = subscription("martin", [machine("shop-1")])
    both = [machine("db-1", disks=DISKS), machine("old-1")]
    desk.write(_file(*both, notice=None), martin)
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    desk.write(_file(both[0], notice=None), martin)
    answer = desk.apply("--allow", "retire:dupont")
    assert answer.code == 0, answer
    desk.write(_file(both[0]), martin)


def test_the_plan_says_the_days_the_machines_and_how_to_copy(desk: Desk) -> None:
    _delivered(desk)
    old = desk.machines()["old-1"]
    config = f"/nodes/{old['node']}/qemu/{old['vmid']}/config"
    desk.fakes["paris"].cluster().put(config, scsi7="local:3")
    answer = desk.run("reversibility", "dupont")
    assert answer.code == 0, answer
    facts, machines, signatures = markdown_tables(answer.out)
    said = {row[0]: plain(row[1]) for row in facts if row[0]}
    french = Speech("fr")
    assert said["Contrat"] == "C-dupont" and said["Contrat depuis le"] == "dimanche 1er mars 2026"
    assert said["Lettre recommandée reçue le"] == f"{french.day(NOTICE)}, référence LRAR-2026-131"
    assert said["Dernier jour"] == french.day(LAST_DAY)
    assert said["Effacement des données à partir du"] == french.day(LAST_DAY + dt.timedelta(days=1))
    assert said["Jours ouvrés restants"] == str(working_days_after(today(), LAST_DAY))
    rows = {row[0]: [plain(cell) for cell in row[1:]] for row in machines[1:]}
    assert set(rows) == {"db-1", "old-1"}, "those that left the file hold data too; martin's are martin's"
    db = rows["db-1"]
    assert db[:2] == ["paris", "en marche"] and db[2].startswith("203.0.113.")
    assert db[3:5] == ["1", "1,0 Gio"] and db[5:] == ["system 4,0 Gio, data 12,0 Gio", "16,0 Gio"], db
    assert said["Capacité des disques"] == "23,0 Gio"
    assert rows["old-1"][1].startswith("arrêtée, retirée le"), rows
    assert "scsi7 3,0 Gio" in rows["old-1"][5], "what somebody attached by hand holds data too"
    assert [row[0] for row in signatures[1:]] == ["Le Prestataire", "Le Client (dupont)"]
    text = plain(answer.out)
    assert "depuis les adresses autorisées : 198.51.100.0/24" in text and "l’utilisateur" in text
    assert "Pour copier les données d’une machine arrêtée" in text
    assert "efface l’intégralité des données" in text and "article 10" in text and "devis" in text
    assert "shop-1" not in text and "martin" not in text


def test_the_plan_as_a_page_in_english_goes_into_a_file(desk: Desk) -> None:
    _delivered(desk)
    arguments = ("--language", "en", "--format", "html", "--out", "plans/dupont.html")
    answer = desk.run("reversibility", "dupont", *arguments)
    assert answer.code == 0 and answer.out == "plans/dupont.html written\n", answer
    page = Reader((desk.folder / "plans" / "dupont.html").read_text())
    assert ("html", {"lang": "en"}) in page.elements
    rows = page.table("Virtual machines concerned")
    assert [row[0] for row in rows[1:]] == ["db-1", "old-1"] and plain(rows[1][6]).endswith("data 12.0 GiB")
    assert "Last day" in page.text and Speech("en").day(LAST_DAY) in page.text
    assert not {name for name, _ in page.elements} & {"script", "link", "img"}


def test_a_client_without_direct_access_is_not_told_to_log_in(desk: Desk) -> None:
    desk.write(_file(machine("db-1"), managed_services={"level": "full", "updates": "on-request"}))
    answer = desk.run("reversibility", "dupont")
    assert answer.code == 0, answer
    text = plain(answer.out)
    assert "article 3.8.2" in text and "198.51.100.0/24" not in text
    assert "Aucune Machine Virtuelle n’est hébergée." in text, "nothing was applied"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            "default of payment",
            "ended in default of payment (LRAR-2026-131): the client has no reversibility",
        ),
        ("too late", "there is no reversibility any more (art. 10)"),
        ("not ended", "contract C-dupont: nobody ended it, there is nothing to plan (art. 10)"),
        ("nobody", "no file has a client nobody: there are dupont"),
        ("site away", "no plan was drawn up, it would lack the machines of paris"),
    ],
)
def test_what_cannot_be_drawn_up_is_refused_and_writes_nothing(desk: Desk, case: str, expected: str) -> None:
    notices = {"too late": today() - dt.timedelta(days=90), "not ended": None}
    made = _file(machine("db-1"), notice=notices.get(case, NOTICE))
    if case == "default of payment":
        made["contract"]["termination"]["default_of_payment"] = True
    desk.write(made)
    if case == "site away":
        desk.fakes["paris"].fault("GET", ".*", "status", status=500, times=50)
    client = "nobody" if case == "nobody" else "dupont"
    answer = desk.run("reversibility", client, "--out", "plan.md")
    assert answer.code == 1 and expected in answer.err, answer
    assert not Path(desk.folder, "plan.md").exists()


def test_article_10_the_clients_approval_is_recorded_and_shown_in_the_plan(desk: Desk) -> None:
    desk.write(_file(machine("db-1")))
    before = markdown_tables(desk.run("reversibility", "dupont").out)[0]
    assert {row[0]: plain(row[1]) for row in before if row[0]}[
        "Validation"
    ] == "pas encore validé par le Client"
    by = ("--approved-by", "Jeanne Dupont", "--reference", "LRAR-140", "--approved-on", str(NOTICE))
    recorded = desk.run("reversibility", "dupont", *by)
    assert recorded.code == 0 and f"approved by Jeanne Dupont on {NOTICE} (LRAR-140)" in recorded.out, (
        recorded
    )
    facts, *_, signatures = markdown_tables(desk.run("reversibility", "dupont").out)
    expected = f"validé par Jeanne Dupont le {Speech('fr').day(NOTICE)}, référence LRAR-140"
    assert {row[0]: plain(row[1]) for row in facts if row[0]}["Validation"] == expected
    assert plain(signatures[2][1]) == "Jeanne Dupont"
    assert "approval" in desk.run("history", "dupont").out and desk.run("history", "verify").code == 0
    desk.write(_file(machine("db-1"), notice=today()))
    assert "pas encore validé" in plain(desk.run("reversibility", "dupont").out), "of another notice"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--approved-by", "Jeanne"), "name it with --reference"),
        (("--reference", "L-1"), "go with --approved-by"),
        (
            ("--approved-by", "J", "--reference", "L", "--approved-on", str(today() + dt.timedelta(days=2))),
            "cannot have been approved on",
        ),
        (("--approved-by", "J\x1b[2J", "--reference", "L-1"), "control characters"),
    ],
)
def test_an_approval_that_cannot_be_is_not_recorded(desk: Desk, more: tuple[str, ...], said: str) -> None:
    desk.write(_file(machine("db-1")))
    answer = desk.run("reversibility", "dupont", *more)
    assert answer.code == 1 and said in " ".join(answer.err.split()), answer
    assert "pas encore validé" in plain(desk.run("reversibility", "dupont").out)
