"""What a runner carries out: the operations that the Interface may ask for, each with its request."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.counting import counted
from orchestrator.errors import RequestRefused
from orchestrator.history import History
from orchestrator.interface import jobs, plans
from orchestrator.interface.jobs import Job, JobState
from orchestrator.interface.plans import PlanState
from orchestrator.operations import plan_review
from orchestrator.operations.computer import acting_as
from orchestrator.operations.plan_request import PlanRequest
from orchestrator.shown import quoted

if TYPE_CHECKING:
    from orchestrator.applying.apply import Outcome
    from orchestrator.operations.events import Events
    from orchestrator.planning.saved import SavedPlan

MAKE_PLAN = "plan"
_NAMED = 5


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApplyPlan(_Request):
    """Carry an approved plan out."""

    plan: int = Field(ge=1)


class MakePlan(_Request):
    """Make a plan of the files as they are, and file it if it changes something."""

    only: str | None = Field(default=None, max_length=200)
    restart_now: bool = False


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a runner works with.

    Attributes:
        inventory: where the site file is.
        files: subscription files and folders; none: ./subscriptions.
        place: the database's file or URL.
        history: in that database.
        leave_guests: do the hypervisor's part only.
        events: who is told what.
    """

    inventory: str | None
    files: tuple[Path, ...]
    place: str
    history: History
    leave_guests: bool
    events: Events


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended.

    Attributes:
        words: for people.
    """

    state: JobState
    words: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One that the Interface may ask for.

    Attributes:
        request: its model.
        words: what it does, for people.
        carry_out: does it.
    """

    request: type[_Request]
    words: Callable[[Any], str]
    carry_out: Callable[[Any, Job, Around], Ended]


def ask_for_plan(history: History, *, only: str | None, by: str, now: dt.datetime) -> int:
    """Have a plan made; of two who ask for the same before it begins, both get one.

    Args:
        only: ``CLIENT[/MACHINE]``; None: everything.

    Returns:
        The job's number.
    """
    request = MakePlan(only=only).model_dump()
    with plan_review.recorded(history, by, "ask for plan", "", {"only": only}) as entry:
        with history.database.writing() as connection:
            number = jobs.waiting_like(connection, MAKE_PLAN, request)
            if number is None:
                number = jobs.ask(connection, MAKE_PLAN, request, by=by, now=now)
        entry["job"] = number
    return number


def cancel(history: History, number: int, *, by: str, now: dt.datetime) -> None:
    """Have a job ended: one that runs begins nothing new, as after Ctrl-C.

    Raises:
        RequestRefused: it is over, or there is none.
    """
    with plan_review.recorded(history, by, "cancel job", "", {"job": number}):
        with history.database.writing() as connection:
            was = jobs.cancel(connection, number, by=by, now=now)
            job = jobs.find(connection, number)
            if was is JobState.WAITING and job is not None:
                _leave_plan(connection, job)
        if was is None:
            raise RequestRefused(f"job {number} is over already" if job else f"there is no job {number}")


def words_of(job: Job) -> str:
    """What a job does, for people."""
    operation = OPERATIONS.get(job.operation)
    if operation is None:
        return job.operation
    try:
        return operation.words(operation.request.model_validate(dict(job.request)))
    except ValidationError:
        return job.operation


def carry_out(job: Job, around: Around) -> Ended:
    """Carry a job out, in the name of whoever asked for it.

    Raises:
        OrchestratorError: it could not be begun, or not be ended.
    """
    operation = OPERATIONS.get(job.operation)
    if operation is None:
        raise RequestRefused(f"{job.operation} is no operation of this version: update the runner")
    try:
        request = operation.request.model_validate(dict(job.request))
    except ValidationError as error:
        raise RequestRefused(
            f"the request of job {job.number} cannot be read: {error.errors()[0]['msg']}"
        ) from None
    with acting_as(job.asked_by):
        return operation.carry_out(request, job, around)


def settle(history: History, job: Job, runner: str, ended: Ended, now: dt.datetime) -> bool:
    """Keep how a job ended, and what becomes of its plan. Returns whether the job was still this runner's."""
    with history.database.writing() as connection:
        kept = jobs.end(connection, job.number, runner, ended.state, ended.words, now)
        if kept:
            _leave_plan(
                connection, job, PlanState.APPLIED if ended.state is JobState.DONE else PlanState.FAILED
            )
        return kept


def give_up_silent(history: History, now: dt.datetime) -> list[Job]:
    """Give up the jobs whose runners were killed: they are not done again, for their plans moved with what was done.

    The next plan finishes what they left.
    """
    lost = "its runner ended without a word: what it did is in the history; a new plan finishes what it left"
    given_up = []
    with history.database.writing() as connection:
        for job in jobs.silent(connection, now):
            if job.runner and jobs.end(connection, job.number, job.runner, JobState.LOST, lost, now):
                _leave_plan(connection, job)
                given_up.append(job)
    return given_up


