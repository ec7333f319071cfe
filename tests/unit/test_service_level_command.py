"""``orchestrator service-level`` and ``credit``: the worked examples where a user sees them, and bad input."""

from __future__ import annotations

import datetime as dt
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa

from orchestrator.contract.months import Month
from orchestrator.contract.service_level import Down, Facts, service_level
from orchestrator.contract.spans import difference
from orchestrator.errors import OrchestratorError
from orchestrator.history import History, open_history
from orchestrator.history.declared import Credit, CreditRequest
from orchestrator.history.records import Recorded, add, read
from orchestrator.history.requests import close
from orchestrator.operations import credits
from orchestrator.operations.credits import CreditTarget, issue_credits, request_credit
from orchestrator.reports.pdf import pdf_of
from tests.unit.level_world import World, make_world, moment


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = make_world(tmp_path, monkeypatch)
    made.observe()
    return made


def figures(found: dict[str, Any]) -> tuple[float, str, int, str | None]:
    """Counted minutes, percentage as shown, credit in per cent and in EUR."""
    credit = found["credit"]
    return found["counted_seconds"] / 60, found["availability_percent"], credit["percent"], credit["amount"]


def test_a1_an_outage_over_a_public_holiday(world: World) -> None:
    world.down("2026-11-10 17:30", "2026-11-12 09:00")
    assert figures(world.web_1("2026-11")) == (90, "99.7916", 5, "20.00")
    assert world.month("2026-11")["month_seconds"] == 43_200 * 60


def test_a2_seconds_decide_in_the_month_of_the_clock_change(world: World) -> None:
    world.write(fee="250.00")
    world.down("2026-10-08 09:00:00", "2026-10-08 12:43:24")
    assert figures(world.web_1("2026-10")) == (223.4, "99.5002", 5, "12.50")
    assert world.month("2026-10")["month_seconds"] == 44_700 * 60


def test_a3_the_probation_ends_within_the_month(world: World) -> None:
    world.write(contract=", taken_over: 2026-09-15")
    world.down("2026-12-10 09:00", "2026-12-10 17:00")
    world.down("2026-12-16 09:00", "2026-12-16 11:30")
    found = world.web_1("2026-12")
    assert figures(found) == (150, "99.6639", 5, "20.00")
    assert [part["accounted"] for part in found["outages"][0]["parts"]] == ["probation"]


def test_a4_another_operator_is_excused_for_the_minutes_it_overlaps(world: World) -> None:
    world.down("2027-01-07 16:00", "2027-01-08 10:00")
    event = world.event("v", "2027-01-07 17:00", "2027-01-08 09:00")
    found = world.web_1("2027-01")
    assert figures(found) == (120, "99.7311", 5, "20.00")
    assert found["excused_seconds"] == {"v": 7200}
    assert {part["by"] for part in found["outages"][0]["parts"]} == {None, event}


def test_a5_clocks_easter_monday_and_a_tuesday_morning(world: World) -> None:
    world.down("2027-03-28 00:00", "2027-03-29 18:00")
    world.down("2027-03-30 08:00:00", "2027-03-30 09:06:54")
    assert figures(world.web_1("2027-03")) == (66.9, "99.8499", 5, "20.00")
    assert world.month("2027-03")["month_seconds"] == 44_580 * 60


def test_a6_exactly_the_objective_is_met_and_one_second_more_is_not(world: World) -> None:
    number = world.down("2026-11-04 10:00:00", "2026-11-04 11:04:48")
    assert figures(world.web_1("2026-11")) == (64.8, "99.8500", 0, None)
    assert world.run("outage", "correct", str(number), "--from", "2026-11-04 10:00:01").exit_code == 0
    world.down("2026-11-04 11:04:48", "2026-11-04 11:04:50")
    assert figures(world.web_1("2026-11")) == (3889 / 60, "99.8499", 5, "20.00")


def test_a7_below_97_per_cent(world: World) -> None:
    world.down("2026-11-02 08:00", "2026-11-04 10:00")
    assert figures(world.web_1("2026-11")) == (1320, "96.9444", 20, "80.00")


def test_a8_exactly_97_per_cent_is_the_better_row(world: World) -> None:
    world.down("2026-11-02 08:00", "2026-11-04 09:36")
    assert figures(world.web_1("2026-11")) == (1296, "97.0000", 10, "40.00")


