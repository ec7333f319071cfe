"""A machine's configuration: which edits lead from what Proxmox has to what the file asks for.

One function an attribute: what is compared, how it reads in a plan, what is sent to Proxmox. Edits are
computed from the observed side every time, so a half-finished creation is finished by the same code that
changes an old machine, and repeating an edit that was made is no edit.

Nothing here can erase or replace. What Proxmox cannot change in place yields a refusal with a way out.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.guests.keys import is_public_key
from orchestrator.proxmox import PropertyString, disk_objection, parse_disk
from orchestrator.resources.backup import backup_words
from orchestrator.resources.change import Change, Kind
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.key_names import NamedKey, key_words
from orchestrator.resources.kinds import asked_of_kinds
from orchestrator.resources.notes import Mark
from orchestrator.subscriptions.model import format_mebibytes

if TYPE_CHECKING:
    from orchestrator.resources.observed import ObservedMachine

CLOUD_INIT_SLOT = "scsi1"
"""Where the cloud-init drive goes, if nothing is there. Debian's cloud kernel has no IDE or SATA driver, so it goes on
SCSI in any case."""

SYSTEM_SLOT = "scsi0"
"""Where a template's system disk usually is."""

_DATA_SLOTS = tuple(f"scsi{n}" for n in range(2, 31))
_DRIVE = re.compile(r"(?:scsi|virtio|sata|ide)\d+")
_CLOUD_INIT_DRIVE = re.compile(r"[^,]*[:/](?:vm-\d+-)?cloudinit(?:\.\w+)?(?:,|$)")
_SCSI = re.compile(r"scsi\d+")
_GIB = 1024**3

RESTART_KEYS = frozenset(
    {
        "cores",
        "sockets",
        "memory",
        "net0",
        "ipconfig0",
        "nameserver",
        "ciuser",
        "agent",
    }
)
"""Settings that a running machine takes up at its next start only (hotplug aside)."""

CLOUD_INIT_KEYS = frozenset({"ipconfig0", "nameserver", "ciuser"})
"""Those of them that Proxmox makes current at once, though the guest reads them at its next start. SSH keys are not
among them: they are changed in the running guest, and cloud-init finds nothing to add at its next start."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change with what it takes in Proxmox.

    Attributes:
        change: how it reads in a plan. None for settings that only we care about (marks, protection).
        params: parameters of ``PUT .../config``.
        resize: a slot and its new size in GiB, for ``PUT .../resize``.
        slot: a disk's name and slot to be noted in the mark.
    """

    change: Change | None
    params: dict[str, str | int] = field(default_factory=dict)
    resize: tuple[str, int] | None = None
    slot: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """Both sides of the comparison, and the address chosen for the machine."""

    desired: DesiredMachine
    observed: ObservedMachine
    mark: Mark
    address: IPv4Address

    def read(self, key: str) -> str | None:
        return self.observed.config.effective(key)

    def properties(self, key: str, default_key: str = "") -> PropertyString:
        return PropertyString.parse(self.read(key) or "", default_key=default_key)

    def taken(self, slot: str) -> bool:
        """Whether something is in a slot, waits for it, or is noted to belong there."""
        config = self.observed.config
        return slot in config.current or slot in config.pending or slot in self.mark.slots.values()

    def update(self, what: str, before: str | None, after: str | None, *, noted: str | None = None) -> Change:
        """A change; ``noted`` is what the mark holds for it, where that is not ``after``."""
        return Change(
            kind=Kind.UPDATE,
            what=what,
            before=before,
            after=after,
            drift=self.mark.ready and self.mark.applied.get(what) == (noted or after),
        )


def _vcpus(sides: _Sides) -> Iterator[Edit]:
    cores, sockets = int(sides.read("cores") or 1), int(sides.read("sockets") or 1)
    if cores * sockets != sides.desired.vcpus:
        change = sides.update(
            "vCPU", str(cores * sockets), str(sides.desired.vcpus)
        )  # one socket: what most licences count
        yield Edit(change=change, params={"cores": sides.desired.vcpus, "sockets": 1})


