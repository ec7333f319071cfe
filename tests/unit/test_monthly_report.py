"""``orchestrator report CLIENT --month``: a client's month in French, the same twice but for its date."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.contract.calendar import PARIS
from orchestrator.history import open_history
from orchestrator.history.declared import Alarm, AlarmAction, Request
from orchestrator.history.records import add
from orchestrator.operations.monthly_due import month_due, write_due_reports
from orchestrator.operations.monthly_report import MonthlyRequest, monthly_report
from orchestrator.reports.monthly import Monthly, render_monthly
from orchestrator.reports.monthly_words import MonthlyWords
from orchestrator.reports.words import Text
from orchestrator.shipped_files import template_folder
from orchestrator.sites import load_provider
from tests.hostile_texts import ATTACKS
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_sites import SITES

GIB = 1024**3
LATER = dt.datetime(2026, 12, 1, 12, 30, tzinfo=PARIS)


def paris(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, day, hour, minute, tzinfo=PARIS).astimezone(dt.UTC)


class Month:
    """A client's file and its history of November 2026."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = folder / "h.db"
        (folder / "sites.yaml").write_text(SITES)
        (folder / "subscriptions").mkdir()
        self.write()
        self.record("note", at=paris(1, 1))

    def write(self, managed: str = "  level: supervision\n  standard_changes_per_month: 4\n") -> None:
        text = file_of(machine("backup: { retention_days: 7 }"))
        head, rest = text.split("managed_services:\n")
        services = rest[rest.index("services:\n") :]
        block = f"managed_services:\n{managed}" if managed else ""
        (self.folder / "subscriptions" / "dupont.yaml").write_text(head + block + services)

    def record(self, action: str, *, at: dt.datetime, **more: Any) -> None:
        usual = {
            "who": "alice",
            "why": "T-1",
            "client": "dupont",
            "machine": "web-1",
            "site": "paris",
            "result": "ok",
            "run": "r",
            "details": {},
        }
        with open_history(self.history) as history:
            history.append(action=action, at=at, **{**usual, **more})

    def gather(self, now: dt.datetime = LATER) -> Monthly:
        request = MonthlyRequest(
            client="dupont",
            month="2026-11",
            inventory=str(self.folder / "sites.yaml"),
            files=(self.folder / "subscriptions",),
            history=str(self.history),
            graphs=False,
        )
        return monthly_report(request, now=now)

    def text(self, language: Any = "fr", now: dt.datetime = LATER) -> str:
        """The report's words, without its markup."""
        page = render_monthly(self.gather(now), language=language)
        body = page[page.index("<body>") :]
        return (
            re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)).replace("\u202f", " ").replace("\u00a0", " ")
        )

    def run(self, *arguments: str) -> Result:
        common = ("--month", "2026-11", "--no-graphs", "--history", str(self.history))
        return CliRunner().invoke(app, ["report", "dupont", *common, *arguments])


@pytest.fixture
def month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Month:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ORCHESTRATOR_INVENTORY", str(tmp_path / "sites.yaml"))
    return Month(tmp_path)


def backups(month: Month, *, without: int) -> None:
    for day in range(1, 31):
        if day != without:
            month.record(
                "backup", at=paris(day, 22, 10), seconds=600.0, message=f"local:x-{day}.zst, {GIB} bytes"
            )
    month.record(
        "backup", at=paris(without, 22, 5), seconds=60.0, result="failed", message="no space left on device"
    )


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        ("storage 'backup-lyon' is not online on pve1 (10.0.0.4)", "plateforme de sauvegarde injoignable"),
        (
            "pve1: can't lock file '/var/lock/qemu-server/lock-100.conf'",
            "machine occupée par une autre opération",
        ),
        ("pve1 has gone mad", "incident technique, consigné dans l’historique du Prestataire"),
    ],
)
def test_a_client_is_told_in_french_why_a_backup_failed_and_no_node_or_storage_is_named(
    month: Month, recorded: str, told: str
) -> None:
    month.record("backup", at=paris(12, 22, 5), seconds=60.0, result="failed", message=recorded)
    said = month.text()
    assert f"jeudi 12 novembre 2026 {told}" in said
    assert "pve1" not in said and "backup-lyon" not in said


