"""The page of API tokens: made with scopes and an end, shown once, revoked; for administrators alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestrator.interface.accounts import Account
from orchestrator.interface.roles import Role
from orchestrator.operations.tokens import list_tokens
from tests.web.desks import ClockedDesk, clocked_desk
from tests.web.signed_in import Browser, signed_in

MADE = {"name": "billing", "scope_read": "yes", "scope_requests": "yes", "client": "dupont", "days": "30"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockedDesk]:
    with clocked_desk(tmp_path_factory.mktemp("tokens")) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(desk: ClockedDesk) -> Iterator[Browser]:
    with signed_in(desk, Account(name="adele", role=Role.ADMINISTRATOR)) as opened:
        yield opened


def test_a_token_is_shown_once_works_and_is_revoked(desk: ClockedDesk, browser: Browser) -> None:
    assert "No tokens." in browser.get("/tokens").text
    answer = browser.send("/tokens", "/tokens", MADE, status=200)
    (token,) = re.findall(r"<code>(orc_[A-Za-z0-9_-]{43})</code>", answer.text)
    page = browser.get("/tokens").text
    assert token not in page and "read, requests" in page and "by adele" in page and "not yet" in page
    (kept,) = list_tokens(desk)
    assert (kept.client, (kept.ends - desk.now()).days) == ("dupont", 30)
    sent = {"authorization": f"Bearer {token}"}
    assert browser.client.get("/api/v1/plans", headers=sent).status_code != 401
    assert "billing" not in browser.get("/tokens", {"q": "martin"}).text
    assert "billing" in browser.get("/tokens", {"q": "Dupont"}).text
    desk.clock.pass_by(days=31)
    assert ">ended</span>" in browser.get("/tokens").text
    desk.clock.pass_by(days=-31)
    browser.send("/tokens", "/tokens/billing/revoke", {})
    assert list_tokens(desk) == []
    assert browser.client.get("/api/v1/plans", headers=sent).status_code == 401
    acts = [(entry.who, entry.action) for entry in desk.history.entries(limit=10) if "api" in entry.action]
    assert {("adele", "api access added"), ("adele", "api access revoked")} == set(acts)
    assert token not in str(desk.history.entries(limit=10))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Billing <b>"}, "cannot be a token&#39;s name"),
        ({"scope_read": "", "scope_requests": ""}, "a token needs a scope"),
        ({"client": "../dupont"}, "cannot be a client&#39;s name"),
        ({"days": "0"}, "1 to 366 days, not 0"),
        ({"days": "1e3"}, "&#39;1e3&#39; is no number of days"),
        ({"days": "９０"}, "is no number of days"),
    ],
)
def test_what_cannot_be_made_is_told_and_what_was_typed_stays(
    desk: ClockedDesk, browser: Browser, changes: dict[str, str], said: str
) -> None:
    answer = browser.send("/tokens", "/tokens", {**MADE, **changes}, status=409)
    assert said in answer.text and "<b>" not in answer.text.replace("<b></b>", "")
    assert list_tokens(desk) == []
    if "scope_read" not in changes:
        assert re.search(r'id="scope_read"[^>]* checked', answer.text)


def test_revoking_what_does_not_exist_says_so(browser: Browser) -> None:
    assert "there is no token" in browser.send("/tokens", "/tokens/nothing/revoke", {}, status=409).text


@pytest.mark.parametrize("name", ["oscar", "paula", "camille"])
def test_nobody_else_sees_the_page(desk: ClockedDesk, name: str) -> None:
    with signed_in(desk, name) as opened:
        opened.get("/tokens", status=404)
