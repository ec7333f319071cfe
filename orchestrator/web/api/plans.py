"""``/plans``: saved plans that a pipeline files for a second person, and what became of each."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from orchestrator.interface import plans as filed
from orchestrator.interface.plans import LONGEST_LINK, FiledPlan, PlanState
from orchestrator.operations import plan_review
from orchestrator.operations.plan_review import Filing, PlanMissing
from orchestrator.web.api.access import Caller, Planner, Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, Name, PageNumber, PageSize
from orchestrator.web.api.problems import ERRORS, Problem, missing

ROUTER = APIRouter(tags=["plans"], responses=ERRORS, route_class=RecordedRoute)


class PlanItem(BaseModel):
    """A plan that was filed."""

    number: int
    url: str = Field(description="its page, for people")
    state: PlanState
    words: str = Field(description="how much is created, changed, restarted, refused")
    clients: list[str]
    made_at: dt.datetime
    made_by: str
    filed_at: dt.datetime
    filed_by: str
    link: str = Field(description="the merge request; empty if there is none")
    digest: str = Field(description="of what was filed, SHA-256")
    decided_at: dt.datetime | None
    decided_by: str | None
    word: str = Field(description="what was said with the decision")
    job: int | None = Field(description="that carries it out")


class PlanWhole(PlanItem):
    """A plan with what it changes."""

    plan: dict[str, Any] = Field(description="as `orchestrator plan --format json` prints it")


@ROUTER.get("/plans")
def plans(
    caller: Reader,
    state: PlanState | None = None,
    client: Name = "",
    page: PageNumber = 1,
    size: PageSize = 50,
) -> Listed[PlanItem]:
    """Plans, the latest first. For tokens of the provider."""
    caller.of_provider()
    states = [state] if state else []
    with caller.desk.database.reading() as connection:
        rows = filed.listed(connection, states=states, client=client, offset=(page - 1) * size, limit=size)
        total = filed.how_many(connection, states=states, client=client)
    return Listed(
        items=[PlanItem(**_fields(caller, row)) for row in rows],
        total=total,
        page=page,
        pages=max(-(-total // size), 1),
    )


@ROUTER.get("/plans/{number}")
def plan(caller: Reader, number: Annotated[int, Path(ge=1, lt=2**31)]) -> PlanWhole:
    """One plan. For tokens of the provider."""
    caller.of_provider()
    try:
        found, saved = plan_review.shown(caller.desk.history, number)
    except PlanMissing:
        raise missing() from None
    return PlanWhole(**_fields(caller, found), plan=saved.plan.model_dump(mode="json"))


@ROUTER.post(
    "/plans",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    },
)
async def file(
    caller: Planner,
    request: Request,
    author: Annotated[
        str, Query(pattern=r"\S", max_length=100, description="who made the change, and may not approve it")
    ],
    link: Annotated[str, Query(max_length=LONGEST_LINK, description="https:// of the merge request")] = "",
) -> PlanItem:
    """File what `orchestrator plan --out FILE` wrote. For tokens of the provider."""
    caller.of_provider()
    body = await request.body()
    return await run_in_threadpool(_filed, caller, body, author.strip(), link)


def _filed(caller: Caller, body: bytes, author: str, link: str) -> PlanItem:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Problem(422, "saved-plan-unusable", "what was sent is not UTF-8 text") from None
    filing = Filing(text=text, by=caller.who, author=author, link=link)
    return PlanItem(**_fields(caller, plan_review.file_plan(caller.desk.history, filing, caller.desk.now())))


def _fields(caller: Caller, plan: FiledPlan) -> dict[str, Any]:
    return {
        "number": plan.number,
        "url": f"{caller.desk.settings.origin}/plans/{plan.number}",
        "state": plan.state,
        "words": plan.words,
        "clients": list(plan.clients),
        "made_at": plan.made_at,
        "made_by": plan.made_by,
        "filed_at": plan.filed_at,
        "filed_by": plan.filed_by,
        "link": plan.link,
        "digest": plan.digest,
        "decided_at": plan.decided_at,
        "decided_by": plan.decided_by,
        "word": plan.word,
        "job": plan.job,
    }