def test_30_nights_29_good_are_29_of_30_and_the_missing_one_has_its_reason(month: Month) -> None:
    backups(month, without=12)
    said = month.text()
    assert "29 sur 30" in said
    assert "jeudi 12 novembre 2026 espace insuffisant sur la plateforme de sauvegarde" in said
    assert "29,0 Gio" in said, "the volume of the month"
    assert "29 of 30" in month.text("en")


def test_a_night_in_which_nothing_was_begun_says_so_and_a_backup_of_working_hours_is_no_nights(
    month: Month,
) -> None:
    backups(month, without=12)
    month.record("backup", at=paris(13, 10, 30), seconds=600.0, message=f"local:x.zst, {GIB} bytes")
    with_reason = month.gather().facts.backups[0]
    assert [night.day for night, _ in with_reason.missing] == [12]
    early = month.gather(now=dt.datetime(2026, 11, 10, 20, tzinfo=PARIS)).facts.backups[0]
    assert len(early.expected) == 9, "nights that are over"


def _two_copies(month: Month) -> None:
    sites, file = month.folder / "sites.yaml", month.folder / "subscriptions" / "dupont.yaml"
    second = "{ name: backup-lyon, site: lyon }, { name: backup-lyon-2, site: lyon }"
    named = SITES.replace("{ name: backup-lyon, site: lyon }", second).replace(
        "  paris:\n    api:", "  paris:\n    data_centre: DC Paris 3, Saint-Denis\n    api:"
    )
    assert named.count("backup-lyon-2") == 1 and "DC Paris 3" in named
    sites.write_text(named)
    file.write_text(file.read_text().replace("retention_days: 7 }", "retention_days: 7, copies: 2 }"))


def test_3_2_a_night_with_two_copies_counts_once_and_each_copy_has_its_result(month: Month) -> None:
    _two_copies(month)
    for day in range(1, 31):
        for hour, storage in ((22, "backup-lyon"), (23, "backup-lyon-2")):
            failed = {"result": "failed", "message": "no space left on device"}
            done = {"message": f"{storage}:x-{day}.zst, {GIB} bytes"}
            said = failed if (day, hour) in ((12, 23), (13, 22), (13, 23)) else done
            if (day, hour) != (14, 23):
                month.record(
                    "backup", at=paris(day, hour, 10), seconds=600.0, details={"storage": storage}, **said
                )
    month.record(  # made again on the same storage: no second copy
        "backup",
        at=paris(14, 23, 50),
        seconds=60.0,
        details={"storage": "backup-lyon"},
        message="backup-lyon:y.zst, 5 bytes",
    )
    told = month.text()
    assert "web-1 29 sur 30 27 sur 30" in told, told
    assert "web-1 vendredi 13 novembre 2026 espace insuffisant sur la plateforme de sauvegarde" in told
    assert (
        "web-1, seconde copie jeudi 12 novembre 2026 espace insuffisant sur la plateforme de sauvegarde"
        in told
    )
    assert "web-1, seconde copie samedi 14 novembre 2026 aucune seconde copie" in told
    assert "seconde copie vendredi 13" not in told, "said once"
    month.record("change", at=paris(21, 10), details={"changes": ["copies of the backup"]})
    assert "29 sur 30 10 sur 10" in month.text(), "from the night on that it was bought"


def test_the_data_centre_of_the_clients_machines_is_named(month: Month) -> None:
    assert "Saint-Denis" not in month.text()
    _two_copies(month)
    assert "DataCenter DC Paris 3, Saint-Denis" in month.text()
    assert "Data centre DC Paris 3, Saint-Denis" in month.text("en")


