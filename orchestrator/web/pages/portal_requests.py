"""A client asks for something: registered when it is sent, so that delays count from there (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.contract.months import Month
from orchestrator.contract.portal_rights import REQUESTS, Act
from orchestrator.errors import RequestRefused
from orchestrator.history import records
from orchestrator.history.declared import CreditRequest
from orchestrator.history.requests import asked
from orchestrator.operations.credits import check_open
from orchestrator.operations.requests import AskedAlready, NewRequest, RequestKind, register
from orchestrator.web import portal_texts as texts
from orchestrator.web.page import Need, Page
from orchestrator.web.pages.portal import month_level, requests_told
from orchestrator.web.portal_desk import PortalDesk, portal

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.contract.portal_rights import Refusal
    from orchestrator.operations.portal import PortalMachine

LONGEST_TEXT = 900
"""Characters, as records have them."""

MOST_A_DAY = 50
"""Requests of one client in a day: somebody who has stolen a password shall not fill the history."""

_KINDS: dict[Act, RequestKind] = {
    Act.RESTART: "restart",
    Act.SNAPSHOT: "snapshot",
    Act.UPDATE: "update",
    Act.CHANGE: "change",
    Act.HARDWARE: "hardware",
}
_OF_ONE_MACHINE = (Act.RESTART, Act.SNAPSHOT)
_NEEDS_TEXT = (Act.CHANGE, Act.HARDWARE)


def requests(desk: PortalDesk) -> Response:
    """What was asked for, and the form to ask."""
    return _form(desk)


def _form(desk: PortalDesk, *, problem: str = "", status: int = 200) -> Response:
    words = desk.words
    kinds = [act for act in REQUESTS if act is not Act.CREDIT and desk.client.asks_for(act) is None]
    told = requests_told(desk)
    number = desk.visit.query.get("registered", "")
    return desk.page(
        "portal_requests.html",
        status=status,
        kinds=[(act.value, getattr(words, f"ask_{act.value}")) for act in kinds],
        machines=[one.name for one in desk.machines if one.wanted],
        open=[one for one in told if one.closed is None],
        closed=[one for one in told if one.closed is not None],
        problem=problem,
        registered=number if number in {str(one.number) for one in told} else "",
        sent=desk.visit.form,
        why_none=_why_none(desk.client.asks_for(Act.CHANGE), desk),
        longest=LONGEST_TEXT,
        texts=texts,
    )


def _why_none(refusal: Refusal | None, desk: PortalDesk) -> str:
    if refusal is None or desk.client.broken:
        return desk.words.requests_impossible
    return texts.refusal_words(refusal, desk.words)


def ask(desk: PortalDesk) -> Response:
    """Register a request."""
    words, form = desk.words, desk.visit.form
    act = next((one for one in _KINDS if one.value == form.get("kind")), None)
    if act is None or desk.client.subscription is None:
        return _form(desk, problem=words.asked_refused, status=409)
    named = form.get("machine", "")
    chosen = desk.machine(named) if named else None
    text = " ".join(form.get("text", "").split())
    problem = _problem(act, chosen, text, desk)
    if problem:
        return _form(desk, problem=problem, status=409)
    if _sent_today(desk) >= MOST_A_DAY:
        return _form(desk, problem=words.asked_too_many, status=409)
    request = NewRequest(
        target=f"{desk.client.client}/{chosen.name}" if chosen else desk.client.client,
        kind=_KINDS[act],
        words=text or str(getattr(words, f"ask_{act.value}")),
        asked_by=desk.visit.who,
    )
    try:
        registered = register(
            request,
            desk.client.subscription,
            desk.visit.desk.history,
            came=desk.client.now,
            who=desk.visit.who,
        )
    except AskedAlready:
        return _form(desk, problem=words.asked_already, status=409)
    except RequestRefused:
        return _form(desk, problem=words.asked_refused, status=409)
    return desk.visit.see(f"/portal/requests?registered={registered.requests[0].number}")


def _problem(act: Act, chosen: PortalMachine | None, text: str, desk: PortalDesk) -> str:
    """Why a request is not registered, for the client; empty if it is."""
    words = desk.words
    refusal = chosen.refusal(act) if chosen else desk.client.asks_for(act)
    if refusal is not None:
        return texts.refusal_words(refusal, words)
    if act in _OF_ONE_MACHINE and chosen is None:
        return words.asked_machine
    if chosen is not None and chosen.wanted is None:
        return words.asked_machine
    if act in _NEEDS_TEXT and not text:
        return words.asked_no_text
    if len(text) > LONGEST_TEXT:
        return words.asked_long_text.format(most=LONGEST_TEXT)
    return "" if text.isprintable() else words.asked_odd_text


def _sent_today(desk: PortalDesk) -> int:
    since = desk.client.now - dt.timedelta(days=1)
    return sum(one.said.came > since for one in asked(desk.visit.desk.history, client=desk.client.client))


def ask_credit(desk: PortalDesk) -> Response:
    """Register the request for the credit of a month (article 6: "sur demande")."""
    words, form = desk.words, desk.visit.form
    refusal = desk.client.asks_for(Act.CREDIT)
    if refusal is not None:
        return desk.refused(texts.refusal_words(refusal, words))
    chosen = desk.machine(form.get("machine", ""))
    try:
        month = Month.parse(form.get("month", ""))
        over = month.span.end <= desk.client.now
    except (ValueError, OverflowError):
        over = False
    found = month_level(desk, month) if over else None
    if found is None:
        return desk.refused(words.asked_no_credit)
    if _sent_today(desk) >= MOST_A_DAY:
        return desk.refused(words.asked_too_many)
    said = CreditRequest(
        client=desk.client.client,
        machines=(chosen.name,),
        month=str(month),
        came=desk.client.now,
        asked_by=desk.visit.who,
    )
    try:
        check_open(found, said)
    except RequestRefused:
        return desk.refused(words.asked_no_credit)
    made = records.add(
        desk.visit.desk.history, said, who=desk.visit.who, why="a client's request (art. 3.8.3)"
    )
    return desk.visit.see(f"/portal/requests?registered={made.number}")


PAGES = [
    Page(path="/portal/requests", answer=portal(requests), need=Need.CLIENT),
    Page(
        path="/portal/requests", answer=portal(ask), need=Need.CLIENT, method="POST", longest_body=32 * 1024
    ),
    Page(path="/portal/credits", answer=portal(ask_credit), need=Need.CLIENT, method="POST"),
]
