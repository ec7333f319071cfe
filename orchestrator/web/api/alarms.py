"""``/alarms``: what supervision raised (article 3.8.1), and Alertmanager's webhook."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from orchestrator.alarms import recorded
from orchestrator.alarms.webhook import LARGEST
from orchestrator.errors import OrchestratorError
from orchestrator.history.declared import Person, Text
from orchestrator.operations.alarms import Listed as KnownAlarm
from orchestrator.operations.alarms import receive_into
from orchestrator.operations.recent_alarms import AlarmsAsked
from orchestrator.web.api.access import AlarmSender, Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, Name, PageNumber, PageSize, portion
from orchestrator.web.api.problems import ERRORS, Problem, missing

ROUTER = APIRouter(tags=["alarms"], responses=ERRORS, route_class=RecordedRoute)


class AlarmItem(BaseModel):
    """An alarm."""

    number: int
    client: str | None = Field(description="null: it is about the provider's own")
    machines: list[str]
    site: str | None
    rule: str
    severity: str
    state: str
    start: dt.datetime
    end: dt.datetime | None
    acknowledged_at: dt.datetime | None
    actions: int = Field(description="how many are recorded")


class Acknowledgement(BaseModel):
    """Who looks after an alarm."""

    by: Person
    word: Annotated[Text, Field(max_length=200, description="about it, in one line")] = ""


class Received(BaseModel):
    """What became of a webhook."""

    raised: int
    closed: int
    unchanged: int
    left: list[str] = Field(description="what was not recorded, and why")


@ROUTER.get("/alarms")
def alarms(
    caller: Reader,
    client: Name = "",
    machine: Name = "",
    state: Literal["", "going on", "open", "acknowledged", "told", "closed", "all"] = "",
    page: PageNumber = 1,
    size: PageSize = 50,
) -> Listed[AlarmItem]:
    """Alarms; without a state those that go on and those that ended within seven days."""
    wanted = AlarmsAsked(client=caller.only(client or None) or "", machine=machine, state=state)
    return portion(caller.desk.alarms.listed(wanted, caller.desk.now()), _item, page=page, size=size)


@ROUTER.get("/alarms/{number}")
def alarm(caller: Reader, number: Annotated[int, Path(ge=1, lt=2**31)]) -> AlarmItem:
    """One alarm."""
    found = caller.desk.alarms.named(number, caller.desk.now())
    if found is None:
        raise missing()
    caller.may_see(found.known.alarm.client)
    return _item(found)


@ROUTER.post(
    "/alarms/alertmanager",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    },
)
async def receive(caller: AlarmSender, request: Request) -> Received:
    """Alertmanager's webhook: for tokens of the provider. Safe to repeat."""
    caller.of_provider()
    body = await request.body()
    if len(body) > LARGEST:
        raise Problem(413, "body-refused", f"a webhook has {LARGEST} bytes at most")
    return await run_in_threadpool(_received, caller, body)


@ROUTER.post("/alarms/{number}/acknowledge")
def acknowledge(
    caller: AlarmSender, number: Annotated[int, Path(ge=1, lt=2**31)], said: Acknowledgement
) -> AlarmItem:
    """Say who looks after an alarm: for tokens of the provider. Said again by the same person, it changes nothing."""
    caller.of_provider()
    desk = caller.desk
    found = desk.alarms.named(number, desk.now())
    if found is None:
        raise missing()
    recorded.acknowledge(
        desk.history, found.known.number, by=said.by, who=caller.who, at=desk.now(), word=said.word
    )
    return _item(desk.alarms.named(number, desk.now()) or found)


def _received(caller: AlarmSender, body: bytes) -> Received:
    now = caller.desk.now()
    try:
        files = caller.desk.files.read(now)
    except (
        OrchestratorError
    ) as error:  # Alertmanager sends again what was answered with 5xx, and nothing else
        raise Problem(503, error.code, f"the files cannot be read: {error}") from error
    done = receive_into(caller.desk.history, body, files, now)
    return Received(
        raised=len(done.raised), closed=len(done.closed), unchanged=done.unchanged, left=done.left
    )


def _item(item: KnownAlarm) -> AlarmItem:
    alarm = item.known.alarm
    return AlarmItem(
        number=item.known.number,
        client=alarm.client,
        machines=list(alarm.machines),
        site=alarm.site,
        rule=alarm.rule,
        severity=alarm.severity,
        state=item.state,
        start=alarm.start,
        end=alarm.end,
        acknowledged_at=alarm.acknowledged_at,
        actions=len(item.known.actions),
    )
