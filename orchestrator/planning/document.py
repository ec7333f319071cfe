"""The plan as JSON for other programs: a documented, versioned format.

``format_version`` changes when a field is removed or changes its meaning; new fields may appear at any time.
The schema is printed by ``orchestrator schema --plan``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field

from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.planning.charges import Charge, Needed
from orchestrator.planning.classes import is_ordered
from orchestrator.planning.items import Document, ItemDocument, Told, items_of
from orchestrator.planning.plan import MachinePlan, Plan
from orchestrator.planning.safety import RISKS
from orchestrator.planning.taking_over import taking_words
from orchestrator.planning.words import sides, when_words
from orchestrator.resources.change import Change, ChangeClass, Effect
from orchestrator.resources.unreadable import Unreadable

FORMAT_VERSION = 2

Part = TypeVar("Part", bound=Document)


class ChangeDocument(Document):
    """One difference between a file and the hypervisor."""

    kind: Effect = Field(description="what happens: create, update, restart, refused, …")
    what: Told = Field(description="the thing that changes: memory, disk data, firewall")
    before: Told | None = Field(description="what is there now; null if nothing is")
    after: Told | None = Field(description="what the file asks for; null if it goes")
    change_class: ChangeClass | None = Field(description="article 3.8.4")
    class_reason: Told | None = Field(description="why it has that class")
    ordered: bool = Field(
        default=False, description="more, fewer or larger machines: it needs an order's reference"
    )
    erases: bool = Field(description="data goes that would have stayed without the change")
    drift: bool = Field(description="the hypervisor was changed, not the file")
    restart: Told | None = Field(description="when the machine restarts for it, in words")
    restart_at: dt.datetime | None = Field(
        default=None,
        description="when the window of a planned restart opens; null if it is now, not planned, or none",
    )
    why: Told | None = Field(description="reason and way out, for refusals and notices")

    @property
    def effect(self) -> Effect:
        """What happens; this format has it as ``kind``."""
        return self.kind


class InterventionDocument(Document):
    """What one machine's changes are to the contract's change management (article 3.8.4)."""

    change_class: ChangeClass = Field(description="the class that counts (article 3.8.4)")
    by_rule: ChangeClass | None = Field(description="the class by the rules, if somebody decided otherwise")
    charge: Charge = Field(
        description="free, charged by the catalogue or on a quote, only ordered, or missing a reference"
    )
    counted: bool = Field(
        default=True, description="an intervention of change management; false for what is only ordered"
    )
    order: Told | None = Field(default=None, description="the order or amendment that asks for it")
    catalogue: Told | None = Field(default=None, description="the reference that it is charged by")
    quote: Told | None = Field(description="the accepted quote that covers it")
    lacks: list[Needed] = Field(default_factory=list, description="references that it needs and nobody named")
    reason: Told = Field(description="why it has that class")


class MachineDocument(Document):
    """One machine's part of the plan."""

    client: Told = Field(description="whose it is")
    machine: Told = Field(description="its name in the client's file")
    site: Told = Field(description="the data centre")
    offer: Told = Field(description="as its file has it")
    contract: Told = Field(description="the contract's reference")
    vmid: int | None = Field(description="null before it is created")
    node: Told | None = Field(description="where it runs; null before it is created")
    digest: Told | None = Field(description="of the configuration that the plan was made from")
    address: Told | None = Field(description="IPv4; null if it has none yet")
    refused: bool = Field(description="something was refused: nothing at all is done to this machine")
    changes: list[ChangeDocument] = Field(
        description="in the order in which they are made; empty: nothing to do. Of a refused machine: what is refused, "
        "and what waits or is worth knowing"
    )
    not_done: list[ChangeDocument] = Field(
        default_factory=list,
        description="what the file of a refused machine asks for besides: never made, and counted nowhere else",
    )
    intervention: InterventionDocument | None = Field(description="null if nothing counts")


