"""Plans for a second person: filed, read, approved or refused, and handed to a runner."""

from __future__ import annotations

import datetime as dt
import hashlib
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parseaddr
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from orchestrator.contract.calendar import paris_time
from orchestrator.errors import RequestRefused
from orchestrator.history import BEGUN, History
from orchestrator.history.chain import stamp
from orchestrator.interface import jobs, plans
from orchestrator.interface.plans import LONGEST_LINK, LONGEST_WORD, FiledPlan, PlanState
from orchestrator.operations.run import run_name
from orchestrator.planning.review import first_words
from orchestrator.planning.saved import SavedPlan, parse_saved
from orchestrator.resources.change import QUIET
from orchestrator.shown import storable, visible

APPLY = "apply"
"""The job that carries an approved plan out."""

MOST_HOURS = 24.0
"""How old a plan may be when it is approved, and when it is carried out: as ``orchestrator apply --plan`` has it."""


@dataclass(frozen=True, kw_only=True)
class Filing:
    """A plan to be filed.

    Attributes:
        text: the saved plan.
        by: the account, or the token.
        author: on whose behalf, as a pipeline says; empty: nobody else's.
        link: of the merge request that it is for; empty if there is none.
    """

    text: str
    by: str
    author: str = ""
    link: str = ""


def file_plan(history: History, filing: Filing, now: dt.datetime) -> FiledPlan:
    """File a plan for a second person.

    Raises:
        SavedPlanUnusable: it is no saved plan, or was changed.
        RequestRefused: nothing would be changed by it, or the link is none.
        HistoryUnavailable: it cannot be kept.
    """
    saved = parse_saved(filing.text, "what was sent")
    if not saved.plan.has_changes:
        raise RequestRefused("the plan changes nothing: there is nothing to approve")
    _refuse_bad_link(filing.link)
    plan = FiledPlan(
        number=0,
        filed_at=now,
        filed_by=filing.by,
        made_at=saved.made_at,
        made_by=visible(filing.author or saved.made_by, longest=100),
        link=filing.link,
        digest=_digest(filing.text),
        words=first_words(saved.plan),
        clients=_clients(saved),
        state=PlanState.WAITING,
    )
    with recorded(
        history, filing.by, "file plan", f"plan made by {plan.made_by}", {"link": plan.link}
    ) as entry:
        with history.database.writing() as connection:
            number = plans.add(connection, plan, filing.text)
        entry["plan"] = number
    return shown(history, number)[0]


def shown(history: History, number: int) -> tuple[FiledPlan, SavedPlan]:
    """A plan with its document.

    Raises:
        PlanMissing: there is none of that number.
        SavedPlanUnusable: what is kept was changed.
    """
    plan = known(history, number)
    with history.database.reading() as connection:
        text = plans.document_of(connection, number)
    return plan, document(plan, text)


def known(history: History, number: int) -> FiledPlan:
    """A plan without its document.

    Raises:
        PlanMissing: there is none of that number.
    """
    with history.database.reading() as connection:
        plan = plans.find(connection, number)
    if plan is None:
        raise PlanMissing(f"there is no plan {number}")
    return plan


def give_up_old(history: History, now: dt.datetime) -> int:
    """Give up the plans that are too old to be approved, and that nobody decided. Returns how many they were."""
    with history.database.writing() as connection:
        return plans.outdate(connection, now - dt.timedelta(hours=MOST_HOURS))


def document(plan: FiledPlan, text: str) -> SavedPlan:
    """What was filed, if it is what was approved.

    Raises:
        SavedPlanUnusable, RequestRefused: somebody changed what is kept.
    """
    if _digest(text) != plan.digest:
        raise RequestRefused(
            f"plan {plan.number} was changed after it was filed: make it again, and have it reviewed"
        )
    return parse_saved(text, f"plan {plan.number}")


class PlanMissing(RequestRefused):
    """There is no plan of a number."""


def objection(plan: FiledPlan, saved: SavedPlan, by: str, now: dt.datetime) -> str:
    """Why somebody may not approve a plan; empty if he may.

    Args:
        by: the account.
    """
    if plan.state is not PlanState.WAITING:
        return f"plan {plan.number} is {plan.state} already"
    if _names(by) & (_names(plan.filed_by) | _names(plan.made_by)):
        return f"plan {plan.number} is yours: a second person approves it"
    if not 0 <= (now - plan.made_at).total_seconds() <= MOST_HOURS * 3600:
        return (
            f"plan {plan.number} was made {paris_time(plan.made_at)}, more than {MOST_HOURS:g} hours ago "
            "(or in the future): make it again"
        )
    risks = [risk.name for risk in saved.plan.dangers if not risk.allowed]
    if risks:
        return (
            f"plan {plan.number} exceeds the safety limits: to allow exactly this, make it again with "
            + " ".join(f"--allow {name}" for name in risks)
        )
    if saved.plan.frozen:
        return f"{', '.join(sorted(saved.plan.frozen))} was frozen when the plan was made: thaw, and make it again"
    return ""


