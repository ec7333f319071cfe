"""Second factors: codes, security keys, recovery codes; what nobody does without one."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from orchestrator.interface import second_factors
from orchestrator.interface.roles import Role
from orchestrator.operations import accounts as operation
from orchestrator.operations.signing_in import PER_SECOND
from orchestrator.web.security import COOKIE
from tests.web.desks import ORIGIN, PASSWORD, Browser, ClockedDesk, add, clocked_desk, token_in
from tests.web.security_key import SecurityKey

HOST = "panel.example"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ClockedDesk]:
    with clocked_desk(tmp_path) as opened:
        add(opened, "ada", Role.ADMINISTRATOR)
        yield opened


def enrolled(desk: ClockedDesk, name: str = "ada") -> tuple[Browser, pyotp.TOTP, list[str]]:
    """A browser that has signed in and set up an application: with its secret and the recovery codes."""
    browser = Browser(desk)
    browser.sign_in(name)
    browser.send("/account/codes/begin", page="/account", password=PASSWORD)
    page = browser.get("/account/codes").text
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    totp = pyotp.TOTP(secret[1])
    done = browser.send("/account/codes", page="/account/codes", code=totp.at(desk.now()))
    assert done.status_code == 200, done.text
    codes = re.findall(r"<code>([0-9a-f]{10}-[0-9a-f]{10})</code>", done.text)
    desk.clock.pass_by(seconds=60)
    return browser, totp, codes


def options_in(text: str) -> str:
    found = re.search(r'data-options="([^"]+)"', text)
    assert found is not None, text
    return html.unescape(found[1])


def waiting(desk: ClockedDesk, name: str = "ada") -> Browser:
    """A browser in which the password was right."""
    browser = Browser(desk)
    assert browser.sign_in(name).headers["location"].startswith("/login/second")
    return browser


def answer(browser: Browser, **fields: str) -> int:
    return int(browser.send("/login/second", page="/login/second", **fields).status_code)


def test_whoever_works_for_the_provider_looks_at_all_and_acts_only_with_a_second_factor(
    desk: ClockedDesk,
) -> None:
    browser = Browser(desk)
    browser.sign_in("ada")
    assert browser.get("/history").status_code == 200
    assert browser.get("/accounts").headers["location"] == "/account?second=needed"
    refused = browser.send("/accounts", page="/account", name="eve", role="administrator")
    assert refused.status_code == 403 and "second factor" in refused.text
    assert operation.list_accounts(desk)[0].count == 1
    proved, _, _ = enrolled(desk)
    assert proved.get("/accounts").status_code == 200
    made = proved.send("/accounts", page="/accounts", name="eve", role="reader")
    password = re.search(r"<code>([a-z0-9-]{23})</code>", made.text)
    assert password is not None
    assert Browser(desk).sign_in("eve", password[1]).status_code == 303


def test_who_knows_the_session_but_not_the_password_sets_nothing_up(desk: ClockedDesk) -> None:
    browser = Browser(desk)
    browser.sign_in("ada")
    assert browser.send("/account/codes/begin", page="/account", password="wrong").status_code == 401
    assert browser.send("/account/key/begin", page="/account").status_code == 401
    assert browser.get("/account/codes").headers["location"] == "/account"
    assert browser.get("/account/codes.svg").status_code == 404


def test_a_code_confirms_the_application_and_the_session_gets_another_token(desk: ClockedDesk) -> None:
    other, browser = Browser(desk), Browser(desk)
    other.sign_in("ada")
    browser.sign_in("ada")
    before = browser.client.cookies[COOKIE]
    browser.send("/account/codes/begin", page="/account", password=PASSWORD)
    picture = browser.get("/account/codes.svg")
    assert picture.headers["content-type"] == "image/svg+xml" and picture.text.startswith("<?xml")
    assert "style" not in picture.text and "script" not in picture.text
    assert browser.send("/account/codes", page="/account/codes", code="000000").status_code == 401
    waiting_for = Browser(desk)
    assert waiting_for.sign_in("ada").headers["location"] == "/", "what was not confirmed is not asked for"
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", browser.get("/account/codes").text)
    assert secret is not None
    browser.send("/account/codes", page="/account/codes", code=pyotp.TOTP(secret[1]).at(desk.now()))
    assert browser.signed_in and browser.client.cookies[COOKIE] != before
    assert not other.signed_in, "sessions without a second factor end"


def test_the_password_alone_opens_nothing(desk: ClockedDesk) -> None:
    enrolled(desk)
    browser = waiting(desk)
    for path in ("/", "/account", "/history"):
        assert browser.get(path).headers["location"].startswith("/login?then="), path
    assert browser.get("/login").headers["location"].startswith("/login/second")
    desk.clock.pass_by(minutes=11)
    assert browser.get("/login/second").headers["location"] == "/login"


def test_a_code_is_used_once(desk: ClockedDesk) -> None:
    _, totp, _ = enrolled(desk)
    code = totp.at(desk.now())
    first, second = waiting(desk), waiting(desk)
    assert answer(first, code=f"{code[:3]} {code[3:]}") == 303 and first.signed_in
    assert answer(second, code=code) == 401 and not second.signed_in
    assert answer(second, code=totp.at(desk.now() - dt.timedelta(seconds=30))) == 401, (
        "an earlier one is not newer than the last"
    )
    desk.clock.pass_by(seconds=30)
    assert answer(second, code=totp.at(desk.now())) == 303
    with_second = [e.details for e in desk.history.entries(action="login") if e.result == "ok"]
    assert "password and totp" in with_second[0]


def test_codes_of_other_times_and_other_accounts_are_wrong(desk: ClockedDesk) -> None:
    add(desk, "eve")
    _, _, _ = enrolled(desk)
    _, theirs, _ = enrolled(desk, "eve")
    browser = waiting(desk)
    assert answer(browser, code=theirs.at(desk.now())) == 401
    for wrong in ("", "12345", "é" * 6, "0" * 5000):
        assert answer(browser, code=wrong) == 401, wrong
    assert not browser.signed_in


def test_guessing_codes_is_limited_whatever_the_session(desk: ClockedDesk) -> None:
    _, totp, _ = enrolled(desk)
    for _ in range(PER_SECOND):
        assert answer(waiting(desk), code="000000") == 401
    late = waiting(desk)
    assert answer(late, code=totp.at(desk.now())) == 429
    desk.clock.pass_by(minutes=16)
    assert answer(waiting(desk), code=totp.at(desk.now())) == 303


def test_a_recovery_code_signs_in_once(desk: ClockedDesk) -> None:
    browser, _, codes = enrolled(desk)
    assert len(codes) == 10
    assert answer(waiting(desk), code=codes[0].upper()) == 303
    assert answer(waiting(desk), code=codes[0]) == 401
    assert "9" in browser.get("/account").text
    renewed = browser.send("/account/recovery", page="/account").text
    assert answer(waiting(desk), code=codes[1]) == 401
    fresh = re.findall(r"<code>([0-9a-f-]{21})</code>", renewed)
    assert answer(waiting(desk), code=fresh[0]) == 303


def test_a_security_key_is_set_up_and_signs_in(desk: ClockedDesk) -> None:
    browser, key = Browser(desk), SecurityKey(host=HOST, origin=ORIGIN)
    browser.sign_in("ada")
    asked = browser.send("/account/key/begin", page="/account", password=PASSWORD).text
    made = browser.send("/account/key", page="/account", name="blue", key=key.created(options_in(asked)))
    assert made.status_code == 200 and "blue" in browser.get("/account").text
    assert browser.get("/accounts").status_code == 200
    entering = waiting(desk)
    page = entering.get("/login/second").text
    signed = key.signed(options_in(page))
    fields = {"key": signed, "form_token": token_in(page)}
    assert entering.client.post("/login/second", data=fields).status_code == 303 and entering.signed_in
    replaying = waiting(desk)
    page = replaying.get("/login/second").text
    for key_of in (lambda _: signed, SecurityKey(host=HOST, origin=ORIGIN).signed, copy_of(key).signed):
        fields = {"key": key_of(options_in(page)), "form_token": token_in(page)}
        answered = replaying.client.post("/login/second", data=fields)
        assert answered.status_code == 401 and not replaying.signed_in
        page = answered.text


def copy_of(key: SecurityKey) -> SecurityKey:
    """What somebody copied before the key was used the last time."""
    return SecurityKey(host=key.host, origin=key.origin, counter=0, identity=key.identity, pair=key.pair)


@pytest.mark.parametrize(
    ("host", "origin"), [("evil.example", "https://evil.example"), (HOST, "https://evil.example")]
)
def test_what_a_key_signed_for_another_place_is_worth_nothing(
    desk: ClockedDesk, host: str, origin: str
) -> None:
    browser = Browser(desk)
    browser.sign_in("ada")
    asked = browser.send("/account/key/begin", page="/account", password=PASSWORD).text
    phished = SecurityKey(host=host, origin=origin).created(options_in(asked))
    assert browser.send("/account/key", page="/account", name="x", key=phished).status_code == 409
    assert browser.get("/accounts").status_code == 303


def test_a_second_factor_is_removed_by_whoever_has_shown_one(desk: ClockedDesk) -> None:
    browser, totp, _ = enrolled(desk)
    number = browser.get("/account").text.partition('name="factor" value="')[2].partition('"')[0]
    add(desk, "eve")
    eve, _, _ = enrolled(desk, "eve")
    assert eve.send("/account/factors/remove", page="/account", factor=number).status_code == 409
    entering = waiting(desk)
    assert answer(entering, code=totp.at(desk.now())) == 303
    assert browser.send("/account/factors/remove", page="/account", factor=number).status_code == 303
    assert Browser(desk).sign_in("ada").headers["location"] == "/"


def test_a_reset_takes_the_second_factor_away(desk: ClockedDesk) -> None:
    browser, _, _ = enrolled(desk)
    made = operation.reset_account(desk, "ada", who="root")
    assert not browser.signed_in and made.password is not None
    fresh = Browser(desk)
    assert fresh.sign_in("ada", made.password).headers["location"] == "/", "no second factor is asked for"
    with desk.database.reading() as connection:
        assert second_factors.codes_left(connection, "ada") == 0