def _memory(sides: _Sides) -> Iterator[Edit]:
    properties = sides.properties("memory", "current")
    observed = int(properties.get("current") or 512)
    if observed != sides.desired.memory:
        change = sides.update("memory", format_mebibytes(observed), format_mebibytes(sides.desired.memory))
        yield Edit(
            change=change, params={"memory": str(properties.with_("current", str(sides.desired.memory)))}
        )


def _name(sides: _Sides) -> Iterator[Edit]:
    if sides.read("name") != sides.desired.name:
        change = sides.update("name", sides.read("name"), sides.desired.name)
        yield Edit(change=change, params={"name": sides.desired.name})


def _network(sides: _Sides) -> Iterator[Edit]:
    card = PropertyString.parse(sides.read("net0") or "virtio", default_key="model")
    network = sides.desired.network
    bridge, tag = card.get("bridge"), card.get("tag")
    wanted_tag = str(network.vlan) if network.vlan else None
    if (bridge, tag) != (network.bridge, wanted_tag):
        before = _network_words(bridge, tag) if bridge else None
        card = card.with_("bridge", network.bridge)
        card = card.with_("tag", wanted_tag) if wanted_tag else card.without("tag")
        change = sides.update("network", before, _network_words(network.bridge, wanted_tag))
        yield Edit(change=change, params={"net0": str(card)})


def _network_words(bridge: str | None, tag: str | None) -> str:
    return f"{bridge} VLAN {tag}" if tag else str(bridge)


def _address(sides: _Sides) -> Iterator[Edit]:
    """The IPv4 address and its gateway. What else is set there (IPv6) is not the file's, and stays."""
    network = sides.desired.network
    found = sides.properties("ipconfig0")
    wanted = {
        "ip": f"{sides.address}/{network.subnet.prefixlen}",
        "gw": str(network.gateway) if network.gateway else None,
    }
    changed = found
    for key, value in wanted.items():
        if found.get(key) != value:
            changed = changed.without(key) if value is None else changed.with_(key, value)
    if changed == found:
        return
    before = (found.get("ip") or "").partition("/")[0] or None
    after = str(sides.address)
    if before == after:
        before, after = (_way_words(found.get("ip"), found.get("gw")), _way_words(wanted["ip"], wanted["gw"]))
    change = sides.update("address", before, after, noted=str(sides.address))
    yield Edit(change=change, params={"ipconfig0": str(changed)})


def _way_words(address: str | None, gateway: str | None) -> str:
    return f"{address} via {gateway}" if gateway else f"{address} without a gateway"


def _nameservers(sides: _Sides) -> Iterator[Edit]:
    servers = " ".join(str(server) for server in sides.desired.network.nameservers)
    observed = " ".join(re.split(r"[\s,;]+", (sides.read("nameserver") or "").strip()))
    if servers and observed != servers:
        change = sides.update("name servers", observed or None, servers)
        yield Edit(change=change, params={"nameserver": servers})


def _user(sides: _Sides) -> Iterator[Edit]:
    if sides.read("ciuser") != sides.desired.user:
        change = sides.update("user", sides.read("ciuser"), sides.desired.user)
        yield Edit(change=change, params={"ciuser": sides.desired.user})


def keys_in_config(observed: ObservedMachine) -> tuple[str, ...]:
    """The public SSH keys that cloud-init puts into a guest."""
    return keys_in(observed.config.effective("sshkeys"))


def keys_in(sshkeys: str | None) -> tuple[str, ...]:
    """The public SSH keys of Proxmox's setting ``sshkeys``; lines that somebody wrote with options are left out."""
    # Proxmox parts them where a line ends, and nowhere else.
    return tuple(line for line in urllib.parse.unquote(sshkeys or "").split("\n") if is_public_key(line))


