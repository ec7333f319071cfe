"""What a file says of its contract, and the day it is: refused or warned of, with place and article."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from orchestrator.contract.life import ContractLife
from orchestrator.contract.probation import probation_ends, probation_words
from tests.unit.subscription_texts import file_of, load_text, machine
from tests.unit.test_validate_command import orchestrator

CONTRACT = "contract: { reference: C-2026-0042, starts: 2026-03-01, site: paris }"


def _file(more: str, machines: str | None = None, *, managed: bool = True) -> str:
    text = file_of(machines or machine()).replace(CONTRACT, f"{CONTRACT[:-2]}, {more} }}")
    if not managed:
        head, _, rest = text.partition("managed_services:")
        text = head + "services:" + rest.partition("services:")[2]
    return text


def _said(tmp_path: Path, text: str) -> tuple[int, str]:
    (tmp_path / "dupont.yaml").write_text(text)
    done = orchestrator(tmp_path, "validate", "dupont.yaml")
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize("later", [0, 1])
def test_article_10_a_notice_after_today_is_refused(tmp_path: Path, later: int) -> None:
    day = dt.datetime.now(dt.timezone(dt.timedelta(hours=1))).date() + dt.timedelta(days=2 * later)
    code, said = _said(
        tmp_path, _file(f"status: terminated, termination: {{ notice: {day}, reference: L-1 }}")
    )
    assert code == later, said
    if later:
        assert f"received on {day}, which is in the future" in said and "(art. 10)" in said


def test_article_10_never_more_than_thirty_days_are_left() -> None:
    life = ContractLife(reference="C", notice=dt.date(2027, 3, 1))
    assert life.days_left(dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)) == 30
    assert life.days_left(dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)) == 30


def test_article_4_2_a_taking_over_without_managed_services_or_before_the_contract_is_warned_of(
    tmp_path: Path,
) -> None:
    def warned(text: str) -> list[str]:
        loaded = load_text(tmp_path, text)
        assert loaded.errors == 0, loaded.problems
        return [problem.message for problem in loaded.problems if problem.article == "4.2"]

    assert warned(_file("taken_over: 2026-03-01")) == []
    (without,) = warned(_file("taken_over: 2026-11-02", managed=False))
    assert "taken over without managed services" in without
    (early,) = warned(_file("taken_over: 2026-02-28"))
    assert "on 2026-02-28, before the contract starts on 2026-03-01" in early


def test_article_4_2_probation_until_27_february_service_level_from_28_february() -> None:
    ends = probation_ends(dt.date(2026, 11, 30))
    assert probation_words(ends) == "probation until 2027-02-27, service level from 2027-02-28 (art. 4.2)"
    assert probation_ends(dt.date(2026, 11, 28)) == dt.date(2027, 2, 28)
    assert probation_ends(dt.date(2026, 9, 15)) == dt.date(2026, 12, 15)


def test_article_3_8_4_a_quote_of_a_machine_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    quote = "quotes: [{{ reference: D-1, valid_until: 2026-12-31, machines: [{}] }}]"
    code, said = _said(tmp_path, _file(quote.format("web-9")))
    assert code == 1 and "the quote names the machine web-9, which does not exist" in said, said


def test_article_3_8_4_a_quote_of_an_existing_machine_is_not(tmp_path: Path) -> None:
    quote = "quotes: [{ reference: D-1, valid_until: 2026-12-31, machines: [web-1] }]"
    assert load_text(tmp_path, _file(quote)).problems == ()


def test_article_3_5_a_quote_beside_7_days_of_retention_is_warned_of(tmp_path: Path) -> None:
    text = file_of(machine("backup: { retention_days: 7, quote: D-1 }"))
    (problem,) = load_text(tmp_path, text).problems
    assert problem.severity == "warning" and "kept 7 days needs no quote" in problem.message


@pytest.mark.parametrize("kind", ["orders", "catalogue"])
def test_article_3_8_4_an_order_that_ends_before_its_date_covers_nothing_and_is_refused(
    tmp_path: Path, kind: str
) -> None:
    order = f"{kind}: [{{{{ reference: BC-1, date: 2026-11-20, valid_until: {{}} }}}}]"
    code, said = _said(tmp_path, _file(order.format("2026-11-19")))
    assert code == 1 and "the last day of BC-1 is 2026-11-19, before its date 2026-11-20" in said, said
    assert load_text(tmp_path, _file(order.format("2026-11-20"))).problems == ()