def approve(history: History, number: int, *, by: str, word: str, now: dt.datetime) -> int:
    """Approve a plan: a job carries it out as soon as a runner takes it.

    Args:
        by: the account; never the one that made it.
        word: why; may be empty.

    Returns:
        The job's number.

    Raises:
        RequestRefused: it cannot be approved, or somebody else decided first.
        HistoryUnavailable: it cannot be kept.
    """
    plan, saved = shown(history, number)
    if reason := objection(plan, saved, by, now):
        raise RequestRefused(reason)
    with recorded(history, by, "approve plan", word, {"plan": number, "digest": plan.digest}) as entry:
        with history.database.writing() as connection:
            _decide(connection, number, PlanState.APPROVED, by, word, now)
            job = jobs.ask(connection, APPLY, {"plan": number}, by=by, now=now)
            plans.move(connection, number, PlanState.APPROVED, PlanState.APPROVED, job=job)
        entry["job"] = job
    return job


def refuse(history: History, number: int, *, by: str, word: str, now: dt.datetime) -> None:
    """Refuse a plan, with a word why.

    Raises:
        RequestRefused: there is no word, or somebody else decided first.
        HistoryUnavailable: it cannot be kept.
    """
    if not word.strip():
        raise RequestRefused("a plan is refused with a reason: say in a few words what is wrong with it")
    known(history, number)
    with (
        recorded(history, by, "refuse plan", word, {"plan": number}),
        history.database.writing() as connection,
    ):
        _decide(connection, number, PlanState.REFUSED, by, word, now)


def withdraw(history: History, number: int, *, by: str, word: str, now: dt.datetime) -> None:
    """Take back a plan that waits, also one that cannot be read any more.

    Raises:
        RequestRefused: somebody decided already.
        HistoryUnavailable: it cannot be kept.
    """
    known(history, number)
    with (
        recorded(history, by, "withdraw plan", word, {"plan": number}),
        history.database.writing() as connection,
    ):
        _decide(connection, number, PlanState.WITHDRAWN, by, word, now)


def _decide(connection: Any, number: int, state: PlanState, by: str, word: str, now: dt.datetime) -> None:
    decided = {"decided_at": stamp(now), "decided_by": by, "word": storable(word.strip())[:LONGEST_WORD]}
    if not plans.move(connection, number, PlanState.WAITING, state, **decided):
        found = plans.find(connection, number)
        who = f" by {found.decided_by}" if found and found.decided_by else ""
        raise RequestRefused(
            f"plan {number} is {found.state if found else 'gone'} already{who}: nothing was changed"
        )


@contextmanager
def recorded(
    history: History, who: str, action: str, why: str, details: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Write an act of the Interface into the history: before it, and how it ended.

    What the act finds out goes into what is yielded.
    """
    run = run_name(dt.datetime.now(dt.UTC))
    add = partial(history.append, who=who, why=why, client="*", site="*", action=action, run=run)
    begun = add(result=BEGUN, details=details)
    found: dict[str, Any] = dict(details)
    try:
        yield found
    except BaseException as error:
        result = "refused" if isinstance(error, RequestRefused) else "failed"
        add(result=result, details=found, message=str(error), began=begun.sequence)
        raise
    add(result="ok", details=found, began=begun.sequence)


def _names(name: str) -> frozenset[str]:
    """What somebody may be called: pipelines write a person in capitals or not, or with the address of e-mail."""
    whole = unicodedata.normalize("NFKC", name).strip().casefold()
    address = parseaddr(whole)[1]
    return frozenset({whole, address, address.partition("@")[0]} if "@" in address else {whole})


def _refuse_bad_link(link: str) -> None:
    if not link:
        return
    parts = urlsplit(link)
    if len(link) > LONGEST_LINK or parts.scheme != "https" or not parts.netloc or visible(link) != link:
        raise RequestRefused("the link to the merge request is no https:// address of at most 500 characters")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _clients(saved: SavedPlan) -> tuple[str, ...]:
    changed = {
        machine.client
        for machine in saved.plan.machines
        if any(change.effect not in QUIET for change in machine.changes)
    }
    return tuple(sorted(changed | {item.client for item in saved.plan.shared}))
