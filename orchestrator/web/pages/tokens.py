"""Tokens of the JSON API, for administrators: listing, making and revoking them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.interface.roles import Right
from orchestrator.interface.scopes import Scope
from orchestrator.operations import tokens as operation
from orchestrator.operations.tokens import LONGEST_DAYS, NewToken
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

_COLUMNS = (
    Column(key="name", heading="Name"),
    Column(key="scopes", heading="For"),
    Column(key="client", heading="Client"),
    Column(key="made", heading="Made"),
    Column(key="used", heading="Last used"),
    Column(key="ends", heading="Ends"),
    Column(key="acts", heading="Acts"),
)

SCOPES = (
    (Scope.READ, "read what pages show"),
    (Scope.REQUESTS, "register and close requests"),
    (Scope.PLANS, "upload plans"),
    (Scope.ALARMS, "send and acknowledge alarms"),
)
_DAYS = "90"


def tokens(visit: Visit) -> Response:
    """List the tokens."""
    return _shown(visit)


def _shown(visit: Visit, *, made: tuple[str, str, dt.datetime] | None = None, refused: str = "") -> Response:
    asked = Asked.of(visit, sorts=("name",), filters=("q",))
    wanted = asked.filters.get("q", "").lower()
    found = [
        token
        for token in operation.list_tokens(visit.desk)
        if wanted in token.name or wanted in (token.client or "")
    ]
    return visit.page(
        "tokens.html",
        status=409 if refused else 200,
        asked=asked,
        columns=_COLUMNS,
        rows=found[asked.offset : asked.offset + asked.size],
        total=len(found),
        now=visit.desk.now(),
        made=made,
        refused=refused,
        scopes=SCOPES,
        typed=visit.form,
        longest=LONGEST_DAYS,
        days=visit.form.get("days", _DAYS),
    )


def add(visit: Visit) -> Response:
    """Make a token, and show it once."""
    name = visit.form.get("name", "").strip()
    try:
        token, ends = operation.add_token(
            visit.desk,
            NewToken(
                name=name,
                scopes=[scope for scope, _ in SCOPES if visit.form.get(f"scope_{scope.value}") == "yes"],
                client=visit.form.get("client", "").strip() or None,
                days=_days(visit.form.get("days", _DAYS)),
            ),
            who=visit.who,
        )
    except RequestRefused as error:
        return _shown(visit, refused=str(error))
    return _shown(visit, made=(name, token, ends))


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise RequestRefused(f"{text[:40]!r} is no number of days: write 1 to {LONGEST_DAYS}")
    return int(text)


def revoke(visit: Visit) -> Response:
    """Revoke a token."""
    operation.revoke_token(visit.desk, visit.path["name"], who=visit.who)
    return visit.see("/tokens")


PAGES = [
    Page(path="/tokens", answer=tokens, need=Right.ACCOUNTS),
    Page(path="/tokens", answer=add, need=Right.ACCOUNTS, method="POST"),
    Page(path="/tokens/{name}/revoke", answer=revoke, need=Right.ACCOUNTS, method="POST"),
]