def test_a9_exactly_99_5_per_cent_is_the_better_row(world: World) -> None:
    world.down("2026-11-05 08:00", "2026-11-05 11:36")
    assert figures(world.web_1("2026-11")) == (216, "99.5000", 5, "20.00")


def test_a10_an_outage_over_a_month_s_end_is_split_at_midnight_in_paris(world: World) -> None:
    world.down("2026-11-30 17:00", "2026-12-01 10:00")
    assert figures(world.web_1("2026-11")) == (60, "99.8611", 0, None)
    assert world.web_1("2026-11")["met"] is True
    assert figures(world.web_1("2026-12")) == (120, "99.7311", 5, "20.00")


def test_a11_overlaps_of_outages_maintenance_and_events_count_once(world: World) -> None:
    world.maintenance("2027-01-20 10:00", "2027-01-20 11:30", announced="2027-01-15 10:00")
    world.down("2027-01-20 09:00", "2027-01-20 12:00")
    world.down("2027-01-20 11:00", "2027-01-20 13:00")
    world.event("ii", "2027-01-20 11:00", "2027-01-20 12:30")
    assert figures(world.web_1("2027-01")) == (90, "99.7983", 5, "20.00")


def test_a12_a_weekend_counts_nothing(world: World) -> None:
    world.down("2026-11-06 18:00", "2026-11-09 08:00")
    assert figures(world.web_1("2026-11")) == (0, "100.0000", 0, None)


def issue(world: World, month: str, on: str, machine: str = "web-1") -> Recorded[Credit]:
    target = CreditTarget(
        target=f"dupont/{machine}", month=month, inventory="inv", history=str(world.history)
    )
    request_credit(target, now=moment(f"{on} 09:00"))
    (made,) = issue_credits(target, now=moment(f"{on} 10:00"))
    return made


TWENTY, TEN = ("02 08:00", "04 12:00"), ("02 08:00", "03 18:00")
"""Outages in a month's first days that open 20 % and 10 %: 24 and 20 hours."""


def months_with(world: World, first: tuple[str, str], second: tuple[str, str]) -> None:
    for month, (start, end) in (("2026-11", first), ("2026-12", second)):
        start, end = f"{month}-{start}", f"{month}-{end}"
        for machine in ("web-1", "db-1"):
            world.down(start, end, whose=machine)


@pytest.mark.parametrize(
    ("on", "amount"), [("2027-03-02", "0.00"), ("2027-03-06", "0.00"), ("2027-03-07", "40.00")]
)
def test_the_cap_over_two_months_leaves_nothing_until_thirty_days_are_over(
    on: str, amount: str, world: World
) -> None:
    months_with(world, TWENTY, TEN)
    assert issue(world, "2026-11", "2027-02-05").said.amount == Decimal("80.00")
    second = issue(world, "2026-12", on)
    assert (second.said.percent, second.said.amount) == (10, Decimal(amount))
    listed = world.run("credit", "list", "dupont/web-1").stdout
    assert ("40.00 EUR lapsed" in listed) == (amount == "0.00")


def test_the_cap_over_two_months_leaves_what_is_below_it_and_other_machines_are_independent(
    world: World,
) -> None:
    months_with(world, TEN, TWENTY)
    assert issue(world, "2026-11", "2027-02-05").said.amount == Decimal("40.00")
    assert issue(world, "2026-12", "2027-03-02").said.amount == Decimal("40.00")
    assert issue(world, "2026-12", "2027-03-02", "db-1").said.amount == Decimal("20.00")


def test_a_credit_asked_twice_is_refused_and_so_is_one_issued_twice(world: World) -> None:
    months_with(world, TWENTY, TEN)
    issue(world, "2026-11", "2027-02-05")
    with pytest.raises(OrchestratorError, match="was asked for already: record 5"):
        issue(world, "2026-11", "2027-02-06")
    target = CreditTarget(target="dupont/web-1", month="2026-11", inventory="inv", history=str(world.history))
    with pytest.raises(OrchestratorError, match="was issued already: record 6"):
        issue_credits(target, now=moment("2027-02-06 10:00"))
    with pytest.raises(OrchestratorError, match="credits are issued one after the other"):
        issue(world, "2026-12", "2027-02-04")


