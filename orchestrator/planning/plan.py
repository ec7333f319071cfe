"""From desired and observed to a plan.

A machine's plan is computed here and only here: ``plan`` shows it, ``apply`` executes it and, after each
step of its own, computes it again with the same function.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from orchestrator.guests.rules import describe_changes, policy_from_data
from orchestrator.planning.window import describe_restart, is_open
from orchestrator.proxmox import VmSummary
from orchestrator.resources.change import Change, ChangeClass, Kind
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.machine import RESTART_KEYS, edits, new_mark, pool_change
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.sites.addresses import free_addresses
from orchestrator.subscriptions.model import Offer, format_mebibytes


@dataclass(frozen=True, kw_only=True)
class MachinePlan:
    """What would happen to one machine.

    Attributes:
        vmid: its id in Proxmox; None before it is created.
        digest: the digest of the configuration that the plan was made from; None before it is created.
        address: the address that it has or would get; None if none could be chosen.
        desired: the file's side; None for a machine that was taken out of its file.
        observed: the hypervisor's side; None before it is created.
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

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.client, self.machine

    @property
    def refused(self) -> bool:
        """Whether something about it was refused: then nothing at all is done to it."""
        return any(change.kind is Kind.REFUSED for change in self.changes)

    @property
    def effective(self) -> tuple[Change, ...]:
        """The changes that ``apply`` makes: none if one was refused."""
        return () if self.refused else tuple(change for change in self.changes if change.effective)


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
        pools: (site, pool) to create.
        unmanaged: machines that are not ours, by site. Never touched.
        failures: sites that could not be read.
    """

    made_at: dt.datetime
    machines: tuple[MachinePlan, ...]
    pools: tuple[tuple[str, str], ...]
    unmanaged: dict[str, tuple[VmSummary, ...]]
    failures: tuple[SiteFailure, ...]

    @property
    def has_changes(self) -> bool:
        """Whether ``apply`` would do something."""
        return any(machine.effective for machine in self.machines)

    @property
    def has_errors(self) -> bool:
        """Whether something was refused or a site could not be read."""
        return bool(self.failures) or any(machine.refused for machine in self.machines)

    def count(self, kind: Kind) -> int:
        """How many changes of a kind ``apply`` would make (or, for refusals and waits, not make)."""
        return sum(change.kind is kind for machine in self.machines for change in machine.changes)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a run is limited to: everything, one client, or one machine (``--only CLIENT[/MACHINE]``)."""

    client: str | None = None
    machine: str | None = None

    def includes(self, client: str, machine: str) -> bool:
        """Whether a machine is in the selection."""
        return self.client in (None, client) and self.machine in (None, machine)


EVERYTHING = Selection()


def make_plan(
    desired: Iterable[DesiredMachine],
    observed: Mapping[str, ObservedSite],
    now: dt.datetime,
    *,
    selection: Selection = EVERYTHING,
    restart_now: bool = False,
    failures: Iterable[SiteFailure] = (),
) -> Plan:
    """Compare desired and observed.

    Args:
        desired: all machines of all files (also beyond the selection: their addresses count).
        observed: by site; a site that is missing here was not read (see ``failures``).
        now: the time, aware.
        selection: machines to plan for.
        restart_now: restart machines also outside their maintenance window.
        failures: sites that could not be read.
    """
    wanted = list(desired)
    chosen = choose_addresses(wanted, observed)
    selected = [
        machine for machine in wanted if selection.includes(*machine.key) and machine.site in observed
    ]
    plans = [
        _machine_plan(machine, observed, chosen.get(machine.key), now, restart_now=restart_now)
        for machine in selected
    ]
    plans += _retirements(wanted, observed, selection)
    order = {
        client: index for index, client in enumerate(dict.fromkeys(machine.client for machine in wanted))
    }
    plans.sort(key=lambda plan: order[plan.client])
    return Plan(
        made_at=now,
        machines=tuple(plans),
        pools=_missing_pools(plans, observed),
        unmanaged={name: site.strangers for name, site in observed.items() if site.strangers},
        failures=tuple(failures),
    )


