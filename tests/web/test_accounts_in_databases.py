"""Accounts in both databases: attempts at the same time are counted one by one, codes are used by one of two."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyotp
import pytest

from orchestrator.interface import attempts, second_factors
from orchestrator.interface.roles import Role
from orchestrator.interface.scopes import Scope
from orchestrator.operations.accounts import reset_account
from orchestrator.operations.tokens import NewToken, add_token, list_tokens, revoke_token
from tests.postgres import postgresql
from tests.web.desks import PASSWORD, Browser, ClockedDesk, add, clocked_desk


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClockedDesk]:
    if request.param == "sqlite":
        with clocked_desk(tmp_path) as opened:
            yield opened
        return
    with postgresql() as url, clocked_desk(tmp_path, history=url) as opened:
        yield opened


def test_what_accounts_keep_is_the_same_in_both(desk: ClockedDesk) -> None:
    now = dt.datetime.now(dt.UTC)

    def reserved(_: int) -> bool:
        with desk.database.writing() as connection:
            return (
                attempts.reserve(connection, {"account olga": 5, "address 1": 100}, now)["account olga"] <= 5
            )

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserved, range(24))) == 5

    add(desk, "ada", Role.ADMINISTRATOR)
    browser = Browser(desk)
    browser.sign_in("ada")
    browser.send("/account/codes/begin", page="/account", password=PASSWORD)
    with desk.database.reading() as connection:
        (begun,) = second_factors.factors_of(connection, "ada", confirmed=False)
    code = pyotp.TOTP(begun.secret).at(desk.now())
    assert browser.send("/account/codes", page="/account/codes", code=code).status_code == 200
    assert browser.get("/accounts").status_code == 200

    (factor,) = second_factors_of(desk)
    step = factor.counter + 1

    def used(_: int) -> bool:
        with desk.database.writing() as connection:
            return second_factors.move_counter(connection, factor, step)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(used, range(4))) == 1

    add_token(desk, NewToken(name="billing", scopes=[Scope.READ]), who="test")
    assert [token.name for token in list_tokens(desk)] == ["billing"]
    revoke_token(desk, "billing", who="test")
    reset_account(desk, "ada", who="test")
    assert not browser.signed_in and desk.history.verify().ok


def second_factors_of(desk: ClockedDesk) -> list[second_factors.Factor]:
    """Those of ada."""
    with desk.database.reading() as connection:
        return list(second_factors.factors_of(connection, "ada"))
