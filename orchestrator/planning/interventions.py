"""What a plan's changes are to the contract's change management (article 3.8.4): free, quoted, or missing a quote.

One machine's changes in one run are one intervention, of the highest class among them. The month's free ones are
those of the quote (``standard_changes_per_month``), counted from the history by calendar month in Paris; what is done
to one machine on one day counts once, so that a run which was interrupted and started again is not counted twice.
Clients without managed services have no change management: their changes are classed, and nothing is due.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import day_in_paris
from orchestrator.planning.charges import Allowance, Charge, Intervention
from orchestrator.planning.classes import WORST_FIRST, counts
from orchestrator.resources.change import ChangeClass

if TYPE_CHECKING:
    from orchestrator.planning.plan import MachinePlan, Plan
    from orchestrator.resources.desired import ChangeTerms


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What the person who plans decides.

    Attributes:
        quote: the reference of an accepted quote for whatever is charged; None if none was given.
        classes: the class of machines' interventions, by client and machine, against the rules'.
    """

    quote: str | None = None
    classes: Mapping[tuple[str, str], ChangeClass] = field(default_factory=dict)


NO_DECISIONS = Decisions()

FreeUse = Mapping[str, Collection[tuple[str, dt.date]]]
"""The free changes that were used this month: machines and days, by client."""


def with_interventions(plan: Plan, used: FreeUse, decisions: Decisions = NO_DECISIONS) -> Plan:
    """Say of every machine of a plan what its changes are to the contract.

    Args:
        plan: the plan.
        used: the month's free changes so far (:func:`orchestrator.history.changes.free_changes`).
        decisions: quotes and classes given by the person who plans.
    """
    today = day_in_paris(plan.made_at)
    planned: dict[str, set[tuple[str, dt.date]]] = defaultdict(set)
    machines = []
    for machine in plan.machines:
        own = plan.change_terms.get(machine.client)
        before = {*used.get(machine.client, ()), *planned[machine.client]}
        found = _intervention(machine, own, before, decisions, today)
        if _of_the_contract(machine, plan.made_at):
            found = None
        if found and found.charge is Charge.FREE and (machine.machine, today) not in before:
            planned[machine.client].add((machine.machine, today))
        machines.append(replace(machine, intervention=found))
    allowances = {
        client: Allowance(
            per_month=own.free_per_month, used=len(used.get(client, ())), planned=len(planned[client])
        )
        for client, own in plan.change_terms.items()
        if own
    }
    return replace(plan, machines=tuple(machines), allowances=allowances)


def _of_the_contract(machine: MachinePlan, now: dt.datetime) -> bool:
    """Whether it is stopped, or started again, because of its contract's standing: no change of the client's."""
    if machine.desired is None or machine.observed is None or machine.observed.mark is None:
        return False
    return machine.observed.mark.suspended is not None or bool(machine.desired.life.why(now))


def _intervention(
    machine: MachinePlan,
    terms: ChangeTerms | None,
    before: Collection[tuple[str, dt.date]],
    decisions: Decisions,
    today: dt.date,
) -> Intervention | None:
    counted = [change for change in machine.effective if change.change_class and counts(change)]
    if machine.undelivered or not counted:
        return None
    worst = min(counted, key=lambda change: WORST_FIRST.index(change.change_class or ChangeClass.STANDARD))
    by_rule = worst.change_class or ChangeClass.STANDARD
    held = decisions.classes.get(machine.key, by_rule)
    charge, quote = _charge(machine, held, terms, before, decisions, today)
    return Intervention(
        change_class=held,
        by_rule=by_rule if held is not by_rule else None,
        charge=charge,
        quote=quote,
        reason=worst.class_reason or "",
    )


def _charge(
    machine: MachinePlan,
    held: ChangeClass,
    terms: ChangeTerms | None,
    before: Collection[tuple[str, dt.date]],
    decisions: Decisions,
    today: dt.date,
) -> tuple[Charge, str | None]:
    if terms is None:
        return Charge.INCLUDED, None
    if held is ChangeClass.STANDARD and (
        (machine.machine, today) in before or len(before) < terms.free_per_month
    ):
        return Charge.FREE, None
    quote = decisions.quote or terms.quote_for(machine.machine, today)
    return (Charge.QUOTED, quote) if quote else (Charge.MISSING, None)
