"""The documents of the last look, from what was read: pure, the time is given.

Made of the same observed state as ``orchestrator show``: no call is made for them.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.contract.forecasts import Ending
from orchestrator.guests.rules import policy_from_data
from orchestrator.interface.looked import (
    LookedBackup,
    LookedBackups,
    LookedCard,
    LookedClient,
    LookedContract,
    LookedDisk,
    LookedFirewall,
    LookedHold,
    LookedMachine,
    LookedNode,
    LookedRule,
    LookedServices,
    LookedSite,
    LookedSnapshot,
    LookedStorage,
    LookedTerm,
    LookedTest,
    LookedWindow,
)
from orchestrator.proxmox import parse_disk, parse_property_string
from orchestrator.resources.attributes import ATTRIBUTES, attributes_of, memory_of, vcpus_of
from orchestrator.resources.desired import owners_of
from orchestrator.resources.machine_archives import verdicts
from orchestrator.resources.snapshot import owned

if TYPE_CHECKING:
    from orchestrator.contract.retention import Verdict
    from orchestrator.guests.rules import FirewallPolicy
    from orchestrator.proxmox import VmConfig, VmSnapshot
    from orchestrator.reports.estate import Estate, EstateMachine
    from orchestrator.reports.estate_facts import Files
    from orchestrator.resources.desired import DesiredClient, DesiredMachine
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine, ObservedSite
    from orchestrator.resources.survey import SitesRead
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import MaintenanceWindow, Order

_MODELS = frozenset({"e1000", "e1000e", "rtl8139", "virtio", "vmxnet3"})
"""Of network cards, as far as Proxmox offers them."""

_SHOWN_APART = ("vCPU", "memory", "name", "network", "address")
"""Attributes that have a field of their own."""


def machines_by_site(
    estate: Estate, files: Files | None, read: SitesRead, provider: Provider, now: dt.datetime
) -> dict[str, list[LookedMachine]]:
    """The documents of every machine, by site: those of sites that are away say what their files ask for.

    Args:
        estate: what was made of the same reading, with all machines.
        files: what the files say; None if none were read.
        read: the sites.
        provider: the site file.
        now: the time, aware.
    """
    observed = {
        (name, machine.summary.vmid): machine
        for name, reading in read.readings.items()
        for machine in reading.observed.machines
    }
    found: dict[str, list[LookedMachine]] = defaultdict(list)
    for row in estate.machines:
        desired = files.desired.get((row.client, row.machine)) if files else None
        there = observed.get((row.site, row.vmid)) if row.vmid is not None else None
        if there is not None and (there.mark is None or there.mark.key != (row.client, row.machine)):
            there = None
        place = provider.data_centre_of(row.site, row.node or "")
        found[row.site].append(_machine(row, there, desired, place, now))
    return dict(found)


def _machine(
    row: EstateMachine,
    there: ObservedMachine | None,
    desired: DesiredMachine | None,
    place: str,
    now: dt.datetime,
) -> LookedMachine:
    common = {
        name: getattr(row, name)
        for name in (
            "client", "machine", "site", "node", "vmid", "contract", "offer", "running", "in_file", "problem",
            "vcpus", "memory_mib", "disk_gib", "updates_due",
        )
    }  # fmt: skip
    backups = LookedBackups(days=row.backup_days, known=row.backups_known)
    looked = LookedMachine(
        **common,
        state=row.state.value,
        data_centre=place,
        waiting_for=row.restart,
        waiting_since=row.restart_since,
        hold=LookedHold(kind=row.held_from, reason=row.held or "", since=row.held_since)
        if row.held_from
        else None,
        services=_services(desired) if desired else None,
        backups=backups,
    )
    if there is None or there.mark is None:
        return looked.model_copy(update=_of_file(desired)) if desired else looked
    return looked.model_copy(update=_as_it_is(row, there, there.mark, desired, now))


def _of_file(desired: DesiredMachine) -> dict[str, object]:
    """What is known of a machine that is not there, or could not be read."""
    address = str(desired.address) if desired.address else None
    return {
        "image": desired.image,
        "address": address,
        "addresses": (address,) if address else (),
        "disks": tuple(
            LookedDisk(
                name=name, slot=None, storage=desired.storage, size=0, asked_gib=size,
                in_backup=name not in desired.left_out,
            )
            for name, size in desired.disks
        ),
        "firewall": _firewall(None, desired.policy),
    }  # fmt: skip


def _as_it_is(
    row: EstateMachine,
    machine: ObservedMachine,
    mark: Mark,
    desired: DesiredMachine | None,
    now: dt.datetime,
) -> dict[str, object]:
    config = machine.config
    addresses = tuple(str(address) for address in machine.addresses)
    return {
        "vcpus_now": vcpus_of(config),
        "memory_mib_now": memory_of(config),
        "image": mark.image,
        "address": next(iter(addresses), None),
        "addresses": addresses,
        "cards": tuple(_cards(config)),
        "settings": tuple(
            (attribute.name, attribute.words(value))
            for attribute in ATTRIBUTES
            if attribute.name not in _SHOWN_APART and (value := attribute.read(config)) is not None
        ),
        "disks": tuple(_disks(config, mark, desired)),
        "firewall": _firewall(
            policy_from_data(mark.firewall) if mark.firewall else None, desired.policy if desired else None
        ),
        "snapshots": tuple(_snapshot(snapshot) for snapshot in machine.snapshots),
        "backups": _backups(row, machine, mark, desired, now),
        "waiting": tuple(
            (key, "" if key == "sshkeys" else value) for key, value in sorted(config.pending.items())
        )
        if machine.running
        else (),
        "waiting_for": row.restart or tuple(attributes_of(config.pending) if machine.running else ()),
        "host_keys": mark.host_keys,
        "suspended": mark.suspended,
        "retired": mark.retired,
        "adopted": mark.adopted is not None,
        "former": mark.former,
    }


def _cards(config: VmConfig) -> Iterator[LookedCard]:
    for number in range(32):
        text = config.effective(f"net{number}")
        if not text:
            continue
        card = parse_property_string(text)  # as Proxmox writes it: virtio=BC:24:11:2E:C3:4A,bridge=vmbr0
        model, mac = next(((key, value) for key, value in card.items() if key in _MODELS), ("", ""))
        way = parse_property_string(config.effective(f"ipconfig{number}") or "")
        tag = card.get("tag")
        yield LookedCard(
            name=f"net{number}",
            model=model or card.get("model") or card.get("") or "",
            mac=mac or card.get("macaddr", ""),
            bridge=card.get("bridge", ""),
            vlan=int(tag) if tag and tag.isascii() and tag.isdigit() else None,
            address=way.get("ip"),
            gateway=way.get("gw"),
        )


def _disks(config: VmConfig, mark: Mark, desired: DesiredMachine | None) -> Iterator[LookedDisk]:
    asked = dict(desired.disks) if desired else {}
    for name, slot in mark.slots.items():
        value = config.effective(slot)
        drive = parse_disk(value) if value else None
        yield LookedDisk(
            name=name,
            slot=slot if drive else None,
            storage=(drive.storage or "") if drive else "",
            size=drive.size_bytes if drive else 0,
            asked_gib=asked.pop(name, None),
            in_backup=not drive.left_out if drive else True,
        )
    for name, size in asked.items():
        left_out = desired is not None and name in desired.left_out
        yield LookedDisk(name=name, slot=None, storage="", size=0, asked_gib=size, in_backup=not left_out)


def _firewall(loaded: FirewallPolicy | None, asked: FirewallPolicy | None) -> LookedFirewall:
    in_force = loaded or asked
    return LookedFirewall(
        loaded=None if loaded is None else tuple(_rules(loaded)),
        asked=None if asked is None else tuple(_rules(asked)),
        limited=in_force is not None and in_force.outgoing is not None,
    )


def _rules(policy: FirewallPolicy) -> Iterator[LookedRule]:
    for opening in policy.open:
        yield LookedRule(kind="open", what=opening.what, others=tuple(map(str, opening.sources)))
    if policy.allowed_from:
        yield LookedRule(kind="client", what="ssh", others=tuple(map(str, policy.allowed_from)))
    if policy.management:
        yield LookedRule(kind="provider", what="ssh", others=tuple(map(str, policy.management)))
    if policy.monitoring:
        yield LookedRule(kind="monitoring", what="node exporter", others=tuple(map(str, policy.monitoring)))
    if policy.ping:
        yield LookedRule(kind="ping", what="ping", others=tuple(map(str, policy.ping)))
    for opening in policy.outgoing or ():
        yield LookedRule(kind="outgoing", what=opening.what, others=tuple(map(str, opening.sources)))
    if policy.outgoing is not None:
        yield LookedRule(kind="dns", what="dns", others=tuple(map(str, policy.nameservers)))


def _snapshot(snapshot: VmSnapshot) -> LookedSnapshot:
    ours = owned(snapshot)
    return LookedSnapshot(
        name=snapshot.name,
        taken_at=snapshot.taken_at,
        expires=ours.expires_at if ours else None,
        declared_for=ours.declared_for if ours else None,
        before_update=ours.for_update if ours else False,
        unfinished=snapshot.unfinished,
    )


def _backups(
    row: EstateMachine,
    machine: ObservedMachine,
    mark: Mark,
    desired: DesiredMachine | None,
    now: dt.datetime,
) -> LookedBackups:
    copies = desired.backup_copies if desired else mark.backup_copies
    judged = verdicts(
        machine.archives or (), now, days=row.backup_days, in_file=row.in_file is not False, copies=copies
    )
    return LookedBackups(
        days=row.backup_days,
        copies=copies,
        known=row.backups_known,
        last_good=row.last_backup,
        last_test=mark.tested,
        kept=tuple(_backup(verdict) for verdict in reversed(judged)),
    )


def _backup(verdict: Verdict[Archive]) -> LookedBackup:
    archive, stored, test = verdict.archive, verdict.archive.stored, verdict.archive.mark.test
    return LookedBackup(
        volume=stored.volid,
        storage=stored.storage,
        taken_at=stored.taken_at,
        size=stored.size,
        days=archive.days,
        ends=verdict.ends,
        kept_because=verdict.kept_because,
        good=archive.good,
        protected=stored.protected,
        deduplicated=stored.deduplicated,
        verification=stored.verification,
        encrypted=stored.encrypted,
        test=LookedTest(on=test.on, sound=test.sound, found=test.found, check=test.check) if test else None,
    )


def _services(desired: DesiredMachine) -> LookedServices:
    managed = desired.owner.file.managed_services
    return LookedServices(
        level=managed.level if managed else None,
        updates=desired.updates,
        window=_window(desired.window),
        supervised=desired.supervised,
        redundant_hardware=desired.redundancy.hardware,
        second_site=desired.redundancy.second_site,
        direct_access=desired.direct_access,
        fee=desired.file.fee,
        check=desired.backup_check is not None,
    )


def _window(window: MaintenanceWindow | None) -> LookedWindow | None:
    return LookedWindow(days=window.days, starts=window.starts, ends=window.ends) if window else None


def looked_clients(
    estate: Estate, files: Files | None, free_used: Mapping[str, int] | None, now: dt.datetime
) -> list[LookedClient]:
    """The documents of every client that has machines, or a file.

    Args:
        estate: of all sites.
        files: what the files say; None if none were read.
        free_used: standard changes of this month that were not charged, by client; None if that is not known.
        now: the time, aware.
    """
    owners = {owner.client: owner for owner in owners_of(files.desired.values())} if files else {}
    machines: dict[str, list[EstateMachine]] = defaultdict(list)
    for row in estate.machines:
        machines[row.client].append(row)
    found = []
    for client in estate.clients:
        own, owner = machines[client.client], owners.get(client.client)
        found.append(
            LookedClient(
                client=client.client,
                file=client.file,
                contracts=client.contracts or ((owner.file.contract.reference,) if owner else ()),
                offers=tuple(sorted({row.offer for row in own if row.offer})),
                sites=tuple(sorted({row.site for row in own} | ({owner.site} if owner else set()))),
                contract=_contract(owner, free_used, now) if owner else None,
                was=owner.file.was if owner else None,
            )
        )
    return found


def _contract(owner: DesiredClient, free_used: Mapping[str, int] | None, now: dt.datetime) -> LookedContract:
    contract, life, managed = owner.file.contract, owner.life, owner.file.managed_services
    return LookedContract(
        reference=contract.reference,
        standing=life.standing(now).value,
        starts=contract.starts,
        suspended_since=life.suspended_since,
        notice=life.notice,
        last_day=life.last_day,
        default_of_payment=life.default_of_payment,
        taken_over=contract.taken_over,
        probation_ends=_probation_ends(owner),
        level=managed.level if managed else None,
        updates=managed.updates if managed else None,
        window=_window(managed.maintenance_window) if managed else None,
        free_changes=managed.standard_changes_per_month if managed else None,
        free_used=free_used.get(owner.client, 0) if managed and free_used is not None else None,
        quotes=tuple(
            LookedTerm(reference=quote.reference, machines=quote.machines, until=quote.valid_until)
            for quote in contract.quotes
        ),
        orders=tuple(map(_term, contract.orders)),
        catalogue=tuple(map(_term, contract.catalogue)),
        allowed_from=tuple(map(str, owner.file.administration.allowed_from)),
    )


def _probation_ends(owner: DesiredClient) -> dt.date | None:
    from orchestrator.contract.probation import probation_ends

    taken_over = owner.file.contract.taken_over
    return probation_ends(taken_over) if taken_over and owner.file.managed_services else None


def _term(order: Order) -> LookedTerm:
    return LookedTerm(
        reference=order.reference, machines=order.machines, since=order.date, until=order.valid_until
    )


def endings_of(clients: Iterable[LookedClient]) -> Iterator[Ending]:
    """What ends of what files say: contracts that were ended, and quotes."""
    for client in clients:
        contract = client.contract
        if contract is None:
            continue
        if contract.last_day is not None:
            yield Ending(
                kind="contract", name=contract.reference, client=client.client, last_day=contract.last_day
            )
        for quote in contract.quotes:
            if quote.until is not None:
                yield Ending(kind="quote", name=quote.reference, client=client.client, last_day=quote.until)


def looked_site(name: str, reading: SiteReading | None, estate: Estate, provider: Provider) -> LookedSite:
    """The document of a site; of one that is away its name and place alone."""
    place = provider.sites[name].data_centre or ""
    if reading is None:
        return LookedSite(site=name, data_centre=place)
    observed = reading.observed
    return LookedSite(
        site=name,
        version=observed.state.version,
        data_centre=place,
        frozen=observed.state.frozen,
        nodes=tuple(
            LookedNode(
                **{
                    field: getattr(node, field)
                    for field in ("node", "state", "machines", "vcpus", "vcpus_promised", "vcpus_others",
                                  "memory_mib", "memory_mib_promised", "memory_mib_others")
                },
                over_promised=node.vcpus_over_promised or node.memory_over_promised,
            )
            for node in estate.nodes
            if node.site == name
        ),
        storages=tuple(
            LookedStorage(
                **{
                    field: getattr(storage, field)
                    for field in ("storage", "node", "purpose", "status", "size_bytes", "used_bytes",
                                  "promised_bytes", "over_promised")
                },
            )
            for storage in estate.storages
            if storage.site == name
        ),
        problems=tuple(_problems(observed, reading)),
        strangers=len(observed.strangers),
    )  # fmt: skip


def _problems(observed: ObservedSite, reading: SiteReading) -> Iterator[str]:
    for item in observed.unreadable:
        if item.claims:
            yield f"{item.subject}: {item.reason}"
    for storage, why in reading.unread.items():
        yield f"backup storage {storage}: {why}"
    yield from reading.bad_archives
