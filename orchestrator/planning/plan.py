"""From desired and observed to a plan: data that can be shown, counted and executed."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.contract.life import Standing
from orchestrator.errors import Reason
from orchestrator.guests.inside import InsideReading
from orchestrator.planning.address_choice import choose_addresses, with_leaving
from orchestrator.planning.charges import Allowance, Charge, Intervention
from orchestrator.planning.classes import classified
from orchestrator.planning.creation import adoption, creation
from orchestrator.planning.machine import machine_changes
from orchestrator.planning.notes_room import NOTED, notes_refusal
from orchestrator.planning.refusals import (
    identity_refusal,
    locked,
    no_address,
    unread,
)
from orchestrator.planning.renaming import (
    likely_renames,
    renaming,
    still_there,
    unknown_before,
    waits_for_name,
)
from orchestrator.planning.renaming import refusal as renaming_refusal
from orchestrator.planning.risk import Risk
from orchestrator.planning.shared import SharedChange, shared_changes
from orchestrator.planning.shared import unable as refused
from orchestrator.proxmox import VmSummary
from orchestrator.resources.change import MACHINE, Address, Change, Effect, State
from orchestrator.resources.desired import ChangeTerms, DesiredMachine, owners_of
from orchestrator.resources.kinds import APART, KINDS
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.scope import EVERYTHING, Selection
from orchestrator.resources.unreadable import Unreadable
from orchestrator.shown import quoted

if TYPE_CHECKING:
    from orchestrator.history.taking_over import Taking
    from orchestrator.resources.without_file import WithoutFile


@dataclass(frozen=True, kw_only=True)
class MachinePlan:
    """What would happen to one machine.

    Attributes:
        vmid: its id in Proxmox; None before it is created.
        digest: the digest of the configuration that the plan was made from; None before it is created.
        address: the address that it has or would get; None if none could be chosen.
        desired: the file's side; None for a machine that was taken out of its file.
        observed: the hypervisor's side; None before it is created.
        inside: what was seen in the guest; None if nobody looked.
        intervention: what its changes are to the contract (article 3.8.4); None if nothing counts, or before
            :func:`orchestrator.planning.interventions.with_interventions`.
        apart: what alone of the machine is made; None: all of it is.
        held_by: what could not be read and is, or may be, this machine: why it is refused; None if nothing is.
        stopped_by_contract: of a machine that was taken out of its file: why its client's contract has every machine
            stopped (articles 9 and 10); empty if it does not.
    """

    client: str
    machine: str
    site: str
    offer: str
    contract: str
    vmid: int | None
    node: str | None
    digest: str | None
    address: IPv4Address | None
    changes: tuple[Change, ...]
    desired: DesiredMachine | None
    observed: ObservedMachine | None
    inside: InsideReading | None = None
    intervention: Intervention | None = None
    held_by: Unreadable | None = None
    apart: Selection | None = None
    stopped_by_contract: Reason = ""

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.client, self.machine

    @property
    def items(self) -> dict[Address, tuple[Change, ...]]:
        """Its changes by what they are made to, in their order."""
        found: dict[Address, list[Change]] = defaultdict(list)
        for change in self.changes:
            name = f"{self.machine}:{change.part}" if change.part else self.machine
            found[Address(client=self.client, kind=change.thing, name=name)].append(change)
        return {address: tuple(changes) for address, changes in found.items()}

    @cached_property
    def refused(self) -> bool:
        """Whether something about it was refused: then nothing at all is done to it."""
        return any(change.effect is Effect.REFUSED for change in self.changes)

    @cached_property
    def effective(self) -> tuple[Change, ...]:
        """The changes that ``apply`` makes: none if one was refused."""
        return () if self.refused else tuple(change for change in self.changes if change.effective)

    @property
    def not_done(self) -> tuple[Change, ...]:
        """What its file asks for besides, and ``apply`` does not make because something was refused."""
        return tuple(change for change in self.changes if change.effective) if self.refused else ()

    @property
    def shown(self) -> tuple[Change, ...]:
        """The changes without those that are not done: what happens, what waits, what is refused."""
        return tuple(change for change in self.changes if not (self.refused and change.effective))

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run made it, and was interrupted before it was what its file asks for."""
        mark = self.observed.mark if self.observed else None
        return mark is not None and not mark.applied

    @property
    def undelivered(self) -> bool:
        """Whether its creation, which was decided earlier, has not come to its end in the guest."""
        mark = self.observed.mark if self.observed else None
        return mark is not None and not mark.ready and mark.retired is None and bool(self.desired)

    @property
    def lacks_reference(self) -> bool:
        """Whether an order, a catalogue's reference or a quote that it needs was not named: then nothing is made."""
        return self.intervention is not None and self.intervention.charge is Charge.MISSING


