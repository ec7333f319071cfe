"""The attributes of a machine that are settings of Proxmox's: a table, one row each.

From it follow the comparison of a machine with its file, what the mark notes as applied, the class of each change, what
is compared when a machine is taken over, what ``import`` writes into a file and what ``show`` prints. A new attribute
is a key of the file (:class:`orchestrator.subscriptions.model.Machine`), a field of :class:`Applied` and a row here.

What depends on the machine's mark as well (disks, tags, SSH keys) is not a row: :mod:`orchestrator.resources.machine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass as model

from orchestrator.proxmox import PropertyString
from orchestrator.resources.change import ChangeClass, Judged
from orchestrator.resources.marks import EXACT, Asked, Label, Line
from orchestrator.subscriptions.model import format_mebibytes

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig
    from orchestrator.resources.desired import DesiredMachine

V = TypeVar("V")
Params = dict[str, str | int]

_DEFAULT_MEMORY = 512
"""MiB that Proxmox gives a machine whose configuration says nothing."""

Count = Annotated[int, Field(ge=1, le=10**9)]


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class Applied:
    """What a machine's file asked for when it was last applied: tells drift (the hypervisor was changed) from an edit.

    None: it was not noted, or nothing was asked for.

    Attributes:
        memory: MiB.
        network: the bridge and the VLAN.
        backup_days: how many calendar days its backups are kept; None if its backup was off.
        backup_copies: how many archives a night makes (article 3.2).
        update_exclude: packages that no update touches.
        kinds: by kind of thing that belongs to the machine (:mod:`orchestrator.resources.kinds`), as each puts it.
        disks: GiB, by name.
        left_out: disks that the client leaves out of the backup.
    """

    vcpus: Count | None = None
    memory: Count | None = None
    name: Line | None = None
    network: tuple[Line, Count | None] | None = None
    address: IPv4Address | None = None
    backup_days: Annotated[int, Field(ge=1, le=3660)] | None = None
    backup_copies: Annotated[int, Field(ge=1, le=2)] = 1
    update_exclude: tuple[Line, ...] = ()
    kinds: dict[Label, Asked] = Field(default_factory=dict)
    disks: dict[Label, Count] = Field(default_factory=dict)
    left_out: tuple[Label, ...] = ()
    power: Literal["running", "stopped"] | None = None


SIZE = Judged(
    ChangeClass.STANDARD,
    "size: mastered, and nothing in the system is modified; a larger one is an order",
    ordered="larger",
)
OPTION = Judged(ChangeClass.STANDARD, "an option of the subscription")
BOOKKEEPING = Judged(ChangeClass.STANDARD, "the provider's own bookkeeping", counted=False)
REACHED = Judged(
    ChangeClass.SIGNIFICANT, "whoever talks to the machine must follow: planned and tested with the client"
)


@dataclass(frozen=True)
class Way:
    """How a guest is reached, as Proxmox has it: the address with its prefix, and the gateway."""

    address: str
    gateway: str | None

    @property
    def host(self) -> str:
        """The address alone."""
        return self.address.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Attribute(Generic[V]):
    """One attribute.

    Attributes:
        name: in plans, in ``show`` and in the JSON of plans.
        asked: the value that a file asks for, with the address that was chosen for the machine; None: nothing.
        read: the value that a configuration has; None where it has none.
        write: the settings that give a configuration a value.
        words: a value, for people.
        change_words: both sides of a change, where :attr:`words` would make them read the same.
        noted: the field of :class:`Applied` that holds it, and its value there; None: it is not noted.
        at_restart: settings that a running machine takes up at its next start only (hotplug aside).
        judged: the class of its changes.
        privilege: what Proxmox asks for to change it.
        adoptable: whether it is compared with the file when a machine is taken over, and afterwards.
        imported: the key of a file, and what stands there; None: ``import`` does not write it from this row alone.
        created: a value where the creation of a machine is told; None: it is not told.
        shown: whether ``show`` prints it.
    """

    name: str
    asked: Callable[[DesiredMachine, IPv4Address], V | None]
    read: Callable[[VmConfig], V | None]
    write: Callable[[VmConfig, V], Params]
    words: Callable[[V], str] = str
    change_words: Callable[[V], str] | None = None
    noted: tuple[str, Callable[[V], Any]] | None = None
    at_restart: tuple[str, ...] = ()
    judged: Judged
    privilege: str
    adoptable: bool = False
    imported: tuple[str, Callable[[V], Any]] | None = None
    created: Callable[[V], str] | None = None
    shown: bool = False


def _itself(value: V) -> V:
    return value


def vcpus_of(config: VmConfig) -> int:
    """How many virtual CPUs a machine has."""
    return int(config.effective("cores") or 1) * int(config.effective("sockets") or 1)


def _memory(config: VmConfig) -> PropertyString:
    return PropertyString.parse(config.effective("memory") or "", default_key="current")


def memory_of(config: VmConfig) -> int:
    """A machine's memory in MiB."""
    return int(_memory(config).get("current") or _DEFAULT_MEMORY)


def _card(config: VmConfig) -> PropertyString:
    return PropertyString.parse(config.effective("net0") or "virtio", default_key="model")


def network_of(config: VmConfig) -> tuple[str, int | None] | None:
    """The bridge and the VLAN of a machine's first network device; None where there is none."""
    card = _card(config)
    bridge, tag = card.get("bridge"), card.get("tag")
    return (bridge, int(tag) if tag else None) if bridge else None


