"""What clients approved, as it is recorded: the reversibility plan of a contract that ends (article 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history.declared import Approval
from orchestrator.history.records import Records, read

if TYPE_CHECKING:
    from orchestrator.contract.life import ContractLife
    from orchestrator.history.store import History

REVERSIBILITY_PLAN = "reversibility-plan"
"""The subject of such an approval."""


def approvals(history: History) -> Records:
    """Every client's approvals: one query.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    return read(history, kinds=(Approval,))


def approval_of_plan(records: Records, client: str, life: ContractLife) -> Approval | None:
    """A client's newest approval of the plan for the notice that its file has; None if none is recorded.

    One of before that notice was for another plan: of an end that was taken back.
    """
    found = [
        item.said
        for item in records.of(Approval)
        if item.said.client == client
        and item.said.subject == REVERSIBILITY_PLAN
        and life.notice is not None
        and item.said.day >= life.notice
    ]
    return found[-1] if found else None