@dataclass(frozen=True, kw_only=True)
class SiteFailure:
    """A site that could not be read: nothing is planned there."""

    site: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole plan.

    Attributes:
        made_at: the time it was made for (aware).
        machines: in the order of clients and of their files.
        shared: changes of what clients have at sites for all their machines.
        unmanaged: machines that are not ours, by site. Never touched.
        failures: sites that could not be read.
        unreadable: what could not be read of the others, as far as it concerns what was planned for.
        change_terms: what was agreed on changes, by client; None where there are no managed services.
        allowances: free standard changes of the month, by client with managed services.
        risks: why the plan exceeds the safety limits, and what of it was allowed
            (:func:`orchestrator.planning.safety.with_risks`).
        frozen: who stopped every change and why, by site; empty if nobody did.
        takings: how far takings over are (article 4.2), by client; only those that are not settled.
        waiting_since: when the settings were written that wait for a restart (aware), by client and machine, as far as
            that is known: Proxmox does not keep it.
        without_file: clients that have machines and no file among those given.
    """

    made_at: dt.datetime
    machines: tuple[MachinePlan, ...]
    shared: tuple[SharedChange, ...]
    unmanaged: dict[str, tuple[VmSummary, ...]]
    failures: tuple[SiteFailure, ...]
    change_terms: Mapping[str, ChangeTerms | None] = field(default_factory=dict)
    allowances: Mapping[str, Allowance] = field(default_factory=dict)
    risks: tuple[Risk, ...] = ()
    frozen: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    takings: Mapping[str, Taking] = field(default_factory=dict)
    waiting_since: Mapping[tuple[str, str], dt.datetime] = field(default_factory=dict)
    without_file: tuple[WithoutFile, ...] = ()

    @property
    def has_changes(self) -> bool:
        """Whether ``apply`` would do something."""
        return any(machine.effective for machine in self.machines) or any(
            item.own_effect for item in self.shared
        )

    @property
    def has_errors(self) -> bool:
        """Whether something was refused, or something that is or claims to be ours could not be read, or is not."""
        unable = any(
            change.effect is Effect.UNABLE for machine in self.machines for change in machine.changes
        )
        unread = bool(self.failures) or any(item.claims for item in self.unreadable)
        return unread or unable or refused(self.shared) or any(machine.refused for machine in self.machines)

    @property
    def unsafe(self) -> tuple[Risk, ...]:
        """The risks that nobody allowed: with one of them, ``apply`` does nothing at all."""
        return tuple(risk for risk in self.risks if not risk.allowed)

    def count(self, effect: Effect) -> int:
        """How many changes of an effect ``apply`` would make (or, for refusals and waits, not make)."""
        shared = (item.change for item in self.shared if item.by_itself)
        of_machines = (change for machine in self.machines for change in machine.changes)
        return sum(change.effect is effect for change in (*of_machines, *shared))


def untold(plan: Plan) -> list[Unreadable]:
    """What could not be read, but for what a machine's refusal names: nothing is listed twice."""
    held = [machine.held_by for machine in plan.machines if machine.held_by is not None]
    refused = {(machine.site, machine.vmid) for machine in plan.machines if machine.refused}
    return [
        item
        for item in plan.unreadable
        if item not in held and not (item.kind == "machine" and (item.site, item.vmid) in refused)
    ]


