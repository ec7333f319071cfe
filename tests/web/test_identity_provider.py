"""Signing in by an OpenID Connect provider that really answers over HTTPS: who gets in, and what does not fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from joserfc.jwk import ECKey, OctKey

from orchestrator.interface.roles import Role
from orchestrator.operations import accounts as operation
from orchestrator.operations.accounts import NewAccount, add_account
from orchestrator.proxmox.tls import trusting_file
from tests.web.desks import Browser, ClockedDesk, add, clocked_desk
from tests.web.openid_provider import CLIENT, SECRET, Provider, openid_provider

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with openid_provider(tmp_path_factory.mktemp("login")) as provider:
        yield provider


@pytest.fixture
def provider(running: Provider) -> Provider:
    running.person = {"sub": "s-1", "preferred_username": "olga"}
    running.wrong, running.issuer, running.signs_with, running.algorithm = {}, "", None, "ES256"
    return running


def configured(folder: Path, provider: Provider, **more: Any) -> Path:
    """The example's site file with an identity provider."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    sites = yaml.safe_load((ROOT / "inventories" / "example" / "sites.yaml").read_text())
    given = {
        "issuer": provider.url,
        "client_id": CLIENT,
        "client_secret": {"file": str(secret)},
        "ca_file": str(provider.authority),
        "role_claim": "groups",
        "roles": {"staff": "operator", "chiefs": "administrator"},
        "second_factor": ["mfa"],
    }
    sites["interface"] = {"identity_provider": {**given, **more}}
    (folder / "sites.yaml").write_text(yaml.safe_dump(sites))
    return folder


@pytest.fixture
def desk(tmp_path: Path, provider: Provider) -> Iterator[ClockedDesk]:
    with clocked_desk(tmp_path, inventory=str(configured(tmp_path, provider))) as opened:
        yield opened


def gone(browser: Browser, provider: Provider, then: str = "/account") -> str:
    """Go to the provider, sign in there, and return the address that it sends the browser back to."""
    sent = browser.get("/login/provider", params={"then": then})
    assert sent.status_code == 303, sent.text
    answer = httpx.get(
        sent.headers["location"], verify=trusting_file(provider.authority), follow_redirects=False
    )
    assert answer.status_code == 302
    address = urlsplit(answer.headers["location"])
    assert f"{address.scheme}://{address.netloc}" == "https://panel.example"
    return f"{address.path}?{address.query}"


def entered(desk: ClockedDesk, provider: Provider, **person: Any) -> tuple[Browser, Any]:
    """Sign somebody in."""
    provider.person = {"sub": "s-1", "preferred_username": "olga", **person}
    browser = Browser(desk)
    return browser, browser.get(gone(browser, provider))


def test_an_account_that_waits_for_the_provider_signs_in_and_is_tied_to_the_subject(
    desk: ClockedDesk, provider: Provider
) -> None:
    assert "identity provider" in Browser(desk).get("/login").text
    add_account(
        desk, NewAccount(name="camille", role=Role.CLIENT, client="dupont", by_provider=True), who="test"
    )
    browser, answer = entered(desk, provider, sub="c-1", preferred_username="Camille")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert "dupont" in browser.get("/account").text
    assert Browser(desk).sign_in("camille", "").status_code == 401, "it has no password here"
    _, other = entered(desk, provider, sub="c-2", preferred_username="camille")
    assert other.status_code == 401, "another person of that name"
    _, renamed = entered(desk, provider, sub="c-1", preferred_username="renamed")
    assert renamed.status_code == 303, "the subject counts"
    assert [e.result for e in desk.history.entries(action="login")].count("ok") == 2


def test_a_role_of_the_provider_makes_an_account_and_follows_the_claim(
    desk: ClockedDesk, provider: Provider
) -> None:
    browser, answer = entered(desk, provider, groups=["staff", "others"])
    assert answer.status_code == 303
    assert operation.find_account(desk, "olga").role is Role.OPERATOR
    assert browser.get("/accounts").status_code == 404
    browser, _ = entered(desk, provider, groups=["staff", "chiefs"], amr=["pwd", "mfa"])
    assert browser.get("/accounts").status_code == 200, "its second factor was shown there"
    without, _ = entered(desk, provider, groups=["chiefs"], amr=["pwd"])
    assert without.get("/accounts").headers["location"] == "/account?second=needed"
    _, refused = entered(desk, provider, groups=["others"])
    assert refused.status_code == 401 and not browser.signed_in, "no role, no session"
    operation.disable_account(desk, "olga", who="root")
    _, disabled = entered(desk, provider, groups=["staff"])
    assert disabled.status_code == 401


