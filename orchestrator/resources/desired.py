"""What the files ask for, machine by machine: pure, no network, no clock, no environment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.life import ContractLife
from orchestrator.contract.offers import Offer
from orchestrator.contract.probation import probation_ends
from orchestrator.guests.rules import FirewallPolicy, policy_of
from orchestrator.resources.tags import OWNER_TAG as OWNER_TAG
from orchestrator.resources.tags import RETIRED_TAG as RETIRED_TAG
from orchestrator.resources.tags import pool_of as pool_of
from orchestrator.subscriptions.model import MaintenanceWindow
from orchestrator.yaml_reader.public_keys import parse_public_key

if TYPE_CHECKING:
    from orchestrator.sites.model import BackupStorage, Provider, Site, SiteNetwork
    from orchestrator.subscriptions.model import (
        BackupCheck,
        DeclaredSnapshot,
        Machine,
        Order,
        Quote,
        Subscription,
    )


@dataclass(frozen=True, kw_only=True)
class ChangeTerms:
    """What a client with managed services agreed on changes (article 3.8.4).

    Attributes:
        free_per_month: standard changes a calendar month that are not charged.
        quotes: accepted quotes of the client's file.
        orders: orders and amendments of the file: more, fewer or larger machines.
        catalogue: references of the catalogue of services that the client agreed to be charged by.
    """

    free_per_month: int
    quotes: tuple[Quote, ...] = ()
    orders: tuple[Order, ...] = ()
    catalogue: tuple[Order, ...] = ()

    def quote_for(self, machine: str, day: dt.date, *, reference: str | None = None) -> str | None:
        """The reference of a quote that covers changes of a machine on a day; None if none does.

        Args:
            machine: its name.
            day: in Paris.
            reference: only this quote; any if None.
        """
        for quote in self.quotes:
            if reference not in (None, quote.reference):
                continue
            if day <= quote.valid_until and (not quote.machines or machine in quote.machines):
                return quote.reference
        return None

    def order_for(self, machine: str, day: dt.date) -> str | None:
        """The reference of the newest order that covers a machine on a day; None if none does."""
        return _newest(self.orders, machine, day)

    def catalogue_for(self, machine: str, day: dt.date) -> str | None:
        """The newest reference of the catalogue that covers a machine on a day; None if none does."""
        return _newest(self.catalogue, machine, day)


def _newest(orders: Iterable[Order], machine: str, day: dt.date) -> str | None:
    fit = [
        order
        for order in orders
        if order.date <= day <= (order.valid_until or day) and machine in (order.machines or (machine,))
    ]
    return max(fit, key=lambda order: order.date).reference if fit else None


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """What a machine's file asks for beside the machine itself (article 3.2).

    Attributes:
        hardware: restarted on another node of its site when one fails.
        second_site: the data centre that its disks are replicated to; None: they are not.
        second_nodes: nodes of its cluster that stand there.
        schedule: how often: a calendar event of Proxmox, such as ``*/15``.
        rate: megabytes a second at most; None: no limit.
    """

    hardware: bool = False
    second_site: str | None = None
    second_nodes: tuple[str, ...] = ()
    schedule: str = "*/15"
    rate: float | None = None

    @property
    def asked(self) -> bool:
        """Whether there is to be any."""
        return self.hardware or self.second_site is not None


@dataclass(frozen=True, kw_only=True)
class DesiredClient:
    """One client at a site, as its file and the site file want it: what it has there for all its machines.

    Attributes:
        site: the site's name.
        place: the site as its file describes it.
        file: the client's file.
        life: where its contract stands (articles 9 and 10).
    """

    client: str
    site: str
    place: Site
    file: Subscription
    life: ContractLife


@dataclass(frozen=True, kw_only=True)
class DesiredMachine:
    """One machine as its file and the site file want it.

    Attributes:
        owner: whose it is.
        file: its part of the file, for what is taken as it stands there.
        disks: (name, GiB), the system disk first.
        address: None where the file says ``auto``.
        ssh_keys: public keys of the provider and, where the client may have access, of the client; their comments
            hold nothing that means something to YAML.
        backup_days: how many calendar days its backups are kept; None if its backup is off.
        backup_copies: how many archives a night makes, each on a storage of its own (article 3.2).
        backup_storages: where its backups go: at other sites than its own, and than its second one if it can be
            (article 3.5).
        snapshots: those that the file declares.
        change_terms: what was agreed on changes; None without managed services.
        life: where its contract stands (articles 9 and 10).
        was, client_was: what the machine, and its client, were called before; None: nothing else.
        adopt: the VM id of an existing machine that is to be this one; None: it is made from its image.
        emulated: whether it runs without KVM, as on a node that is a virtual machine itself.
        redundancy: what is to survive a failed node, or a lost data centre (article 3.2).
        foreign_nodes: nodes of its cluster that stand at other sites: it is not made there.
        taken_over: the day an existing estate of its client was taken over (article 4.2); None if none was.
        probation_ends: the first day after the probation of article 4.2; None if nothing was taken over, or without
            managed services.
        window: when it may be restarted; None where no window was agreed.
        direct_access: whether the client may log in (article 3.8.2: not to fully managed servers).
        supervised: whether a node exporter runs in it, for the provider's monitoring (article 3.8.1).
        updates: how updates get installed (article 3.8.3); None without managed services.
        update_exclude: packages that no update touches.
        apart_from: machines of the same client that go to other nodes where they can, and are never updated at the same
            time.
    """

    client: str
    name: str
    contract: str
    offer: Offer
    site: str
    image: str
    template: str
    storage: str
    disk_format: Literal["raw", "qcow2"] | None
    owner: DesiredClient = field(compare=False, repr=False)
    file: Machine
    disks: tuple[tuple[str, int], ...]
    network: SiteNetwork
    address: IPv4Address | None
    power: Literal["running", "stopped"]
    user: str
    ssh_keys: tuple[str, ...]
    policy: FirewallPolicy
    window: MaintenanceWindow | None
    direct_access: bool = True
    supervised: bool = False
    updates: Literal["on-request", "automatic"] | None = None
    update_exclude: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    backup_days: int | None = None
    backup_copies: int = 1
    backup_storages: tuple[BackupStorage, ...] = ()
    snapshots: tuple[DeclaredSnapshot, ...] = ()
    change_terms: ChangeTerms | None = None
    life: ContractLife
    was: str | None = None
    client_was: str | None = None
    adopt: int | None = None
    taken_over: dt.date | None = None
    probation_ends: dt.date | None = None
    emulated: bool = False
    redundancy: Redundancy = Redundancy()
    foreign_nodes: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine: what identifies a machine everywhere."""
        return self.client, self.name

    @property
    def former_keys(self) -> tuple[tuple[str, str], ...]:
        """The clients and machines that it may be known as where it was not renamed yet."""
        clients = (self.client, *([self.client_was] if self.client_was else []))
        names = (self.name, *([self.was] if self.was else []))
        return tuple((client, name) for client in clients for name in names)[1:]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The disks that the client leaves out of the backup (article 3.5)."""
        return tuple(disk.name for disk in self.file.disks if not disk.backup)

    @property
    def backup_check(self) -> BackupCheck | None:
        """The command that a restored copy must run well; None if the file has none."""
        return self.file.backup.check if self.file.backup else None

    @property
    def tags(self) -> frozenset[str]:
        """The tags that mark the machine as ours and as the client's."""
        return frozenset({OWNER_TAG, pool_of(self.client)})