def choose_addresses(
    desired: Iterable[DesiredMachine], observed: Mapping[str, ObservedSite]
) -> dict[tuple[str, str], IPv4Address]:
    """Give each machine its address: the file's, the one it has, or a free one of the site's range.

    The hypervisor's own records are the register: whatever any machine of the cluster is configured with
    is taken, ours or not. Machines that find no free address are missing from the answer.
    """
    wanted = list(desired)
    current = {
        (machine.mark.client, machine.mark.machine): machine
        for site in observed.values()
        for machine in site.machines
        if machine.mark
    }
    taken: dict[str, set[IPv4Address]] = defaultdict(set)
    for name, site in observed.items():
        taken[name] |= site.register.keys() | {
            machine.address for machine in site.machines if machine.address
        }
    for machine in wanted:
        if machine.address:
            taken[machine.site].add(machine.address)
    chosen: dict[tuple[str, str], IPv4Address] = {}
    for machine in wanted:
        has = current[machine.key].address if machine.key in current else None
        if machine.address:
            chosen[machine.key] = machine.address
        elif has and has in machine.network.subnet:
            chosen[machine.key] = has
        elif free := next(iter(free_addresses(machine.network, taken[machine.site])), None):
            chosen[machine.key] = free
            taken[machine.site].add(free)
    return chosen


def needs_register(desired: Iterable[DesiredMachine], site: ObservedSite) -> bool:
    """Whether the addresses of machines that are not ours must be known before planning this site."""
    current = {
        (machine.mark.client, machine.mark.machine): machine for machine in site.machines if machine.mark
    }
    return any(
        machine.key not in current or current[machine.key].address != machine.address
        for machine in desired
        if machine.site == site.site and (machine.address or machine.key not in current)
    )


def _machine_plan(
    desired: DesiredMachine,
    observed: Mapping[str, ObservedSite],
    address: IPv4Address | None,
    now: dt.datetime,
    *,
    restart_now: bool,
) -> MachinePlan:
    own = [
        machine
        for site in observed.values()
        for machine in site.machines
        if machine.mark and (machine.mark.client, machine.mark.machine) == desired.key
    ]
    if not own:
        changes = _creation(desired, observed[desired.site], address)
        return _plan(desired, None, address, changes)
    if refusal := _identity_refusal(desired, own, observed[desired.site], address):
        return _plan(desired, own[0], address, (refusal,))
    machine = own[0]
    if address is None:
        return _plan(desired, machine, None, (_no_address(desired),))
    return _plan(
        desired, machine, address, machine_changes(desired, machine, address, now, restart_now=restart_now)
    )


def _plan(
    desired: DesiredMachine,
    observed: ObservedMachine | None,
    address: IPv4Address | None,
    changes: Iterable[Change],
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
        changes=tuple(changes),
        desired=desired,
        observed=observed,
    )


def _creation(desired: DesiredMachine, site: ObservedSite, address: IPv4Address | None) -> tuple[Change, ...]:
    if refusal := _namesake(desired, site) or _missing_template(desired, site):
        return (refusal,)
    if address is None:
        return (_no_address(desired),)
    if refusal := _address_conflict(desired, site, address):
        return (refusal,)
    disks = ", ".join(f"{name} {size} GiB" for name, size in desired.disks)
    words = (
        f"{desired.vcpus} vCPU, {format_mebibytes(desired.memory)}, {disks}, {address}, from {desired.image}"
    )
    return (
        Change(kind=Kind.CREATE, what="machine", after=words, change_class=ChangeClass.SIGNIFICANT),
        Change(
            kind=Kind.FIREWALL,
            what="firewall",
            after="; ".join(describe_changes(None, desired.policy)) or "closed but for the provider",
            change_class=ChangeClass.STANDARD,
        ),
    )


def _namesake(desired: DesiredMachine, site: ObservedSite) -> Change | None:
    namesakes = [vm for vm in site.strangers if vm.name == desired.name]
    if not namesakes:
        return None
    vm = namesakes[0]
    return Change(
        kind=Kind.REFUSED,
        what="machine",
        after=desired.name,
        why=f"VM {vm.vmid} on {vm.node} is called {vm.name} and is not ours (its notes carry no mark of ours), so it "
        "is not touched and no second machine of that name is made: rename one of the two",
    )


def _missing_template(desired: DesiredMachine, site: ObservedSite) -> Change | None:
    templates = sorted(vm.name for vm in site.state.vms if vm.template)
    if desired.template in templates:
        return None
    return Change(
        kind=Kind.REFUSED,
        what="machine",
        after=desired.name,
        why=f"the image {desired.image} needs a template called {desired.template} at {desired.site}, which has "
        f"{', '.join(templates) or 'none'}: make the template, or correct `images` in the site's file",
    )


def _no_address(desired: DesiredMachine) -> Change:
    first, last = desired.network.range
    return Change(
        kind=Kind.REFUSED,
        what="address",
        after="auto",
        why=f"no address is free in {first}-{last} of the network {desired.network.name}: widen the range in the "
        "site's file",
    )


def _address_conflict(desired: DesiredMachine, site: ObservedSite, address: IPv4Address) -> Change | None:
    holder = site.register.get(address)
    if holder is None:
        return None
    return Change(
        kind=Kind.REFUSED,
        what="address",
        after=str(address),
        why=f"{holder} is configured with {address} already: choose another address, or write auto",
    )


