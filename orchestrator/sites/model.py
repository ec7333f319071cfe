"""The provider's own side: data centres with their Proxmox VE cluster, storages, networks and images."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from orchestrator.sites.access import AnchoredPath, SecretReference, no_literal_secret
from orchestrator.sites.interface import Interface
from orchestrator.yaml_reader.problems import shorten
from orchestrator.yaml_reader.values import (
    DnsLabel,
    HostAddress,
    Network,
    SshPublicKey,
    Strict,
    Subnet,
    Switch,
    WholeNumber,
)

IPv4Address = ipaddress.IPv4Address

_RANGE = "a range of addresses is FIRST-LAST, such as 203.0.113.10-203.0.113.200"
_LOWEST_ID, _HIGHEST_ID = 100, 999_999_999
_IDS = f"VM ids are FIRST-LAST, from {_LOWEST_ID} to {_HIGHEST_ID}, such as 10000-19999"
_ID_RANGE = re.compile(r" *([0-9]{1,9}) *- *([0-9]{1,9}) *")
_URL = re.compile(
    r"https://(\[(?P<address>[^\]/@\s]+)\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:(?P<port>[0-9]{1,5}))?/?"
)
_HIGHEST_PORT = 65535
# As Proxmox lets a VM be called: a DNS name, capital letters and dots too.
_VM_NAME = r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"


def _parse_range(value: object) -> tuple[IPv4Address, IPv4Address]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and value.count("-") == 1:
        try:
            first, last = (IPv4Address(part.strip()) for part in value.split("-"))
        except ValueError:
            raise ValueError(_RANGE) from None
        if first <= last:
            return first, last
    raise ValueError(_RANGE)


def _https(value: str) -> str:
    found = _URL.fullmatch(value)
    if found is None:
        raise ValueError(
            "the address of the API is https://HOST:PORT, without a path: HOST a name, an IPv4 address, or an IPv6 "
            "address in brackets"
        )
    if found["address"] is not None:
        _ipv6(found["address"])
    _refuse_port(found["port"])
    return value.rstrip("/")


def _ipv6(text: str) -> None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError(f"{shorten(text)} is not a valid IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an address with the name of an interface (%) has no certificate: name another one")
    if address.ipv4_mapped is not None:
        raise ValueError(f"write {address.ipv4_mapped}: this is how logs write an IPv4 address")


def _refuse_port(text: str | None) -> None:
    if text is not None and not 1 <= int(text) <= _HIGHEST_PORT:
        raise ValueError(f"a port is a number from 1 to {_HIGHEST_PORT}, not {text}")


def _host_and_port(value: str) -> str:
    _refuse_port(value.partition(":")[2] or None)
    return value


def _token_id(value: str) -> str:
    if not re.fullmatch(r"[^@!\s]+@[^@!\s]+![^@!\s]+", value) or not value.isprintable():
        raise ValueError("a token's name is USER@REALM!TOKEN, such as orchestrator@pve!apply")
    return value


def _parse_ids(value: object) -> object:
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and (found := _ID_RANGE.fullmatch(value)):
        first, last = int(found[1]), int(found[2])
        if _LOWEST_ID <= first <= last <= _HIGHEST_ID:
            return first, last
    raise ValueError(_IDS)


NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$")]


class Api(Strict):
    """How to reach a cluster's API. ``verify_tls: false`` is the visible choice to trust anybody."""

    url: Annotated[str, AfterValidator(_https)] = Field(
        examples=["https://pve.example.net:8006"], description="https://HOST:PORT of any node of the cluster"
    )
    nodes: dict[NodeName, Annotated[str, AfterValidator(_https)]] = Field(
        default={},
        examples=[{"pve1": "https://pve1.example.net:8006"}],
        description="each node's own API address, by its name: nodes are read side by side, and while one address does "
        "not answer the others serve",
    )
    token_id: Annotated[str, AfterValidator(_token_id)] = Field(
        examples=["orchestrator@pve!apply"],
        description="USER@REALM!TOKEN; docs/site-file.md lists its privileges",
    )
    token_secret: Annotated[
        SecretReference, BeforeValidator(no_literal_secret, json_schema_input_type=SecretReference)
    ] = Field(examples=[{"env": "PVE_TOKEN"}])
    ca_file: AnchoredPath | None = Field(
        default=None,
        examples=["pve-root-ca.pem"],
        description="trusted certificates (PEM); the system's if absent",
    )
    verify_tls: Switch = Field(default=True, description="false trusts whoever answers: for test nodes only")
    timeout_seconds: float = Field(default=30.0, gt=0, le=600, description="how long a call may take")