def test_nothing_is_issued_without_a_request(world: World) -> None:
    world.down("2026-04-07 08:00", "2026-04-09 10:00")
    refused = world.run("credit", "issue", "dupont/web-1", "--month", "2026-04")
    assert refused.exit_code == 1 and "nobody asked for the credit of dupont/web-1" in refused.output
    asked = world.run("credit", "request", "dupont", "--month", "2026-04", "--reference", "LR-1")
    assert asked.exit_code == 0 and "credit request  dupont  2026-04" in asked.stdout
    assert world.web_1("2026-04")["credit"]["state"] == "requested"
    issued = world.run("credit", "issue", "dupont", "--month", "2026-04")
    assert issued.exit_code == 0 and "80.00 EUR  20 % of 400.00" in issued.stdout, issued.output
    assert world.web_1("2026-04")["credit"]["state"] == "issued"
    with open_history(world.history) as history:
        (asked_for,) = read(history).of(CreditRequest)
    assert (asked_for.said.outcome, asked_for.said.result) == ("done", "issued: web-1 80.00 EUR")
    assert "80,00" in world.run("service-level", "dupont", "--month", "2026-04").stdout
    listed = json.loads(world.run("credit", "list", "--format", "json").stdout)
    assert (len(listed["requests"]), [item["amount"] for item in listed["credits"]]) == (1, ["80.00"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["request", "dupont/web-1", "--month", "2026-05"], "no credit is open"),
        (["issue", "dupont/db-1", "--month", "2026-04"], "no credit is open"),
        (["request", "dupont/web-7", "--month", "2026-04"], "dupont has no machine web-7"),
        (["request", "martin", "--month", "2026-04"], "no file has a client martin"),
        (["request", "dupont", "--month", "2900-01"], "is not over"),
        (["request", "dupont", "--month", "April"], "YEAR-MONTH"),
        (["request", "dupont", "--month", "2026-04", "--came", "soon"], "not a time"),
        (["request", "dupont", "--month", "2026-04", "--came", "2900-01-01 10:00"], "in the future"),
        (["issue", "dupont/web-1", "--month", "2026-04", "--fee", "400.125"], "at most two decimals"),
        (["issue", "dupont", "--month", "2026-04", "--fee", "400.00"], "--fee is one machine's"),
        (["list", "dupont/"], "selects nothing"),
    ],
)
def test_what_opens_no_credit_is_refused(arguments: list[str], why: str, world: World) -> None:
    world.down("2026-04-07 08:00", "2026-04-09 10:00")
    refused = world.run("credit", *arguments)
    assert refused.exit_code == 1 and why in refused.output, refused.output
    with open_history(world.history) as history:
        assert len(history.entries()) == 1


def _credit(amount: str) -> Credit:
    return Credit.model_validate(
        {
            "client": "dupont", "machines": ["web-1"], "month": "2026-04", "issued": "2026-05-04",
            "fee": "400.00", "percent": 20, "amount": amount, "request": 2,
        }
    )  # fmt: skip


def test_a_kill_after_a_credit_was_issued_leaves_nothing_that_the_next_run_cannot_finish(
    world: World,
) -> None:
    world.down("2026-04-07 08:00", "2026-04-09 10:00")
    assert world.run("credit", "request", "dupont/web-1", "--month", "2026-04").exit_code == 0
    with open_history(world.history) as history:
        add(history, _credit("80.00"), who="alice", why="x")  # and then the power went
    again = world.run("credit", "issue", "dupont/web-1", "--month", "2026-04")
    assert again.exit_code == 1 and "was issued already: record 3" in again.output
    with open_history(world.history) as history:
        (asked_for,) = read(history).of(CreditRequest)
    assert asked_for.said.outcome == "done"


def test_two_people_who_issue_a_credit_at_once_issue_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.down("2026-04-07 08:00", "2026-04-09 10:00")
    assert world.run("credit", "request", "dupont/web-1", "--month", "2026-04").exit_code == 0

    def after_the_other(history: History, said: Credit, **more: Any) -> Recorded[Any]:
        add(history, _credit("80.00"), who="alice", why="x")
        return add(history, said, **more)

    monkeypatch.setattr(credits, "add", after_the_other)
    refused = world.run("credit", "issue", "dupont/web-1", "--month", "2026-04")
    assert refused.exit_code == 1 and "somebody else issued a credit" in refused.output
    with open_history(world.history) as history:
        (issued,) = read(history).of(Credit)
    assert issued.who == "alice"