def desired_machines(subscriptions: Iterable[Subscription], provider: Provider) -> tuple[DesiredMachine, ...]:
    """Every machine that the files ask for.

    The files must have been checked against the provider's sites
    (:func:`orchestrator.subscriptions.load` with a provider): names of sites, networks and images exist.
    """
    return tuple(
        _desired(owner, offer, machine, provider)
        for owner in (_owner(subscription, provider) for subscription in subscriptions)
        for offer, machine in owner.file.machines()
    )


def _owner(subscription: Subscription, provider: Provider) -> DesiredClient:
    site = subscription.contract.site
    return DesiredClient(
        client=subscription.client,
        site=site,
        place=provider.sites[site],
        file=subscription,
        life=life_of(subscription),
    )


def owners_of(desired: Iterable[DesiredMachine]) -> list[DesiredClient]:
    """The clients whose machines these are, each once at each site."""
    return list({(machine.client, machine.site): machine.owner for machine in desired}.values())


def _desired(owner: DesiredClient, offer: Offer, machine: Machine, provider: Provider) -> DesiredMachine:
    subscription, site = owner.file, owner.place
    network = next(
        network for network in site.networks if machine.network in (None, network.name)
    )  # the first, if none is named
    managed = subscription.managed_services
    # Article 3.8.2: the client has no direct access to a fully managed server.
    client_access = managed is None or managed.level != "full"
    # Article 3.8.1: bought beside the offer, so also with Essential, whose own list (3.3) has no supervision.
    supervised = managed is not None
    administration = subscription.administration
    return DesiredMachine(
        client=subscription.client,
        name=machine.name,
        contract=subscription.contract.reference,
        offer=offer,
        site=owner.site,
        image=machine.image,
        template=site.images[machine.image].template,
        storage=site.storage,
        disk_format=site.disk_format,
        owner=owner,
        file=machine,
        disks=tuple((disk.name, disk.size) for disk in machine.disks),
        network=network,
        address=None if machine.address == "auto" else machine.address,
        power=machine.power,
        user=provider.management.user,
        ssh_keys=tuple(
            parse_public_key(key).handed_on
            for key in (
                provider.management.ssh_public_key,
                *(administration.ssh_keys if client_access else ()),
            )
        ),
        policy=policy_of(
            machine,
            allowed_from=administration.allowed_from if client_access else (),
            management=provider.management.addresses,
            monitoring=provider.management.monitoring_addresses if supervised else (),
            nameservers=network.nameservers,
        ),
        window=managed.maintenance_window if managed else None,
        direct_access=client_access,
        supervised=supervised,
        updates=managed.updates if managed else None,
        update_exclude=machine.updates.exclude,
        apart_from=tuple(
            other.name
            for _, other in subscription.machines()
            if other.name in machine.apart_from or machine.name in other.apart_from
        ),
        backup_days=machine.backup.retention_days if machine.backup else None,
        backup_copies=machine.backup.copies if machine.backup else 1,
        backup_storages=_backup_storages(machine, site, subscription.contract.site),
        snapshots=machine.snapshots,
        change_terms=_change_terms(subscription),
        life=owner.life,
        was=machine.was,
        client_was=subscription.was,
        adopt=machine.adopt,
        taken_over=subscription.contract.taken_over,
        probation_ends=(
            probation_ends(subscription.contract.taken_over)
            if subscription.contract.taken_over and managed
            else None
        ),
        emulated=site.virtualization == "emulated",
        redundancy=_redundancy(machine, site),
        foreign_nodes=frozenset(node for second in site.second_sites.values() for node in second.nodes),
    )


