"""The night's report, as its readers see it: tables are read back from the HTML and from the Markdown."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

import pytest

from orchestrator.contract.calendar import PARIS
from orchestrator.nightly.due_backups import BackupForecast
from orchestrator.nightly.report import render_night
from orchestrator.nightly.result import LineOfMachine
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.pages import Form
from orchestrator.reports.spelling import Language
from tests.unit.night_samples import (
    GIB,
    eventful_night,
    good_night,
    machine,
    night,
    paris,
)
from tests.unit.report_readers import Reader, plain

LANGUAGES: tuple[Language, ...] = ("fr", "en")
FORMS: tuple[Form, ...] = ("md", "html")


# The first screen


def test_the_first_screen_of_a_bad_night_names_its_failures_and_its_figures() -> None:
    page = plain(render_night(eventful_night(), form="html"))
    first = page[page.index("<body>") : page.index("<main>")]
    for said in (
        "Nuit du lundi 23 novembre 2026",
        "✗ 6 échecs",
        "site nice cannot be read: pve-nice.example.net did not answer within 30 s",
        "Sauvegarde échouée : martin/db-1 (paris)",
        "Sauvegarde non commencée : martin/web-1 (paris)",
        "Stockage en défaut : backup-lyon (paris)",
        "Test de restauration échoué : martin/db-1 (paris)",
        "et 1 autre",
        "2 sur 4, dont 1 faite par une exécution précédente de cette nuit",
        "23 nov. 2026, 22 h 00 CET – 24 nov. 2026, 2 h 41 CET (4 h 41 min), heure de Paris",
        "52,0 Gio",
        "martin/web-1 : aucune bonne sauvegarde",
        "fin prévue le 24 nov. 2026, 3 h 00 CET, avant la fin de la fenêtre le 24 nov. 2026, 8 h 00 CET",
    ):
        assert said in first, said


@pytest.mark.parametrize(("form", "start"), [("md", "# Night of"), ("html", "<!DOCTYPE html>")])
def test_a_good_night_says_so_at_once(form: Form, start: str) -> None:
    text = render_night(good_night(), form=form, language="en")
    assert text.startswith(start)
    assert "✓ All went well" in text
    assert "No failures." in text
    assert "2 of 2, 1 of them by an earlier run of this night" in text
    assert "dupont/web-1: 23 Nov 2026, 22:17 CET (4 h 24 min ago)" in plain(text)


def test_the_oldest_of_the_newest_good_backups_is_named_and_machines_without_backup_are_not_asked() -> None:
    report = night(
        machines=(
            machine("dupont", "web-1"),
            machine("dupont", "old-1", newest_good=paris(22, 3), retention_days=None),
            machine("martin", "db-1", newest_good=paris(22, 22, 41)),
        )
    )
    page = plain(render_night(report, form="md"))
    assert "martin/db-1 : 22 nov. 2026, 22 h 41 CET (il y a 1 j 4 h)" in page


def test_a_forecast_that_does_not_fit_is_said_on_the_first_screen() -> None:
    (forecast,) = eventful_night().of(BackupForecast)
    late = night(forecast=replace(forecast, ends_at=paris(24, 9, 30)))
    page = plain(render_night(late, form="md"))
    assert (
        "✗ 4 sauvegardes en 5 h (au mieux 2 h 30 min), fin prévue le 24 nov. 2026, 9 h 30 CET, APRÈS la fin"
        in page
    )


def test_a_night_in_which_the_clock_goes_back_is_an_hour_longer_than_its_clock_faces() -> None:
    report = night(
        started_at=dt.datetime(2026, 10, 24, 22, tzinfo=PARIS),
        ended_at=dt.datetime(2026, 10, 25, 4, tzinfo=PARIS),
    )
    assert "(7 h)" in plain(render_night(report, form="md"))


# What went wrong, and the rest


def test_failures_come_first_with_their_reason_as_it_came_and_what_to_do() -> None:
    page = render_night(eventful_night(), form="html", language="en")
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert headings == [
        "Failures",
        "Storages",
        "Restore tests",
        "Snapshots",
        "Retention: backups whose days are over",
        "Drift",
        "Machines",
        "Archives of nobody",
    ]
    reader = Reader(page)
    reason = "job errors | no space left on device\nremove an archive or enlarge backup-lyon"
    assert reader.table("Backup failed: 1") == [["What", "Site", "Reason"], ["martin/db-1", "paris", reason]]
    assert "the window closed before its turn" in reader.table("Backup not started: 1")[1]
    assert (
        "start orchestrator nightly again outside working hours: only missing backups are made" in reader.text
    )
    assert "What to do: do not count on this backup" in reader.text


def test_every_failure_that_is_counted_is_in_a_table_of_failures() -> None:
    reader = Reader(render_night(eventful_night(), form="html", language="en"))
    shown = sum(
        len(table) - 1
        for table, caption in zip(reader.tables, reader.captions, strict=True)
        if caption.endswith(": 1")
    )
    assert shown == eventful_night().failures == 6


def test_storages_show_their_fill_the_forecast_and_the_first_night_that_does_not_fit() -> None:
    reader = Reader(plain(render_night(eventful_night(), form="html")))
    full, machines = reader.table("Stockages")[1:]
    assert full[5:] == [
        "87 %, 870 Gio sur 1 000 Gio",
        "samedi 28 novembre 2026",
        "the night of 2026-11-28 does not fit: enlarge it",
    ]
    assert machines[5:] == ["25 %, 1 024 Gio sur 4 096 Gio", "–", ""]
    nights, expected = reader.table("Occupation attendue après chaque nuit")
    assert (nights[1], nights[-1], len(nights)) == ("23 nov. 2026", "30 nov. 2026", 9)
    assert expected[1] == "880 Gio, 88 %"
    classes = [attributes.get("class") for tag, attributes in reader.elements if tag == "td"]
    assert " ".join(str(c) for c in classes).count("bad figures") == 3  # the nights from the 28th on
    assert expected[6] == "1 030 Gio, 103 %"
    meters = [attributes for tag, attributes in reader.elements if tag == "meter"]
    assert [meter["value"] for meter in meters] == ["87", "25"]
    assert "█████████░" in render_night(eventful_night(), form="md")


def test_a_backup_storage_that_takes_all_nights_says_so() -> None:
    line = StorageLine(
        site="paris",
        name="b",
        stands_at="lyon",
        purpose="backups",
        status="available",
        total=GIB,
        used=0,
        forecast=((dt.date(2026, 11, 23), 1),),
    )
    assert (
        Reader(render_night(night(storages=(line,)), form="html")).table("Stockages")[1][6]
        == "toutes tiennent"
    )


def test_machines_stand_under_their_client_with_volumes_and_totals() -> None:
    reader = Reader(plain(render_night(eventful_night(), form="html")))
    dupont = reader.table("dupont, contrat C-dupont")
    assert dupont[0] == [
        "Machine",
        "Site",
        "Dernière bonne sauvegarde",
        "Âge",
        "Cette nuit",
        "Sauvegardes conservées",
        "Volumétrie de sauvegarde",
        "Durée de Rétention",
        "Dernier test de restauration",
    ]
    assert dupont[1][2:] == [
        "23 nov. 2026, 22 h 17 CET",
        "4 h 24 min",
        "déjà faite, 40,0 Gio",
        "7",
        "320 Gio",
        "31 jours",
        "24 nov. 2026",
    ]
    assert dupont[2][4] == "faite en 12 min 5 s, 12,0 Gio"
    assert dupont[3] == ["Total", "", "", "", "", "14", "400 Gio", "", ""]
    martin = {row[0]: row for row in reader.table("martin, contrat C-martin, C-other")}
    assert martin["web-1"][2:] == ["aucune", "–", "non commencée", "0", "0 o", "7 jours", "jamais restaurée"]
    assert martin["old-1"][7:] == ["sauvegarde désactivée", "–"]
    assert martin["db-1"][3:5] == ["9 j 4 h", "échec"]


def test_sections_without_lines_say_so_in_one_line() -> None:
    text = render_night(night(), form="md")
    assert text.count("\n## ") == 8
    for said in (
        "Aucun échec.",
        "Aucun stockage n’a été lu.",
        "Aucun test de restauration cette nuit.",
        "Aucun snapshot créé, supprimé ni refusé.",
        "Aucune sauvegarde arrivée au terme de sa Durée de Rétention.",
        "Aucune dérive : rien n’a changé en dehors des fichiers.",
        "Aucune machine.",
        "Aucune archive étrangère sur les stockages de sauvegarde.",
    ):
        assert f"\n{said}\n" in plain(text), said


def test_what_a_drift_found_and_what_the_file_says_are_not_mixed_up() -> None:
    header, row = Reader(render_night(eventful_night(), form="html", language="en")).table("Drift")
    found = dict(zip(header, row, strict=True))
    assert (found["Setting"], found["Found"], found["In the file"]) == ("vcpus", "2", "4")


# For one client


@pytest.mark.parametrize("form", FORMS)
def test_a_client_reads_nothing_about_others_storages_or_sites(form: Form) -> None:
    text = render_night(eventful_night(), form=form, client="dupont")
    for secret in (
        "martin",
        "backup-lyon",
        "local-lvm",
        "pve",
        "nice",
        "lyon",
        "Archives",
        "20261123T210000",
        "Que faire",
    ):
        assert secret not in text, secret
    assert "dupont : nuit du lundi 23 novembre 2026" in plain(text)
    assert "✓ Tout s’est bien passé" in text
    assert "400\u00a0Gio" in text


def test_no_line_of_any_kind_about_another_client_s_machine_is_shown() -> None:
    told = eventful_night()
    foreign = [replace(line, client="martin", machine="not-yours") for line in told.of(LineOfMachine)]
    assert len({type(line) for line in foreign}) == 6
    report = replace(told, lines=tuple(foreign))
    assert "not-yours" in render_night(report, form="md", client="martin")
    assert "not-yours" not in render_night(report, form="md", client="dupont")


def test_a_client_is_told_of_their_own_failures_without_remedies_for_the_provider() -> None:
    reader = Reader(plain(render_night(eventful_night(), form="html", client="martin")))
    assert "✗ 4 échecs" in reader.text
    assert reader.table("Sauvegarde non commencée : 1")[1][0] == "web-1"
    assert "orchestrator nightly" not in reader.text


def test_a_client_whose_site_could_not_be_read_is_not_told_that_all_went_well() -> None:
    dark = night(problems=("site paris could not be read",))
    text = render_night(dark, form="md", client="dupont")
    assert "✗ Rien n’est connu" in text
    assert "paris" not in text
    lines = machine("dupont", "web-1"), machine("dupont", "off", retention_days=None)
    without = replace(dark, lines=lines)
    text = plain(render_night(without, form="md", client="dupont"))
    assert "✗ 1 échec" in text
    assert "Machine sans sauvegarde cette nuit : web-1 (paris)" in text
    assert "✗ 0 sur 1" in text
    assert "ce rapport peut être incomplet" in text


def test_a_client_without_any_backup_has_good_nights_too() -> None:
    text = render_night(night(), form="md", client="essential")
    assert "✓ Tout s’est bien passé" in text
    assert "sauvegarde activée sur aucune machine" in text
    assert "incomplet" not in text