def test_a_request_that_was_refused_or_taken_back_issues_nothing(world: World) -> None:
    world.down("2026-04-07 08:00", "2026-04-09 10:00")
    assert world.run("credit", "request", "dupont/web-1", "--month", "2026-04").exit_code == 0
    with open_history(world.history) as history:
        (asked_for,) = read(history).of(CreditRequest)
        close(history, asked_for, outcome="withdrawn", result="", who="a", why="b", at=asked_for.said.came)
    refused = world.run("credit", "issue", "dupont/web-1", "--month", "2026-04")
    assert refused.exit_code == 1 and "nobody asked" in refused.output
    assert world.run("credit", "request", "dupont/web-1", "--month", "2026-04").exit_code == 0
    assert world.run("credit", "issue", "dupont/web-1", "--month", "2026-04").exit_code == 0


def test_a_month_that_is_not_over_is_provisional_and_opens_no_credit(world: World) -> None:
    world.down("2026-11-02 08:00", None, at="2026-11-04 10:00")
    found = world.month("2026-11", at="2026-11-04 10:00")
    assert found["final"] is False and figures(found["services"][0])[:3] == (1320, "96.9444", 20)
    text = world.run("service-level", "dupont", "--month", "2026-11", "--at", "2026-11-04 10:00").stdout
    assert "provisoire" in text and "en cours" in text
    refused = world.run("service-level", "dupont", "--month", "2026-12", "--at", "2026-11-04 10:00")
    assert refused.exit_code == 1 and "has not begun" in refused.output
    target = CreditTarget(target="dupont/web-1", month="2026-11", inventory="inv", history=str(world.history))
    with pytest.raises(OrchestratorError, match="is not over"):
        request_credit(target, now=moment("2026-11-30 23:59:59"))


def test_a_fee_of_three_decimals_is_refused_with_its_line(world: World) -> None:
    world.write(fee="400.125")
    refused = world.run("validate")
    assert refused.exit_code == 1
    assert "dupont.yaml:22:" in refused.output and 'fee cannot be "400.125"' in refused.output
    assert "at most two decimals" in refused.output and "art. 6" in refused.output


def test_without_a_fee_there_are_percentages_only(world: World) -> None:
    world.write(fee=None)
    world.down("2026-04-07 08:00", "2026-04-09 10:00")
    credit = world.web_1("2026-04")["credit"]
    assert (credit["percent"], credit["fee"], credit["amount"], credit["state"]) == (20, None, None, "open")
    assert world.run("credit", "request", "dupont/web-1", "--month", "2026-04").exit_code == 0
    refused = world.run("credit", "issue", "dupont/web-1", "--month", "2026-04")
    assert refused.exit_code == 1 and "only the rate, 20 %" in refused.output
    given = world.run("credit", "issue", "dupont/web-1", "--month", "2026-04", "--fee", "250.00")
    assert "50.00 EUR  20 % of 250.00" in given.stdout


def test_a_month_without_observation_says_so_and_never_100_per_cent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, monkeypatch)
    world.down("2026-11-04 10:00", "2026-11-04 12:00")
    web, db = world.month("2026-11")["services"]
    assert (web["observed"], web["availability_percent"]) == (False, "99.7222")
    assert (db["observed"], db["availability_percent"], db["met"]) == (False, None, None)
    text = world.run("service-level", "dupont", "--month", "2026-11", "--at", "2027-01-01 00:00").stdout
    assert (
        "non mesurée : aucune observation" in text.replace("\u00a0", " ")
        and "100" not in text.split("db-1")[1][:60]
    )


def test_days_without_observation_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path, monkeypatch)
    world.observe(("2026-11-04 00:00", "2026-11-05 00:00"))
    found = world.web_1("2026-11")
    assert found["unobserved"] == [["2026-11-04T07:00:00Z", "2026-11-04T17:00:00Z"]]
    assert found["availability_percent"] == "100.0000"
    text = world.run("service-level", "dupont", "--month", "2026-11", "--at", "2027-01-01 00:00").stdout
    assert "Périodes sans observation" in text and "4 nov. 2026" in text.replace("\u00a0", " ")


def test_a_month_wholly_in_probation_has_no_service_level(world: World) -> None:
    world.write(contract=", taken_over: 2026-10-01")
    world.down("2026-11-04 10:00", "2026-11-06 12:00")
    found = world.web_1("2026-11")
    assert found["wholly_in_probation"] and found["availability_percent"] is None
    assert found["credit"]["state"] == "none"
    text = world.run(
        "service-level", "dupont", "--month", "2026-11", "--language", "en", "--at", "2027-01-01 00:00"
    )
    assert "no service level: probation (article 4.2)" in text.stdout