class RiskDocument(Document):
    """A risk above the safety limits: nothing is applied until it is allowed."""

    risk: str = Field(
        json_schema_extra={"enum": [*RISKS]}, description=" or ".join(", ".join(RISKS).rsplit(", ", 1))
    )
    where: Told = Field(description="a client, a machine, or site=SITE")
    words: Told = Field(description="how much, and the limit")
    name: Told = Field(description="what --allow names")
    allowed: bool = Field(description="named by --allow when the plan was made")


class AllowanceDocument(Document):
    """A client's free standard changes of the month."""

    client: Told = Field(description="whose allowance")
    per_month: int = Field(description="free standard changes of the contract")
    used: int = Field(description="counted in the history of this calendar month")
    planned: int = Field(description="that this plan would use")
    left: int = Field(description="after this plan")


class PoolDocument(Document):
    """A pool to create."""

    site: Told = Field(description="where")
    pool: Told = Field(description="its name in Proxmox: client-NAME")


class SharedDocument(Document):
    """A change of what a client has at a site for all its machines."""

    client: Told = Field(description="whose it is")
    site: Told = Field(description="where")
    address: Told = Field(description="CLIENT/KIND/NAME, as --only takes it")
    change: ChangeDocument = Field(description="what happens to it")


class UnmanagedDocument(Document):
    """A machine that is not ours and is never touched."""

    site: Told = Field(description="where")
    vmid: int = Field(description="its number")
    name: Told = Field(description="its name in Proxmox")
    node: Told = Field(description="where it runs")


class FailureDocument(Document):
    """A site that could not be read."""

    site: Told = Field(description="whose machines are not planned")
    reason: Told = Field(description="what went wrong, and what to do")


class UnreadableDocument(Document):
    """Something at a site that was read and that could not be read itself, or a machine that only claims to be ours."""

    site: Told = Field(description="where")
    kind: Literal["machine", "node", "storage"] = Field(description="what it is")
    name: Told = Field(description="in Proxmox")
    vmid: int | None = Field(description="a machine's number; null for others, and if it is not known")
    node: Told | None = Field(description="where a machine is; null for others")
    client: Told | None = Field(description="whose it seems to be; null if nothing tells")
    machine: Told | None = Field(description="which of the client's it seems to be; null if nothing tells")
    copy_of_ours: bool = Field(description="the machine that it claims to be is there: it holds nothing up")
    reason: Told = Field(description="why, and what to do")
    refuses: list[Told] = Field(
        default_factory=list,
        description="machines of files, CLIENT/MACHINE, that are refused because of it: their refusal names it",
    )


class WithoutFileDocument(Document):
    """A client that has machines and no file among those given: nothing is changed there."""

    client: Told = Field(description="whose machines they are")
    sites: list[Told] = Field(description="where they are")
    machines: int = Field(description="how many; retired ones are not counted")
    meant: Told | None = Field(
        description="the client of a file that has no machine yet and is spelt almost the same; null if there is none"
    )
    found: Told = Field(description="what was found, in words")
    remedy: Told = Field(description="what to do, in words")


class RestartsDocument(Document):
    """Machines that restart at one time."""

    machines: int = Field(description="how many")
    when: Literal["now", "window", "not-planned"] = Field(
        description="in this run; in the next maintenance window; or no window was agreed"
    )
    at: dt.datetime | None = Field(description="when the window opens; null for others")


class SummaryDocument(Document):
    """Counts over the whole plan."""

    create: int = Field(description="new machines")
    update: int = Field(description="machines that change, but for new and retired ones")
    retire: int = Field(description="machines that are stopped and kept")
    restart: int = Field(description="machines that restart in this run")
    restarts: list[RestartsDocument] = Field(
        default_factory=list, description="every restart that the changes need: how many machines, and when"
    )
    shared: int = Field(default=0, description="changes of what clients have for all their machines")
    refused: int = Field(description="changes that are refused")
    not_done: int = Field(default=0, description="other changes of refused machines: not made either")
    expire: int = Field(description="snapshots whose seven days are over")
    waiting: int = Field(description="changes that wait for a restart or a window")
    erase: int = Field(description="always 0: no plan erases", le=0)
    by_class: dict[ChangeClass, int] = Field(description="interventions, one a machine")
    quotes_missing: int = Field(
        description="machines that stay as they are until an order, a catalogue reference or a quote is named"
    )


