"""Alarms of supervision (article 3.8.1): the most severe first; one with its procedure; what is done about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.alarms import recorded
from orchestrator.alarms.procedure_pages import ProcedurePage, ProcedureUnreadable, read_procedure
from orchestrator.errors import RequestRefused
from orchestrator.interface.roles import Right
from orchestrator.operations.alarms import ActionRequest, Listed, action_of
from orchestrator.operations.recent_alarms import AlarmsAsked
from orchestrator.shipped_files import procedure_folder
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="rule", heading="Alarm"),
    Column(key="severity", heading="Severity"),
    Column(key="state", heading="State"),
    Column(key="about", heading="About"),
    Column(key="since", heading="Since"),
    Column(key="text", heading="What"),
    Column(key="procedure", heading="Procedure", quiet=True),
)

STATES = (
    ("going on", "going on"),
    ("open", "not acknowledged"),
    ("acknowledged", "acknowledged"),
    ("told", "told, not acted on"),
    ("silent", "explained by maintenance"),
    ("closed", "closed"),
    ("all", "all"),
)

STATE_TONES = {"open": "bad", "acknowledged": "busy", "told": "wait", "silent": "off", "closed": "good"}
SEVERITY_TONES = {"critical": "bad", "error": "bad", "warning": "warn", "info": "wait"}

_LONGEST_WORD = 200
_RESULTS: dict[str, Literal["done", "failed", "no-effect"]] = {
    "done": "done",
    "failed": "failed",
    "no-effect": "no-effect",
}


def alarms(visit: Visit) -> Response:
    """The alarms that go on, and those that ended lately."""
    asked = Asked.of(visit, sorts=("severity",), filters=("client", "machine", "severity", "state"))
    wanted = AlarmsAsked(**asked.filters)
    found = visit.desk.alarms.listed(wanted, visit.desk.now())
    return visit.page(
        "alarms.html",
        asked=asked,
        rows=found[asked.offset : asked.offset + asked.size],
        total=len(found),
        columns=COLUMNS,
        states=STATES,
        severities=sorted({item.known.alarm.severity for item in found}),
        state_tones=STATE_TONES,
        severity_tones=SEVERITY_TONES,
    )


def alarm(visit: Visit) -> Response:
    """One alarm: what was done about it, and its procedure."""
    found = _named(visit)
    procedure, unreadable = _procedure(found, folders(visit))
    return visit.page(
        "alarm.html",
        item=found,
        procedure=procedure,
        unreadable=unreadable,
        may_act=visit.may(Right.ACT),
        state_tones=STATE_TONES,
        severity_tones=SEVERITY_TONES,
        longest=_LONGEST_WORD,
    )


def acknowledge(visit: Visit) -> Response:
    """Say who looks after an alarm, with a word."""
    number = _named(visit).known.number
    recorded.acknowledge(
        visit.desk.history,
        number,
        by=visit.who,
        who=visit.who,
        at=visit.desk.now(),
        word=_word(visit, "word"),
    )
    return visit.see(f"/alarms/{number}")


def close(visit: Visit) -> Response:
    """Close an alarm whose recovery nobody reported."""
    number = _named(visit).known.number
    why = _word(visit, "word")
    if not why:
        raise RequestRefused("an alarm is closed with a reason: say in a few words why it is over")
    recorded.close(visit.desk.history, number, by=visit.who, why=why, who=visit.who, at=visit.desk.now())
    return visit.see(f"/alarms/{number}")


def act(visit: Visit) -> Response:
    """Record what was done about an alarm."""
    number = _named(visit).known.number
    what = _word(visit, "what")
    request = ActionRequest(
        alarm=number, by=visit.who, what=what, result=_RESULTS.get(visit.form.get("result", ""), "done")
    )
    action = action_of(request, visit.desk.now())
    recorded.record_action(visit.desk.history, number, action, who=visit.who, why=what)
    return visit.see(f"/alarms/{number}")


def procedure(visit: Visit) -> Response:
    """A procedure's page."""
    found = read_procedure(visit.path["name"], folders(visit))
    if found is None:
        visit.missing()
    return visit.page("procedure.html", procedure=found)


def folders(visit: Visit) -> tuple[Path, ...]:
    """Where procedures are looked for: the provider's own folders first."""
    return (*visit.desk.settings.procedures, procedure_folder())


def _named(visit: Visit) -> Listed:
    text = visit.path["number"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return visit.desk.alarms.named(number, visit.desk.now()) or visit.missing()


def _procedure(item: Listed, places: tuple[Path, ...]) -> tuple[ProcedurePage | None, str]:
    name = item.known.alarm.procedure
    try:
        return (read_procedure(name, places) if name else None), ""
    except ProcedureUnreadable as error:
        return None, str(error)


def _word(visit: Visit, name: str) -> str:
    text = " ".join(visit.form.get(name, "").split())
    if len(text) > _LONGEST_WORD or not text.isprintable():
        raise RequestRefused(
            f"{len(text)} characters: up to {_LONGEST_WORD} visible ones on one line are recorded"
        )
    return text


PAGES = [
    Page(path="/alarms", answer=alarms, need=Right.LOOK),
    Page(path="/alarms/{number}", answer=alarm, need=Right.LOOK),
    Page(path="/alarms/{number}/acknowledge", answer=acknowledge, need=Right.ACT, method="POST"),
    Page(path="/alarms/{number}/close", answer=close, need=Right.ACT, method="POST"),
    Page(path="/alarms/{number}/action", answer=act, need=Right.ACT, method="POST"),
    Page(path="/procedures/{name}", answer=procedure, need=Right.LOOK),
]
