"""``orchestrator outage``, ``event`` and ``maintenance``: what people declare, checked before it is recorded."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.errors import OrchestratorError
from orchestrator.history import open_history
from orchestrator.history.declared import ExcusableEvent, Maintenance, Outage
from orchestrator.history.records import read
from orchestrator.operations import declaring
from orchestrator.operations.declaring import DeclareRequest
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_sites import SITES

FROM, TO = "2026-04-10 17:30", "2026-04-13 09:00"
NOTIFIED = ("--notified-by", "client", "--notified-at", "2026-04-10 17:40")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "subscriptions").mkdir()
    (tmp_path / "inv").mkdir()
    (tmp_path / "inv" / "sites.yaml").write_text(SITES)
    (tmp_path / "subscriptions" / "dupont.yaml").write_text(file_of(machine() + machine(name="db-1")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_INVENTORY", "inv")
    monkeypatch.setenv("ORCHESTRATOR_HISTORY", str(tmp_path / "h.db"))
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def recorded(folder: Path) -> int:
    with open_history(folder / "h.db") as history:
        return len(history.entries())


def test_an_outage_is_recorded_ended_corrected_and_listed_with_what_it_replaced(folder: Path) -> None:
    added = run("outage", "add", "dupont/web-1", "--from", FROM, *NOTIFIED, "--reference", "INC-1")
    assert added.exit_code == 0 and "1  outage  dupont/web-1" in added.stdout
    assert "2026-04-10 17:30:00 CEST to still going on" in added.stdout
    assert run("outage", "end", "1", "--at", TO).exit_code == 0
    again = run("outage", "end", "2", "--at", "2026-04-13 09:30")
    assert again.exit_code == 1 and "record 2 ended at" in again.output and "outage correct" in again.output
    corrected = run("outage", "correct", "2", "--to", "2026-04-13 09:30", "--reason", "the log says so")
    assert corrected.exit_code == 0 and corrected.stdout.strip().endswith("instead of 2")
    listed = run("outage", "list", "dupont/web-1").stdout
    assert "2026-04-13 09:30:00 CEST" in listed and listed.count("instead of") == 2
    (record,) = json.loads(run("outage", "list", "--format", "json").stdout)["records"]
    assert record["number"] == 3 and record["replaces"] == 2
    assert [old["number"] for old in record["before"]] == [1, 2]
    assert record["to"] == "2026-04-13T07:30:00Z" and record["reference"] == "INC-1"
    assert "outage" in run("history", "dupont/web-1").stdout


def test_a_correction_of_a_correction_must_name_the_last_record(folder: Path) -> None:
    run("outage", "add", "dupont/web-1", "--from", FROM, "--to", TO, *NOTIFIED)
    run("outage", "correct", "1", "--to", "2026-04-13 09:10")
    assert run("outage", "correct", "2", "--to", "2026-04-13 09:20").exit_code == 0
    refused = run("outage", "correct", "1", "--to", "2026-04-13 09:40")
    assert refused.exit_code == 1 and "record 1 was replaced by record 3" in refused.output
    assert recorded(folder) == 3


def test_an_outage_that_ends_before_it_begins_is_refused(folder: Path) -> None:
    refused = run("outage", "add", "dupont/web-1", "--from", TO, "--to", FROM, *NOTIFIED)
    assert refused.exit_code == 1
    assert "2026-04-10 17:30:00 CEST, which is not after its beginning" in refused.output
    assert recorded(folder) == 0


def test_an_outage_without_an_end_is_going_on_and_one_in_the_future_is_refused(folder: Path) -> None:
    assert "still going on" in run("outage", "add", "dupont", "--from", FROM, *NOTIFIED).stdout
    for option in ("--from", "--to"):
        values = ["--from", FROM, option, "2900-01-01 10:00"]
        refused = run("outage", "add", "dupont/db-1", *values, *NOTIFIED)
        assert refused.exit_code == 1 and "is in the future" in refused.output
    assert recorded(folder) == 1


def test_an_outage_that_overlaps_another_is_recorded_and_says_that_the_time_counts_once(folder: Path) -> None:
    run("outage", "add", "dupont/web-1", "--from", FROM, "--to", TO, *NOTIFIED)
    second = run(
        "outage", "add", "dupont", "--from", "2026-04-13 08:00", "--to", "2026-04-13 10:00", *NOTIFIED
    )
    assert second.exit_code == 0 and "overlaps 1: the time in common counts once" in second.stdout
    other = run("outage", "add", "dupont/db-1", "--from", FROM, "--to", "2026-04-10 18:00", *NOTIFIED)
    assert "overlaps" not in other.stdout


@pytest.mark.parametrize(
    ("whose", "why"),
    [
        (["dupont/web-9"], "dupont has no machine web-9: its file has db-1, web-1"),
        (["martin"], "no file has a client martin: there are dupont"),
        (["--site", "rome"], "there is no site rome: the inventory has lyon, paris"),
        (["dupont", "--site", "paris"], "not both"),
        ([], "not both"),
        (["dupont/"], "machines"),
        (["DUPONT"], "client cannot be"),
    ],
)
def test_what_does_not_exist_has_no_outage(whose: list[str], why: str, folder: Path) -> None:
    if whose == ["dupont/"]:  # no machine named: all of them
        assert run("outage", "add", *whose, "--from", FROM, *NOTIFIED).exit_code == 0
        return
    refused = run("outage", "add", *whose, "--from", FROM, *NOTIFIED)
    assert refused.exit_code == 1 and why in refused.output
    assert recorded(folder) == 0


def test_a_machine_that_has_left_the_file_is_known_to_the_history(folder: Path) -> None:
    with open_history(folder / "h.db") as history:
        history.append(
            who="a",
            why="b",
            client="dupont",
            machine="old-1",
            site="paris",
            action="create",
            result="ok",
            run="r",
        )
    assert run("outage", "add", "dupont/old-1", "--from", FROM, "--to", TO, *NOTIFIED).exit_code == 0


def test_an_outage_that_nobody_notified_is_recorded_and_said_not_to_count(folder: Path) -> None:
    added = run("outage", "add", "dupont/web-1", "--from", FROM, "--to", TO)
    assert (
        added.exit_code == 0
        and "nobody notified it: it is listed, and does not count (art. 6)" in added.stdout
    )
    half = run("outage", "add", "dupont/web-1", "--from", FROM, "--notified-by", "client")
    assert half.exit_code == 1 and "come together" in half.output


@pytest.mark.parametrize(
    ("time", "why"),
    [
        ("yesterday", "not a time"),
        ("2026-04-31 10:00", "no such day"),
        ("2026-04-10 25:00", "no such day or time of day"),
        ("2026-10-25 02:30", "comes twice"),
        ("2026-03-29 02:30", "no such time in Paris"),
        ("1999-04-10 10:00", "between the years"),
        ("2026-04-10 10:00 +99:99", "no such day"),
        ("\x1b[31m", "not a time"),
    ],
)
def test_what_is_no_time_is_refused(time: str, why: str, folder: Path) -> None:
    refused = run("outage", "add", "dupont", "--from", time)
    assert refused.exit_code == 1 and why in refused.output and "\x1b[31m" not in refused.output
    assert recorded(folder) == 0


def test_an_hour_that_comes_twice_is_told_apart_by_its_offset(folder: Path) -> None:
    run("outage", "add", "dupont", "--from", "2026-10-25 02:30+02:00", "--to", "2026-10-25 02:30+01:00")
    (record,) = json.loads(run("outage", "list", "--format", "json").stdout)["records"]
    assert (record["from"], record["to"]) == ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--cause", "v"], "reference"),
        (["--cause", "vii", "--reference", "OP-1"], "cause cannot be"),
        (["--reference", "OP-1"], "cause"),
        (["--cause", "iii", "--reference", "OP-1"], "planned only if it is recorded before it begins"),
    ],
)
def test_an_event_needs_a_cause_and_a_reference(options: list[str], why: str, folder: Path) -> None:
    refused = run("event", "add", "dupont", "--from", FROM, "--to", TO, *options)
    assert refused.exit_code == 1 and why in refused.output, refused.output
    assert recorded(folder) == 0
    assert run("event", "add", "dupont", "--from", FROM, "--cause", "v", "--reference", "OP-1").exit_code == 0
    assert run("event", "correct", "1", "--to", TO).exit_code == 0


def test_maintenance_recorded_after_it_began_is_refused(folder: Path) -> None:
    announced = ("--announced", "2026-04-01 10:00")
    late = run("maintenance", "add", "dupont", "--from", FROM, "--to", TO, *announced)
    assert late.exit_code == 1 and "record what happened as an outage" in late.output
    told_late = ("--announced", "2900-01-02 10:00")
    span = ("--from", "2900-01-02 10:00", "--to", "2900-01-02 12:00")
    refused = run("maintenance", "add", "dupont", *span, *told_late)
    assert refused.exit_code == 1 and "announced" in refused.output
    assert recorded(folder) == 0
    assert run("maintenance", "add", "--site", "paris", *span, *announced).exit_code == 0


def test_maintenance_that_began_can_be_made_shorter_and_not_longer(folder: Path) -> None:
    request = DeclareRequest(inventory="inv", history=str(folder / "h.db"))

    def at(hour: int) -> dt.datetime:
        return dt.datetime(2026, 5, 4, hour, tzinfo=dt.UTC)

    planned = Maintenance(client="dupont", start=at(20), end=at(22), announced=at(8))
    added = declaring.add_one(planned, request, now=at(9)).recorded
    with pytest.raises(OrchestratorError, match="planned only if it is recorded before it begins"):
        declaring.change(added.number, Maintenance, {"to": at(23)}, request, now=at(21))
    shorter = declaring.change(added.number, Maintenance, {"to": at(21)}, request, now=at(21))
    with open_history(folder / "h.db") as history:
        assert read(history).of(Maintenance) == (shorter,)


def test_what_was_recorded_by_mistake_is_withdrawn(folder: Path) -> None:
    run("event", "add", "dupont", "--from", FROM, "--cause", "v", "--reference", "OP-1")
    wrong_kind = run("outage", "withdraw", "1")
    assert wrong_kind.exit_code == 1 and "it is of the kind 'excusable event'" in wrong_kind.output
    assert run("event", "withdraw", "1", "--reason", "another client's").exit_code == 0
    assert "withdrawn" in run("event", "list").stdout
    assert run("event", "withdraw", "7").exit_code == 1


FILE = """\
outages:
  - client: dupont
    machines: [web-1]
    from: "2026-04-10 17:30"
    to: 2026-04-13 09:00:30
    notified_by: client
    notified_at: "2026-04-10 17:40"
    reference: INC-1
  - { site: paris, from: "2026-04-20 10:00", to: "2026-04-20 10:05", notified_by: noc, notified_at: "2026-04-20 10:01" }
