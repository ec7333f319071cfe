"""The plan as JSON for other programs: a documented, versioned format.

``format_version`` changes when a field is removed or changes its meaning; new fields may appear at any time.
The schema is printed by ``orchestrator schema --plan``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.planning.interventions import Charge, Intervention
from orchestrator.planning.plan import MachinePlan, Plan
from orchestrator.planning.safety import Risk
from orchestrator.resources.change import Change, ChangeClass, Kind

FORMAT_VERSION = 1


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChangeDocument(_Document):
    """One difference between a file and the hypervisor."""

    kind: Kind
    what: str = Field(description="the thing that changes: memory, disk data, firewall")
    before: str | None
    after: str | None
    change_class: ChangeClass | None = Field(description="article 3.8.4")
    class_reason: str | None = Field(description="why it has that class")
    erases: bool = Field(description="data goes that would have stayed without the change")
    drift: bool = Field(description="the hypervisor was changed, not the file")
    restart: str | None = Field(description="when the machine restarts for it, in words")
    why: str | None = Field(description="reason and way out, for refusals and notices")


class InterventionDocument(_Document):
    """What one machine's changes are to the contract's change management (article 3.8.4)."""

    change_class: ChangeClass
    by_rule: ChangeClass | None = Field(description="the class by the rules, if somebody decided otherwise")
    charge: Charge
    quote: str | None = Field(description="the accepted quote that covers it")
    reason: str


class MachineDocument(_Document):
    """One machine's part of the plan."""

    client: str
    machine: str
    site: str
    offer: str
    contract: str
    vmid: int | None = Field(description="null before it is created")
    node: str | None
    digest: str | None = Field(description="of the configuration that the plan was made from")
    address: str | None
    refused: bool = Field(description="something was refused: nothing at all is done to this machine")
    changes: list[ChangeDocument]
    intervention: InterventionDocument | None = Field(description="null if nothing counts")


class DangerDocument(_Document):
    """Why the plan refuses itself, until it is allowed."""

    risk: Risk
    where: str
    words: str
    name: str = Field(description="what --allow names")
    allowed: bool


class AllowanceDocument(_Document):
    """A client's free standard changes of the month."""

    client: str
    per_month: int
    used: int
    planned: int
    left: int


class PoolDocument(_Document):
    """A pool to create."""

    site: str
    pool: str


class UnmanagedDocument(_Document):
    """A machine that is not ours and is never touched."""

    site: str
    vmid: int
    name: str
    node: str


class FailureDocument(_Document):
    """A site that could not be read."""

    site: str
    reason: str


class SummaryDocument(_Document):
    """Counts over the whole plan."""

    create: int
    update: int = Field(description="machines that change, but for new and retired ones")
    retire: int
    restart: int
    refused: int
    expire: int = Field(description="snapshots whose seven days are over")
    waiting: int
    erase: int = Field(description="always 0: no plan erases", le=0)
    by_class: dict[ChangeClass, int] = Field(description="interventions, one a machine")
    quotes_missing: int = Field(description="machines that stay as they are until a quote is named")


class PlanDocument(_Document):
    """A plan."""

    format_version: int = FORMAT_VERSION
    made_at: dt.datetime
    has_changes: bool
    machines: list[MachineDocument]
    pools: list[PoolDocument]
    unmanaged: list[UnmanagedDocument]
    failures: list[FailureDocument]
    frozen: dict[str, str] = Field(description="who stopped every change, and why, by site")
    dangers: list[DangerDocument]
    allowances: list[AllowanceDocument]
    summary: SummaryDocument


def _change(change: Change) -> ChangeDocument:
    return ChangeDocument(**{name: getattr(change, name) for name in ChangeDocument.model_fields})


def _machine(plan: MachinePlan) -> MachineDocument:
    return MachineDocument(
        client=plan.client,
        machine=plan.machine,
        site=plan.site,
        offer=plan.offer,
        contract=plan.contract,
        vmid=plan.vmid,
        node=plan.node,
        digest=plan.digest,
        address=str(plan.address) if plan.address else None,
        refused=plan.refused,
        changes=[_change(change) for change in plan.changes],
        intervention=_intervention(plan.intervention),
    )


def _intervention(held: Intervention | None) -> InterventionDocument | None:
    if held is None:
        return None
    return InterventionDocument(**{name: getattr(held, name) for name in InterventionDocument.model_fields})


def summary(plan: Plan) -> SummaryDocument:
    """Count what a plan would do."""

    def having(kind: Kind) -> int:
        return sum(any(change.kind is kind for change in machine.effective) for machine in plan.machines)

    create, retire = having(Kind.CREATE), having(Kind.RETIRE)
    changed = sum(bool(machine.effective) for machine in plan.machines)
    return SummaryDocument(
        create=create,
        update=changed - create - retire,
        retire=retire,
        restart=having(Kind.RESTART),
        refused=plan.count(Kind.REFUSED) + plan.count(Kind.UNABLE),
        expire=plan.count(Kind.EXPIRE),
        waiting=plan.count(Kind.WAITING),
        erase=0,
        by_class=dict(
            Counter(machine.intervention.change_class for machine in plan.machines if machine.intervention)
        ),
        quotes_missing=sum(machine.lacks_quote for machine in plan.machines),
    )


def to_document(plan: Plan) -> PlanDocument:
    """Return the plan in the published format."""
    return PlanDocument(
        made_at=plan.made_at,
        has_changes=plan.has_changes,
        machines=[_machine(machine) for machine in plan.machines],
        pools=[PoolDocument(site=site, pool=pool) for site, pool in plan.pools],
        unmanaged=[
            UnmanagedDocument(site=site, vmid=vm.vmid, name=vm.name, node=vm.node)
            for site, machines in plan.unmanaged.items()
            for vm in machines
        ],
        failures=[FailureDocument(site=failure.site, reason=failure.reason) for failure in plan.failures],
        frozen=dict(plan.frozen),
        dangers=[
            DangerDocument(**{name: getattr(danger, name) for name in DangerDocument.model_fields})
            for danger in plan.dangers
        ],
        allowances=[
            AllowanceDocument(
                client=client,
                per_month=allowance.per_month,
                used=allowance.used,
                planned=allowance.planned,
                left=allowance.left,
            )
            for client, allowance in sorted(plan.allowances.items())
        ],
        summary=summary(plan),
    )
