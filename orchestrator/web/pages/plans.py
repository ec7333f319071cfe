"""Plans: what waits for a second person, each as it is read in ten seconds, and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import RequestRefused
from orchestrator.interface import plans as filed
from orchestrator.interface.plans import LONGEST_WORD, PlanState
from orchestrator.interface.roles import Right
from orchestrator.operations import carrying_out, plan_review
from orchestrator.operations.plan_review import PlanMissing
from orchestrator.planning.review import WORST, content_of
from orchestrator.planning.saved import SavedPlanUnusable
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page
from orchestrator.web.tones import Tone

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.interface.plans import FiledPlan
    from orchestrator.planning.document import PlanDocument
    from orchestrator.planning.review import ClientRow
    from orchestrator.planning.saved import SavedPlan
    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="number", heading="Plan"),
    Column(key="state", heading="State"),
    Column(key="words", heading="What"),
    Column(key="clients", heading="Clients"),
    Column(key="made", heading="Made"),
    Column(key="decided", heading="Decided", quiet=True),
)
TONES: dict[PlanState, Tone] = {
    PlanState.WAITING: "wait",
    PlanState.REFUSED: "bad",
    PlanState.WITHDRAWN: "off",
    PlanState.OUTDATED: "off",
    PlanState.APPROVED: "busy",
    PlanState.APPLIED: "good",
    PlanState.FAILED: "bad",
}
_LONGEST_NUMBER = 9
_LONGEST_ONLY = 200
_CLIENTS_NAMED = 3
_DETAILED = 300
"""Changes whose both sides one page shows; the rest stands on pages of single clients."""


def plans(visit: Visit) -> Response:
    """The plans, the latest first."""
    asked = Asked.of(visit, sorts=("-number",), filters=("state", "client"))
    states = [state for state in PlanState if state == asked.filters.get("state")]
    client = asked.filters.get("client", "")
    with visit.desk.database.reading() as connection:
        rows = filed.listed(connection, states=states, client=client, offset=asked.offset, limit=asked.size)
        total = filed.how_many(connection, states=states, client=client)
    return visit.page(
        "plans.html",
        asked=asked,
        rows=rows,
        total=total,
        columns=COLUMNS,
        states=[state.value for state in PlanState],
        tones=TONES,
        named=_CLIENTS_NAMED,
        may_act=visit.may(Right.ACT),
        longest=_LONGEST_ONLY,
    )


def plan(visit: Visit) -> Response:
    """One plan."""
    found, saved, unusable = _shown(visit)
    objection = unusable
    if saved is not None:
        objection = plan_review.objection(found, saved, visit.who, visit.desk.now())
    return visit.page(
        "plan.html",
        item=found,
        unusable=unusable,
        tones=TONES,
        objection=objection,
        may_approve=visit.may(Right.APPROVE) and not objection,
        may_refuse=visit.may(Right.APPROVE) and found.state is PlanState.WAITING,
        may_withdraw=visit.may(Right.ACT) and found.state is PlanState.WAITING,
        longest=LONGEST_WORD,
        **(_content(visit, saved.plan) if saved is not None else {}),
    )


def approve(visit: Visit) -> Response:
    """Approve a plan: it is carried out by a job."""
    number = _number(visit)
    job = plan_review.approve(
        visit.desk.history, number, by=visit.who, word=_word(visit), now=visit.desk.now()
    )
    return visit.see(f"/jobs/{job}")


def refuse(visit: Visit) -> Response:
    """Refuse a plan, with a word why."""
    number = _number(visit)
    plan_review.refuse(visit.desk.history, number, by=visit.who, word=_word(visit), now=visit.desk.now())
    return visit.see(f"/plans/{number}")


def withdraw(visit: Visit) -> Response:
    """Take a plan back."""
    number = _number(visit)
    plan_review.withdraw(visit.desk.history, number, by=visit.who, word=_word(visit), now=visit.desk.now())
    return visit.see(f"/plans/{number}")


def make(visit: Visit) -> Response:
    """Have a plan made of the files as they are: drift is in it as well."""
    only = visit.form.get("only", "").strip()[:_LONGEST_ONLY] or None
    job = carrying_out.ask_for_plan(visit.desk.history, only=only, by=visit.who, now=visit.desk.now())
    return visit.see(f"/jobs/{job}")


def _content(visit: Visit, document: PlanDocument) -> dict[str, Any]:
    """What the page shows: all clients, and the details of as many as one page holds, or of one client.

    Details come by what needs a look first.
    """
    whole = content_of(document)
    chosen = visit.query.get("client", "")
    detailed: list[ClientRow] = []
    room = _DETAILED
    for row in sorted(whole["rows"], key=lambda row: WORST.index(row.worst)):
        size = sum(len(machine.changes) + len(machine.not_done) for machine in row.machines)
        if chosen == row.client or (not chosen and (size <= room or not detailed)):
            detailed.append(row)
            room -= size
    return {
        **whole,
        "detailed": detailed,
        "detailed_clients": {row.client for row in detailed},
        "chosen": chosen,
    }


def _shown(visit: Visit) -> tuple[FiledPlan, SavedPlan | None, str]:
    """A plan, its document, and why that cannot be used."""
    number = _number(visit)
    try:
        return (*plan_review.shown(visit.desk.history, number), "")
    except PlanMissing:
        visit.missing()
    except (RequestRefused, SavedPlanUnusable) as error:
        return plan_review.known(visit.desk.history, number), None, str(error)


def _number(visit: Visit) -> int:
    text = visit.path["number"]
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        visit.missing()
    return int(text)


def _word(visit: Visit) -> str:
    return visit.form.get("word", "").strip()[:LONGEST_WORD]


PAGES = [
    Page(path="/plans", answer=plans, need=Right.LOOK),
    Page(path="/plans/make", answer=make, need=Right.ACT, method="POST"),
    Page(path="/plans/{number}", answer=plan, need=Right.LOOK),
    Page(path="/plans/{number}/approve", answer=approve, need=Right.APPROVE, method="POST"),
    Page(path="/plans/{number}/refuse", answer=refuse, need=Right.APPROVE, method="POST"),
    Page(path="/plans/{number}/withdraw", answer=withdraw, need=Right.ACT, method="POST"),
]