events:
  - { client: dupont, from: "2026-04-10 17:30", to: "2026-04-10 18:00", cause: v, reference: OP-1 }
"""


def test_a_file_of_records_is_recorded_once_however_often_it_is_given(folder: Path) -> None:
    (folder / "records.yaml").write_text(FILE)
    first = run("outage", "add", "--file", "records.yaml")
    assert first.exit_code == 0, first.output
    assert "3 new records of 3 in records.yaml" in first.stdout
    again = run("outage", "add", "--file", "records.yaml")
    assert "0 new records of 3" in again.stdout and again.stdout.count("recorded already") == 3
    assert recorded(folder) == 3
    with open_history(folder / "h.db") as history:
        found = read(history)
    assert len(found.of(Outage)) == 2 and len(found.of(ExcusableEvent)) == 1


def test_mistakes_of_a_file_are_named_with_their_lines_and_nothing_is_recorded(folder: Path) -> None:
    text = FILE.replace("cause: v", "cause: ix").replace('"2026-04-20 10:05"', '"2026-04-20 09:00"')
    (folder / "records.yaml").write_text(text)
    refused = run("outage", "add", "--file", "records.yaml")
    assert refused.exit_code == 1
    assert "records.yaml:9:" in refused.output and "not after its beginning" in refused.output
    assert "records.yaml:11:" in refused.output and "cause cannot be" in refused.output
    assert recorded(folder) == 0
    (folder / "records.yaml").write_text(FILE.replace("[web-1]", "[web-7]"))
    assert "dupont has no machine web-7" in run("outage", "add", "--file", "records.yaml").output
    assert recorded(folder) == 0


@pytest.mark.parametrize("text", ["", "clients: 3\n", "outages: 3\n", "outages: [", "[1]\n", "\x00"])
def test_what_is_no_file_of_records_is_refused(text: str, folder: Path) -> None:
    (folder / "records.yaml").write_text(text)
    assert run("outage", "add", "--file", "records.yaml").exit_code == 1
    assert run("outage", "add", "dupont", "--file", "records.yaml").exit_code == 1
    assert recorded(folder) == 0


def test_lists_say_that_nothing_was_recorded(folder: Path) -> None:
    run("outage", "add", "dupont", "--from", FROM)
    assert run("maintenance", "list").stdout == "nothing was recorded\n"


def test_a_file_that_is_given_again_undoes_no_correction_and_no_withdrawal(folder: Path) -> None:
    said = "notified_by: client, notified_at: 2026-04-10T09:00"
    (folder / "records.yaml").write_text(
        "outages:\n"
        f'  - {{ client: dupont, from: "2026-04-10 09:00", to: "2026-04-10 15:00", {said} }}\n'
        f'  - {{ client: dupont, from: "2026-04-14 09:00", to: "2026-04-14 15:00", {said} }}\n'
    )
    assert run("outage", "add", "--file", "records.yaml").exit_code == 0
    assert run("outage", "correct", "1", "--to", "2026-04-10 10:00").exit_code == 0
    assert run("outage", "withdraw", "2").exit_code == 0
    again = run("outage", "add", "--file", "records.yaml")
    assert "0 new records of 2" in again.stdout and "recorded already: 3  outage" in again.stdout
    assert recorded(folder) == 4
    by_hand = run(
        "outage", "add", "dupont", "--from", "2026-04-14 09:00", "--to", "2026-04-14 15:00",
        "--notified-by", "client", "--notified-at", "2026-04-14 09:00",
    )  # fmt: skip
    assert by_hand.stdout.startswith("5  outage"), "what was withdrawn can be declared again by hand"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "--from is missing; either client (with or without machines) or site, and not both"),
        (("dupont",), "error  --from is missing"),
        (("/web-1", "--from", FROM), "error  either client (with or without machines) or site"),
        (("dupont", "--from", TO, "--to", FROM), "error  it ends at 2026-04-10 17:30:00 CEST"),
        (
            ("dupont", "--from", FROM, "--notified-by", "x"),
            "error  notified_by and notified_at come together",
        ),
    ],
)
def test_what_is_wrong_on_a_command_line_is_no_key_of_a_file(
    arguments: tuple[str, ...], why: str, folder: Path
) -> None:
    refused = run("outage", "add", *arguments)
    assert refused.exit_code == 1 and why.split("; ")[0] in refused.output, refused.output
    assert "the keys of" not in refused.output and "such as from: text" not in refused.output


@pytest.mark.parametrize(
    "command",
    [
        ("outage", "end", "--at", TO),
        ("event", "correct", "--to", TO),
        ("maintenance", "withdraw"),
        ("alarms", "acknowledge", "--by", "alice"),
        ("request", "close", "--outcome", "done"),
    ],
    ids=" ".join,
)
def test_a_number_larger_than_any_record_s_is_no_internal_error(
    command: tuple[str, ...], folder: Path
) -> None:
    assert run("outage", "add", "dupont", "--from", FROM).exit_code == 0
    refused = run(*command[:2], str(10**19), *command[2:])
    assert run(*command[:2], str(10**10), *command[2:]).output == refused.output.replace(
        str(10**19), str(10**10)
    )
    assert refused.exit_code in (1, 2) and "internal error" not in refused.output, refused.output


@pytest.mark.parametrize("what", ["a device", "a pipe", "standard output"])
def test_what_is_no_file_is_not_replaced_by_a_report(what: str, folder: Path) -> None:
    """As root a rename would put a file in the place of /dev/null."""
    place = folder / "place"
    if what == "a device":
        try:
            os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
        except PermissionError:
            pytest.skip("only root makes devices")
    elif what == "a pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/proc/self/fd/1")
    before = place.lstat()
    assert run("outage", "add", "dupont", "--from", FROM).exit_code == 0
    refused = run("service-level", "dupont", "--month", "2026-04", "--output", str(place))
    assert refused.exit_code == 1 and "name another place" in refused.output, refused.output
    after = place.lstat()
    assert (after.st_mode, after.st_ino, after.st_rdev) == (before.st_mode, before.st_ino, before.st_rdev)