def test_the_probation_is_only_of_managed_services(world: World) -> None:
    world.write(contract=", taken_over: 2026-10-01", managed="")
    world.down("2026-11-04 10:00", "2026-11-04 12:00")
    assert figures(world.web_1("2026-11"))[0] == 120


def test_a_suspension_does_not_count(world: World) -> None:
    world.write(
        contract=", status: suspended, suspension: { since: 2026-11-05, reference: LRAR-1 }",
    )
    world.down("2026-11-04 17:00", "2026-11-06 12:00")
    found = world.web_1("2026-11")
    assert found["counted_seconds"] == 3600
    assert "suspended" in {part["accounted"] for part in found["outages"][0]["parts"]}


def test_an_outage_that_nobody_notified_is_listed_and_does_not_count(world: World) -> None:
    world.down("2026-11-04 10:00", "2026-11-04 12:00", notified_by=None, notified_at=None)
    found = world.web_1("2026-11")
    assert found["counted_seconds"] == 0 and found["outages"][0]["parts"][0]["accounted"] == "not-notified"
    assert "jamais notifiée" in world.run("service-level", "dupont", "--month", "2026-11").stdout


def test_automatic_updates_in_the_agreed_window_are_planned(world: World) -> None:
    managed = (
        "managed_services:\n  level: full\n  updates: automatic\n"
        '  maintenance_window: { days: [tuesday], from: "17:00", to: "20:00" }\n'
    )
    world.write(managed=managed)
    ended = moment("2026-11-03 17:30")
    with open_history(world.history) as history:
        history.append(
            who="night", why="night", client="dupont", machine="web-1", site="paris", action="update",
            result="ok", run="r", seconds=2400.0, at=ended,
        )  # fmt: skip
    world.down("2026-11-03 16:50", "2026-11-03 17:40")
    found = world.web_1("2026-11")
    # 16:50–17:00 before the window opens, 17:30–17:40 after the update
    assert found["counted_seconds"] == 1200 and found["excused_seconds"] == {"iii": 1800}
    text = world.run("service-level", "dupont", "--month", "2026-11").stdout
    assert "mise à jour automatique dans la fenêtre convenue" in text


def test_an_outage_of_a_whole_site_is_one_of_each_machine_there(world: World) -> None:
    added = world.run(
        "outage", "add", "--site", "paris", "--from", "2026-04-07 10:00", "--to", "2026-04-07 12:00",
        "--notified-by", "noc", "--notified-at", "2026-04-07 10:02",
    )  # fmt: skip
    assert added.exit_code == 0
    assert [item["counted_seconds"] for item in world.month("2026-04")["services"]] == [7200, 7200]


def test_a_machine_that_has_left_the_file_is_in_the_months_of_its_outages(world: World) -> None:
    with open_history(world.history) as history:
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
    world.down("2026-04-07 10:00", "2026-04-07 12:00", whose="old-1")
    services = world.month("2026-04")["services"]
    assert [(item["machine"], item["offer"]) for item in services][2] == ("old-1", None)
    assert services[2]["counted_seconds"] == 7200
    assert len(world.month("2026-05")["services"]) == 2


def test_a_correction_counts_and_both_are_shown(world: World) -> None:
    number = world.down("2026-11-10 17:30", "2026-11-12 09:00")
    corrected = world.run("outage", "correct", str(number), "--to", "2026-11-12 08:30", "--reason", "journal")
    assert corrected.exit_code == 0
    assert figures(world.web_1("2026-11"))[0] == 60
    text = world.run("service-level", "dupont", "--month", "2026-11").stdout
    assert "Corrections" in text and "journal" in text


def test_an_unreadable_record_is_named_and_the_rest_counts(world: World) -> None:
    bad = world.down("2026-11-03 10:00", "2026-11-03 12:00")
    world.down("2026-11-04 10:00", "2026-11-04 12:00")
    engine = sa.create_engine(f"sqlite:///{world.history}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE history_entries SET details = 'x' WHERE sequence = :number"), {"number": bad}
        )
    engine.dispose()
    found = world.month("2026-11")
    assert found["unreadable_records"] == [bad]
    assert found["services"][0]["counted_seconds"] == 7200
    assert "Enregistrements illisibles" in world.run("service-level", "dupont", "--month", "2026-11").stdout