def _identity_refusal(
    desired: DesiredMachine, own: list[ObservedMachine], site: ObservedSite, address: IPv4Address | None
) -> Change | None:
    machine = own[0]
    if len(own) > 1:
        where = ", ".join(f"VM {m.summary.vmid} on {m.summary.node} ({m.site})" for m in own)
        why = f"{where} all carry the mark of this machine (a copy made by hand?): remove the mark from the copy's notes"
        return Change(kind=Kind.REFUSED, what="machine", after=desired.name, why=why)
    if machine.site != desired.site:
        why = (
            f"it runs at {machine.site} as VM {machine.summary.vmid}; a machine is never moved by making it again: "
            "set the site back, or have it migrated and moved by an engineer (a major change, art. 3.8.4)"
        )
        return Change(kind=Kind.REFUSED, what="site", before=machine.site, after=desired.site, why=why)
    others = {a: who for a, who in site.register.items() if f"(VM {machine.summary.vmid})" not in who}
    if address and machine.address != address and address in others:
        why = f"{others[address]} is configured with {address} already: choose another address, or write auto"
        return Change(
            kind=Kind.REFUSED, what="address", before=str(machine.address), after=str(address), why=why
        )
    return _locked(machine)


def _locked(machine: ObservedMachine) -> Change | None:
    lock = machine.summary.lock
    if lock in (None, "", "suspended"):
        return None
    summary = machine.summary
    if lock in ("clone", "create"):
        assert machine.mark  # noqa: S101  (it is ours)
        why = (
            "its clone is still running, or was left behind by a crash: plan again when the task on "
            f"{summary.node} has ended; if none runs, `qm unlock {summary.vmid}` and `qm destroy {summary.vmid}` there"
        )
    else:
        why = (
            f"a {lock} holds VM {summary.vmid}: plan again when its task on {summary.node} has ended; if none runs, "
            f"`qm unlock {summary.vmid}` there lifts the lock"
        )
    return Change(kind=Kind.REFUSED, what="lock", before=lock, why=why)


def machine_changes(
    desired: DesiredMachine,
    observed: ObservedMachine,
    address: IPv4Address,
    now: dt.datetime,
    *,
    restart_now: bool = False,
) -> tuple[Change, ...]:
    """Every change for one machine that exists and is ours."""
    mark = observed.mark or new_mark(desired)
    found = edits(desired, observed, mark, address)
    changes = [
        _with_restart(edit.change, edit.params, desired, observed, now) for edit in found if edit.change
    ]
    if any(edit.change is None for edit in found) and mark.ready:
        changes += [_settings(edit.params) for edit in found if edit.change is None and edit.params]
    if pool := pool_change(desired, observed):
        changes.append(pool)
    changes += _mark_changes(desired, mark)
    needs_restart = observed.running and (
        any(edit.params.keys() & RESTART_KEYS for edit in found)
        or bool(observed.config.pending.keys() & RESTART_KEYS)
    )
    changes += _power_changes(
        desired, observed, mark, now, needs_restart=needs_restart, restart_now=restart_now
    )
    changes += _firewall_changes(desired, mark)
    return tuple(changes)


def _settings(params: Mapping[str, str | int]) -> Change:
    return Change(
        kind=Kind.UPDATE,
        what="settings",
        after=", ".join(f"{key}={value}" for key, value in params.items()),
        change_class=ChangeClass.STANDARD,
        drift=True,
    )


def _with_restart(
    change: Change, params: Mapping[str, str | int], observed: ObservedMachine, restart: str
) -> Change:
    needs_one = change.kind is Kind.UPDATE and observed.running and params.keys() & RESTART_KEYS
    return replace(change, restart=restart) if needs_one else change


def _mark_changes(desired: DesiredMachine, mark: Mark) -> list[Change]:
    pairs = (("contract", mark.contract, desired.contract), ("offer", mark.offer, str(desired.offer)))
    changes = [
        Change(kind=Kind.UPDATE, what=what, before=before, after=after, change_class=ChangeClass.STANDARD)
        for what, before, after in pairs
        if before != after
    ]
    if mark.retired:
        changes.append(
            Change(
                kind=Kind.UPDATE,
                what="service",
                before=f"retired {mark.retired}",
                after="in service",
                change_class=ChangeClass.SIGNIFICANT,
            )
        )
    return changes