def test_a_machine_made_in_the_month_is_expected_from_its_first_night_on(month: Month) -> None:
    month.record("clone", at=paris(20, 15))
    (one,) = month.gather().facts.backups
    assert [night.day for night in one.expected] == list(range(20, 31))


def test_two_of_four_free_changes_used_and_what_is_charged_has_its_reference(month: Month) -> None:
    free = {"class": "standard", "charge": "free", "changes": ["firewall"]}
    month.record("change", at=paris(3, 10), details=free)
    month.record("change", at=paris(3, 15), details=free)
    month.record("change", at=paris(5, 10), details=free)
    month.record("change", at=paris(6, 10), details=free, result="failed")
    charged = {"class": "significant", "charge": "catalogue", "catalogue": "CAT-7", "changes": ["image"]}
    month.record("change", at=paris(9, 10), details=charged)
    said = month.text()
    assert "Changements standard gratuits : 2 utilisés sur 4 convenus." in said
    assert "significatif selon le catalogue (CAT-7)" in said
    month.write(managed="")
    assert "Sans infogérance, les changements ne sont pas décomptés." in month.text()


def test_delays_of_3_hours_and_100_hours_have_a_mean_of_51_5(month: Month) -> None:
    quick, slow = paris(13, 17), paris(2, 8)
    month.record(
        "update",
        at=paris(16, 10),
        details={"requested_at": quick.isoformat(), "installed": [package("openssl")]},
    )
    month.record(
        "update",
        at=paris(17, 8),
        details={"requested_at": slow.isoformat(), "installed": [package("curl")]},
    )
    assert [one.hours for one in month.gather().delays.installed] == [3.0, 100.0]
    assert "Délai moyen : 51,5 heures ouvrées, pour 72 au contrat" in month.text()


def package(name: str) -> dict[str, Any]:
    return {"package": name, "from": "1", "to": "2", "security": True, "published": None}


def test_alarms_stand_with_who_and_what_was_done(month: Month) -> None:
    with open_history(month.history) as history:
        alarm = Alarm(
            client="dupont",
            machines=("web-1",),
            start=paris(10, 3),
            end=paris(10, 4),
            closed_by="recovery",
            fingerprint="01",
            rule="DiskFull",
            severity="critical",
            acknowledged_by="alice",
            acknowledged_at=paris(10, 3, 5),
        )
        made = add(history, alarm, who="supervision", why="supervision")
        action = AlarmAction(
            client="dupont",
            machines=("web-1",),
            alarm=made.number,
            by="alice",
            at=paris(10, 3, 20),
            result="done",
            text="disque agrandi",
        )
        add(history, action, who="alice", why="INC-1")
    said = month.text()
    assert "DiskFull web-1 10 nov. 2026, 3 h 00 CET 10 nov. 2026, 4 h 00 CET alice" in said
    assert "10 nov. 2026, 3 h 20 CET, alice : disque agrandi (fait)" in said


def test_every_part_of_the_specification_is_there_and_says_so_when_there_is_nothing(month: Month) -> None:
    month.record("restore test", at=paris(8, 23), message="booted in 31 s")
    month.record("snapshot", at=paris(9, 23))
    month.record("firewall alerts", at=paris(9, 23), details={"dropped": 10, "since": "a"})
    month.record("firewall alerts", at=paris(10, 23), details={"dropped": 52, "since": "a"})
    month.record("firewall alerts", at=paris(11, 23), details={"dropped": 5, "since": "b"})
    said = month.text()
    for words in (
        "Disponibilité",
        "Avoirs",
        "Gestion des changements",
        "Mises à jour",
        "Sauvegardes",
        "Tests de restauration",
        "Snapshots",
        "Firewall",
        "Alarmes",
        "Demandes",
        "Prochaines échéances",
        "Aucune alarme ce mois-ci.",
        "Aucune demande enregistrée ce mois-ci.",
        "réussi la copie restaurée a démarré",
        "web-1 47",
    ):
        assert words in said, words