class PlanDocument(Document):
    """A plan."""

    format_version: int = Field(default=FORMAT_VERSION, description="of this form of plans")
    made_at: dt.datetime = Field(description="the moment that it was made for, with its offset")
    has_changes: bool = Field(description="whether apply would do anything")
    machines: list[MachineDocument] = Field(
        description="every machine of the files, and those that left them, with the changes of all that belongs to "
        "them in words; readers of values and of other things read items"
    )
    items: list[ItemDocument] = Field(
        default_factory=list, description="everything that changes, is refused, waits or is worth knowing"
    )
    pools: list[PoolDocument] = Field(description="to be created")
    shared: list[SharedDocument] = Field(
        default_factory=list, description="changes of what clients have for all their machines"
    )
    unmanaged: list[UnmanagedDocument] = Field(description="machines that are not ours")
    failures: list[FailureDocument] = Field(description="sites that could not be read")
    unreadable: list[UnreadableDocument] = Field(
        default_factory=list, description="what could not be read of the other sites; nothing is done to it"
    )
    frozen: dict[Told, Told] = Field(description="who stopped every change, and why, by site")
    dangers: list[RiskDocument] = Field(description="why apply does nothing until each is allowed")
    allowances: list[AllowanceDocument] = Field(description="the month's free standard changes, by client")
    takings: dict[Told, Told] = Field(
        default_factory=dict,
        description="how far takings over that are not settled are (article 4.2), by client",
    )
    waiting_since: dict[Told, dt.datetime] = Field(
        default_factory=dict,
        description="when the settings were written that wait for a restart, by CLIENT/MACHINE, as far as it is known",
    )
    without_file: list[WithoutFileDocument] = Field(
        default_factory=list, description="clients that have machines and no file among those given"
    )
    summary: SummaryDocument


def _from(form: type[Part], data: object, **others: Any) -> Part:
    """A part of the document, with what has the same name in the plan, and some others."""
    same = {name: getattr(data, name) for name in form.model_fields if name not in others}
    return form(**same, **others)


def _change(change: Change) -> ChangeDocument:
    before, after = sides(change)
    return _from(
        ChangeDocument,
        change,
        kind=change.effect,
        before=before,
        after=after,
        ordered=is_ordered(change),
        restart=when_words(change.restart),
    )


def _machine(plan: MachinePlan) -> MachineDocument:
    held = plan.intervention
    return _from(
        MachineDocument,
        plan,
        address=str(plan.address) if plan.address else None,
        changes=[_change(change) for change in plan.shown],
        not_done=[_change(change) for change in plan.not_done],
        intervention=_from(InterventionDocument, held) if held else None,
    )


def restarts(
    machines: Iterable[Sequence[Change | ChangeDocument]], made_at: dt.datetime
) -> Iterator[RestartsDocument]:
    """Count the restarts that changes need: first those of this run, then those planned by their time.

    Args:
        machines: the changes of each machine, without those that are not done.
        made_at: the moment that the plan was made for.
    """
    found: Counter[tuple[int, dt.datetime | None]] = Counter()
    for changes in machines:
        if any(change.effect is Effect.RESTART for change in changes):
            found[_NOW, None] += 1
        elif needing := [change for change in changes if change.restart]:
            times = [change.restart_at for change in needing if change.restart_at is not None]
            found[(_WINDOW, min(times)) if times else (_NOT_PLANNED, None)] += 1
    for (when, at), count in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or made_at)):
        yield RestartsDocument(machines=count, when=_WHEN[when], at=at)


_NOW, _WINDOW, _NOT_PLANNED = range(3)
_WHEN: tuple[Literal["now", "window", "not-planned"], ...] = ("now", "window", "not-planned")


