"""Managed machines in the night's report: updates (article 3.8.3) and what firewalls dropped (articles 3.6 and 7)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from orchestrator.nightly.guest_look import GuestLine, UpdateDelay, WaitingUpdate
from orchestrator.nightly.report import render_night
from orchestrator.nightly.result import LineOfMachine, NightReport
from orchestrator.nightly.update_round import UpdateLine
from orchestrator.pages import Form
from orchestrator.reports.spelling import Language
from orchestrator.reports.words import Counted, Text, Words
from tests.unit.night_samples import (
    eventful_night,
    guest,
    night,
    package,
    paris,
    update,
    updating_night,
)
from tests.unit.report_readers import Reader, markdown_tables, plain

LANGUAGES: tuple[Language, ...] = ("fr", "en")
FORMS: tuple[Form, ...] = ("md", "html")


def told(report: NightReport, language: Language = "en", client: str | None = None) -> Reader:
    """A report as a browser shows it."""
    return Reader(plain(render_night(report, form="html", language=language, client=client)))


def headings(report: NightReport, language: Language) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", render_night(report, form="html", language=language))


# Where it stands


def test_both_sections_stand_before_the_restore_tests() -> None:
    french, english = (headings(updating_night(), language) for language in LANGUAGES)
    assert french[1:5] == ["Stockages", "Mises à jour", "Alertes du pare-feu", "Tests de restauration"]
    assert english[1:5] == ["Storages", "Updates", "Firewall alerts", "Restore tests"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_night_without_managed_machines_shows_neither_section(language: Language) -> None:
    reader = told(eventful_night(), language)
    for word in ("Updates", "Firewall", "Mises à jour", "pare-feu", "3.8.3"):
        assert word not in reader.text, word


def test_the_first_screen_names_what_went_wrong_and_sums_up_the_updates() -> None:
    page = plain(render_night(updating_night(), form="html"))
    first = page[page.index("<body>") : page.index("<main>")]
    for said in (
        "✗ 6 échecs",
        "Machine en défaut après ses mises à jour : martin/db-1 (paris)",
        "Machine perdue de vue pendant ses mises à jour : dupont/web-3 (paris)",
        "Mises à jour annulées : dupont/db-1 (paris)",
        "22 paquets installés dans 2 machines, 3 de sécurité encore dues, bloquées dans 3 machines, "
        "délai moyen 31,2 h ouvrées",
    ):
        assert said in first, said


def test_a_quiet_night_says_that_nothing_was_installed_and_is_good() -> None:
    quiet = night(
        updates=(update("dupont", "web-1", result="nothing-due", installed=()),),
        guests=(guest("dupont", "web-1"),),
    )
    reader = told(quiet)
    assert "✓ All went well" in reader.text
    assert "none installed" in reader.text
    assert reader.table("Still due")[1][3:] == ["0", "0", "0", "–", "–", "–"]
    assert "Installed tonight" not in reader.captions
    assert "No updates were installed tonight." in told(replace(quiet, lines=quiet.of(UpdateLine))).text


# What went wrong


@pytest.mark.parametrize("client", [None, "dupont", "martin"])
def test_every_failure_of_managed_machines_is_counted_and_in_the_list_at_the_top(client: str | None) -> None:
    report = updating_night()
    page = plain(render_night(report, form="html", language="en", client=client))
    start, end = (page.index(f">{title}</h2>") for title in ("Failures", "Updates"))
    listed = sum(int(n) for n in re.findall(r"<caption>[^<]*: (\d+)</caption>", page[start:end]))
    expected = sum(line.failed for line in report.of(UpdateLine) if client in (None, line.client))
    expected += sum(bool(line.problem) for line in report.of(GuestLine) if client in (None, line.client))
    assert listed == expected == {None: 6, "dupont": 3, "martin": 3}[client]
    assert f"✗ {expected} failures" in page


def test_machines_that_need_somebody_come_first_with_the_versions_tried_and_what_to_do() -> None:
    reader = told(updating_night())
    section = reader.captions[reader.captions.index("Machine not as before its updates") :]
    assert section[:8] == [
        "Machine not as before its updates",
        "Machine lost sight of during its updates",
        "Updates rolled back",
        "Held back from automatic updates",
        "Updates not started",
        "Installed tonight",
        "Still due",
        "Delay of installation (art. 3.8.3)",
    ]
    assert reader.table("Updates rolled back")[1] == [
        "dupont/db-1",
        "paris",
        "postgresql-15 15.9-0\nnginx|extra 1.22*1",
        "nothing serves TCP 5432 any more; it was brought back to what it was before",
    ]
    assert "what the machine wrote since the snapshot is lost; find out why" in reader.text
    assert "orchestrator update CLIENT/MACHINE --release" in reader.text
    assert reader.table("Held back from automatic updates")[1][3] == "held back since 2026-11-20"


def test_who_is_held_back_from_an_earlier_night_is_shown_and_no_new_failure() -> None:
    report = night(updates=(update("c", "m", result="held", window=None, installed=(), message="of old"),))
    reader = told(report)
    assert "✓ All went well" in reader.text
    assert "none installed, held back in 1 machine" in reader.text
    assert reader.table("Held back from automatic updates")[1] == ["c/m", "paris", "–", "of old"]


def test_machines_whose_turn_did_not_come_show_their_window_in_the_reader_s_language() -> None:
    stopped = "wave 1 did not end well (dupont/db-1, martin/db-1): look there first, then begin again"
    french = told(updating_night(), "fr").table("Mises à jour non commencées")[1]
    assert french == ["martin/web-1", "paris", "23 nov. 2026, 22 h 00 CET – 2 h 00 CET", stopped]
    english = told(updating_night()).table("Updates not started")[1]
    assert english[2] == "23 Nov 2026, 22:00 CET – 02:00 CET"


def test_updates_that_were_not_installed_and_had_no_reason_say_so() -> None:
    report = night(updates=(update("c", "m", result="untouched", installed=(), message=""),))
    assert told(report).table("Updates not installed")[1][3] == "no reason was given"


# What was done


def test_what_was_installed_is_listed_with_both_versions_and_security_first() -> None:
    header, web, _ = told(updating_night()).table("Installed tonight")
    assert dict(zip(header, web, strict=True)) == {
        "Machine": "dupont/web-1",
        "Site": "paris",
        "Maintenance window": "23 Nov 2026, 22:00 CET – 02:00 CET",
        "Wave": "2",
        "Packages": "2 packages, 1 security\nopenssl 3.0.11-1 → 3.0.13-1~deb12u1 (security)\n"
        "bash 5.2.15-2 → 5.2.15-3",
        "Restart": "restarted",
        "Duration": "1 min 35 s",
        "Remark": "",
    }


def test_a_long_list_is_shortened_and_what_is_left_to_do_is_said() -> None:
    reader = told(updating_night(), "fr")
    row = reader.table("Installées cette nuit")[2]
    lines = row[4].split("\n")
    assert lines[0] == "20 paquets, dont 1 de sécurité"
    assert lines[1] == "lib19 1 → 2 (sécurité)"
    assert lines[2] == "lib00 1 → 2"
    assert (lines[-1], len(lines)) == ("et 12 autres", 10)
    assert row[5] == "à redémarrer : linux-image-amd64"
    assert row[7].startswith("done without a snapshot to go back to")
    assert "1 autre machine était à jour." in reader.text


def test_a_list_is_not_shortened_by_one() -> None:
    nine = tuple(package(f"lib{n}", "1", "2") for n in range(9))
    row = told(night(updates=(update("c", "m", installed=nine),))).table("Installed tonight")[1]
    assert row[4].endswith("lib8 1 → 2")


def test_a_restart_that_was_not_allowed_is_told_although_nothing_was_installed() -> None:
    report = night(updates=(update("c", "m", result="nothing-due", installed=(), reboot="linux"),))
    row = told(report).table("Installed tonight")[1]
    assert row[4:6] == ["–", "to be restarted: linux"]


# What is left


def test_what_is_due_stands_beside_how_long_the_oldest_waits() -> None:
    reader = told(updating_night(), "fr")
    rows = {row[0]: row[2:] for row in reader.table("Encore dues")[1:]}
    assert rows["dupont/app-1"] == ["à la demande", "2", "5", "0", "90 h ouvrées", "–", "–"]
    assert rows["dupont/db-1"][3:6] == ["0", "81,5 h ouvrées", "24 nov. 2026, 1 h 00 CET"]
    assert rows["dupont/web-2"][6] == "à redémarrer : linux-image-amd64"
    assert "au-delà de 72 h ouvrées (art. 3.8.3)" in reader.text


def test_more_than_72_working_hours_are_marked_where_installing_is_automatic() -> None:
    cells = {
        row[0]: row[6]
        for table in markdown_tables(render_night(updating_night(), form="md", language="en"))
        for row in table
        if len(row) == 9
    }
    assert plain(cells["dupont/db-1"]) == "⚠ 81.5 working hours"
    assert plain(cells["martin/web-1"]) == "72 working hours"
    assert plain(cells["dupont/app-1"]) == "90 working hours"


def test_a_machine_that_could_not_be_looked_into_is_not_said_to_be_up_to_date() -> None:
    reader = told(updating_night())
    rows = {row[0]: row[3:6] for row in reader.table("Still due")[1:]}
    assert rows["martin/old-1"] == ["not known", "–", "–"]
    assert ["martin/old-1", "paris", "SSH failed: no route to host"] in reader.table(
        "Machine not inspected: 2"
    )


@pytest.mark.parametrize(
    ("packages", "average", "said", "tone"),
    [
        (1214, 31.25, "31.2 working hours", "good"),
        (9, 72.0, "72 working hours", "good"),
        (9, 72.5, "72.5 working hours", "bad"),
        (9, None, "not known", "plain"),
        (0, None, "–", "plain"),
    ],
)
def test_the_average_delay_stands_beside_that_of_the_contract(
    packages: int, average: float | None, said: str, tone: str
) -> None:
    delay = UpdateDelay(days=90, packages=packages, average_hours=average, updates=packages // 3)
    report = replace(updating_night(), lines=(*updating_night().of(LineOfMachine), delay))
    page = plain(render_night(report, form="html", language="en"))
    row = Reader(page).table("Delay of installation (art. 3.8.3)")[1]
    assert row == ["the last 90 days", f"{packages:,}", str(packages // 3), "0", said, "72 working hours"]
    assert f'class="{tone}" data-heading="Average delay">{said}<' in page


def test_3_8_3_an_update_that_waits_is_told_apart_from_those_that_were_installed() -> None:
    waiting = WaitingUpdate(
        client="dupont",
        machine="web-1",
        site="paris",
        since=paris(2, 8),
        on_request=True,
        hours=72.5,
        over_at=paris(12, 10),
    )
    delay = UpdateDelay(days=90, packages=7, average_hours=51.5, updates=1)
    report = night(waiting=waiting, delay=delay)
    reader = told(report, "fr")
    (row,) = reader.table("Mises à jour en attente (art. 3.8.3)")[1:]
    assert row[2:5] == ["2 nov. 2026, 8 h 00 CET", "la demande du client", "72,5 h ouvrées"]
    assert (row[0], row[5]) == ("dupont/web-1", "12 nov. 2026, 10 h 00 CET")
    assert reader.table("Délai d’installation (art. 3.8.3)")[1][2:5] == ["1", "1", "51,5 h ouvrées"]
    assert "dupont" not in plain(render_night(report, form="html", client="martin"))


# Firewalls


def test_what_firewalls_dropped_is_told_the_most_first_with_a_total() -> None:
    header, *rows = told(updating_night(), "fr").table("Depuis la nuit précédente")
    assert header == [
        "Machine",
        "Site",
        "Paquets rejetés",
        "Connexions SSH refusées",
        "Rejeté le plus souvent (échantillon)",
    ]
    assert [row[0] for row in rows] == [
        "dupont/app-1",
        "dupont/web-1",
        "martin/web-1",
        "dupont/db-1",
        "dupont/web-2",
        "Total",
    ]
    assert rows[1][2:] == ["18 204", "312", "61 × 203.0.113.9 tcp 3389\n12 × 2001:db8::7 tcp 23"]
    assert rows[2][2:] == ["1", "inconnu", "–"]
    assert rows[5][2:4] == ["58 205", "312"]


def test_only_the_first_five_of_those_who_were_dropped_are_named() -> None:
    many = tuple((90 - n, f"203.0.113.{n} tcp 23") for n in range(9))
    most = told(night(guests=(guest("c", "m", dropped=700, top=many),))).table("Since the last night")[1][4]
    assert most.split("\n")[-1] == "86 × 203.0.113.4 tcp 23"


def test_outgoing_packets_that_were_refused_have_a_table_of_their_own() -> None:
    free, limited = guest("c", "free", dropped=7), guest("c", "m", dropped=7, refused_out=1204)
    limited = replace(limited, top_out=((9, "203.0.113.25 tcp 25"),))
    reader = told(night(guests=(free, limited)))
    title = "Outgoing traffic refused since the last night"
    assert reader.table(title)[1:] == [["c/m", "paris", "1,204", "9 × 203.0.113.25 tcp 25"]]
    assert "Outgoing traffic" not in told(night(guests=(free,))).text


def test_firewalls_that_could_not_be_read_are_named_with_the_reason() -> None:
    reader = told(updating_night())
    assert reader.table("Firewalls that could not be read")[1:] == [
        ["martin/db-1", "paris", "the firewall's counters could not be read in the machine"],
        ["dupont/web-4", "paris", "web-4: Ansible could not reach it: PLAY RECAP db-1.martin"],
        ["martin/old-1", "paris", "SSH failed: no route to host"],
    ]
    assert "orchestrator apply brings the firewall up to date" in reader.text


def test_where_no_machine_was_looked_into_no_firewall_is_said_to_be_quiet() -> None:
    assert "No firewall was read" in told(night(updates=(update("c", "m"),))).text


# For one client


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_reads_of_no_other_s_machine_not_even_in_a_reason(form: Form, language: Language) -> None:
    text = render_night(updating_night(), form=form, language=language, client="dupont")
    for foreign in ("martin", "old-1", "orchestrator", "updates.exclude", "PLAY RECAP"):
        assert foreign not in text, foreign
    text = render_night(updating_night(), form=form, language=language, client="martin")
    for foreign in ("dupont", "app-1", "orchestrator", "openssl"):
        assert foreign not in text, foreign


def test_a_client_is_told_in_our_own_words_what_happened_to_their_machines() -> None:
    reader = told(updating_night(), "fr", "martin")
    assert "✗ 3 échecs" in reader.text
    assert "le Prestataire la répare" in reader.table("Machine en défaut après ses mises à jour")[1][3]
    assert reader.table("Mises à jour non commencées")[1][3] == (
        "son tour n’est pas venu cette nuit ; la prochaine fenêtre de maintenance réessaie"
    )
    assert reader.table("Encore dues")[2][:6] == ["web-1", "paris", "automatique", "0", "3", "2"]
    assert reader.table("Depuis la nuit précédente")[-1][2] == "1"


def test_the_average_over_all_clients_is_no_client_s_business() -> None:
    assert "Delay of installation" not in told(updating_night(), "en", "dupont").text
    assert "31.2" not in told(updating_night(), "en", "dupont").text


# Language and form


def fragments(language: Language) -> set[str]:
    """What our texts are made of, without what is filled in."""
    texts = [text for text in vars(Words).values() if isinstance(text, Text | Counted)]
    said = [getattr(text, language) for text in texts]
    each = [one for text in said for one in (text if isinstance(text, tuple) else (text,))]
    return {part.strip(" :;,.()") for one in each for part in re.split(r"\{\w+\}", plain(one))}


@pytest.mark.parametrize("client", [None, "dupont", "martin"])
@pytest.mark.parametrize(("language", "other"), [("fr", "en"), ("en", "fr")])
def test_no_text_of_the_other_language_is_in_a_report(
    client: str | None, language: Language, other: Language
) -> None:
    report = updating_night()
    text = told(report, language, client).text
    for reason in [
        *(line.message for line in report.of(UpdateLine)),
        *(line.problem for line in report.of(GuestLine)),
    ]:
        text = text.replace(reason, "")  # shown as it came
    ours = "\n".join(fragments(language))
    foreign = {part for part in fragments(other) if len(part) > 5 and part not in ours}
    assert len(foreign) > 150
    assert {part for part in foreign if part in text} == set()


@pytest.mark.parametrize("hostile", ["a|b", "<script>x</script>", "**b**_c_`d`[e](f)", "&amp;", "~~g~~"])
def test_names_of_packages_are_shown_as_they_are_and_never_markup(hostile: str) -> None:
    report = night(
        updates=(
            update("c", "good", installed=(package(hostile, hostile, "2"),)),
            update("c", "bad", result="broken", installed=(), tried=(hostile,), message=hostile),
        ),
        guests=(guest("c", "good", reboot=hostile, dropped=1, top=((3, hostile),)),),
    )
    page = Reader(render_night(report, form="html", language="en"))
    assert "script" not in {tag for tag, _ in page.elements}
    tables = markdown_tables(render_night(report, form="md", language="en"))
    for shown in (page.tables, tables):
        cells = [cell for table in shown for row in table for cell in row]
        assert f"1 package\n{hostile} {hostile} → 2" in cells
        assert hostile in cells
        assert f"3 × {hostile}" in cells
        assert f"to be restarted: {hostile}" in [cell.removeprefix("⚠ ") for cell in cells]