def test_the_check_of_a_restored_copy_is_told_without_what_it_wrote(month: Month) -> None:
    month.record("restore test", at=paris(8, 23), message="sound", details={"check": "passed"})
    month.record(
        "restore test",
        at=paris(9, 23),
        result="failed",
        message='its check did not pass within 180 s (9 runs): exit code 1; its last line: "no orders"',
        details={"check": "failed"},
    )
    said = month.text()
    assert "la copie restaurée a démarré et le contrôle du Client y a réussi" in said
    assert "échec le contrôle demandé par le Client a échoué dans la copie restaurée" in said
    assert "no orders" not in said


def test_sizes_on_a_backup_server_are_said_to_be_before_deduplication(month: Month) -> None:
    backups(month, without=12)
    said = "Sur un serveur de sauvegarde, le volume est celui des disques, avant déduplication."
    assert said not in month.text()
    name = "pbs-lyon:backup/vm/100/2026-11-12T21:10:00Z"
    month.record("backup", at=paris(12, 22, 10), seconds=600.0, message=f"{name}, {7 * GIB} bytes")
    assert said in month.text()


def test_made_twice_it_is_identical_but_for_its_date(month: Month) -> None:
    backups(month, without=12)
    first = render_monthly(month.gather(LATER))
    assert first == render_monthly(month.gather(LATER))
    later = render_monthly(month.gather(LATER + dt.timedelta(days=30, hours=2)))
    differing = [
        pair for pair in zip(first.splitlines(), later.splitlines(), strict=True) if pair[0] != pair[1]
    ]
    assert [pair[0].startswith("<footer>") for pair in differing] == [True]


def test_the_command_writes_html_and_pdf_and_refuses_what_is_no_month(month: Month) -> None:
    made = month.run("--output", "r.html")
    assert made.exit_code == 0 and "r.html written" in made.output, made.output
    assert "Rapport mensuel, novembre 2026" in (month.folder / "r.html").read_text()
    english = month.run("--language", "en")
    assert "Monthly report of November 2026" in english.output
    pdf = month.run("--format", "pdf", "--output", "r.pdf")
    assert pdf.exit_code == 0 and (month.folder / "r.pdf").read_bytes().startswith(b"%PDF-"), pdf.output
    for wrong, reason in (("2126-01", "has not begun"), ("november", "a month is YEAR-MONTH")):
        arguments = ["report", "dupont", "--month", wrong, "--history", str(month.history)]
        refused = CliRunner().invoke(app, arguments)
        assert refused.exit_code == 1 and reason in refused.output


@pytest.mark.parametrize("text", ATTACKS[:16])
def test_no_text_of_the_history_gets_out_of_the_page(month: Month, text: str) -> None:
    month.record("backup", at=paris(12, 22), result="failed", message=text)
    month.record("restore test", at=paris(12, 23), result="failed", message=text)
    details = {"class": text, "charge": text, "catalogue": text, "changes": [text]}
    month.record("change", at=paris(12, 23), details=details)
    page = render_monthly(month.gather())
    assert "<script" not in page and "<img" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", page)


def test_no_text_is_missing_in_either_language_and_none_is_left_unused() -> None:
    texts = {name: text for name, text in vars(MonthlyWords).items() if isinstance(text, Text)}
    same = {
        "monthly_snapshots",
        "class_standard",
        "alarm_actions",
        "monthly_when",
        "firewall_part",
        "request_snapshot",
    }
    folder = template_folder().parent / "orchestrator" / "reports"
    code = "".join((folder / name).read_text() for name in ("monthly.py", "reasons.py"))
    for name, text in texts.items():
        fields = [
            {field for _, field, _, _ in Formatter().parse(said) if field} for said in (text.fr, text.en)
        ]
        assert fields[0] == fields[1], name
        assert text.fr != text.en or name in same, name
        assert name in code or name.rpartition("_")[0] in ("class", "charge", "snapshot", "request"), name