def _ssh_keys(sides: _Sides) -> Iterator[Edit]:
    observed = {NamedKey.of(key) for key in keys_in_config(sides.observed)}
    wanted = {NamedKey.of(key) for key in sides.desired.ssh_keys}
    if observed == wanted:
        return
    before, after = key_words(observed, wanted)
    offer = sides.desired.offer
    if sides.mark.ready and not offer.terms.keys:
        yield Edit(
            change=Change(
                kind=Kind.NOTICE,
                what="SSH keys",
                before=before,
                after=after,
                why="keys are installed at delivery; managing them afterwards is not part of "
                f"{offer} (art. {offer.terms.article}): the client changes them in the machine",
            )
        )
        return
    lines = "\n".join(sides.desired.ssh_keys)
    change = sides.update("SSH keys", before, after)
    yield Edit(change=change, params={"sshkeys": urllib.parse.quote(lines, safe="")})


def is_cloud_init(value: str) -> bool:
    """Whether a drive's value is a cloud-init drive: by its volume, as Proxmox itself tells."""
    return _CLOUD_INIT_DRIVE.match(value) is not None


def _cloud_init_slot(sides: _Sides) -> str | None:
    """Where the cloud-init drive is to go: a slot with nothing in it. None if the machine has one, or no free slot."""
    config = sides.observed.config
    drives = [
        value for values in (config.current, config.pending) for key, value in values.items() if is_drive(key)
    ]
    if any(is_cloud_init(value) for value in drives):
        return None
    return next((slot for slot in (CLOUD_INIT_SLOT, *_DATA_SLOTS) if not sides.taken(slot)), None)


def is_drive(key: str) -> bool:
    """Whether a setting is a drive: a disk, or one with exchangeable media. Not the firmware's own."""
    return _DRIVE.fullmatch(key) is not None


def _cloud_init_drive(sides: _Sides) -> Iterator[Edit]:
    slot = _cloud_init_slot(sides)
    if slot is not None:
        change = sides.update("cloud-init drive", None, slot)
        params = {slot: f"{sides.desired.storage}:cloudinit"}
        yield Edit(change=change, params={**params, **_controller(sides)})


def _controller(sides: _Sides) -> dict[str, str | int]:
    """The controller that a first SCSI drive needs: cloud kernels have no driver for Proxmox's default."""
    config = sides.observed.config
    keys = config.current.keys() | config.pending.keys()
    return {} if "scsihw" in keys or any(map(_SCSI.fullmatch, keys)) else {"scsihw": "virtio-scsi-pci"}


def _unseen(sides: _Sides) -> Iterator[Edit]:
    """Settings without a story for the reviewer: boot with the host, no upgrade at first boot, protection, KVM."""
    wanted = {"onboot": 1, "protection": 1, "ciupgrade": 0}
    if sides.desired.emulated:
        wanted["kvm"] = 0  # Proxmox starts no machine with KVM where there is none
    if differing := {key: value for key, value in wanted.items() if sides.read(key) != str(value)}:
        yield Edit(change=None, params=dict(differing))
    agent = sides.properties("agent", "enabled")
    if not agent.is_on("enabled"):
        change = sides.update("guest agent", "off" if agent.parts else None, "on")
        yield Edit(change=change, params={"agent": str(agent.with_("enabled", "1"))})


def _tags(sides: _Sides) -> Iterator[Edit]:
    observed = frozenset(filter(None, re.split(r"[;, ]+", sides.read("tags") or "")))
    # A clone starts with its template's tags; later, tags that people add are theirs to keep.
    kept = observed if sides.mark.ready else frozenset()
    wanted = (kept | sides.desired.tags) - {"retired"}
    if observed != wanted:
        change = sides.update("tags", ", ".join(sorted(observed)) or None, ", ".join(sorted(wanted)))
        yield Edit(change=change, params={"tags": ";".join(sorted(wanted))})


