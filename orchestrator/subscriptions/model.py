"""What one client subscribed to: the data of a subscription file, once it has been read.

The classes say what a file may contain (keys, types, units, ranges). What an *offer* allows is in
:mod:`orchestrator.subscriptions.offers`. Every value is immutable. Required fields carry an example: it
documents the JSON Schema, and stands in for a wrong value while the rest of the file is checked. A limit that
the contract sets carries its article (``x-article``).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from orchestrator.contract.offers import Offer
from orchestrator.contract.snapshots import NAME_PATTERN, NAME_WORDS
from orchestrator.yaml_reader.values import (
    Address,
    Date,
    Day,
    DnsLabel,
    Euros,
    Gibibytes,
    IPv4Network,
    IPv6Network,
    Mebibytes,
    Network,
    OnePort,
    PackagePattern,
    PortRange,
    Protocol,
    Source,
    SshPublicKey,
    Strict,
    Switch,
    TimeOfDay,
    WholeNumber,
    format_gibibytes,
    format_mebibytes,
    parse_disk_size,
    parse_network,
    parse_size,
    parse_source,
    parse_sources,
)

REFERENCE = r"^[A-Za-z0-9](?:[A-Za-z0-9 ._/#-]{0,62}[A-Za-z0-9])?$"
"""Of contracts, letters, quotes and orders: letters, digits, blanks and ``. _ / # -``, at most 64."""

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""One line of text without control characters, not only blanks."""


class Quote(Strict):
    """An accepted quote for changes that are charged (article 3.8.4)."""

    reference: str = Field(
        pattern=REFERENCE,
        examples=["D-2026-0117"],
        description="the quote's number: letters, digits, blanks and . _ / # -, at most 64",
    )
    machines: tuple[DnsLabel, ...] = Field(
        default=(), description="whose changes it covers; every machine's if absent"
    )
    valid_until: Date = Field(examples=["2026-12-31"], description="the last day that it covers changes")


class Order(Strict):
    """A reference to a document that asks for changes: an order, an amendment, a line of the catalogue of services."""

    reference: str = Field(
        pattern=REFERENCE,
        examples=["BC-2026-031"],
        description="the document's number: letters, digits, blanks and . _ / # -, at most 64",
    )
    date: Date = Field(examples=["2026-11-20"], description="the day it was agreed: it covers nothing before")
    valid_until: Date | None = Field(
        default=None, description="the last day that it covers changes; without an end if absent"
    )
    machines: tuple[DnsLabel, ...] = Field(
        default=(), description="whose changes it covers; every machine's if absent"
    )


Letter = Annotated[
    str,
    Field(
        pattern=REFERENCE,
        examples=["LRAR-2026-118"],
        description="of the letter: letters, digits, blanks and . _ / # -, at most 64",
    ),
]


class Suspension(Strict):
    """The suspension of the services (article 9): machines are stopped, nothing is deleted."""

    since: Date = Field(examples=["2026-11-02"], description="the first day")
    reference: Letter


class Termination(Strict):
    """The end of the contract (article 10)."""

    notice: Date = Field(
        examples=["2026-11-02"],
        description="the day the registered letter was received; the services continue for 30 working days",
        json_schema_extra={"x-article": "10"},
    )
    reference: Letter
    default_of_payment: Switch = Field(
        default=False, description="the client did not pay: no reversibility, machines are stopped at once"
    )


class Contract(Strict):
    """The signed contract that a file carries out."""

    reference: str = Field(
        pattern=REFERENCE,
        examples=["C-2026-0042"],
        description="the contract's number: letters, digits, blanks and . _ / # -, at most 64",
    )
    starts: Date = Field(examples=["2026-03-01"], description="the first day of the contract")
    site: DnsLabel = Field(examples=["paris"], description="the data centre of the client's machines")
    status: Literal["active", "suspended", "terminated"] = "active"
    suspension: Suspension | None = None
    termination: Termination | None = None
    taken_over: Date | None = Field(
        default=None,
        description="the day an existing estate was taken over: three calendar months of probation follow",
        json_schema_extra={"x-article": "4.2"},
    )
    quotes: tuple[Quote, ...] = Field(
        default=(),
        max_length=500,
        description="accepted quotes, for changes that are charged",
        json_schema_extra={"x-article": "3.8.4"},
    )
    orders: tuple[Order, ...] = Field(
        default=(),
        max_length=500,
        description="orders and amendments: more, fewer or larger machines, with managed services",
        json_schema_extra={"x-article": "3.8.4"},
    )
    catalogue: tuple[Order, ...] = Field(
        default=(),
        max_length=500,
        description="references of the catalogue of services, for changes that are charged by it",
        json_schema_extra={"x-article": "3.8.4"},
    )


class Administration(Strict):
    """Who may administer the client's machines, and from where (article 3.6)."""

    ssh_keys: tuple[SshPublicKey, ...] = Field(
        default=(), max_length=200, description="let these people into the machines"
    )
    allowed_from: tuple[Network, ...] = Field(
        default=(), max_length=500, description="the sources that SSH is open to"
    )