def _backup_storages(machine: Machine, site: Site, name: str) -> tuple[BackupStorage, ...]:
    """Article 3.5: at other sites than its own, and than its second one where there is a choice: after a fail-over
    machine and backups would stand in one data centre.
    """
    elsewhere = tuple(storage for storage in site.backup_storages if storage.site != name)
    if machine.backup is not None and machine.backup.copies > 1:  # article 3.2: both at one site
        sites = [storage.site for storage in elsewhere]
        elsewhere = tuple(storage for storage in elsewhere if sites.count(storage.site) > 1)
    second = machine.redundancy.second_site if machine.redundancy else None
    return tuple(storage for storage in elsewhere if storage.site != second) or elsewhere


def _redundancy(machine: Machine, site: Site) -> Redundancy:
    """Article 3.2. That the second site is one of the site's has been checked."""
    asked = machine.redundancy
    if asked is None:
        return Redundancy()
    pace = site.replication
    second = site.second_sites[asked.second_site] if asked.second_site else None
    return Redundancy(
        hardware=asked.hardware,
        second_site=asked.second_site,
        second_nodes=second.nodes if second else (),
        schedule=pace.schedule,
        rate=pace.rate,
    )


def life_of(subscription: Subscription) -> ContractLife:
    """What a client's file says of its contract's life."""
    contract = subscription.contract
    suspension, termination = contract.suspension, contract.termination
    return ContractLife(
        reference=contract.reference,
        starts=contract.starts,
        suspended_since=suspension.since if suspension else None,
        suspension_reference=suspension.reference if suspension else "",
        notice=termination.notice if termination else None,
        notice_reference=termination.reference if termination else "",
        default_of_payment=bool(termination and termination.default_of_payment),
    )


def _change_terms(subscription: Subscription) -> ChangeTerms | None:
    managed = subscription.managed_services
    if managed is None:
        return None
    contract = subscription.contract
    return ChangeTerms(
        free_per_month=managed.standard_changes_per_month,
        quotes=contract.quotes,
        orders=contract.orders,
        catalogue=contract.catalogue,
    )