def _power_changes(
    desired: DesiredMachine,
    observed: ObservedMachine,
    mark: Mark,
    now: dt.datetime,
    *,
    needs_restart: bool,
    restart_now: bool,
) -> list[Change]:
    if desired.power == "stopped":
        if observed.running:
            return [_power(Kind.STOP, "running", "stopped", ChangeClass.STANDARD)]
        return []
    if not observed.running:
        in_service = mark.ready and not mark.retired
        if in_service and desired.offer is Offer.ESSENTIAL:
            why = "starting it on the client's behalf is not part of cloud-vm-essential (art. 3.3)"
            return [
                Change(kind=Kind.NOTICE, what="power", before="stopped", after="running", drift=True, why=why)
            ]
        drift = in_service and mark.applied.get("power") == "running"
        change_class = ChangeClass.STANDARD if mark.ready else None
        return [_power(Kind.START, "stopped", "running", change_class, drift=drift)]
    if not needs_restart:
        return []
    if restart_now or is_open(desired.window, now):
        words = "now, as told" if restart_now else describe_restart(desired.window, now)
        return [
            Change(
                kind=Kind.RESTART,
                what="restart",
                after="takes up the new settings",
                restart=words,
                change_class=ChangeClass.STANDARD,
            )
        ]
    pending = sorted(observed.config.pending.keys() & RESTART_KEYS)
    if not pending:
        return []
    return [
        Change(
            kind=Kind.WAITING,
            what="restart",
            after=", ".join(f"{key} {observed.config.pending[key]}" for key in pending if key != "sshkeys")
            or "SSH keys",
            restart=describe_restart(desired.window, now),
            why="set already; --restart-now takes it up at once",
        )
    ]


def _power(
    kind: Kind, before: str, after: str, change_class: ChangeClass | None, *, drift: bool = False
) -> Change:
    return Change(kind=kind, what="power", before=before, after=after, change_class=change_class, drift=drift)


def _firewall_changes(desired: DesiredMachine, mark: Mark) -> list[Change]:
    loaded = policy_from_data(mark.firewall) if mark.firewall else None
    if mark.ready and loaded == desired.policy:
        return []
    lines = describe_changes(loaded, desired.policy)
    words = "; ".join(lines) or "closed but for the provider"
    if desired.power == "stopped":
        return [Change(kind=Kind.WAITING, what="firewall", after=words, why="loaded when the machine runs")]
    return [Change(kind=Kind.FIREWALL, what="firewall", after=words, change_class=ChangeClass.STANDARD)]


def _retirements(
    desired: list[DesiredMachine], observed: Mapping[str, ObservedSite], selection: Selection
) -> list[MachinePlan]:
    """Machines of clients whose file we have, but which the file no longer names.

    A client without a file is left alone: a missing file is not the end of a contract (article 10).
    """
    clients = {machine.client for machine in desired}
    named = {machine.key for machine in desired}
    return [
        _retirement(machine, machine.mark)
        for site in observed.values()
        for machine in site.machines
        if machine.mark
        and machine.mark.client in clients
        and (machine.mark.client, machine.mark.machine) not in named
        and selection.includes(machine.mark.client, machine.mark.machine)
    ]


def _retirement(machine: ObservedMachine, mark: Mark) -> MachinePlan:
    changes: tuple[Change, ...] = ()
    if mark.retired is None:
        changes = (
            Change(
                kind=Kind.RETIRE,
                what="machine",
                before=machine.summary.status,
                after="stopped, kept with its disks, marked retired",
                change_class=ChangeClass.SIGNIFICANT,
                why="it is no longer in its file; nothing is erased (art. 10)",
            ),
        )
    elif machine.running:
        why = f"retired on {mark.retired}, yet it runs: stop it, or put it back into its file"
        changes = (
            Change(kind=Kind.NOTICE, what="power", before="running", after="stopped", drift=True, why=why),
        )
    if changes and changes[0].effective and (refusal := _locked(machine)):
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
        changes=changes,
        desired=None,
        observed=machine,
    )


def _missing_pools(
    plans: Iterable[MachinePlan], observed: Mapping[str, ObservedSite]
) -> tuple[tuple[str, str], ...]:
    needed = {(plan.site, pool_of(plan.client)) for plan in plans if plan.desired and plan.effective}
    return tuple(sorted((site, pool) for site, pool in needed if pool not in observed[site].state.pools))


def classes(plan: Plan) -> Counter[ChangeClass]:
    """Interventions by class (article 3.8.4): one for each machine and class, a creation counting once."""
    counted: Counter[ChangeClass] = Counter()
    for machine in plan.machines:
        found = {change.change_class for change in machine.effective if change.change_class}
        if any(change.kind is Kind.CREATE for change in machine.effective):
            found = {ChangeClass.SIGNIFICANT}
        counted.update(found)
    return counted