class MaintenanceWindow(Strict):
    """When machines may be restarted: on these days, from this time on (Europe/Paris). May cross midnight."""

    days: tuple[Day, ...] = Field(
        min_length=1, max_length=14, examples=[["tuesday"]], description="on which it opens"
    )
    starts: TimeOfDay = Field(
        alias="from", examples=["22:00"], description='a time in quotes, such as "22:00"'
    )
    ends: TimeOfDay = Field(alias="to", examples=["02:00"], description='a time in quotes, such as "02:00"')


class ManagedServices(Strict):
    """The managed services, "infogérance", that the client bought (article 3.8)."""

    level: Literal["supervision", "full"] = Field(examples=["supervision"])
    updates: Literal["on-request", "automatic"] = "on-request"
    maintenance_window: MaintenanceWindow | None = None
    standard_changes_per_month: WholeNumber = Field(
        default=0,
        ge=0,
        le=10_000,
        description="free standard changes (article 3.8.4)",
        json_schema_extra={"x-article": "3.8.4"},
    )


class Disk(Strict):
    """A virtual disk. The first one of a machine holds the system."""

    name: DnsLabel = Field(examples=["system"])
    size: Gibibytes = Field(ge=1, le=65536, examples=["20GiB"], description="1GiB to 64TiB, whole GiB")
    backup: Switch = Field(
        default=True,
        description="false: the client leaves it out of the backup; never the system disk",
        json_schema_extra={"x-article": "3.5"},
    )


class BackupCheck(Strict):
    """A command that shows, in the isolated copy of a restore test, that the backup holds what the client needs."""

    run: str = Field(
        min_length=1,
        max_length=1000,
        pattern=PRINTABLE,
        examples=["systemctl is-active nginx"],
        description="a command for /bin/sh, run as root in the restored copy; exit code 0 is wanted",
    )
    expect: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=PRINTABLE,
        examples=["active"],
        description="a text that its output must contain",
    )


class Backup(Strict):
    """The daily backup of a machine (article 3.5)."""

    retention_days: WholeNumber = Field(
        ge=1,
        le=3660,
        examples=[7],
        description="calendar days: 7 or 31; others for cloud-datacenter, with an accepted quote",
        json_schema_extra={
            "x-article": "3.5",
            "x-allowed": "7 or 31 calendar days; other numbers for cloud-datacenter, with an accepted quote",
        },
    )
    copies: WholeNumber = Field(
        default=1,
        ge=1,
        le=2,
        description="2: redundancy of the backup itself, a second copy on another storage of the same site",
        json_schema_extra={"x-article": "3.2"},
    )
    quote: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        examples=["D-2026-0117"],
        description="the accepted quote's reference, for other days than 7 or 31",
        json_schema_extra={"x-article": "3.5"},
    )
    check: BackupCheck | None = Field(
        default=None,
        description="a command that every restore test runs in the isolated copy",
        json_schema_extra={"x-article": "3.5"},
    )


class Redundancy(Strict):
    """Options of article 3.2: redundant hardware at one site, a second site."""

    hardware: Switch = Field(default=False, description="restart on another node of the site when one fails")
    second_site: DnsLabel | None = Field(default=None, description="another data centre than the contract's")


_PORTS_OF_TCP_AND_UDP: JsonDict = {
    "if": {"properties": {"protocol": {"enum": ["tcp", "udp"]}}},
    "then": {"oneOf": [{"required": ["port"]}, {"required": ["ports"]}]},
    "else": {"not": {"anyOf": [{"required": ["port"]}, {"required": ["ports"]}]}},
}

Sources = Annotated[
    tuple[Source, ...],
    BeforeValidator(parse_sources, json_schema_input_type=Literal["any"] | tuple[Source, ...]),
]


class Traffic(Strict):
    """A protocol, and for TCP and UDP its ports."""

    port: OnePort | None = Field(default=None, description="one port, of tcp or udp")
    ports: PortRange | None = Field(default=None, description="a range of ports, such as 5000-5010")
    protocol: Protocol = Field(
        examples=["tcp"],
        description="tcp, udp, icmp (ping), esp, ah, gre, or another protocol's number, such as 132",
    )

    @model_validator(mode="after")
    def _ports_where_there_are_any(self) -> Self:
        if self.protocol in ("tcp", "udp"):
            if (self.port is None) == (self.ports is None):
                raise ValueError("either port (one) or ports (a range such as 5000-5010), and not both")
        elif self.port is not None or self.ports is not None:
            raise ValueError(f"no port: tcp and udp have ports, {self.protocol} has none")
        return self

    @property
    def first_last(self) -> tuple[int, int]:
        """The lowest and the highest port; 0 and 0 for a protocol without ports."""
        if self.ports is not None:
            return self.ports
        return (self.port or 0,) * 2


