"""What one client subscribed to: the data of a subscription file, once it has been read.

The classes say what a file may contain (keys, types, units, ranges). What an *offer* allows is in
:mod:`orchestrator.subscriptions.offers`. Every value is immutable. Required fields carry an example: it
documents the JSON Schema, and stands in for a wrong value while the rest of the file is checked.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

_SIZE = re.compile(r"(?P<number>\d+) ?(?P<unit>[KMGT]iB)")
_MIB = {"KiB": None, "MiB": 1, "GiB": 1024, "TiB": 1024 * 1024}

IPv4Network = ipaddress.IPv4Network
IPv6Network = ipaddress.IPv6Network


class Offer(StrEnum):
    """An offer of the contract (article 3)."""

    ESSENTIAL = "cloud-vm-essential"
    ADVANCED = "cloud-vm-advanced"
    DATACENTER = "cloud-datacenter"


def parse_size(value: object) -> int:
    """Return a size such as ``4GiB`` in MiB.

    Only binary units are accepted, because Proxmox counts in them: ``4GB`` is an error, not 4GiB.

    Raises:
        ValueError: the text is not a whole number of MiB, GiB or TiB.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        factor = _MIB[match["unit"]]
        if factor is not None:
            return int(match["number"]) * factor
    raise ValueError("a size is a whole number with the unit MiB, GiB or TiB, such as 4GiB")


def parse_disk_size(value: object) -> int:
    """Return a disk size such as ``20GiB`` in GiB (whole GiB: the unit in which Proxmox allocates).

    Raises:
        ValueError: the text is not a size, or not a whole number of GiB.
    """
    mebibytes = parse_size(value)
    if mebibytes % 1024:
        raise ValueError("a disk is a whole number of GiB, such as 20GiB")
    return mebibytes // 1024


def format_mebibytes(mebibytes: int) -> str:
    """Write a number of MiB the way subscription files do: ``4GiB``, ``512MiB``."""
    return f"{mebibytes // 1024}GiB" if mebibytes % 1024 == 0 and mebibytes else f"{mebibytes}MiB"


def format_gibibytes(gibibytes: int) -> str:
    """Write a number of GiB the way subscription files do: ``20GiB``."""
    return f"{gibibytes}GiB"


def parse_source(value: object) -> IPv4Network | IPv6Network | Literal["any"]:
    """Return ``any``, or the network that an address or a CIDR text names.

    Raises:
        ValueError: neither; or host bits are set in a CIDR text.
    """
    if value == "any":
        return "any"
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    if not isinstance(value, str):
        raise ValueError("a source is an address or a network in CIDR form, such as 198.51.100.0/24")
    return ipaddress.ip_network(value)


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """Return the network that an address or a CIDR text names (``any`` is refused)."""
    network = parse_source(value)
    if isinstance(network, str):
        raise ValueError("'any' is not allowed here: name the addresses, such as 198.51.100.0/24")
    return network


def _parse_sources(value: object) -> object:
    return [value] if value == "any" else value


def _parse_port_range(value: object) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,5})-(\d{1,5})", value)):
        first, last = int(match[1]), int(match[2])
        if 1 <= first < last <= 65535:
            return first, last
    raise ValueError("a range of ports is FIRST-LAST within 1-65535, such as 5000-5010")


def _parse_address(value: object) -> ipaddress.IPv4Address | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, ipaddress.IPv4Address):
        return value
    if not isinstance(value, str):
        raise ValueError("an address is 'auto' or an IPv4 address such as 203.0.113.10")
    return ipaddress.IPv4Address(value)


def _ssh_public_key(value: str) -> str:
    fields = value.split()
    if len(fields) < 2 or not re.fullmatch(r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+)", fields[0]):
        raise ValueError("an SSH public key is a line such as 'ssh-ed25519 AAAA... name@host'")
    if "\n" in value.strip():
        raise ValueError("an SSH public key is one line")
    return value.strip()


def _text(value: object) -> str:
    return "any" if value == "any" else str(value)


