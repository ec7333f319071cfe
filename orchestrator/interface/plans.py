"""Plans that wait for a second person, and what became of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.database import METADATA

LONGEST_LINK = 500
"""Characters of a merge request's address."""

LONGEST_WORD = 500
"""Characters of what is said with a decision."""


class PlanState(StrEnum):
    """Where a plan is on its way."""

    WAITING = "waiting"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    OUTDATED = "outdated"
    """Nobody decided while it was young enough to be carried out."""
    APPROVED = "approved"
    """It is carried out as soon as a runner takes it."""
    APPLIED = "applied"
    FAILED = "failed"
    """It was carried out in part, or not at all: its job says why."""


PLANS = sa.Table(
    "interface_plans",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("filed_at", sa.String(40), nullable=False),
    sa.Column("filed_by", sa.Text, nullable=False),
    sa.Column("made_at", sa.String(40), nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("clients", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("decided_at", sa.String(40)),
    sa.Column("decided_by", sa.Text),
    sa.Column("word", sa.Text, nullable=False),
    sa.Column("job", sa.Integer),
    sa.Index("interface_plans_by_state", "state", "number"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, kw_only=True)
class FiledPlan:
    """A plan in the list; its document is read by itself (:func:`document_of`).

    Attributes:
        filed_by: the account, or the token, that filed it.
        made_by: whoever made it, as the saved plan says.
        link: of the merge request that it is for; empty if there is none.
        digest: of the document, SHA-256 in hexadecimal: what was approved is what is carried out.
        words: its first line: how much is created, changed, …
        clients: whose machines it changes.
        decided_at, decided_by: None while nobody approved, refused or withdrew it.
        word: what was said with the decision.
        job: that carries it out; None if there is none.
    """

    number: int
    filed_at: dt.datetime
    filed_by: str
    made_at: dt.datetime
    made_by: str
    link: str
    digest: str
    words: str
    clients: tuple[str, ...]
    state: PlanState
    decided_at: dt.datetime | None = None
    decided_by: str | None = None
    word: str = ""
    job: int | None = None


_LISTED = [column for column in PLANS.c if column.name != "document"]


def add(connection: sa.Connection, plan: FiledPlan, document: str) -> int:
    """Add a plan; its number is given here, and is returned."""
    done = connection.execute(
        sa.insert(PLANS).values(
            filed_at=stamp(plan.filed_at),
            filed_by=plan.filed_by,
            made_at=stamp(plan.made_at),
            made_by=plan.made_by,
            link=plan.link,
            digest=plan.digest,
            words=plan.words,
            clients="\n".join(plan.clients),
            document=document,
            state=plan.state.value,
            word="",
        )
    )
    (number,) = done.inserted_primary_key or (0,)
    return int(number)


def find(connection: sa.Connection, number: int) -> FiledPlan | None:
    """A plan by its number; None if there is none."""
    row = connection.execute(sa.select(*_LISTED).where(PLANS.c.number == number)).first()
    return None if row is None else _from_row(row)


def document_of(connection: sa.Connection, number: int) -> str:
    """The saved plan as it was filed; empty if there is none of that number."""
    found = connection.execute(sa.select(PLANS.c.document).where(PLANS.c.number == number)).scalar()
    return found or ""


def listed(
    connection: sa.Connection,
    *,
    states: Sequence[PlanState] = (),
    client: str = "",
    offset: int = 0,
    limit: int = 50,
) -> list[FiledPlan]:
    """Plans, the latest first.

    Args:
        states: only these; all if none is named.
        client: only plans that change something of this one's; everybody's if it is empty.
        offset, limit: which of them.
    """
    asked = sa.select(*_LISTED).order_by(PLANS.c.number.desc()).offset(offset).limit(limit)
    return [_from_row(row) for row in connection.execute(_filtered(asked, states, client))]


def how_many(connection: sa.Connection, *, states: Sequence[PlanState] = (), client: str = "") -> int:
    """How many plans there are, as of :func:`listed`."""
    asked = sa.select(sa.func.count()).select_from(PLANS)
    return int(connection.execute(_filtered(asked, states, client)).scalar_one())


def move(
    connection: sa.Connection,
    number: int,
    before: PlanState,
    after: PlanState,
    **values: Any,
) -> bool:
    """Move a plan on, if it still is where somebody saw it: of two who decide at once, one does.

    Args:
        values: of other columns.

    Returns:
        Whether it was there, and moved.
    """
    done = connection.execute(
        sa.update(PLANS)
        .where(PLANS.c.number == number, PLANS.c.state == before.value)
        .values(state=after.value, **values)
    )
    return done.rowcount == 1


def outdate(connection: sa.Connection, made_before: dt.datetime) -> int:
    """Give up the plans that still wait and were made before a moment. Returns how many they were."""
    done = connection.execute(
        sa.update(PLANS)
        .where(PLANS.c.state == PlanState.WAITING.value, PLANS.c.made_at < stamp(made_before))
        .values(state=PlanState.OUTDATED.value)
    )
    return done.rowcount


def _filtered(asked: Any, states: Sequence[PlanState], client: str) -> Any:
    if states:
        asked = asked.where(PLANS.c.state.in_([state.value for state in states]))
    if client:
        lines = sa.literal("\n") + PLANS.c.clients + "\n"
        asked = asked.where(lines.contains(f"\n{client}\n", autoescape=True))
    return asked


def _from_row(row: Any) -> FiledPlan:
    return FiledPlan(
        number=row.number,
        filed_at=dt.datetime.fromisoformat(row.filed_at),
        filed_by=row.filed_by,
        made_at=dt.datetime.fromisoformat(row.made_at),
        made_by=row.made_by,
        link=row.link,
        digest=row.digest,
        words=row.words,
        clients=tuple(filter(None, row.clients.split("\n"))),
        state=PlanState(row.state),
        decided_at=None if row.decided_at is None else dt.datetime.fromisoformat(row.decided_at),
        decided_by=row.decided_by,
        word=row.word,
        job=row.job,
    )