class SiteNetwork(Strict):
    """A network that machines of this site are attached to."""

    name: DnsLabel = Field(examples=["public"])
    bridge: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$", examples=["vmbr0"], description="of the nodes"
    )
    vlan: WholeNumber | None = Field(
        default=None, ge=1, le=4094, description="the tag that the bridge puts on"
    )
    subnet: Subnet = Field(examples=["203.0.113.0/24"])
    gateway: HostAddress | None = Field(default=None, description="none: machines reach their subnet only")
    range: Annotated[
        tuple[IPv4Address, IPv4Address],
        BeforeValidator(_parse_range, json_schema_input_type=str),
        PlainSerializer(lambda ends: f"{ends[0]}-{ends[1]}", return_type=str),
    ] = Field(examples=["203.0.113.10-203.0.113.200"], description="where 'auto' addresses are chosen")
    nameservers: tuple[HostAddress, ...] = Field(default=(), description="what machines ask for names")

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for key, addresses in (("gateway", [self.gateway] if self.gateway else []), ("range", self.range)):
            for address in addresses:
                if address not in self.subnet:
                    reason = "{address} is not in the subnet {subnet}"
                    ends = {"key": key, "address": str(address), "subnet": str(self.subnet)}
                    raise PydanticCustomError("outside_subnet", reason, ends)
        return self


class Image(Strict):
    """A template that machines are cloned from."""

    template: str = Field(
        pattern=_VM_NAME,
        max_length=253,
        examples=["debian-12"],
        description="the name of the template in Proxmox: letters, digits, '-' and '.'",
    )


class BackupStorage(Strict):
    """A storage for backups, and the data centre where it stands (article 3.5: another one)."""

    name: str = Field(examples=["backup-lyon"], description="of the storage in Proxmox")
    site: DnsLabel = Field(examples=["lyon"])
    backups_at_a_time: WholeNumber = Field(
        default=4,
        ge=1,
        le=1000,
        description="how many backups it takes at once: what its disks and network bear",
    )


class NodeAccess(Strict):
    """How the nodes of a site are reached by SSH: for ``export`` and ``fail-over`` alone, which the API cannot do."""

    user: str = Field(default="root", pattern=r"^[a-z_][a-z0-9_-]{0,31}$", description="may run pvesm")
    ssh_private_key: AnchoredPath = Field(
        examples=["~/.ssh/id_ed25519"], description="a path; the key stays in its file"
    )
    ssh_known_hosts: AnchoredPath = Field(
        examples=["known_hosts"], description="the nodes' host keys: another one is refused"
    )
    addresses: dict[
        str, Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$"), AfterValidator(_host_and_port)]
    ] = Field(examples=[{"pve1": "192.0.2.11"}], description="HOST or HOST:PORT of each node, by its name")


class BulkReading(Strict):
    """A key that may read the configurations of all machines at once, and nothing else."""

    user: str = Field(
        default="orchestrator", pattern=r"^[a-z_][a-z0-9_-]{0,31}$", description="of the group www-data"
    )
    ssh_private_key: AnchoredPath = Field(
        examples=["~/.ssh/id_configurations"], description="a path; the key stays in its file"
    )
    ssh_known_hosts: AnchoredPath = Field(
        examples=["known_hosts"], description="the nodes' host keys: another one is refused"
    )
    addresses: tuple[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$"), AfterValidator(_host_and_port)], ...
    ] = Field(
        min_length=1,
        examples=[["192.0.2.11"]],
        description="HOST or HOST:PORT of nodes: the first that answers is read",
    )


class Probes(Strict):
    """A Prometheus whose blackbox exporter probes a site's machines: ``orchestrator watch`` asks it once a round."""

    url: str = Field(
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]{1,255}(/[A-Za-z0-9._~/-]*)?$",
        examples=["https://prometheus.example.net:9090"],
        description="of Prometheus",
    )
    query: str = Field(
        default="probe_success",
        min_length=1,
        max_length=1000,
        description="gives 0 or 1 with the labels client and machine, as `orchestrator targets` writes them",
    )
    ca_file: AnchoredPath | None = Field(
        default=None, examples=["prometheus-ca.pem"], description="trusted certificates (PEM)"
    )
    token: SecretReference | None = Field(default=None, description="a bearer token; https only")

    @model_validator(mode="after")
    def _token_is_not_sent_in_clear(self) -> Self:
        if self.token is not None and not self.url.startswith("https://"):
            raise ValueError("a token is sent by https only: write url with https://")
        return self


class SecondSite(Strict):
    """Nodes of a site's own cluster that stand in another data centre (article 3.2)."""

    nodes: tuple[NodeName, ...] = Field(
        min_length=1, examples=[["pve-lyon-1"]], description="their names in Proxmox"
    )