def make_plan(
    desired: Iterable[DesiredMachine],
    observed: Mapping[str, ObservedSite],
    now: dt.datetime,
    *,
    selection: Selection = EVERYTHING,
    restart_now: bool = False,
    failures: Iterable[SiteFailure] = (),
    inside: Mapping[tuple[str, str], InsideReading] | None = None,
) -> Plan:
    """Compare desired and observed.

    Args:
        desired: all machines of all files (also beyond the selection: their addresses count).
        observed: by site; a site that is missing here was not read (see ``failures``).
        now: the time, aware.
        selection: machines to plan for.
        restart_now: restart machines also outside their maintenance window.
        failures: sites that could not be read.
        inside: what was seen in the guests, by client and machine; None if nobody looked.
    """
    wanted = list(desired)
    observed = {name: with_leaving(site, now) for name, site in observed.items()}
    own: dict[tuple[str, str], list[ObservedMachine]] = defaultdict(list)
    for site in observed.values():
        for machine in site.machines:
            if machine.mark:
                own[machine.mark.client, machine.mark.machine].append(machine)
    names, named = _names(wanted, own), frozenset(machine.key for machine in wanted)
    chosen = choose_addresses(wanted, observed)
    selected = [
        machine for machine in wanted if selection.includes(*machine.key) and machine.site in observed
    ]
    plans = [
        _machine_plan(
            machine,
            own,
            observed,
            chosen.get(machine.key),
            now,
            known=names[machine.client],
            named=named,
            restart_now=restart_now,
            inside=(inside or {}).get(machine.key),
        )
        for machine in selected
    ]
    leaving = _retirements(wanted, observed, now, own)
    plans += [plan for plan in leaving if selection.includes(*plan.key)]
    likely = likely_renames(
        [item for item in wanted if item.site in observed and item.adopt is None and item.key not in own],
        [plan.observed for plan in leaving if plan.observed and plan.effective],
    )
    plans = [
        plan
        if plan.observed or plan.held_by
        else replace(plan, changes=plan.changes + likely.get(plan.key, ()))
        for plan in plans
    ]
    plans = [_narrowed(plan, selection) for plan in plans] if selection.thing else plans
    order = {
        client: index for index, client in enumerate(dict.fromkeys(machine.client for machine in wanted))
    }
    plans.sort(key=lambda plan: order[plan.client])
    changing = [plan.desired for plan in plans if plan.desired and plan.effective]
    return Plan(
        made_at=now,
        machines=tuple(plans),
        shared=tuple(shared_changes(owners_of(wanted), changing, observed, selection, now)),
        unmanaged={name: site.strangers for name, site in observed.items() if site.strangers},
        failures=tuple(failures),
        change_terms={machine.client: machine.change_terms for machine in wanted},
        frozen={name: site.state.frozen for name, site in observed.items() if site.state.frozen},
        unreadable=tuple(_concerning(observed.values(), selection)),
    )


def _narrowed(plan: MachinePlan, selection: Selection) -> MachinePlan:
    """The plan of a machine of which something alone was asked for. Nothing is made that was not."""
    if plan.refused:
        return plan
    renames = plan.observed is not None and plan.observed.renaming is not None
    chosen = tuple(change for change in plan.changes if selection.covers(change))
    others = [change.what for change in plan.changes if change.effective and not selection.covers(change)]
    mark = plan.observed.mark if plan.observed else None
    if (
        selection.thing in APART
        and not renames
        and mark
        and mark.ready
        and mark.applied
        and mark.retired is None
    ):
        return replace(plan, changes=chosen, apart=selection)
    if others and any(change.effective for change in chosen):
        why = (
            f"{', '.join(dict.fromkeys(others))} would be applied with it: of what belongs to a machine, only "
            f"{' and '.join(APART)} can be applied alone. Select the machine: --only {plan.client}/{plan.machine}"
        )
        chosen = (Change(effect=Effect.REFUSED, what=MACHINE, after=plan.machine, why=why), *chosen)
    return replace(plan, changes=chosen)


