"""The history: who did what, when, why, with what result; one entry with all that it has; the check of the chain."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from orchestrator.errors import RequestRefused
from orchestrator.history.chain import RESULTS
from orchestrator.interface.roles import Right
from orchestrator.operations.history import Leaf, LeafRequest, leaf
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.history import Entry
    from orchestrator.web.visit import Visit

FILTERS = ("client", "machine", "action", "who", "result", "from", "to")

COLUMNS = (
    Column(key="number", heading="No.", figures=True),
    Column(key="at", heading="When"),
    Column(key="who", heading="Who"),
    Column(key="machine", heading="Machine"),
    Column(key="action", heading="Action"),
    Column(key="result", heading="Result"),
    Column(key="seconds", heading="Lasted", figures=True, quiet=True),
    Column(key="why", heading="Why"),
)

TONES = {"ok": "good", "failed": "bad", "refused": "warn", "unknown": "unknown", "begun": "busy"}
"""How a result is shown."""

_VERIFY_WAIT = 1.0
"""Seconds that the page waits for a check, so that a short history's is there at once."""


def history(visit: Visit) -> Response:
    """Entries, the latest first, filtered, leaf by leaf."""
    asked = Asked.of(visit, sorts=("-number",), filters=FILTERS)
    problem, found = "", Leaf(entries=(), below=None, looked_down_to=1)
    try:
        found = leaf(visit.desk.history, request_of(asked, visit.query.get("below", "")))
    except RequestRefused as error:
        problem = str(error)
    older = f"{asked.path}?{urlencode({**asked.filters, 'below': found.below})}" if found.below else ""
    return visit.page(
        "history.html",
        asked=asked,
        entries=found.entries,
        older=older,
        looked_down_to=found.looked_down_to,
        latest=asked.address if "below" in visit.query else "",
        problem=problem,
        columns=COLUMNS,
        results=RESULTS,
        tones=TONES,
    )


def request_of(asked: Asked, below: str) -> LeafRequest:
    """What a list's address asks of the history.

    Raises:
        RequestRefused: a day is none.
    """
    wanted = asked.filters
    return LeafRequest(
        client=wanted.get("client"),
        machine=wanted.get("machine"),
        action=wanted.get("action"),
        who=wanted.get("who"),
        result=wanted.get("result"),
        first_day=_day(wanted.get("from"), "from"),
        last_day=_day(wanted.get("to"), "to"),
        below=number(below),
        limit=asked.size,
    )


def number(text: str) -> int | None:
    """A number of an entry in an address; None if it cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None


def _day(text: str | None, name: str) -> dt.date | None:
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise RequestRefused(f"{name}: {text} is not a day: write it as 2026-11-30") from None


def entry(visit: Visit) -> Response:
    """One entry with all that is recorded of it."""
    found = visit.desk.history.entry(number(visit.path["number"]) or 0)
    if found is None:
        visit.missing()
    return visit.page("history_entry.html", entry=found, details=details_of(found), tones=TONES)


def details_of(entry: Entry) -> str:
    """An entry's details, indented; as they are recorded if somebody altered them."""
    try:
        return json.dumps(json.loads(entry.details), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return entry.details


def details_as_data(entry: Entry) -> dict[str, Any]:
    """An entry's details; nothing if somebody altered them."""
    try:
        found = json.loads(entry.details)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def verification(visit: Visit) -> Response:
    """What the last check of the chain found."""
    check = visit.desk.check.last
    answer = visit.page("history_verify.html", check=check, noted=visit.query.get("noted", ""))
    if check is not None and check.ended is None:
        answer.headers["refresh"] = "3"
    return answer


def verify(visit: Visit) -> Response:
    """Begin a check of the whole chain."""
    visit.desk.check.begin(visit.desk.now(), visit.form.get("noted", "").strip())
    visit.desk.check.wait(_VERIFY_WAIT)
    return visit.see("/history/verify")


PAGES = [
    Page(path="/history", answer=history, need=Right.LOOK),
    Page(path="/history/verify", answer=verification, need=Right.LOOK),
    Page(path="/history/verify", answer=verify, need=Right.LOOK, method="POST"),
    Page(path="/history/{number}", answer=entry, need=Right.LOOK),
]
