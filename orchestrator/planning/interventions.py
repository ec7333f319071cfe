"""What a plan's changes are to the contract (article 3.8.4): ordered, free, charged, or lacking a reference.

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
from orchestrator.guests.rules import policy_from_data
from orchestrator.planning.charges import Allowance, Charge, Intervention, Needed
from orchestrator.planning.classes import WORST_FIRST, counts, is_ordered
from orchestrator.resources.change import ChangeClass, Effect

if TYPE_CHECKING:
    from orchestrator.planning.plan import MachinePlan, Plan
    from orchestrator.resources.change import Change
    from orchestrator.resources.desired import ChangeTerms


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What the person who plans decides.

    Attributes:
        order: the reference of an order or amendment for what is ordered; None if none was given.
        catalogue: the reference of the catalogue for what is charged by it; None if none was given.
        quote: the reference of an accepted quote of the files; None if none was given.
        classes: the class of machines' interventions, by client and machine, against the rules'.
    """

    order: str | None = None
    catalogue: str | None = None
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


def _intervention(
    machine: MachinePlan,
    terms: ChangeTerms | None,
    before: Collection[tuple[str, dt.date]],
    decisions: Decisions,
    today: dt.date,
) -> Intervention | None:
    """What one machine's changes are to the contract; None if they are neither ordered nor an intervention."""
    if machine.undelivered or machine.stopped_by_contract:
        return None  # decided earlier; or stopped by articles 9 and 10, which wait for no reference
    changes = [change for change in machine.effective if change.change_class]
    ordered = [change for change in changes if is_ordered(change)]
    counted = [change for change in changes if counts(change) and not _by_amendment(machine, change)]
    if not ordered and not counted:
        return None
    worst = min(
        counted or ordered, key=lambda change: WORST_FIRST.index(change.change_class or ChangeClass.STANDARD)
    )
    by_rule = worst.change_class or ChangeClass.STANDARD
    held = decisions.classes.get(machine.key, by_rule)
    found = Intervention(
        change_class=held,
        by_rule=by_rule if held is not by_rule else None,
        charge=Charge.INCLUDED,
        counted=bool(counted) or machine.key in decisions.classes,
        reason=worst.class_reason or "",
    )
    if terms is None:
        return found
    references = _References(terms=terms, machine=machine.machine, today=today, decisions=decisions)
    if found.counted:
        free = (machine.machine, today) in before or len(before) < terms.free_per_month
        found = _charged(found, references, free=free)
    return _ordered(found, references) if ordered else found


@dataclass(frozen=True, kw_only=True)
class _References:
    """The references that cover one machine's changes today: what was named for this plan comes before the file's."""

    terms: ChangeTerms
    machine: str
    today: dt.date
    decisions: Decisions

    @property
    def order(self) -> str | None:
        return self.decisions.order or self.terms.order_for(self.machine, self.today)

    @property
    def catalogue(self) -> str | None:
        return self.decisions.catalogue or self.terms.catalogue_for(self.machine, self.today)

    @property
    def quote(self) -> str | None:
        return self.named_quote or self.terms.quote_for(self.machine, self.today)

    @property
    def named_quote(self) -> str | None:
        """The quote that was named for this plan, if it is one of the file's that covers the machine."""
        named = self.decisions.quote
        return named and self.terms.quote_for(self.machine, self.today, reference=named)


def _charged(found: Intervention, references: _References, *, free: bool) -> Intervention:
    """Who pays for an intervention. An accepted quote may always stand in for the catalogue, never the reverse."""
    if found.change_class is ChangeClass.STANDARD and free:
        return replace(found, charge=Charge.FREE)
    catalogue = None if found.change_class is ChangeClass.MAJOR else references.catalogue
    quote = references.named_quote or (None if catalogue else references.quote)
    if quote:
        return replace(found, charge=Charge.QUOTED, quote=quote)
    if catalogue:
        return replace(found, charge=Charge.CATALOGUE, catalogue=catalogue)
    needed = Needed.QUOTE if found.change_class is ChangeClass.MAJOR else Needed.CATALOGUE
    return replace(found, charge=Charge.MISSING, lacks=(needed,))


def _ordered(found: Intervention, references: _References) -> Intervention:
    """The order that more, fewer or larger machines need. An accepted quote is one as well."""
    alone = Charge.ORDERED if not found.counted else found.charge
    if order := references.order:
        return replace(found, order=order, charge=alone)
    if quote := found.quote or references.quote:
        return replace(found, quote=quote, charge=Charge.QUOTED if not found.counted else found.charge)
    return replace(found, charge=Charge.MISSING, lacks=(Needed.ORDER, *found.lacks))


def _by_amendment(machine: MachinePlan, change: Change) -> bool:
    """Whether a firewall's change follows from the contract's level, or from the provider's own addresses.

    ``level: full`` takes the client's administration away (article 3.8.2): that is no request of the client's. What is
    opened to others, and whom the client lets in to administer, is.
    """
    mark = machine.observed.mark if machine.observed else None
    if change.effect is not Effect.FIREWALL or machine.desired is None or mark is None or not mark.firewall:
        return False
    before, after = policy_from_data(mark.firewall), machine.desired.policy
    closed = not machine.desired.direct_access
    providers = replace(
        before,
        allowed_from=after.allowed_from if closed else before.allowed_from,
        management=after.management,
        monitoring=after.monitoring,
        form=after.form,
    )
    return providers == after
