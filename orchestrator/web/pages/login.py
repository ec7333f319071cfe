"""Signing in and out: the password, the second factor, the identity provider."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.responses import RedirectResponse

from orchestrator.interface.accounts import Account
from orchestrator.interface.sessions import Opened
from orchestrator.operations import second_factors, signing_in
from orchestrator.operations.identity_provider import Returned, begin_login, finish_login, identity_provider
from orchestrator.operations.second_factors import Place
from orchestrator.operations.signing_in import Caller, SignInRefused, TooManyAttempts
from orchestrator.web.local_address import local_address
from orchestrator.web.page import Need, Page
from orchestrator.web.sign_in import give

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit


_BACK = "/login/provider/back"
"""Where the identity provider sends the browser: it has to be told this address."""


def caller_of(visit: Visit) -> Caller:
    """From where somebody signs in."""
    client = visit.request.client
    return Caller(
        address=client.host if client else "",
        browser=visit.request.headers.get("user-agent", ""),
        longest=visit.desk.settings.longest,
    )


def place_of(visit: Visit) -> Place:
    """What security keys are bound to."""
    settings = visit.desk.settings
    return Place(host=urlsplit(settings.public_url).hostname or "", origin=settings.origin)


def login(visit: Visit) -> Response:
    """Ask for the name and the password."""
    then = local_address(visit.query.get("then", "/"))
    if visit.account is not None:
        return visit.see(_home(visit.account, then))
    if visit.session is not None:
        return visit.see(_second(then))
    return _asked(visit, then)


def sign_in(visit: Visit) -> Response:
    """Check the name and the password, and ask for the second factor if there is one."""
    then = local_address(visit.form.get("then", "/"))
    try:
        opened = signing_in.sign_in(
            visit.desk, visit.form.get("name", ""), visit.form.get("password", ""), caller_of(visit)
        )
    except SignInRefused:
        return _asked(visit, then, wrong="fit", status=401)
    except TooManyAttempts:
        return _asked(visit, then, wrong="many", status=429)
    return entered(visit, opened, then)


def entered(visit: Visit, opened: Opened, then: str) -> Response:
    """Give the browser the token of its session, and send it on."""
    account, _ = second_factors.ways_of(visit.desk, opened.session.account)
    to = _second(then) if opened.session.waiting or account is None else _home(account, then)
    response = visit.see(to)
    give(response, opened.token)
    return response


def _asked(visit: Visit, then: str, *, wrong: str = "", status: int = 200) -> Response:
    provided = identity_provider(visit.desk.settings.inventory) is not None
    to = f"/login/provider?{urlencode({'then': then})}" if provided else ""
    return visit.page("login.html", status=status, then=then, wrong=wrong, provider=to)


def second(visit: Visit) -> Response:
    """Ask for the second factor."""
    return _second_asked(visit, local_address(visit.query.get("then", "/")))


def show_second(visit: Visit) -> Response:
    """Check the second factor."""
    if visit.session is None or visit.account is not None:
        return visit.see("/login")
    then = local_address(visit.form.get("then", "/"))
    key = visit.form.get("key", "")
    try:
        if key:
            opened = second_factors.show_key(
                visit.desk, visit.session, key, place_of(visit), caller_of(visit)
            )
        else:
            opened = second_factors.show_code(
                visit.desk, visit.session, visit.form.get("code", ""), caller_of(visit)
            )
    except SignInRefused:
        return _second_asked(visit, then, wrong="fit", status=401)
    except TooManyAttempts:
        return _second_asked(visit, then, wrong="many", status=429)
    return entered(visit, opened, then)


def _second_asked(visit: Visit, then: str, *, wrong: str = "", status: int = 200) -> Response:
    if visit.session is None or visit.account is not None:
        return visit.see("/login")
    options = second_factors.ask_key(visit.desk, visit.session, place_of(visit))
    return visit.page("login_second.html", status=status, then=then, wrong=wrong, options=options)


def begin_provider(visit: Visit) -> Response:
    """Send the browser to the identity provider."""
    then = local_address(visit.query.get("then", "/"))
    provider = identity_provider(visit.desk.settings.inventory)
    if provider is None:
        visit.missing()
    try:
        url = begin_login(
            visit.desk,
            provider,
            browser=visit.form_token,
            to=then,
            address=_back(visit),
            caller=caller_of(visit),
        )
    except SignInRefused:
        return _asked(visit, then, wrong="provider", status=502)
    except TooManyAttempts:
        return _asked(visit, then, wrong="many", status=429)
    return RedirectResponse(url, status_code=303)


def finish_provider(visit: Visit) -> Response:
    """Sign in with what the browser brings back from the identity provider."""
    provider = identity_provider(visit.desk.settings.inventory)
    if provider is None:
        visit.missing()
    returned = Returned(
        state=visit.query.get("state", ""),
        code=visit.query.get("code", ""),
        issuer=visit.query.get("iss", ""),
        browser=visit.form_token,
        address=_back(visit),
    )
    try:
        opened, then = finish_login(visit.desk, provider, returned, caller_of(visit))
    except SignInRefused:
        return _asked(visit, "/", wrong="provider", status=401)
    return entered(visit, opened, then)


def _back(visit: Visit) -> str:
    return f"{visit.desk.settings.origin}{_BACK}"


def sign_out(visit: Visit) -> Response:
    """End the session."""
    if visit.account is not None and visit.session is not None:
        signing_in.sign_out(visit.desk, visit.account, visit.session)
    response = visit.see("/login")
    give(response, secrets.token_urlsafe(32))
    return response


def _home(account: Account, then: str) -> str:
    return "/portal" if then == "/" and account.client is not None else then


def _second(then: str) -> str:
    return f"/login/second?{urlencode({'then': then})}"


PAGES = [
    Page(path="/login", answer=login, need=Need.PUBLIC),
    Page(path="/login", answer=sign_in, need=Need.PUBLIC, method="POST", longest_body=16_384),
    Page(path="/login/second", answer=second, need=Need.PUBLIC),
    Page(path="/login/second", answer=show_second, need=Need.PUBLIC, method="POST", longest_body=32_768),
    Page(path="/login/provider", answer=begin_provider, need=Need.PUBLIC),
    Page(path=_BACK, answer=finish_provider, need=Need.PUBLIC),
    Page(path="/logout", answer=sign_out, need=Need.PUBLIC, method="POST"),
]