def test_the_first_night_of_a_month_makes_last_months_reports_and_no_later_one_makes_them_again(
    month: Month,
) -> None:
    backups(month, without=12)
    folder = month.folder / "reports"
    first = dt.datetime(2026, 12, 1, 22, tzinfo=PARIS)
    assert due(month, folder, first) == []
    page = folder / "dupont" / "month-2026-11.html"
    assert "29 sur 30" in page.read_text() and page.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    written = page.stat().st_mtime_ns
    assert due(month, folder, first + dt.timedelta(days=1)) == []
    assert page.stat().st_mtime_ns == written
    assert str(month_due(dt.datetime(2026, 12, 1, 3, tzinfo=PARIS))) == "2026-10", "the night of 30 November"
    assert str(month_due(dt.datetime(2027, 1, 1, 22, tzinfo=PARIS))) == "2026-12"


def test_one_clients_report_that_fails_stops_no_other(month: Month) -> None:
    text = (month.folder / "subscriptions" / "dupont.yaml").read_text()
    other = text.replace("client: dupont", "client: martin").replace("C-2026-0042", "C-2")
    (month.folder / "subscriptions" / "martin.yaml").write_text(other)
    folder = month.folder / "reports"
    folder.mkdir()
    (folder / "dupont").write_text("a file where a folder should be")
    (problem,) = due(month, folder, dt.datetime(2026, 12, 1, 22, tzinfo=PARIS))
    assert problem.startswith("the report of 2026-11 for the client dupont could not be written")
    assert (folder / "martin" / "month-2026-11.html").is_file()


def due(month: Month, folder: Path, now: dt.datetime) -> list[str]:
    return write_due_reports(
        load_provider(month.folder / "sites.yaml"),
        (month.folder / "subscriptions",),
        folder,
        language="fr",
        history=str(month.history),
        now=now,
    )


def test_why_graphs_are_missing_is_told_to_us_and_not_to_the_client(
    month: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sites of the inventory do not answer: the reason has their addresses."""
    monkeypatch.setenv("COLUMNS", "500")
    arguments = ("--month", "2026-11", "--history", str(month.history), "--output", "r.html")
    done = CliRunner().invoke(app, ["report", "dupont", *arguments])
    page = (month.folder / "r.html").read_text()
    assert done.exit_code == 0 and "graphs are missing in the report of dupont: " in done.output, done.output
    assert "n’ont pas pu être lues." in page.replace("\u00a0", " ")
    reason = done.output.split("of dupont: ")[1].split()
    assert " ".join(reason[:4]) not in re.sub(r"\s+", " ", page)


def test_the_next_dates_have_the_last_day_of_the_probation(month: Month) -> None:
    text = (month.folder / "subscriptions" / "dupont.yaml").read_text()
    changed = text.replace("site: paris }", "site: paris, taken_over: 2026-11-30 }")
    (month.folder / "subscriptions" / "dupont.yaml").write_text(changed)
    assert "période probatoire (article 4.2) – samedi 27 février 2027" in month.text()
    assert "niveau de service à partir du dimanche 28 février 2027" in month.text()
    again = changed.replace("taken_over: 2026-11-30", "taken_over: 2026-09-01")
    (month.folder / "subscriptions" / "dupont.yaml").write_text(again)
    assert "Aucune échéance connue." in month.text(), "it ended with the month"


def test_the_page_is_french_also_where_a_request_has_no_words_and_where_graphs_are_left_out(
    month: Month,
) -> None:
    with open_history(month.history) as history:
        said = Request.model_validate(
            {"client": "dupont", "machines": ["web-1"], "came": "2026-11-10 17:30", "kind": "update"}
        )
        add(history, said, who="alice", why="INC-1")
    page = month.text()
    assert "mise à jour web-1 10 nov. 2026, 17 h 30 CET –" in page
    assert "Ce rapport est établi sans les graphes." in page
    assert "ne font pas partie du Service souscrit" not in page, "they are bought: nobody asked for them"