DnsLabel = Annotated[
    str, Field(pattern=r"^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$", description="lower-case letters, digits and '-', at most 63")
]
Mebibytes = Annotated[
    int,
    BeforeValidator(parse_size, json_schema_input_type=str),
    PlainSerializer(format_mebibytes, return_type=str),
]
Gibibytes = Annotated[
    int,
    BeforeValidator(parse_disk_size, json_schema_input_type=str),
    PlainSerializer(format_gibibytes, return_type=str),
]
Source = Annotated[
    IPv4Network | IPv6Network | Literal["any"],
    BeforeValidator(parse_source, json_schema_input_type=str),
    PlainSerializer(_text, return_type=str),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(parse_network, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
PortRange = Annotated[
    tuple[int, int],
    BeforeValidator(_parse_port_range, json_schema_input_type=str),
    PlainSerializer(lambda ports: f"{ports[0]}-{ports[1]}", return_type=str),
]
Address = Annotated[
    ipaddress.IPv4Address | Literal["auto"],
    BeforeValidator(_parse_address, json_schema_input_type=str),
    PlainSerializer(_text, return_type=str),
]
SshPublicKey = Annotated[str, AfterValidator(_ssh_public_key)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description='a quoted time such as "22:00"')]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Strict(BaseModel):
    """Unknown keys are errors and values never change: what every class of a file shares."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Contract(Strict):
    """The signed contract that a file carries out."""

    reference: str = Field(min_length=1, examples=["C-2026-0042"])
    starts: dt.date = Field(examples=["2026-03-01"])
    site: DnsLabel = Field(examples=["paris"], description="the data centre of the client's machines")


class Administration(Strict):
    """Who may administer the client's machines, and from where (article 3.6)."""

    ssh_keys: tuple[SshPublicKey, ...] = ()
    allowed_from: tuple[Network, ...] = ()


class MaintenanceWindow(Strict):
    """When machines may be restarted: on these days, from this time on (Europe/Paris). May cross midnight."""

    days: tuple[Day, ...] = Field(min_length=1, examples=[["tuesday"]])
    starts: TimeOfDay = Field(alias="from", examples=["22:00"])
    ends: TimeOfDay = Field(alias="to", examples=["02:00"])


class ManagedServices(Strict):
    """The managed services, "infogérance", that the client bought (article 3.8)."""

    level: Literal["supervision", "full"] = Field(examples=["supervision"])
    updates: Literal["on-request", "automatic"] = "on-request"
    maintenance_window: MaintenanceWindow | None = None
    standard_changes_per_month: int = Field(default=0, ge=0, description="free standard changes (article 3.8.4)")


class Disk(Strict):
    """A virtual disk. The first one of a machine holds the system."""

    name: DnsLabel = Field(examples=["system"])
    size: Gibibytes = Field(ge=1, le=65536, examples=["20GiB"])


class Backup(Strict):
    """The daily backup of a machine (article 3.5)."""

    retention_days: int = Field(ge=1, le=3660, examples=[7], description="calendar days: 7 or 31")


class Redundancy(Strict):
    """Options of article 3.2: redundant hardware at one site, a second site."""

    hardware: bool = False
    second_site: DnsLabel | None = None


class OpenPort(Strict):
    """Traffic that the machine's firewall lets in."""

    port: int | None = Field(default=None, ge=1, le=65535)
    ports: PortRange | None = None
    protocol: Literal["tcp", "udp"] = Field(examples=["tcp"])
    sources: Annotated[tuple[Source, ...], BeforeValidator(_parse_sources)] = Field(
        alias="from", min_length=1, examples=["any"]
    )

    @model_validator(mode="after")
    def _one_of_port_and_ports(self) -> Self:
        if (self.port is None) == (self.ports is None):
            raise ValueError("name either port (one) or ports (a range)")
        return self

    @property
    def first_last(self) -> tuple[int, int]:
        """The lowest and the highest port that this opens."""
        if self.ports is not None:
            return self.ports
        assert self.port is not None  # noqa: S101  (guaranteed by the validator above)
        return self.port, self.port


class Firewall(Strict):
    """The basic firewall in the machine (article 3.6): closed but for what is listed."""

    engine: Literal["nftables"] = "nftables"
    open: tuple[OpenPort, ...] = ()


class DeclaredSnapshot(Strict):
    """A snapshot to take on a day; kept 7 days (articles 3.2 and 3.3)."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{1,39}$", examples=["before-migration"])
    taken_on: dt.date = Field(examples=["2026-11-20"])


class Machine(Strict):
    """A virtual machine."""

    name: DnsLabel = Field(examples=["web-1"])
    image: DnsLabel = Field(examples=["debian-12"])
    vcpus: int = Field(ge=1, le=512, examples=[1], description="at least one (article 2)")
    memory: Mebibytes = Field(ge=128, le=16 * 1024 * 1024, examples=["1GiB"])
    disks: tuple[Disk, ...] = Field(min_length=1, max_length=14, examples=[[{"name": "system", "size": "20GiB"}]])
    network: DnsLabel | None = Field(default=None, description="one of the site's networks; the first if absent")
    address: Address = Field(default="auto", description="IPv4; 'auto' takes a free one of the site's range")
    power: Literal["running", "stopped"] = "running"
    backup: Backup | None = None
    redundancy: Redundancy | None = None
    firewall: Firewall = Firewall()
    snapshots: tuple[DeclaredSnapshot, ...] = ()


class Service(Strict):
    """One offer that the client subscribed to, with its machines."""

    offer: Offer = Field(examples=["cloud-vm-advanced"])
    machines: tuple[Machine, ...] = Field(min_length=1, examples=[[]])


class Subscription(Strict):
    """One client's file."""

    client: DnsLabel = Field(examples=["dupont"])
    contract: Contract = Field(examples=[{"reference": "C-2026-0042", "starts": "2026-03-01", "site": "paris"}])
    administration: Administration = Administration()
    managed_services: ManagedServices | None = None
    services: tuple[Service, ...] = Field(min_length=1, examples=[[]])

    def machines(self) -> list[tuple[Offer, Machine]]:
        """Every machine of the file with its offer, in the file's order."""
        return [(service.offer, machine) for service in self.services for machine in service.machines]