def _leave_plan(connection: Any, job: Job, state: PlanState = PlanState.FAILED) -> None:
    if job.operation == plan_review.APPLY and isinstance(number := job.request.get("plan"), int):
        plans.move(connection, number, PlanState.APPROVED, state)


def _apply(request: ApplyPlan, job: Job, around: Around) -> Ended:
    from orchestrator.operations.apply import ApplyRequest, apply

    plan, _ = plan_review.shown(around.history, request.plan)
    if plan.state is not PlanState.APPROVED or plan.job != job.number:
        raise RequestRefused(f"plan {plan.number} is {plan.state}: nothing is carried out")
    with around.history.database.reading() as connection:
        text = plans.document_of(connection, plan.number)
    _refuse_other_files(plan_review.document(plan, text), around.files)
    word = f": {plan.word}" if plan.word else ""
    filed = "" if plan.filed_by == plan.made_by else f", filed by {plan.filed_by}"
    why = f"plan {plan.number} made by {plan.made_by}{filed}, approved by {plan.decided_by}{word}"
    with _as_file(text) as path:
        applied = apply(
            ApplyRequest(
                inventory=around.inventory,
                paths=around.files,
                history=around.place,
                saved=path,
                leave_guests=around.leave_guests,
                max_age_hours=plan_review.MOST_HOURS,
                reason=f"{why} ({plan.link})" if plan.link else why,
            ),
            show=lambda _: None,
            agree=lambda: True,
            events=around.events,
        )
    outcomes = applied.outcomes or ()
    if applied.interrupted:
        return Ended(state=JobState.CANCELLED, words=_words(outcomes, "interrupted"))
    return Ended(state=JobState.DONE if applied.well else JobState.FAILED, words=_words(outcomes, "done"))


def _refuse_other_files(saved: SavedPlan, files: tuple[Path, ...]) -> None:
    """Read nothing but clients' files: whoever files a plan names paths here, and reads what is said of them.

    Raises:
        RequestRefused: the plan names others.
    """
    roots = [Path.cwd(), *(path.resolve() for path in files)]
    for path in [*saved.options.paths, *saved.files]:
        if "\0" in path or not any(Path(path).resolve().is_relative_to(root) for root in roots):
            raise RequestRefused(
                f"the plan names {quoted(path)}, which is not among the clients' files here: make it in a folder "
                "as the runner's, or name that path to the runner with --files"
            )


def _words(outcomes: tuple[Outcome, ...], end: str) -> str:
    well = sum(one.result in ("done", "partly") for one in outcomes)
    bad = [one for one in outcomes if one.result in ("failed", "refused", "interrupted")]
    named = [f"{one.client}/{one.machine} {one.result}: {one.message}" for one in bad[:_NAMED]]
    if len(bad) > _NAMED:
        named.append(f"and {len(bad) - _NAMED} more")
    said = f"{end}: {counted(well, 'machine')} changed" + (f", {len(bad)} not" if bad else "")
    return "\n".join([said, *named])


def _make_plan(request: MakePlan, job: Job, around: Around) -> Ended:
    from orchestrator.operations.plan import plan

    with _as_file("") as path:
        made = plan(
            PlanRequest(
                inventory=around.inventory,
                paths=around.files,
                only=request.only,
                restart_now=request.restart_now,
                history=around.place,
                save_to=path,
            ),
            around.events,
        )
        text = path.read_text(encoding="utf-8")
    if not made.has_changes:
        if made.has_errors:
            return Ended(
                state=JobState.FAILED, words="not everything could be read or done, and nothing is to change"
            )
        return Ended(state=JobState.DONE, words="nothing is to change")
    filed = plan_review.file_plan(
        around.history, plan_review.Filing(text=text, by=job.asked_by), dt.datetime.now(dt.UTC)
    )
    return Ended(state=JobState.DONE, words=f"plan {filed.number}: {filed.words}")


@contextmanager
def _as_file(text: str) -> Iterator[Path]:
    """A text as a file that nobody else can read, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
        path = Path(folder) / "plan.json"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        yield path


OPERATIONS: Mapping[str, Operation] = {
    plan_review.APPLY: Operation(
        request=ApplyPlan, words=lambda request: f"apply plan {request.plan}", carry_out=_apply
    ),
    MAKE_PLAN: Operation(
        request=MakePlan,
        words=lambda request: f"make a plan of {request.only or 'everything'}",
        carry_out=_make_plan,
    ),
}
"""By the names that jobs have."""