class Replication(Strict):
    """How often disks are replicated, to a second site or to another node of the same one (article 3.2)."""

    schedule: str = Field(
        default="*/15",
        pattern=r"^[A-Za-z0-9*/,.: -]{1,128}$",
        description="a calendar event of Proxmox: */15 is every quarter of an hour, and the most that is lost",
    )
    rate: float | None = Field(default=None, ge=1, le=100_000, description="megabytes a second at most")


class Site(Strict):
    """A data centre with one Proxmox VE cluster."""

    api: Api = Field(
        examples=[{"url": "https://h:8006", "token_id": "u@pve!t", "token_secret": {"env": "T"}}]
    )
    data_centre: str | None = Field(
        default=None,
        pattern=r"^[^<>\[\]{}\\`|\x00-\x1f\x7f]{2,100}$",
        examples=["DC Paris 3, Saint-Denis"],
        description="its name, as clients are told where their machines are: one, in France, for cloud-vm-essential "
        "(article 3.3)",
    )
    storage: str = Field(examples=["local"], description="where the machines' disks are allocated")
    disk_format: Literal["raw", "qcow2"] | None = Field(
        default=None, description="qcow2 on directory storages, where raw cannot snapshot"
    )
    virtualization: Literal["kvm", "emulated"] = Field(
        default="kvm", description="emulated: machines run without KVM, on nodes that are virtual themselves"
    )
    networks: tuple[SiteNetwork, ...] = Field(min_length=1, description="the first one is the default")
    images: dict[DnsLabel, Image] = Field(min_length=1, description="by the names that clients' files use")
    node_access: NodeAccess | None = None
    bulk_reading: BulkReading | None = None
    probes: Probes | None = None
    consoles: Switch = Field(
        default=True,
        description="false: nobody gets a machine's console in the Interface, and the token needs no VM.Console",
    )
    second_sites: dict[DnsLabel, SecondSite] = Field(
        default={}, description="nodes of this cluster in other data centres, by the names of these"
    )
    replication: Replication = Replication()
    vmids: (
        Annotated[
            tuple[int, int],
            BeforeValidator(_parse_ids, json_schema_input_type=str),
            PlainSerializer(lambda ends: f"{ends[0]}-{ends[1]}", return_type=str),
        ]
        | None
    ) = Field(
        default=None, examples=["10000-19999"], description="numbers for new VMs; default: the next free one"
    )
    backup_storages: tuple[BackupStorage, ...] = Field(
        default=(), description="where backups of this site's machines go: at other sites (article 3.5)"
    )


class Management(Strict):
    """How the provider reaches the machines by SSH."""

    addresses: tuple[Network, ...] = Field(min_length=1, examples=[["192.0.2.10/32"]])
    monitoring_addresses: tuple[Network, ...] = Field(
        default=(), description="what may read the node exporter of supervised machines"
    )
    user: str = Field(default="admin", pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    ssh_public_key: SshPublicKey = Field(description="installed in every machine")
    ssh_private_key: AnchoredPath = Field(
        examples=["~/.ssh/id_ed25519"], description="a path; the key stays in its file"
    )
    ssh_proxy_command: str | None = Field(
        default=None,
        examples=["ssh -W %h:%p jump.example.net"],
        description="OpenSSH ProxyCommand, with %h and %p",
    )


class Limit(Strict):
    """How many machines of a client, or of a site, one run may touch in a way: both numbers must be passed."""

    percent: WholeNumber = Field(ge=1, le=100, examples=[50], description="of the machines that are there")
    machines: WholeNumber = Field(ge=0, examples=[3], description="so many are never too many")


class Safety(Strict):
    """Safety limits: nothing of a plan that exceeds them is applied until ``--allow`` names the risk."""

    change: Limit = Limit(percent=50, machines=10)
    restart: Limit = Limit(percent=34, machines=3)
    retire: Limit = Limit(percent=20, machines=1)


class Provider(Strict):
    """One inventory: the sites of a provider."""

    management: Management
    safety: Safety = Safety()
    erasure: Switch = Field(
        default=False,
        description="let nights erase what a contract that ended leaves (article 10); else they only say what",
    )
    interface: Interface = Interface()
    sites: dict[DnsLabel, Site] = Field(min_length=1, description="the data centres, by their names")

    def data_centre_of(self, site: str, node: str) -> str:
        """The data centre where a node of a site stands, as clients are told; empty if the file does not name it."""
        there = self.sites[site]
        second = next((name for name, nodes in there.second_sites.items() if node in nodes.nodes), None)
        return second or there.data_centre or ""

    @property
    def backup_storage_names(self) -> dict[str, tuple[str, ...]]:
        """The names of the backup storages, by site."""
        return {
            name: tuple(storage.name for storage in site.backup_storages) for name, site in self.sites.items()
        }
