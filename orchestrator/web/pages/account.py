"""Somebody's own account: the password, second factors, sessions, the language."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from starlette.responses import Response

from orchestrator.errors import RequestRefused
from orchestrator.interface.accounts import Account
from orchestrator.interface.sessions import Opened, Session
from orchestrator.operations import own_account, second_factors
from orchestrator.operations.second_factors import Enrolled
from orchestrator.operations.signing_in import SignInRefused, TooManyAttempts
from orchestrator.web.page import Need, Page
from orchestrator.web.pages.login import caller_of, place_of
from orchestrator.web.refusals import told_to
from orchestrator.web.sign_in import give

if TYPE_CHECKING:
    from orchestrator.web.visit import Visit

_REFUSALS = (SignInRefused, TooManyAttempts)


def _own(visit: Visit) -> tuple[Account, Session]:
    """Whoever has signed in, and the session: every page here needs both."""
    if visit.account is None or visit.session is None:
        visit.missing()
    return visit.account, visit.session


def account(visit: Visit) -> Response:
    """Show one's own account."""
    return _shown(visit)


def _shown(visit: Visit, *, refused: str = "", status: int = 200) -> Response:
    who, session = _own(visit)
    _, factors = second_factors.ways_of(visit.desk, who.name)
    return visit.page(
        "account.html",
        status=status,
        refused=refused,
        needed=visit.query.get("second") == "needed" and not session.second,
        factors=second_factors.shown(factors),
        codes=second_factors.codes_left(visit.desk, who),
        sessions=own_account.own_sessions(visit.desk, who, visit.desk.settings.idle),
        this=session.identity,
    )


def password(visit: Visit) -> Response:
    """Ask for the old password and a new one."""
    _own(visit)
    return visit.page("account_password.html", refused="")


def change_password(visit: Visit) -> Response:
    """Change the password."""
    who, session = _own(visit)
    new = visit.form.get("new", "")
    try:
        if new != visit.form.get("again", ""):
            raise SignInRefused(
                "the new password was typed in two ways", remedy="type it again", reason="twice"
            )
        opened = own_account.change_password(
            visit.desk, who, session, old=visit.form.get("old", ""), new=new, caller=caller_of(visit)
        )
    except (*_REFUSALS, RequestRefused) as error:
        return visit.page("account_password.html", status=409, refused=told_to(visit, error, str(error)))
    return _under(visit.see("/account"), opened)


def _under(response: Response, opened: Opened) -> Response:
    give(response, opened.token)
    return response


def language(visit: Visit) -> Response:
    """Choose the language."""
    who, _ = _own(visit)
    own_account.change_language(visit.desk, who, "en" if visit.form.get("language") == "en" else "fr")
    return visit.see("/account")


def _proved(visit: Visit) -> str:
    """Why whoever sits at the browser may not add a second factor; empty: he may."""
    who, session = _own(visit)
    if session.second or who.by_provider:
        return ""
    try:
        own_account.check_password(visit.desk, who, visit.form.get("password", ""), caller_of(visit))
    except _REFUSALS as error:
        return told_to(visit, error, str(error))
    return ""


def begin_codes(visit: Visit) -> Response:
    """Choose the secret for an application that shows codes."""
    refused = _proved(visit)
    if refused:
        return _shown(visit, refused=refused, status=401)
    second_factors.begin_codes(visit.desk, _own(visit)[0])
    return visit.see("/account/codes")


def codes(visit: Visit) -> Response:
    """Show the secret, and ask for a code of it."""
    return _codes(visit)


def _codes(visit: Visit, *, refused: str = "", status: int = 200) -> Response:
    begun = second_factors.begun_codes(visit.desk, _own(visit)[0])
    if begun is None:
        return visit.see("/account")
    return visit.page("account_codes.html", status=status, secret=begun[0], refused=refused)


def picture(visit: Visit) -> Response:
    """The secret as a picture that the application reads."""
    import segno

    begun = second_factors.begun_codes(visit.desk, _own(visit)[0])
    if begun is None:
        visit.missing()
    drawn = io.BytesIO()
    segno.make(begun[1], error="m").save(drawn, kind="svg", scale=4, border=4, light="white", svgclass=None)
    return Response(drawn.getvalue(), media_type="image/svg+xml")


def confirm_codes(visit: Visit) -> Response:
    """Take the application in use, if the code is right."""
    who, session = _own(visit)
    try:
        done = second_factors.confirm_codes(
            visit.desk, who, session, visit.form.get("code", "").strip(), caller_of(visit)
        )
    except _REFUSALS as error:
        return _codes(visit, refused=told_to(visit, error, str(error)), status=401)
    return _enrolled(visit, done)


def _enrolled(visit: Visit, done: Enrolled) -> Response:
    if not done.codes:
        return _under(visit.see("/account"), done.opened)
    return _under(_codes_once(visit, done.codes), done.opened)


def _codes_once(visit: Visit, made: object) -> Response:
    return visit.page("account_recovery.html", codes=made)


def begin_key(visit: Visit) -> Response:
    """Ask a security key for credentials."""
    refused = _proved(visit)
    if refused:
        return _shown(visit, refused=refused, status=401)
    who, session = _own(visit)
    options = second_factors.begin_key(visit.desk, who, session, place_of(visit))
    return visit.page("account_key.html", options=options)


def add_key(visit: Visit) -> Response:
    """Take the security key in use, if its answer fits."""
    who, session = _own(visit)
    done = second_factors.add_key(
        visit.desk,
        who,
        session,
        visit.form.get("key", ""),
        name=visit.form.get("name", ""),
        place=place_of(visit),
        caller=caller_of(visit),
    )
    return _enrolled(visit, done)


def remove_factor(visit: Visit) -> Response:
    """Remove a second factor."""
    who, session = _own(visit)
    second_factors.remove_factor(visit.desk, who, session, _number(visit, "factor"))
    return visit.see("/account")


def new_codes(visit: Visit) -> Response:
    """Make new recovery codes, and show them once."""
    who, session = _own(visit)
    return _codes_once(visit, second_factors.new_codes(visit.desk, who, session))


def end_session(visit: Visit) -> Response:
    """End one of one's own sessions."""
    own_account.end_session(visit.desk, _own(visit)[0], _number(visit, "session"))
    return visit.see("/account")


def end_others(visit: Visit) -> Response:
    """End all other sessions of one's own."""
    own_account.end_other_sessions(visit.desk, *_own(visit))
    return visit.see("/account")


def _number(visit: Visit, field: str) -> int:
    text = visit.form.get(field, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        visit.missing()
    return int(text)


PAGES = [
    Page(path="/account", answer=account, need=Need.SIGNED_IN),
    Page(path="/account/password", answer=password, need=Need.SIGNED_IN),
    Page(path="/account/password", answer=change_password, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/language", answer=language, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/codes/begin", answer=begin_codes, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/codes", answer=codes, need=Need.SIGNED_IN),
    Page(path="/account/codes.svg", answer=picture, need=Need.SIGNED_IN),
    Page(path="/account/codes", answer=confirm_codes, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/key/begin", answer=begin_key, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/key", answer=add_key, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/factors/remove", answer=remove_factor, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/recovery", answer=new_codes, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/sessions/end", answer=end_session, need=Need.SIGNED_IN, method="POST"),
    Page(path="/account/sessions/end-others", answer=end_others, need=Need.SIGNED_IN, method="POST"),
]