def _disks(sides: _Sides) -> Iterator[Edit]:
    ours = _cloud_init_slot(sides)
    free = [slot for slot in _DATA_SLOTS if slot != ours and not sides.taken(slot)]
    wanted_names = {name for name, _ in sides.desired.disks}
    for index, (name, size) in enumerate(sides.desired.disks):
        slot = sides.mark.slots.get(name) or (SYSTEM_SLOT if index == 0 else None)
        if slot is None:
            yield _new_disk(sides, name, size, free.pop(0) if free else None)
        else:
            yield from _existing_disk(sides, name, size, slot)
    for name in sorted(sides.mark.slots.keys() - wanted_names):
        if sides.read(sides.mark.slots[name]):
            yield Edit(change=_removed_disk(sides, name))


def _new_disk(sides: _Sides, name: str, size: int, slot: str | None) -> Edit:
    desired = sides.desired
    kind = sides.observed.storage_types.get(desired.storage, "")
    why = disk_objection(desired.storage, kind, desired.disk_format)
    if slot is None:
        vmid = sides.observed.summary.vmid
        why = f"VM {vmid} has no free SCSI slot for it: detach a drive that nobody needs, or make fewer, larger disks"
    if slot is None or why:
        return Edit(change=Change(kind=Kind.REFUSED, what=f"disk {name}", after=f"{size}GiB", why=why))
    value = f"{desired.storage}:{size}"
    if desired.disk_format:
        value += f",format={desired.disk_format}"
    change = sides.update(f"disk {name}", None, f"{size}GiB")
    return Edit(change=change, params={slot: value, **_controller(sides)}, slot=(name, slot))


def size_words(size: int) -> str:
    """A disk's size in words, never rounded: two sizes read the same only if they are the same.

    Args:
        size: bytes.
    """
    for unit, factor in (("GiB", _GIB), ("MiB", 1024**2), ("KiB", 1024)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size} bytes"


def _existing_disk(sides: _Sides, name: str, size: int, slot: str) -> Iterator[Edit]:
    value = sides.read(slot)
    if value is None:
        yield Edit(
            change=Change(
                kind=Kind.REFUSED,
                what=f"disk {name}",
                before=None,
                after=f"{size}GiB",
                drift=True,
                why=f"{slot} of VM {sides.observed.summary.vmid} no longer holds this disk: somebody detached it. "
                "Attach it again in Proxmox (an unused disk of the machine), then plan again; "
                "an empty disk is never put in its place",
            )
        )
        return
    observed = parse_disk(value).size_bytes
    if sides.mark.adopted:  # a file knows whole GiB only
        observed = observed // _GIB * _GIB
    if observed < size * _GIB:
        change = sides.update(f"disk {name}", size_words(observed), f"{size}GiB")
        yield Edit(change=change, resize=(slot, size), slot=(name, slot))
    elif observed > size * _GIB:
        fresh = not sides.mark.applied and sides.desired.disks[0][0] == name
        why = (
            image_needs(sides.desired.image, observed)
            if fresh
            else "a disk cannot shrink without losing data: set the size back, or add a smaller disk, copy the "
            "data inside the machine, and ask for the old one to be detached"
        )
        yield Edit(
            change=Change(
                kind=Kind.REFUSED,
                what=f"disk {name}",
                before=size_words(observed),
                after=f"{size}GiB",
                why=why,
            )
        )
    elif sides.mark.slots.get(name) != slot:
        yield Edit(change=None, slot=(name, slot))


def image_needs(image: str, size: int) -> str:
    """Why a system disk is too small for its image, and what to do.

    Args:
        image: its name in the file.
        size: of the template's system disk, bytes.
    """
    return f"the image {image} itself needs {size_words(size)}: ask for at least that"


def _removed_disk(sides: _Sides, name: str) -> Change:
    return Change(
        kind=Kind.REFUSED,
        what=f"disk {name}",
        before=sides.mark.slots[name],
        after=None,
        why="taking a disk out of the file would erase its data, which no plan does: put it back in the file, or "
        f"detach {sides.mark.slots[name]} of VM {sides.observed.summary.vmid} by hand (Proxmox keeps it as unused)",
    )