def test_json_is_as_its_schema_says(world: World) -> None:
    world.down("2026-11-10 17:30", "2026-11-12 09:00", reference="INC-1", text="Panne")
    schema = json.loads(world.run("schema", "--service-level").stdout)
    jsonschema.validate(world.month("2026-11"), schema)


def test_text_shows_every_part_and_why_it_does_not_count(world: World) -> None:
    world.down("2026-11-10 17:30", "2026-11-12 09:00", reference="INC-1", text="Panne du nœud")
    done = world.run("service-level", "dupont", "--month", "2026-11", "--at", "2026-12-02 10:00")
    assert done.exit_code == 0
    text = done.stdout.replace("\u00a0", " ").replace("\u202f", " ")
    assert "Niveau de service, novembre 2026 : dupont" in text and "définitif" in text
    assert "(43 200 min − 90 min) / 43 200 min × 100 = 99,7916 %" in text
    assert text.count("comptée") >= 2 and text.count("hors période couverte") == 1
    assert "notifiée par le Client le 10 nov. 2026" in text and "INC-1" in text and "Panne du nœud" in text
    assert "20,00 €" in text and "ouvert : à demander par le Client" in text
    english = world.run("service-level", "dupont", "--month", "2026-11", "--language", "en").stdout
    assert "Service level of November 2026: dupont" in english and "99.7916%" in english


def test_html_is_written_the_same_twice_and_holds_no_markup_of_a_record(world: World) -> None:
    world.down("2026-11-10 17:30", "2026-11-12 09:00", text="<script>alert(1)</script>")
    arguments = (
        "service-level",
        "dupont",
        "--month",
        "2026-11",
        "--at",
        "2026-12-02 10:00",
        "--format",
        "html",
    )
    for name in ("a.html", "b.html"):
        assert world.run(*arguments, "--output", f"out/{name}").exit_code == 0
    html = (world.folder / "out" / "a.html").read_bytes()
    assert html == (world.folder / "out" / "b.html").read_bytes()
    assert b"<script>" not in html and b"&lt;script&gt;" in html and b"99,7916" in html
    assert b"http" not in html.replace(b"http-equiv", b"")


