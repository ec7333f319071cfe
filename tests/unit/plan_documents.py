"""Plans as documents, for what is made of them."""

from __future__ import annotations

import datetime as dt

from orchestrator.planning.document import PlanDocument, to_document
from orchestrator.planning.plan import MachinePlan, Plan
from orchestrator.resources.change import Change, Effect


def document_with(why: str) -> PlanDocument:
    """A plan of one machine with one refused change, whose reason is the given text."""
    machine = MachinePlan(
        client="dupont",
        machine="web-1",
        site="paris",
        offer="cloud-vm-advanced",
        contract="C-1",
        vmid=100,
        node="pve1",
        digest="d",
        address=None,
        changes=(Change(effect=Effect.REFUSED, what="disk data", before="2GiB", after="1GiB", why=why),),
        desired=None,
        observed=None,
    )
    return to_document(
        Plan(
            made_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC),
            machines=(machine,),
            shared=(),
            unmanaged={},
            failures=(),
        )
    )