def _image(sides: _Sides) -> Iterator[Edit]:
    if sides.mark.image != sides.desired.image:
        yield Edit(
            change=Change(
                kind=Kind.REFUSED,
                what="image",
                before=sides.mark.image,
                after=sides.desired.image,
                why="a machine is never replaced: upgrade the system inside the machine and set the image back to "
                f"{sides.mark.image}, or add a machine with another name and move the services over",
            )
        )


_ATTRIBUTES: tuple[Callable[[_Sides], Iterator[Edit]], ...] = (
    _image,
    _name,
    _vcpus,
    _memory,
    _network,
    _address,
    _nameservers,
    _user,
    _ssh_keys,
    _cloud_init_drive,
    _unseen,
    _tags,
    _disks,
)


_ADOPTED = (_image, _vcpus, _memory, _network, _tags, _disks)
"""What is compared of a machine that was taken over: how it was delivered was not our business."""


def edits(desired: DesiredMachine, observed: ObservedMachine, mark: Mark, address: IPv4Address) -> list[Edit]:
    """Every edit that leads from the observed to the desired configuration.

    Args:
        desired: the file's side.
        observed: the hypervisor's side.
        mark: the machine's mark (ownership has been decided).
        address: the address that it has or shall have.
    """
    sides = _Sides(desired=desired, observed=observed, mark=mark, address=address)
    attributes = _ADOPTED if mark.adopted else _ATTRIBUTES
    return [edit for attribute in attributes for edit in attribute(sides)]


def new_mark(desired: DesiredMachine, vmid: int | None = None, *, system_slot: str = SYSTEM_SLOT) -> Mark:
    """The mark that a clone gets from its first moment: ours, not ready.

    Args:
        desired: the file's side.
        vmid: the VM that the mark is for; None before its number is known.
        system_slot: where its template has the system disk.
    """
    return Mark(
        vmid=vmid,
        client=desired.client,
        machine=desired.name,
        contract=desired.contract,
        offer=str(desired.offer),
        image=desired.image,
        slots={desired.disks[0][0]: system_slot},
    )


EXCLUDED = "updates excluded"
NOTHING_EXCLUDED = "none"
"""How the mark and plans name the packages that no update touches."""


def excluded_words(patterns: tuple[str, ...]) -> str:
    """Packages that no update touches, as the mark keeps them: parted by blanks."""
    return " ".join(patterns) or NOTHING_EXCLUDED


def applied(desired: DesiredMachine, address: IPv4Address) -> dict[str, str]:
    """What the file asks for, in the words of the changes: noted when applied, to tell drift from an edit."""
    words = {
        "vCPU": str(desired.vcpus),
        "memory": format_mebibytes(desired.memory),
        "name": desired.name,
        "network": _network_words(
            desired.network.bridge, str(desired.network.vlan) if desired.network.vlan else None
        ),
        "address": str(address),
    }
    words["backup"] = backup_words(desired.backup_days)
    if desired.update_exclude:
        words[EXCLUDED] = excluded_words(desired.update_exclude)
    words |= asked_of_kinds(desired)
    words |= {f"disk {name}": f"{size}GiB" for name, size in desired.disks}
    return words


def pool_change(desired: DesiredMachine, observed: ObservedMachine) -> Change | None:
    """The change that puts a machine into its client's pool; a refusal if it sits in another."""
    wanted = pool_of(desired.client)
    pool = observed.summary.pool
    if pool == wanted:
        return None
    if pool is None:
        return Change(kind=Kind.UPDATE, what="pool", after=wanted, drift=True)
    return Change(
        kind=Kind.REFUSED,
        what="pool",
        before=pool,
        after=wanted,
        drift=True,
        why=f"somebody moved the machine to the pool {pool}: move it back in Proxmox, or ask who needs it there",
    )