def _names(wanted: Iterable[DesiredMachine], own: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    """The names of every client's machines that are in its file, or ours."""
    names: dict[str, set[str]] = defaultdict(set)
    for client, machine in (*(item.key for item in wanted), *own):
        names[client].add(machine)
    return {client: frozenset(found) for client, found in names.items()}


def _concerning(sites: Iterable[ObservedSite], selection: Selection) -> Iterator[Unreadable]:
    """What could not be read and concerns what is planned for."""
    for site in sites:
        machines = [
            item
            for item in site.unreadable
            if item.kind == "machine" and (selection == EVERYTHING or _may_be_of(item, selection))
        ]
        nodes = {item.node for item in machines}
        yield from (
            item
            for item in site.unreadable
            if item.kind != "machine" and (selection == EVERYTHING or item.name in nodes)
        )
        yield from machines


def _may_be_of(item: Unreadable, selection: Selection) -> bool:
    if item.client is None or item.client != selection.client:
        return False
    return selection.machine is None or item.machine in (None, selection.machine) or item.guessed


def _machine_plan(
    desired: DesiredMachine,
    everybody: Mapping[tuple[str, str], list[ObservedMachine]],
    observed: Mapping[str, ObservedSite],
    address: IPv4Address | None,
    now: dt.datetime,
    *,
    known: Collection[str],
    named: Collection[tuple[str, str]],
    restart_now: bool,
    inside: InsideReading | None,
) -> MachinePlan:
    site, own = observed[desired.site], everybody.get(desired.key, [])
    if conflict := still_there(desired, everybody, named):
        return _plan(desired, own[0] if own else None, address, (conflict,))
    adopting = site.adoptable.get(desired.adopt) if desired.adopt is not None else None
    held = unread(desired, observed, known) if not own and adopting is None else None
    why = desired.life.why(now) or _ending(desired, now) or desired.life.not_begun(now)
    if not own and why and not (held and held.surely):
        notice = Change(effect=Effect.NOTICE, what="machine", after=State.NOT_MADE, why=why)
        return _plan(desired, None, address, (notice,))
    if held:
        return replace(
            _plan(desired, None, address, (held.change,)),
            vmid=held.item.vmid,
            node=held.item.node,
            held_by=held.item,
        )
    if not own and desired.adopt is not None:
        return _plan(desired, adopting, address, (adoption(desired, site, adopting, address),))
    if not own:
        before = unknown_before(desired, {client for client, _ in everybody})
        return _plan(desired, None, address, (*creation(desired, site, address), *before))
    if refusal := renaming_refusal(desired, own[0]) or identity_refusal(desired, own, site, address):
        return _plan(desired, own[0], address, (refusal,))
    machine = own[0]
    if address is None:
        return _plan(desired, machine, None, (no_address(desired, site),))
    changes = machine_changes(desired, machine, address, now, restart_now=restart_now, inside=inside)
    changes = (*renaming(desired, machine), *changes)
    if any(change.effect in NOTED for change in changes) and (
        full := notes_refusal(desired, machine, address)
    ):
        changes = (full, *changes)
    return _plan(desired, machine, address, changes, inside)


def _ending(desired: DesiredMachine, now: dt.datetime) -> Reason:
    """Why nothing new is made for a client that gives its services up."""
    life = desired.life
    if life.standing(now) is not Standing.ENDING:
        return ""
    letter = quoted(life.notice_reference)
    return f"notice of {life.notice} was given ({letter}): nothing new is made until {life.last_day}"


def _plan(
    desired: DesiredMachine,
    observed: ObservedMachine | None,
    address: IPv4Address | None,
    changes: Iterable[Change],
    inside: InsideReading | None = None,
) -> MachinePlan:
    return MachinePlan(
        client=desired.client,
        machine=desired.name,
        site=desired.site,
        offer=str(desired.offer),
        contract=desired.contract,
        vmid=observed.summary.vmid if observed else None,
        node=observed.summary.node if observed else None,
        digest=observed.config.digest if observed else None,
        address=address,
        changes=classified(changes),
        desired=desired,
        observed=observed,
        inside=inside,
    )


def _retirements(
    desired: list[DesiredMachine],
    observed: Mapping[str, ObservedSite],
    now: dt.datetime,
    own: Mapping[tuple[str, str], list[ObservedMachine]],
) -> list[MachinePlan]:
    """Machines of clients whose file we have, but which the file no longer names.

    A client without a file is left alone: a missing file is not the end of a contract (article 10).
    """
    clients = {machine.client: machine.life for machine in desired}
    named = {machine.key for machine in desired}
    asking = [machine for machine in desired if still_there(machine, own, named)]
    return [
        _retirement(
            machine,
            machine.mark,
            clients[machine.mark.client].why(now),
            waits_for_name(machine, machine.mark, asking),
        )
        for site in observed.values()
        for machine in site.machines
        if machine.mark
        and machine.mark.client in clients
        and (machine.mark.client, machine.mark.machine) not in named
    ]


def _retirement(
    machine: ObservedMachine, mark: Mark, stopped_by_contract: Reason, waits: Change | None
) -> MachinePlan:
    changes: tuple[Change, ...] = ()
    if waits is not None:
        changes = (waits,)
    elif mark.retired is None:
        changes = (
            Change(
                effect=Effect.RETIRE,
                what="machine",
                before=machine.summary.status,
                after=State.RETIRED,
                why="it is no longer in its file; nothing is erased (art. 10)"
                + (f"; {stopped_by_contract}" if stopped_by_contract else "")
                + "".join(f"; {kind.leaving}" for kind in KINDS if kind.leaving and kind.noted(mark)),
            ),
        )
    elif machine.running and stopped_by_contract:
        changes = (
            Change(
                effect=Effect.STOP,
                what="power",
                before="running",
                after="stopped",
                drift=True,
                why=f"retired on {mark.retired}; {stopped_by_contract}",
            ),
        )
    elif machine.running:
        why = f"retired on {mark.retired}, yet it runs: stop it, or put it back into its file"
        changes = (
            Change(
                effect=Effect.NOTICE, what="power", before="running", after="stopped", drift=True, why=why
            ),
        )
    if changes and changes[0].effective and (refusal := locked(machine)):
        changes = (refusal,)
    return MachinePlan(
        client=mark.client,
        machine=mark.machine,
        site=machine.site,
        offer=mark.offer,
        contract=mark.contract,
        vmid=machine.summary.vmid,
        node=machine.summary.node,
        digest=machine.config.digest,
        address=machine.address,
        changes=classified(changes),
        desired=None,
        observed=machine,
        stopped_by_contract=stopped_by_contract,
    )