def _write_network(config: VmConfig, value: tuple[str, int | None]) -> Params:
    bridge, vlan = value
    card = _card(config).with_("bridge", bridge)
    return {"net0": str(card.with_("tag", str(vlan)) if vlan else card.without("tag"))}


def _network_words(value: tuple[str, int | None]) -> str:
    bridge, vlan = value
    return f"{bridge} VLAN {vlan}" if vlan else bridge


def _way_of(config: VmConfig) -> Way | None:
    found = PropertyString.parse(config.effective("ipconfig0") or "")
    address = found.get("ip")
    return Way(address, found.get("gw")) if address else None  # a gateway alone reaches nothing


def _write_way(config: VmConfig, value: Way) -> Params:
    """What else is set there (IPv6) is not the file's, and stays."""
    changed = PropertyString.parse(config.effective("ipconfig0") or "")
    for key, part in (("ip", value.address), ("gw", value.gateway)):
        if changed.get(key) != part:
            changed = changed.without(key) if part is None else changed.with_(key, part)
    return {"ipconfig0": str(changed)}


def _asked_way(desired: DesiredMachine, address: IPv4Address) -> Way:
    network = desired.network
    return Way(f"{address}/{network.subnet.prefixlen}", str(network.gateway) if network.gateway else None)


def _whole_way(value: Way) -> str:
    return f"{value.address} via {value.gateway}" if value.gateway else f"{value.address} without a gateway"


def _servers_of(config: VmConfig) -> tuple[str, ...] | None:
    return tuple(filter(None, re.split(r"[\s,;]+", config.effective("nameserver") or ""))) or None


def _agent(config: VmConfig) -> PropertyString:
    return PropertyString.parse(config.effective("agent") or "", default_key="enabled")


def _write_vcpus(_config: VmConfig, value: int) -> Params:
    return {"cores": value, "sockets": 1}  # one socket: what most licences count


ATTRIBUTES: tuple[Attribute[Any], ...] = (
    Attribute(
        name="name",
        asked=lambda desired, _: desired.name,
        read=lambda config: config.effective("name"),
        write=lambda _, value: {"name": value},
        noted=("name", _itself),
        judged=BOOKKEEPING,
        privilege="VM.Config.Options",
    ),
    Attribute(
        name="vCPU",
        asked=lambda desired, _: desired.file.vcpus,
        read=vcpus_of,
        write=_write_vcpus,
        noted=("vcpus", _itself),
        at_restart=("cores", "sockets"),
        judged=SIZE,
        privilege="VM.Config.CPU",
        adoptable=True,
        imported=("vcpus", _itself),
        created=lambda value: f"{value} vCPU",
        shown=True,
    ),
    Attribute(
        name="memory",
        asked=lambda desired, _: desired.file.memory,
        read=memory_of,
        write=lambda config, value: {"memory": str(_memory(config).with_("current", str(value)))},
        words=format_mebibytes,
        noted=("memory", _itself),
        at_restart=("memory",),
        judged=SIZE,
        privilege="VM.Config.Memory",
        adoptable=True,
        imported=("memory", format_mebibytes),
        created=format_mebibytes,
        shown=True,
    ),
    Attribute(
        name="network",
        asked=lambda desired, _: (desired.network.bridge, desired.network.vlan),
        read=network_of,
        write=_write_network,
        words=_network_words,
        noted=("network", _itself),
        at_restart=("net0",),
        judged=REACHED,
        privilege="VM.Config.Network",
        adoptable=True,
    ),
    Attribute(
        name="address",
        asked=_asked_way,
        read=_way_of,
        write=_write_way,
        words=lambda value: value.host,
        change_words=_whole_way,
        noted=("address", lambda value: IPv4Address(value.host)),
        at_restart=("ipconfig0",),
        judged=REACHED,
        privilege="VM.Config.Cloudinit",
    ),
    Attribute(
        name="name servers",
        asked=lambda desired, _: tuple(map(str, desired.network.nameservers)) or None,
        read=_servers_of,
        write=lambda _, value: {"nameserver": " ".join(value)},
        words=" ".join,
        at_restart=("nameserver",),
        judged=OPTION,
        privilege="VM.Config.Cloudinit",
    ),
    Attribute(
        name="user",
        asked=lambda desired, _: desired.user,
        read=lambda config: config.effective("ciuser"),
        write=lambda _, value: {"ciuser": value},
        at_restart=("ciuser",),
        judged=BOOKKEEPING,
        privilege="VM.Config.Cloudinit",
    ),
    Attribute(
        name="guest agent",
        asked=lambda _, __: True,
        read=lambda config: _agent(config).is_on("enabled") if _agent(config).parts else None,
        write=lambda config, _: {"agent": str(_agent(config).with_("enabled", "1"))},
        words=lambda value: "on" if value else "off",
        at_restart=("agent",),
        judged=BOOKKEEPING,
        privilege="VM.Config.Options",
    ),
)
"""Every attribute, in the order in which plans list them."""

BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


def attributes_of(settings: Mapping[str, object]) -> list[str]:
    """The attributes that settings which wait for a restart are of, as plans and the history name them."""
    return [attribute.name for attribute in ATTRIBUTES if settings.keys() & set(attribute.at_restart)]
