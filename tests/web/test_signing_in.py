"""Signing in with a password: sessions, guessing, names that do not exist, roles, the end."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.history.database import ENTRIES
from orchestrator.interface import passwords
from orchestrator.interface.roles import Role
from orchestrator.interface.sessions import SESSIONS, hash_of
from orchestrator.operations import accounts as operation
from orchestrator.operations.accounts import NewAccount, add_account
from orchestrator.operations.signing_in import PER_ACCOUNT, PER_ADDRESS
from orchestrator.web.security import COOKIE
from tests.web.desks import PASSWORD, Browser, ClockedDesk, add, clocked_desk, token_in


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ClockedDesk]:
    with clocked_desk(tmp_path) as opened:
        add(opened, "olga")
        yield opened


def cookie(browser: Browser) -> str:
    return str(browser.client.cookies[COOKIE])


def logins(desk: ClockedDesk) -> list[tuple[str, str]]:
    return [(entry.who, entry.result) for entry in desk.history.entries(action="login")][::-1]


def test_the_right_password_opens_a_session_and_logout_ends_it(desk: ClockedDesk) -> None:
    browser = Browser(desk)
    answer = browser.send("/login", name=" Olga ", password=PASSWORD, then="/account?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?x=1")
    attributes = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} == set(attributes[1:])
    assert browser.signed_in
    before = cookie(browser)
    assert browser.send("/logout", page="/account").headers["location"] == "/login"
    assert not browser.signed_in
    browser.client.cookies.set(COOKIE, before, domain="panel.example")
    assert not browser.signed_in, "the session is over, and not the cookie alone"
    assert logins(desk) == [("olga", "ok")]
    assert [entry.who for entry in desk.history.entries(action="logout")] == ["olga"]


def test_a_session_that_was_planted_before_the_login_is_not_the_one_after_it(desk: ClockedDesk) -> None:
    browser = Browser(desk)
    planted = "p" * 43
    browser.client.cookies.set(COOKIE, planted, domain="panel.example")
    browser.sign_in("olga")
    assert cookie(browser) != planted
    attacker = Browser(desk)
    attacker.client.cookies.set(COOKIE, planted, domain="panel.example")
    assert browser.signed_in and not attacker.signed_in


def test_only_the_hash_of_a_sessions_token_is_kept(desk: ClockedDesk, tmp_path: Path) -> None:
    browser = Browser(desk)
    browser.sign_in("olga")
    assert browser.signed_in
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("history.db*"))
    assert hash_of(cookie(browser)).encode() in kept
    assert cookie(browser).encode() not in kept and PASSWORD.encode() not in kept
    stolen = Browser(desk)
    stolen.client.cookies.set(COOKIE, hash_of(cookie(browser))[:43], domain="panel.example")
    assert not stolen.signed_in


@pytest.mark.parametrize("forged", ["x" * 43, "", "x" * 5000, "é" * 43, "' OR 1=1 --"])
def test_a_forged_session_is_none(desk: ClockedDesk, forged: str) -> None:
    browser = Browser(desk)
    answer = browser.client.get("/account", headers=[(b"cookie", f"{COOKIE}={forged}".encode())])
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?then=%2Faccount")


def test_a_session_ends_after_the_time_without_a_request_and_after_its_longest_time(
    desk: ClockedDesk,
) -> None:
    browser = Browser(desk)
    browser.sign_in("olga")
    for _ in range(23):  # half an hour each is too long, twelve hours in all are too long
        desk.clock.pass_by(minutes=29)
        assert browser.signed_in
    desk.clock.pass_by(minutes=29)
    assert browser.signed_in, "11 h 36 min"
    desk.clock.pass_by(minutes=29)
    assert not browser.signed_in, "12 h 5 min"
    browser.sign_in("olga")
    desk.clock.pass_by(minutes=31)
    assert not browser.signed_in


def test_a_wrong_password_and_a_name_that_does_not_exist_get_the_same_answer_the_same_way(
    desk: ClockedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(desk, "pavel")
    operation.disable_account(desk, "pavel", who="test")
    add_account(desk, NewAccount(name="ida", role=Role.READER, by_provider=True), who="test")
    checked: list[Any] = []
    fits = passwords.fits

    def counted(kept: str | None, typed: str) -> bool:
        checked.append(typed)
        return fits(kept, typed)

    monkeypatch.setattr(passwords, "fits", counted)
    answers = []
    for name, password in (
        ("olga", "wrong"),
        ("nobody", "wrong"),
        ("no such name!", "wrong"),
        ("", "wrong"),
        ("pavel", PASSWORD),
        ("ida", "wrong"),
    ):
        answer = Browser(desk).sign_in(name, password)
        text = answer.text.replace(token_in(answer.text), "")
        answers.append((answer.status_code, text, sorted(set(answer.headers) - {"set-cookie"})))
    assert answers[0][0] == 401 and "do not fit" in answers[0][1]
    assert all(one == answers[0] for one in answers)
    assert len(checked) == 6, "each name costs the work of a hash"


def test_what_was_typed_as_a_name_is_not_kept(desk: ClockedDesk, tmp_path: Path) -> None:
    Browser(desk).sign_in("My-Secret-Password-1", "x")
    assert logins(desk) == [("unknown", "refused")]
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("history.db*"))
    assert b"my-secret" not in kept.lower()


@pytest.mark.parametrize("name", ["olga", "nobody"])
def test_guessing_is_limited_by_name_whatever_the_address_and_after_a_restart(
    desk: ClockedDesk, tmp_path: Path, name: str
) -> None:
    for number in range(PER_ACCOUNT):
        assert Browser(desk, f"192.0.2.{number}").sign_in(name, "wrong").status_code == 401
    for number in range(3):
        assert Browser(desk, f"192.0.2.1{number}").sign_in(name, PASSWORD).status_code == 429
    with clocked_desk(tmp_path) as restarted:
        assert Browser(restarted).sign_in(name).status_code == 429
    assert len(logins(desk)) == PER_ACCOUNT + 1, "what was refused above the limit is one entry"
    desk.clock.pass_by(minutes=16)
    assert Browser(desk).sign_in(name).status_code == (303 if name == "olga" else 401)


def test_guessing_is_limited_by_address(desk: ClockedDesk) -> None:
    for number in range(PER_ADDRESS):
        assert Browser(desk, "2001:db8::1").sign_in(f"name{number}", "wrong").status_code == 401
    assert Browser(desk, "2001:db8::2").sign_in("olga").status_code == 429, "the same /64"
    assert Browser(desk, "2001:db8:0:1::1").sign_in("olga").status_code == 303


def test_whoever_guesses_elsewhere_does_not_lock_out_whoever_has_the_account(desk: ClockedDesk) -> None:
    assert Browser(desk).sign_in("olga").status_code == 303
    for number in range(PER_ACCOUNT):
        assert Browser(desk, f"198.51.100.{number}").sign_in("olga", "wrong").status_code == 401
    odd = "olga at 192.0.2.7", "192.0.2.7 account olga", "place 192.0.2.7 account olga"
    for name in odd * PER_ACCOUNT:
        Browser(desk, "203.0.113.9").sign_in(name, "wrong")
    assert Browser(desk, "198.51.100.99").sign_in("olga").status_code == 429, "elsewhere nobody comes in"
    browser = Browser(desk)
    assert browser.sign_in("olga").status_code == 303, "from where it has signed in before it does"
    new = "another horse battery"
    assert (
        browser.send(
            "/account/password", page="/account/password", old=PASSWORD, new=new, again=new
        ).status_code
        == 303
    )
    assert Browser(desk, "198.51.100.99").sign_in("olga", new).status_code == 429, (
        "and helps nobody elsewhere"
    )


def test_guessing_from_where_an_account_has_signed_in_is_limited_as_well(desk: ClockedDesk) -> None:
    assert Browser(desk).sign_in("olga").status_code == 303
    for _ in range(PER_ACCOUNT):
        assert Browser(desk).sign_in("olga", "wrong").status_code == 401
    assert Browser(desk).sign_in("olga").status_code == 429
    desk.clock.pass_by(days=61)
    for number in range(PER_ACCOUNT):
        assert Browser(desk, f"198.51.100.{number}").sign_in("olga", "wrong").status_code == 401
    assert Browser(desk).sign_in("olga").status_code == 429, "that was too long ago"


def test_an_ipv4_address_that_a_proxy_writes_as_one_of_ipv6_is_no_network_of_all(desk: ClockedDesk) -> None:
    for number in range(PER_ADDRESS):
        assert Browser(desk, "::ffff:192.0.2.1").sign_in(f"name{number}", "wrong").status_code == 401
    assert Browser(desk, "192.0.2.1").sign_in("olga").status_code == 429
    assert Browser(desk, "::ffff:192.0.2.2").sign_in("olga").status_code == 303


def test_people_behind_one_address_who_sign_in_do_not_use_up_its_attempts(desk: ClockedDesk) -> None:
    for _ in range(PER_ADDRESS + 1):
        assert Browser(desk).sign_in("olga").status_code == 303
    for number in range(PER_ADDRESS):
        assert Browser(desk).sign_in(f"name{number}", "wrong").status_code == 401, "and guessing is"
    assert Browser(desk).sign_in("olga").status_code == 429


def test_a_right_password_forgets_the_wrong_ones(desk: ClockedDesk) -> None:
    for _ in range(2):
        for number in range(PER_ACCOUNT - 1):
            Browser(desk, f"192.0.2.{number}").sign_in("olga", "wrong")
        assert Browser(desk, "192.0.2.99").sign_in("olga").status_code == 303


def test_a_disabled_account_loses_its_sessions_at_once(desk: ClockedDesk) -> None:
    browser = Browser(desk)
    browser.sign_in("olga")
    operation.disable_account(desk, "olga", who="root")
    assert not browser.signed_in
    assert browser.sign_in("olga").status_code == 401
    operation.enable_account(desk, "olga", who="root")
    assert not browser.signed_in, "the earlier session does not come back"
    assert browser.sign_in("olga").status_code == 303
    acts = [(e.who, e.action, e.result) for e in desk.history.entries() if e.action.startswith("account ")]
    assert acts[:2] == [("root", "account enabled", "ok"), ("root", "account disabled", "ok")]


def test_a_reset_ends_sessions_and_the_new_password_has_to_be_changed_first(desk: ClockedDesk) -> None:
    browser = Browser(desk)
    browser.sign_in("olga")
    made = operation.reset_account(desk, "olga", who="root")
    assert made.password is not None and not browser.signed_in
    assert browser.sign_in("olga").status_code == 401
    browser.sign_in("olga", made.password)
    for path in ("/", "/account"):
        assert browser.get(path).headers["location"] == "/account/password"
    change = {"page": "/account/password", "old": made.password}
    short = browser.send("/account/password", new="short", again="short", **change)
    assert short.status_code == 409 and "12 to 256 characters" in short.text
    two = browser.send("/account/password", new="another long one", again="another long two", **change)
    assert two.status_code == 409 and "typed in two ways" in two.text
    done = browser.send("/account/password", new="another long one", again="another long one", **change)
    assert done.headers["location"] == "/account" and browser.signed_in
    assert Browser(desk).sign_in("olga", made.password).status_code == 401
    assert Browser(desk).sign_in("olga", "another long one").status_code == 303


def test_a_changed_password_ends_other_sessions_and_gives_this_one_another_token(desk: ClockedDesk) -> None:
    here, there = Browser(desk), Browser(desk)
    here.sign_in("olga")
    there.sign_in("olga")
    before = cookie(here)
    wrong = here.send(
        "/account/password",
        page="/account/password",
        old="wrong",
        new="a new long one",
        again="a new long one",
    )
    assert wrong.status_code == 409 and there.signed_in
    here.send(
        "/account/password",
        page="/account/password",
        old=PASSWORD,
        new="a new long one",
        again="a new long one",
    )
    assert here.signed_in and not there.signed_in and cookie(here) != before


def test_ones_own_sessions_are_listed_and_ended(desk: ClockedDesk) -> None:
    here, there = Browser(desk, "192.0.2.1"), Browser(desk, "198.51.100.9")
    here.sign_in("olga")
    there.sign_in("olga")
    add(desk, "eve")
    eve = Browser(desk)
    eve.sign_in("eve")
    page = here.get("/account").text
    assert "198.51.100.9" in page and page.count('name="session"') == 1
    number = page.partition('name="session" value="')[2].partition('"')[0]
    assert eve.send("/account/sessions/end", page="/account", session=number).status_code == 409
    assert there.signed_in, "nobody ends the session of somebody else"
    assert here.send("/account/sessions/end", page="/account", session=number).status_code == 303
    assert here.signed_in and not there.signed_in
    there.sign_in("olga")
    here.send("/account/sessions/end-others", page="/account")
    assert here.signed_in and not there.signed_in and eve.signed_in


def test_another_role_is_in_force_at_the_next_request(desk: ClockedDesk) -> None:
    add(desk, "ada", Role.ADMINISTRATOR)
    browser = Browser(desk)
    browser.sign_in("ada")
    with desk.database.writing() as connection:
        connection.execute(sa.update(SESSIONS).values(second="totp"))
    assert browser.get("/accounts").status_code == 200
    operation.change_role(desk, "ada", Role.READER, who="root")
    assert browser.get("/accounts").status_code == 404


def test_a_form_of_another_session_is_refused(desk: ClockedDesk) -> None:
    add(desk, "eve")
    eve, olga = Browser(desk), Browser(desk)
    eve.sign_in("eve")
    olga.sign_in("olga")
    theirs = token_in(eve.get("/account").text)
    answer = olga.client.post("/account/sessions/end-others", data={"form_token": theirs})
    assert answer.status_code == 403 and "nothing was changed" in answer.text
    before = token_in(Browser(desk).get("/login").text)
    assert olga.client.post("/logout", data={"form_token": before}).status_code == 403 and olga.signed_in


def test_a_login_leads_to_pages_of_ours_alone(desk: ClockedDesk) -> None:
    for then in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"):
        answer = Browser(desk).send("/login", name="olga", password=PASSWORD, then=then)
        assert answer.headers["location"] == "/", then


def test_a_client_reads_the_login_in_french_and_comes_to_the_portal(desk: ClockedDesk) -> None:
    add(desk, "camille", Role.CLIENT, client="dupont")
    browser = Browser(desk)
    assert "Mot de passe" in browser.get("/login", headers={"accept-language": "fr-FR,fr;q=0.9"}).text
    assert browser.sign_in("camille").headers["location"] == "/portal"
    assert "Votre compte" in browser.get("/account").text
    assert browser.send("/account/language", page="/account", language="en").status_code == 303
    assert "Your account" in browser.get("/account").text
    assert browser.get("/accounts").status_code == 404


def test_a_login_that_is_too_long_is_refused(desk: ClockedDesk) -> None:
    assert Browser(desk).sign_in("olga", "x" * 20_000).status_code == 413
    assert Browser(desk).sign_in("olga", "x" * 5_000).status_code == 401


def test_a_client_reads_in_its_language_why_something_about_its_account_is_not_done(
    desk: ClockedDesk,
) -> None:
    def said(answer: Any) -> str:
        assert answer.status_code in (401, 409), answer.status_code
        text = re.sub(r"<[^>]+>|\s+", " ", answer.text[answer.text.index("<main") :])
        return html.unescape(text).replace("\u00a0", " ")

    add(desk, "camille", Role.CLIENT, "dupont")
    browser = Browser(desk)
    browser.sign_in("camille")
    good = {"old": PASSWORD, "new": "another long password", "again": "another long password"}
    for changes, french in (
        ({"again": "x"}, "saisi de deux façons différentes"),
        ({"old": "wrong"}, "Ce n’est pas le mot de passe de ce compte"),
        ({"new": "short", "again": "short"}, "Ce mot de passe ne convient pas"),
        ({"new": PASSWORD, "again": PASSWORD}, "autre que l’ancien"),
    ):
        answer = browser.send("/account/password", page="/account/password", **{**good, **changes})
        assert french in said(answer) and "password" not in said(answer), changes
    for path, fields, french in (
        ("/account/sessions/end", {"session": "9999"}, "Cette session n’existe plus"),
        ("/account/recovery", {}, "un second facteur"),
        ("/account/codes/begin", {"password": "wrong"}, "Ce n’est pas le mot de passe"),
        ("/account/key", {"key": "{}"}, "La réponse de la clé de sécurité ne convient pas"),
    ):
        assert french in said(browser.send(path, page="/account", **fields)), path
    browser.send("/account/codes/begin", page="/account", password=PASSWORD)
    assert "Ce n’est pas le code du moment" in said(
        browser.send("/account/codes", page="/account/codes", code="000000")
    )
    browser.send("/account/language", page="/account", language="en")
    answer = browser.send("/account/sessions/end", page="/account", session="9999")
    assert "There is no such session any more" in said(answer)


def test_a_client_reads_nothing_of_where_the_history_is_when_it_fails(desk: ClockedDesk) -> None:
    add(desk, "camille", Role.CLIENT, "dupont")
    browsers = {name: Browser(desk) for name in ("camille", "olga")}
    for name, browser in browsers.items():
        browser.sign_in(name)
    tokens = {name: token_in(browser.get("/account").text) for name, browser in browsers.items()}
    with desk.database.writing() as connection:
        connection.execute(
            sa.text(
                f"CREATE TRIGGER full BEFORE INSERT ON {ENTRIES.name} BEGIN SELECT RAISE(FAIL, 'full'); END"
            )
        )
    answers = {
        name: browser.client.post("/account/sessions/end-others", data={"form_token": tokens[name]})
        for name, browser in browsers.items()
    }
    assert {answer.status_code for answer in answers.values()} == {503}
    assert "history.db" in answers["olga"].text
    assert "history.db" not in answers["camille"].text
    assert "Réessayez dans quelques minutes" in answers["camille"].text


def test_a_broken_database_is_described_to_nobody_who_has_not_signed_in_nor_to_a_client(
    desk: ClockedDesk, tmp_path: Path
) -> None:
    add(desk, "camille", Role.CLIENT, "dupont")
    of_client, of_provider, of_nobody = Browser(desk), Browser(desk), Browser(desk)
    assert of_client.sign_in("camille").status_code == of_provider.sign_in("olga").status_code == 303
    tokens = [
        token_in(one.get(page).text) for one, page in ((of_client, "/account"), (of_provider, "/account"))
    ]
    guest = token_in(of_nobody.get("/login").text)
    with desk.database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE interface_attempts RENAME TO gone"))
    begun = [
        one.client.post("/account/codes/begin", data={"form_token": token, "password": PASSWORD})
        for one, token in zip((of_client, of_provider), tokens, strict=True)
    ]
    login = of_nobody.client.post("/login", data={"form_token": guest, "name": "olga", "password": PASSWORD})
    assert [answer.status_code for answer in (*begun, login)] == [503, 503, 503]
    told = ["interface_attempts" in answer.text or str(tmp_path) in answer.text for answer in (*begun, login)]
    assert told == [False, True, False]
