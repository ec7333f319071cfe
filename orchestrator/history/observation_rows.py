"""The rows of what was observed: what is known of a site, and what a round makes of it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from orchestrator.history.intervals import Cause, Span
from orchestrator.history.observation_tables import GAPS, MACHINES, SITES, SPANS
from orchestrator.history.observed_site import Known, Outcome, SiteState
from orchestrator.shown import shortened, storable

_LONGEST = 300
"""Characters of a detail or a reason."""

NOT_LOOKED = "nobody looked"
"""Why nothing is known, where no observer was at work."""

COLUMNS: tuple[sa.Column[Any], ...] = (
    *(MACHINES.c[name] for name in ("site", "vmid", "client", "machine", "node")),
    *(column for column in SPANS.c if column.name not in ("id", "claimed")),
)
"""What is read of a machine and one of its intervals."""

_TAKEN_OVER: dict[str, Any] = {
    name: sa.bindparam(name) for name in ("end", "state", "cause", "source", "detail", "confirmed")
}
"""What a later round may change of an interval."""


def state_of(connection: sa.Connection, site: str) -> SiteState:
    """What is known of a site since its last round."""
    row = connection.execute(sa.select(SITES).where(SITES.c.site == site)).first()
    if row is None:
        return SiteState()
    query = (
        sa.select(*COLUMNS)
        .outerjoin(SPANS, sa.and_(SPANS.c.id == MACHINES.c.id, SPANS.c.end.is_(None)))
        .where(MACHINES.c.site == site, ~MACHINES.c.gone)
    )
    machines: dict[int, Known] = {}
    spans: dict[int, Span] = {}
    for found in connection.execute(query):
        machines[found.vmid] = known_of(found)
        if found.state is not None:
            spans[found.vmid] = span_of(found)
    return SiteState(
        until=row.until,
        listed=row.listed,
        guests=row.guests,
        source=row.source,
        machines=machines,
        spans=spans,
    )


def known_of(row: Any) -> Known:
    """The machine of a row."""
    return Known(vmid=row.vmid, client=row.client, machine=row.machine, node=row.node)


def span_of(row: Any) -> Span:
    """The interval of a row."""
    return Span(
        start=row.start,
        end=row.end,
        state=row.state,
        cause=Cause(row.cause),
        source=row.source,
        detail=row.detail,
        confirmed=bool(row.confirmed),
        settled=row.settled,
    )


def ids_of(site: str, known: Known) -> sa.Select[Any]:
    """The row of a machine."""
    return sa.select(MACHINES.c.id).where(
        MACHINES.c.site == site,
        MACHINES.c.vmid == known.vmid,
        MACHINES.c.client == known.client,
        MACHINES.c.machine == known.machine,
    )


def write_round(connection: sa.Connection, site: str, before: SiteState, outcome: Outcome) -> None:
    """Write what a round found, as far as it is not there already."""
    changed = {
        vmid: (spans, before.spans.get(vmid) if _same(before, outcome, vmid) else None)
        for vmid, spans in outcome.spans.items()
    }
    changed = {vmid: (spans, was) for vmid, (spans, was) in changed.items() if list(spans) != [was]}
    if changed or outcome.machines != before.machines:
        ids = _write_machines(connection, site, before, outcome)
        # The first of them is the one that was there: who settles it may be at work.
        old = [
            {"was_id": ids[vmid], "was_start": was.start, **_as_row(spans[0])}
            for vmid, (spans, was) in changed.items()
            if was
        ]
        own = (SPANS.c.id == sa.bindparam("was_id")) & (SPANS.c.start == sa.bindparam("was_start"))
        if old:
            connection.execute(sa.update(SPANS).where(own).values(_TAKEN_OVER), old)
        rows = [
            {"id": ids[vmid], "settled": 0, **_as_row(span)}
            for vmid, (spans, was) in changed.items()
            for span in (spans[1:] if was else spans)
        ]
        if rows:
            connection.execute(sa.insert(SPANS), rows)
    if outcome.gap is not None:
        start, end = outcome.gap
        trouble = connection.execute(sa.select(SITES.c.trouble).where(SITES.c.site == site)).scalar()
        connection.execute(
            sa.insert(GAPS).values(site=site, start=start, end=end, reason=trouble or NOT_LOOKED)
        )
    put_site(
        connection,
        site,
        until=outcome.until,
        listed=outcome.listed,
        guests=outcome.guests,
        source=outcome.source,
        trouble="",
    )


def _same(before: SiteState, outcome: Outcome, vmid: int) -> bool:
    """Whether a number is still that of the same machine."""
    was, now = before.machines.get(vmid), outcome.machines.get(vmid)
    return bool(was and now and (was.client, was.machine) == (now.client, now.machine))


def _write_machines(
    connection: sa.Connection, site: str, before: SiteState, outcome: Outcome
) -> dict[int, int]:
    """Write which machines there are. Return their rows' ids by number."""
    query = sa.select(MACHINES).where(MACHINES.c.site == site)
    rows = {(row.vmid, row.client, row.machine): row for row in connection.execute(query)}
    ids: dict[int, int] = {}
    for vmid, known in outcome.machines.items():
        row = rows.get((vmid, known.client, known.machine))
        if row is None:
            values = {"site": site, "vmid": vmid, "client": known.client, "machine": known.machine}
            made = connection.execute(
                sa.insert(MACHINES).values(**values, node=known.node, gone=False).returning(MACHINES.c.id)
            )
            ids[vmid] = made.scalar_one()
            continue
        ids[vmid] = row.id
        if row.gone or row.node != known.node:
            connection.execute(
                sa.update(MACHINES).where(MACHINES.c.id == row.id).values(gone=False, node=known.node)
            )
    for vmid, known in before.machines.items():
        if _same(before, outcome, vmid):
            continue
        gone = rows[vmid, known.client, known.machine].id
        connection.execute(sa.update(MACHINES).where(MACHINES.c.id == gone).values(gone=True))
        connection.execute(
            sa.update(SPANS).where(SPANS.c.id == gone, SPANS.c.end.is_(None)).values(end=outcome.until)
        )
    return ids


def _as_row(span: Span) -> dict[str, Any]:
    return {
        "start": span.start,
        "end": span.end,
        "state": span.state,
        "cause": str(span.cause),
        "source": span.source,
        "detail": fitting(span.detail),
        "confirmed": span.confirmed,
    }


def put_site(connection: sa.Connection, site: str, **values: Any) -> None:
    """Note something of a site; it is made known with that."""
    changed = connection.execute(sa.update(SITES).where(SITES.c.site == site).values(**values)).rowcount
    if not changed:
        usual = {"until": None, "listed": None, "guests": 0, "source": "", "trouble": ""}
        connection.execute(sa.insert(SITES).values(site=site, **{**usual, **values}))


def fitting(text: str) -> str:
    """A text of limited length that a database can hold."""
    return shortened(storable(text), _LONGEST)