def test_a_pdf_is_written_to_a_file(world: World) -> None:
    world.down("2026-11-10 17:30", "2026-11-12 09:00")
    arguments = ("service-level", "dupont", "--month", "2026-11", "--format", "pdf")
    refused = world.run(*arguments)
    assert refused.exit_code == 1 and "name it with --output" in refused.output
    assert world.run(*arguments, "--output", "out/a.pdf").exit_code == 0
    assert (world.folder / "out" / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_a_pdf_of_the_same_page_is_the_same_and_nothing_is_fetched_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    page = f'<h1 style="font-family: DejaVu Sans">é €</h1><img src="file://{tmp_path}/secret.png">'
    assert pdf_of(page) == pdf_of(page)
    assert "disallowed protocol" in caplog.text


def test_without_weasyprint_a_pdf_is_refused_with_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    refused = world.run(
        "service-level", "dupont", "--month", "2026-11", "--format", "pdf", "--output", "x.pdf"
    )
    assert refused.exit_code == 1 and "pip install 'orchestrator[pdf]'" in refused.output
    assert not (world.folder / "x.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["martin", "--month", "2026-11"], "no file has a client martin: there are dupont"),
        (["dupont", "--month", "2026-13"], "YEAR-MONTH"),
        (["dupont", "--month", "2026-11", "--at", "late"], "not a time"),
        (["dupont", "--month", "2026-11", "--output", "inv"], "cannot be written"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments: list[str], why: str, world: World) -> None:
    refused = world.run("service-level", *arguments)
    assert refused.exit_code == 1 and why in refused.output, refused.output


def test_where_there_is_no_history_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path, monkeypatch)
    refused = world.run("service-level", "dupont", "--month", "2026-11")
    assert refused.exit_code == 1 and "nothing was recorded yet" in refused.output
    assert not world.history.exists()


def test_credits_stand_in_the_history_and_nothing_of_them_was_altered(world: World) -> None:
    months_with(world, TWENTY, TEN)
    issued = issue(world, "2026-11", "2027-02-05")
    with open_history(world.history) as history:
        assert history.verify().ok
        (found,) = read(history, client="dupont").of(Credit)
    assert found == issued and found.said.issued == dt.date(2027, 2, 5)


EVERYBODYS = ("--site", "paris"), ("dupont",)
"""Outages that name no machine: of the site, and of the client."""


def everybodys_outage(world: World, whose: tuple[str, ...], start: str, end: str) -> None:
    added = world.run(
        "outage",
        "add",
        *whose,
        "--from",
        start,
        "--to",
        end,
        "--notified-by",
        "client",
        "--notified-at",
        start,
    )
    assert added.exit_code == 0, added.output


@pytest.mark.parametrize("whose", EVERYBODYS)
def test_a_machine_created_in_the_month_was_not_down_before(world: World, whose: tuple[str, ...]) -> None:
    everybodys_outage(world, whose, "2026-04-09 08:00", "2026-04-09 15:00")
    world.made("db-1", "2026-04-20 10:00")
    web, db = world.month("2026-04")["services"]
    assert (web["counted_seconds"], db["counted_seconds"]) == (7 * 3600, 0)
    assert db["credit"]["percent"] == 0 and db["availability_percent"] == "100.0000"
    assert [part["accounted"] for part in db["outages"][0]["parts"]] == ["not-in-service"]
    assert (
        "avant la création de la machine" in world.run("service-level", "dupont", "--month", "2026-04").stdout
    )
    assert world.month("2026-03")["services"][1]["availability_percent"] is None, "it was not there at all"


def test_hours_before_a_machine_was_created_are_no_gap_in_observation(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(tmp_path, patch)
        world.observe(("2026-01-02 00:00", "2026-04-20 10:00"))
        world.made("db-1", "2026-04-20 10:00")
        web, db = world.month("2026-04")["services"]
        assert web["unobserved"] and not db["unobserved"]


@pytest.mark.parametrize("whose", EVERYBODYS)
def test_a_machine_that_left_the_file_has_its_part_of_an_outage_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: tuple[str, ...]
) -> None:
    world = make_world(tmp_path, monkeypatch)
    world.observe(machines=("web-1", "db-1", "old-1"), retired={"old-1": "2026-04-16 12:00"})
    everybodys_outage(world, whose, "2026-04-16 09:00", "2026-04-16 17:00")
    everybodys_outage(world, whose, "2026-04-28 09:00", "2026-04-28 17:00")
    counted = {item["machine"]: item["counted_seconds"] for item in world.month("2026-04")["services"]}
    assert counted == {"web-1": 16 * 3600, "db-1": 16 * 3600, "old-1": 3 * 3600}
    asked = world.run("credit", "request", "dupont/old-1", "--month", "2026-04")
    issued = world.run("credit", "issue", "dupont/old-1", "--month", "2026-04", "--fee", "100.00")
    assert asked.exit_code == 0 and "5.00 EUR  5 % of 100.00" in issued.stdout, asked.output + issued.output
    assert [item["machine"] for item in world.month("2026-05")["services"]] == ["web-1", "db-1"]


def test_french_of_titles_and_of_an_outage_that_goes_on(world: World) -> None:
    world.down("2026-04-10 09:00", None)
    said = world.run("service-level", "dupont", "--month", "2026-04").stdout.replace("\u00a0", " ")
    assert said.startswith("Niveau de service, avril 2026 : dupont")
    assert "à ce jour (en cours), notifiée" in said and "au ce jour" not in said
    assert "Niveau de service, mai 2026" in world.run("service-level", "dupont", "--month", "2026-05").stdout


def test_a_machine_that_flaps_for_a_month_is_accounted_for_in_linear_time(world: World) -> None:
    """Each of 4,000 short outages was once held against all before it."""
    month = Month.parse("2026-04")
    start = month.span.start
    flaps = tuple(
        Down(number=number, start=at, end=at + dt.timedelta(minutes=1), notified=True)
        for number in range(4_000)
        for at in [start + dt.timedelta(minutes=10 * number)]
    )
    calls = 0
    real = difference

    def counting(one: Any, other: Any) -> Any:
        nonlocal calls
        calls += 1
        return real(one, other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.contract.service_level.difference", counting)
        service_level(month, Facts(starts=dt.date(2026, 3, 1), outages=flaps), month.span.end)
    assert calls < 10 * len(flaps)