def restart_words(found: Sequence[RestartsDocument]) -> str:
    """How many machines restart when: ``1 now, 2 on Tue 2026-11-24 22:00 CET``; empty if none does."""
    words = []
    planned = [item for item in found if item.at is not None]
    for item in found:
        if item.when == "now":
            words.append(f"{item.machines} now")
        elif item.at is not None and item in planned[:_TIMES_SHOWN]:
            words.append(f"{item.machines} on {paris_time(item.at, weekday=True)}")
        elif item.at is None:
            words.append(f"{item.machines} not planned (no maintenance window agreed)")
    if later := sum(item.machines for item in planned[_TIMES_SHOWN:]):
        words.append(f"{later} later")
    return ", ".join(words)


def restarts_counted(found: Sequence[RestartsDocument]) -> str:
    """All restarts with their times: ``1 restart on Tue 2026-11-24 22:00 CET``, ``3 restarts: 1 now, 2 on …``."""
    noun = counted(sum(item.machines for item in found), "restart")
    words = restart_words(found)
    return f"{noun}: {words}" if len(found) > 1 else f"{noun} {words.partition(' ')[2]}"


_TIMES_SHOWN = 2


def summary(plan: Plan) -> SummaryDocument:
    """Count what a plan would do."""

    def having(effect: Effect) -> int:
        return sum(any(change.effect is effect for change in machine.effective) for machine in plan.machines)

    create, retire = having(Effect.CREATE), having(Effect.RETIRE)
    changed = sum(bool(machine.effective) for machine in plan.machines)
    return SummaryDocument(
        create=create,
        update=changed - create - retire,
        retire=retire,
        restart=having(Effect.RESTART),
        restarts=list(restarts((machine.shown for machine in plan.machines), plan.made_at)),
        shared=sum(item.own_effect for item in plan.shared),
        refused=plan.count(Effect.REFUSED) + plan.count(Effect.UNABLE),
        not_done=sum(len(machine.not_done) for machine in plan.machines),
        expire=sum(
            change.effect is Effect.EXPIRE for machine in plan.machines for change in machine.effective
        ),
        waiting=plan.count(Effect.WAITING),
        erase=0,
        by_class=dict(
            Counter(
                machine.intervention.change_class
                for machine in plan.machines
                if machine.intervention and machine.intervention.counted
            )
        ),
        quotes_missing=sum(machine.lacks_reference for machine in plan.machines),
    )


def _refused_for(item: Unreadable, plan: Plan) -> list[str]:
    return [
        "/".join(machine.key)
        for machine in plan.machines
        if machine.held_by == item
        or (
            item.kind == "machine"
            and machine.refused
            and (machine.site, machine.vmid) == (item.site, item.vmid)
        )
    ]


def to_document(plan: Plan) -> PlanDocument:
    """Return the plan in the published format."""
    return PlanDocument(
        made_at=plan.made_at,
        has_changes=plan.has_changes,
        machines=[_machine(machine) for machine in plan.machines],
        items=list(items_of(plan)),
        pools=[
            PoolDocument(site=item.site, pool=item.address.name)
            for item in plan.shared
            if item.address.kind == "pool"
        ],
        shared=[
            SharedDocument(
                client=item.client, site=item.site, address=str(item.address), change=_change(item.change)
            )
            for item in plan.shared
            if item.by_itself
        ],
        unmanaged=[
            UnmanagedDocument(site=site, vmid=vm.vmid, name=vm.name, node=vm.node)
            for site, machines in plan.unmanaged.items()
            for vm in machines
        ],
        failures=[FailureDocument(site=failure.site, reason=failure.reason) for failure in plan.failures],
        unreadable=[
            _from(UnreadableDocument, item, copy_of_ours=item.copy, refuses=_refused_for(item, plan))
            for item in plan.unreadable
        ],
        frozen=dict(plan.frozen),
        dangers=[_from(RiskDocument, risk) for risk in plan.risks],
        allowances=[
            _from(AllowanceDocument, allowance, client=client)
            for client, allowance in sorted(plan.allowances.items())
        ],
        takings={client: taking_words(taking) for client, taking in plan.takings.items()},
        waiting_since={"/".join(key): since for key, since in plan.waiting_since.items()},
        without_file=[_from(WithoutFileDocument, item, sites=list(item.sites)) for item in plan.without_file],
        summary=summary(plan),
    )