def test_nobody_gets_an_account_with_a_password_by_its_name(desk: ClockedDesk, provider: Provider) -> None:
    add(desk, "olga", Role.ADMINISTRATOR)
    _, answer = entered(desk, provider, groups=["staff"])
    assert answer.status_code == 401 and "did not sign you in" in answer.text
    for name in ("", "no name!", None, ["olga"], "x" * 100):
        _, answer = entered(desk, provider, preferred_username=name, groups=["staff"])
        assert answer.status_code == 401, name
    _, stranger = entered(desk, provider, preferred_username="eve")
    assert stranger.status_code == 401
    assert operation.list_accounts(desk)[0].count == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.wrong.update(iss="https://evil.example"),
        lambda one: one.wrong.update(aud="another-program"),
        lambda one: one.wrong.update(aud=[CLIENT, "other"], azp="other"),
        lambda one: one.wrong.update(nonce="another"),
        lambda one: one.wrong.update(exp=int(time.time()) - 120),
        lambda one: one.wrong.update(iat=int(time.time()) + 600),
        lambda one: one.wrong.update(sub=""),
        lambda one: setattr(one, "algorithm", "none"),
        lambda one: setattr(one, "signs_with", ECKey.generate_key("P-256", {"kid": "one"})),
        lambda one: one.__dict__.update(algorithm="HS256", signs_with=OctKey.import_key(SECRET)),
    ],
    ids=["issuer", "audience", "party", "nonce", "ended", "to come", "subject", "none", "key", "shared key"],
)
def test_what_is_not_signed_for_this_login_is_refused(
    desk: ClockedDesk, provider: Provider, spoil: Callable[[Provider], Any]
) -> None:
    spoil(provider)
    browser, answer = entered(
        desk, provider, groups=["staff"], **({"sub": ""} if "sub" in provider.wrong else {})
    )
    assert answer.status_code == 401 and not browser.signed_in
    assert operation.list_accounts(desk)[0].count == 0


def test_an_answer_is_used_once_and_by_the_browser_that_asked(desk: ClockedDesk, provider: Provider) -> None:
    provider.person = {"sub": "s-1", "preferred_username": "olga", "groups": ["staff"]}
    attacker, victim = Browser(desk), Browser(desk)
    stolen = gone(attacker, provider)
    assert victim.get(stolen).status_code == 401 and not victim.signed_in, "nobody is signed in as another"
    assert attacker.get(stolen).status_code == 401, "and it is used up"
    again = gone(attacker, provider)
    assert attacker.get(again).status_code == 303
    assert attacker.get(again).status_code == 401
    late = Browser(desk)
    address = gone(late, provider)
    desk.clock.pass_by(minutes=11)
    assert late.get(address).status_code == 401
    for forged in ("", "?state=x&code=y", "?state=" + "x" * 5000, "?error=access_denied"):
        assert Browser(desk).get(f"/login/provider/back{forged}").status_code == 401
    mixed = gone(late, provider) + "&iss=https://evil.example"
    assert late.get(mixed).status_code == 401


def test_pkce_and_where_to_are_sent(desk: ClockedDesk, provider: Provider) -> None:
    sent = Browser(desk).get("/login/provider", params={"then": "//evil.example"})
    asked = {name: values[-1] for name, values in parse_qs(urlsplit(sent.headers["location"]).query).items()}
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert (asked["response_type"], asked["scope"]) == ("code", "openid profile email")
    assert asked["redirect_uri"] == "https://panel.example/login/provider/back"


def test_a_provider_that_is_another_or_that_nobody_vouches_for_is_not_asked(
    tmp_path: Path, provider: Provider
) -> None:
    with clocked_desk(tmp_path, inventory=str(configured(tmp_path, provider))) as desk:
        provider.issuer = "https://evil.example"
        assert Browser(desk).get("/login/provider").status_code == 502
        provider.issuer = ""
        assert Browser(desk).get("/login/provider").status_code == 303
        other = tmp_path / "other"
        other.mkdir()
        from lab.certificates import ensure_certificates

        ensure_certificates(other, "other", "127.0.0.1")
        configured(tmp_path, provider, ca_file=str(other / "ca.pem"))
        answer = Browser(desk).get("/login/provider")
        assert answer.status_code == 502 and "did not sign you in" in answer.text
        add(desk, "olga")
        assert Browser(desk).sign_in("olga").status_code == 303, "passwords work all the same"


def test_without_a_provider_its_pages_do_not_exist(tmp_path: Path) -> None:
    with clocked_desk(tmp_path, inventory=str(ROOT / "inventories" / "example")) as desk:
        assert "identity provider" not in Browser(desk).get("/login").text
        add(desk, "olga")
        browser = Browser(desk)
        browser.sign_in("olga")
        for path in ("/login/provider", "/login/provider/back"):
            assert browser.get(path).status_code == 404
