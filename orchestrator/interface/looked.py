"""What the last look found of a machine and of a client: one document each, with all that their pages show.

They are made of what the hypervisors and the files said when they were read, and are nobody's truth: what is to be
changed is read anew. Nothing in them changes while nothing happens, so that a look writes what has changed alone.

What clients must not see (nodes, the provider's addresses) is in them: a client's pages choose what they show.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from orchestrator.shown import storable


def _storable(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_storable)]
"""Hypervisors answer what they like; databases hold no NUL, and JSON no half of a character."""


class Looked(BaseModel):
    """Part of a document. Moments are aware, sizes in bytes where nothing else is said."""

    model_config = ConfigDict(frozen=True)


class LookedDisk(Looked):
    """A disk of a file, or of a machine.

    Attributes:
        slot: ``scsi0``; None: it is not attached yet.
        storage: of Proxmox; empty if it is not known.
        size: what it has; 0 if it is not attached.
        asked_gib: what the file asks for; None: no file has it.
        in_backup: whether backups hold it (article 3.5).
    """

    name: Text
    slot: Text | None
    storage: Text
    size: int
    asked_gib: int | None
    in_backup: bool


class LookedCard(Looked):
    """A network card.

    Attributes:
        name: ``net0``.
        mac: empty if Proxmox does not say.
        address: with its prefix, as cloud-init gives it; None: none is given.
    """

    name: Text
    model: Text
    mac: Text
    bridge: Text
    vlan: int | None
    address: Text | None
    gateway: Text | None


class LookedRule(Looked):
    """What a machine's firewall lets in or out.

    Attributes:
        kind: ``open``: what the client asked for; ``client``: SSH from where the client administers;
            ``provider``: SSH from the provider's addresses; ``monitoring``: the node exporter from the provider's;
            ``ping``; ``outgoing``: what may go out, where that is limited; ``dns``: name servers, there.
        what: protocol and ports: ``tcp 443``, ``esp``.
        others: sources, of what goes out destinations: networks, or ``any``.
    """

    kind: Literal["open", "client", "provider", "monitoring", "ping", "outgoing", "dns"]
    what: Text
    others: tuple[Text, ...]

    @property
    def of_provider(self) -> bool:
        """Whether it has addresses of the provider, which clients are not shown."""
        return self.kind in ("provider", "monitoring")


class LookedFirewall(Looked):
    """The basic firewall of a machine (article 3.6).

    Attributes:
        loaded: what was loaded last; None: nothing was yet.
        asked: what the file asks for; None: no file has the machine.
        limited: whether only what is listed may go out (of what is loaded; else of what is asked).
    """

    loaded: tuple[LookedRule, ...] | None
    asked: tuple[LookedRule, ...] | None
    limited: bool

    @property
    def differs(self) -> bool:
        """Whether the file asks for something else than what is loaded."""
        return self.asked is not None and self.asked != self.loaded


class LookedSnapshot(Looked):
    """A snapshot.

    Attributes:
        expires: when its seven days are over; None: somebody else made it, and it stays.
        declared_for: the day that the file named; None: it was made on demand, or by somebody else.
        before_update: whether it was taken before an update, to come back to.
        unfinished: ``prepare`` or ``delete``: what a task that crashed left; None of a whole one.
    """

    name: Text
    taken_at: dt.datetime
    expires: dt.datetime | None
    declared_for: dt.date | None = None
    before_update: bool = False
    unfinished: Text | None = None


class LookedTest(Looked):
    """How the restore test of a backup ended.

    Attributes:
        found: what was found, for people; a guest may have said part of it.
        check: whether the check of the machine's file passed; None: there was none.
    """

    on: dt.date
    sound: bool
    found: Text
    check: bool | None = None


class LookedBackup(Looked):
    """A backup that is kept.

    Attributes:
        volume: as Proxmox names it.
        size: on a backup server that of the disks, before deduplication; 0: it is not complete.
        ends: when its days are over.
        kept_because: why it stays although they are; None of all others.
        good: whether it can be counted on.
        verification: what the backup server's last verification found: ``ok``, ``failed``, or empty.
    """

    volume: Text
    storage: Text
    taken_at: dt.datetime
    size: int
    days: int
    ends: dt.datetime
    kept_because: Text | None = None
    good: bool
    protected: bool = False
    deduplicated: bool = False
    verification: Text = ""
    encrypted: bool = False
    test: LookedTest | None = None


class LookedBackups(Looked):
    """The backups of a machine (article 3.5).

    Attributes:
        days: how long they are kept, calendar days; None: its backup is off.
        copies: how many a night makes.
        known: whether all backup storages of its site could be listed.
        last_good: when the last one was made that can be counted on; None: there is none.
        last_test: the day one was last restored and found sound; None: never.
        kept: the latest first.
    """

    days: int | None
    copies: int = 1
    known: bool = True
    last_good: dt.datetime | None = None
    last_test: dt.date | None = None
    kept: tuple[LookedBackup, ...] = ()

    @property
    def volume(self) -> int:
        """Bytes of all of them, as ``orchestrator backup volume`` has it."""
        return sum(backup.size for backup in self.kept)


class LookedHold(Looked):
    """Why a machine is held back until somebody has looked.

    Attributes:
        kind: what from: automatic updates, or a restart.
        reason: for people; the guest may have said part of it.
    """

    kind: Literal["updates", "restart"]
    reason: Text
    since: dt.datetime | None


class LookedWindow(Looked):
    """When machines may be restarted (Paris). May cross midnight.

    Attributes:
        days: ``monday`` …, on which it opens.
        starts, ends: times of day: ``22:00``.
    """

    days: tuple[Text, ...]
    starts: Text
    ends: Text


class LookedServices(Looked):
    """What was bought for a machine beside the machine itself.

    Attributes:
        level: of managed services; None: there are none.
        updates: how updates get installed (article 3.8.3); None without managed services.
        window: when it may be restarted; None: none was agreed.
        supervised: whether the provider's monitoring reads its node exporter.
        redundant_hardware: whether it is restarted on another node when one fails (article 3.2).
        second_site: the data centre that its disks are replicated to; None: they are not.
        direct_access: whether the client may log in (article 3.8.2).
        fee: euros a month, as the file says.
        check: whether restored copies run a check of the file.
    """

    level: Literal["supervision", "full"] | None = None
    updates: Literal["on-request", "automatic"] | None = None
    window: LookedWindow | None = None
    supervised: bool = False
    redundant_hardware: bool = False
    second_site: Text | None = None
    direct_access: bool = True
    fee: Decimal | None = None
    check: bool = False


class LookedMachine(Looked):
    """All that a machine's page shows.

    Attributes:
        state: a :class:`orchestrator.reports.estate.State`.
        problem: why it could not be read, or is missing; empty if it was read.
        data_centre: where it stands, as clients are told; empty if the site file does not name it.
        node, vmid: where it is; None if that is not known, or it is not there. Not for clients.
        running: whether it is switched on; None if that is not known.
        in_file: None if no files were read, or its client's file has errors.
        vcpus, memory_mib, disk_gib: what it was promised: by its file; else what it has.
        vcpus_now, memory_mib_now: what it has; None if it could not be read.
        image: that it was made of.
        address: the first one; None if it has none.
        settings: other settings, as ``orchestrator show`` names them: name and value.
        waiting: settings that wait for its next start: name in Proxmox and value, SSH keys without theirs.
        waiting_for: the attributes that they are of.
        waiting_since: when they were written, as far as that is known.
        updates_due: packages; None if no night has looked.
        services: None if no file has the machine.
        suspended: the day its contract's suspension stopped it; None: it is not suspended.
        retired: the day it was taken out of its file; None: it is in service.
        adopted: whether it was there before the contract and was taken over.
        former: the clients and names that it had before.
    """

    client: Text
    machine: Text
    site: Text
    data_centre: Text = ""
    node: Text | None = None
    vmid: int | None = None
    contract: Text = ""
    offer: Text = ""
    state: Text
    running: bool | None = None
    in_file: bool | None = None
    problem: Text = ""
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: float = 0.0
    vcpus_now: int | None = None
    memory_mib_now: int | None = None
    image: Text = ""
    address: Text | None = None
    addresses: tuple[Text, ...] = ()
    cards: tuple[LookedCard, ...] = ()
    settings: tuple[tuple[Text, Text], ...] = ()
    disks: tuple[LookedDisk, ...] = ()
    firewall: LookedFirewall = LookedFirewall(loaded=None, asked=None, limited=False)
    snapshots: tuple[LookedSnapshot, ...] = ()
    backups: LookedBackups = LookedBackups(days=None)
    waiting: tuple[tuple[Text, Text], ...] = ()
    waiting_for: tuple[Text, ...] = ()
    waiting_since: dt.datetime | None = None
    updates_due: int | None = None
    hold: LookedHold | None = None
    services: LookedServices | None = None
    host_keys: tuple[Text, ...] = ()
    suspended: dt.date | None = None
    retired: dt.date | None = None
    adopted: bool = False
    former: tuple[tuple[Text, Text], ...] = ()


class LookedTerm(Looked):
    """A quote, an order or a line of the catalogue that a client agreed to.

    Attributes:
        machines: those that it is for; none: all.
        since: the day it was agreed; None: the file does not say.
        until: its last day; None: it has none.
    """

    reference: Text
    machines: tuple[Text, ...] = ()
    since: dt.date | None = None
    until: dt.date | None = None


class LookedContract(Looked):
    """What a client's file says of the contract and of managed services.

    Attributes:
        standing: ``active``, ``suspended``, ``ending`` or ``ended`` (articles 9 and 10), on the day of the look.
        starts: its first day.
        suspended_since: the day from which it is suspended.
        notice: the day the letter that ends it was received.
        last_day: of the thirty working days after notice; None: nobody ended it.
        default_of_payment: it ends because the client does not pay.
        taken_over: the day an existing estate was taken over (article 4.2).
        probation_ends: the first day with a service level.
        free_changes: standard changes a calendar month that are not charged; None without managed services.
        free_used: of these, in the month of the look; None if the history could not be read.
    """

    reference: Text
    standing: Text
    starts: dt.date
    suspended_since: dt.date | None = None
    notice: dt.date | None = None
    last_day: dt.date | None = None
    default_of_payment: bool = False
    taken_over: dt.date | None = None
    probation_ends: dt.date | None = None
    level: Literal["supervision", "full"] | None = None
    updates: Literal["on-request", "automatic"] | None = None
    window: LookedWindow | None = None
    free_changes: int | None = None
    free_used: int | None = None
    quotes: tuple[LookedTerm, ...] = ()
    orders: tuple[LookedTerm, ...] = ()
    catalogue: tuple[LookedTerm, ...] = ()
    allowed_from: tuple[Text, ...] = ()


class LookedClient(Looked):
    """All that a client's page shows of the last look, beside its machines.

    Attributes:
        file: ``yes``; ``errors``: it has some, so what it asks for is not known; ``none``; None: no files were read.
        contracts: the references that its machines and its file name.
        offers: those of its machines.
        sites: where it has machines, or its file puts them.
        contract: None if it has no file without errors.
        was: what it was called before; None: nothing else.
    """

    client: Text
    file: Literal["yes", "errors", "none"] | None
    contracts: tuple[Text, ...] = ()
    offers: tuple[Text, ...] = ()
    sites: tuple[Text, ...] = ()
    contract: LookedContract | None = None
    was: Text | None = None


class LookedNode(Looked):
    """A node of a site. As in ``orchestrator show``."""

    node: Text
    state: Text
    machines: int
    vcpus: int
    vcpus_promised: int
    vcpus_others: int
    memory_mib: int
    memory_mib_promised: int
    memory_mib_others: int
    over_promised: bool


class LookedStorage(Looked):
    """A storage of a site. As in ``orchestrator show``."""

    storage: Text
    node: Text
    purpose: Literal["machines", "backups"]
    status: Text
    size_bytes: int
    used_bytes: int
    promised_bytes: int | None
    over_promised: bool


class LookedSite(Looked):
    """What the last look found of a site beside its machines.

    Attributes:
        version: of Proxmox VE.
        data_centre: as clients are told.
        frozen: who stopped every change, and why; empty: nobody did.
        problems: what could not be read there, human-readable.
        strangers: how many machines are nobody's of ours.
    """

    site: Text
    version: Text = ""
    data_centre: Text = ""
    frozen: Text = ""
    nodes: tuple[LookedNode, ...] = ()
    storages: tuple[LookedStorage, ...] = ()
    problems: tuple[Text, ...] = ()
    strangers: int = 0