class OpenPort(Traffic):
    """Traffic that the machine's firewall lets in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"port": 443, "protocol": "tcp", "from": "any"}],
            **_PORTS_OF_TCP_AND_UDP,
        }
    )

    sources: Sources = Field(
        alias="from",
        min_length=1,
        max_length=500,
        examples=["any"],
        description="any, or a list of addresses and networks",
    )


class AllowedOut(Traffic):
    """Traffic that the machine's firewall lets out, once any is listed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"port": 443, "protocol": "tcp", "to": "any"}],
            **_PORTS_OF_TCP_AND_UDP,
        }
    )

    destinations: Sources = Field(
        alias="to",
        min_length=1,
        max_length=500,
        examples=["any"],
        description="any, or a list of addresses and networks",
    )


class Firewall(Strict):
    """The basic firewall in the machine (article 3.6): closed but for what is listed."""

    engine: Literal["nftables"] = "nftables"
    open: tuple[OpenPort, ...] = Field(
        default=(), max_length=1000, description="what is let in; nothing else is"
    )
    outgoing: tuple[AllowedOut, ...] | None = Field(
        default=None,
        max_length=1000,
        description="what is let out, beside what the machine itself needs; everything if absent",
    )


class DeclaredSnapshot(Strict):
    """A snapshot to take on a day; kept 7 days (articles 3.2 and 3.3)."""

    name: str = Field(
        pattern=NAME_PATTERN,
        examples=["before-migration"],
        description=NAME_WORDS,
    )
    taken_on: Date = Field(examples=["2026-11-20"], description="the day on which a night takes it")


class MachineUpdates(Strict):
    """How a machine differs from the others when updates are installed (article 3.8.3)."""

    exclude: tuple[PackagePattern, ...] = Field(
        default=(), max_length=100, description="packages that no update touches; names may hold * and ?"
    )


class Machine(Strict):
    """A virtual machine."""

    name: DnsLabel = Field(examples=["web-1"])
    was: DnsLabel | None = Field(
        default=None,
        examples=["www"],
        description="what it was called before: it is renamed in place; without effect once it is",
    )
    adopt: WholeNumber | None = Field(
        default=None,
        ge=100,
        le=999_999_999,
        description="the VM id of an existing machine that is taken over as it is; without effect once it is ours",
        json_schema_extra={"x-article": "4.2"},
    )
    image: DnsLabel = Field(examples=["debian-12"])
    vcpus: WholeNumber = Field(
        ge=1,
        le=512,
        examples=[1],
        description="at least one",
        json_schema_extra={"x-article": "2"},
    )
    memory: Mebibytes = Field(ge=128, le=16 * 1024 * 1024, examples=["1GiB"], description="128MiB to 16TiB")
    disks: tuple[Disk, ...] = Field(
        min_length=1, max_length=14, examples=[[{"name": "system", "size": "20GiB"}]]
    )
    network: DnsLabel | None = Field(
        default=None, examples=["public"], description="one of the site's networks; the first if absent"
    )
    address: Address = Field(default="auto", description="IPv4; 'auto' takes a free one of the site's range")
    power: Literal["running", "stopped"] = "running"
    fee: Euros | None = Field(
        default=None,
        description='the monthly fee of this machine, EUR in quotes, such as "400.00": credits are a share of it',
        json_schema_extra={"x-article": "6"},
    )
    backup: Backup | None = None
    redundancy: Redundancy | None = None
    firewall: Firewall = Firewall()
    updates: MachineUpdates = MachineUpdates()
    apart_from: tuple[DnsLabel, ...] = Field(
        default=(),
        max_length=100,
        description="machines of the same file that go to other nodes where there is room, and are never updated "
        "at the same time as this one",
    )
    snapshots: tuple[DeclaredSnapshot, ...] = Field(
        default=(), max_length=100, description="at most 2 at a time, each kept 7 days"
    )


class Service(Strict):
    """One offer that the client subscribed to, with its machines."""

    offer: Offer = Field(examples=["cloud-vm-advanced"])
    machines: tuple[Machine, ...] = Field(min_length=1, description="at least one")


class Subscription(Strict):
    """One client's file."""

    client: DnsLabel = Field(examples=["dupont"])
    was: DnsLabel | None = Field(
        default=None,
        examples=["dupond"],
        description="what the client was called before: it is renamed in place; without effect once it is",
    )
    contract: Contract = Field(
        examples=[{"reference": "C-2026-0042", "starts": "2026-03-01", "site": "paris"}]
    )
    administration: Administration = Administration()
    managed_services: ManagedServices | None = None
    services: tuple[Service, ...] = Field(min_length=1, description="at least one")

    def machines(self) -> list[tuple[Offer, Machine]]:
        """Every machine of the file with its offer, in the file's order."""
        return [(service.offer, machine) for service in self.services for machine in service.machines]
