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
from orchestrator.proxmox import parse_disk, parse_property_string
from orchestrator.resources.backup import backup_words
from orchestrator.resources.change import Change, Kind
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.notes import Mark
from orchestrator.resources.redundancy import APPLIED, redundancy_words
from orchestrator.subscriptions.model import Offer, format_mebibytes

if TYPE_CHECKING:
    from orchestrator.resources.observed import ObservedMachine

CLOUD_INIT_SLOT = "scsi1"
"""Debian's cloud kernel has no IDE or SATA driver: the cloud-init drive goes on SCSI."""

SYSTEM_SLOT = "scsi0"
_DATA_SLOTS = tuple(f"scsi{n}" for n in range(2, 31))

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

    def update(self, what: str, before: str | None, after: str | None) -> Change:
        return Change(
            kind=Kind.UPDATE,
            what=what,
            before=before,
            after=after,
            drift=self.mark.ready and self.mark.applied.get(what) == after,
        )


def _vcpus(sides: _Sides) -> Iterator[Edit]:
    cores, sockets = int(sides.read("cores") or 1), int(sides.read("sockets") or 1)
    if cores * sockets != sides.desired.vcpus:
        change = sides.update(
            "vCPU", str(cores * sockets), str(sides.desired.vcpus)
        )  # one socket: what most licences count
        yield Edit(change=change, params={"cores": sides.desired.vcpus, "sockets": 1})


def _memory(sides: _Sides) -> Iterator[Edit]:
    text = sides.read("memory") or "512"
    observed = int(parse_property_string(text).get("current", text) if "=" in text else text)
    if observed != sides.desired.memory:
        change = sides.update("memory", format_mebibytes(observed), format_mebibytes(sides.desired.memory))
        yield Edit(change=change, params={"memory": sides.desired.memory})


def _name(sides: _Sides) -> Iterator[Edit]:
    if sides.read("name") != sides.desired.name:
        change = sides.update("name", sides.read("name"), sides.desired.name)
        yield Edit(change=change, params={"name": sides.desired.name})


def _network(sides: _Sides) -> Iterator[Edit]:
    text = sides.read("net0") or "virtio"
    options = dict(part.partition("=")[::2] for part in text.split(","))
    network = sides.desired.network
    wanted_tag = str(network.vlan) if network.vlan else None
    if (options.get("bridge"), options.get("tag")) != (network.bridge, wanted_tag):
        before = _network_words(options.get("bridge"), options.get("tag")) if "bridge" in options else None
        options["bridge"] = network.bridge
        options.pop("tag", None)
        if wanted_tag:
            options["tag"] = wanted_tag
        value = ",".join(f"{key}={value}" if value else key for key, value in options.items())
        change = sides.update("network", before, _network_words(network.bridge, wanted_tag))
        yield Edit(change=change, params={"net0": value})


def _network_words(bridge: str | None, tag: str | None) -> str:
    return f"{bridge} VLAN {tag}" if tag else str(bridge)


def _address(sides: _Sides) -> Iterator[Edit]:
    network = sides.desired.network
    value = f"ip={sides.address}/{network.subnet.prefixlen}"
    if network.gateway:
        value += f",gw={network.gateway}"
    observed = sides.read("ipconfig0")
    if observed is None or parse_property_string(observed) != parse_property_string(value):
        before = str(sides.observed.address) if sides.observed.address else None
        change = sides.update("address", before, str(sides.address))
        yield Edit(change=change, params={"ipconfig0": value})


def _nameservers(sides: _Sides) -> Iterator[Edit]:
    servers = " ".join(str(server) for server in sides.desired.network.nameservers)
    if servers and (sides.read("nameserver") or "") != servers:
        change = sides.update("name servers", sides.read("nameserver"), servers)
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
    return tuple(line for line in urllib.parse.unquote(sshkeys or "").splitlines() if is_public_key(line))


def _ssh_keys(sides: _Sides) -> Iterator[Edit]:
    observed = frozenset(keys_in_config(sides.observed))
    wanted = frozenset(sides.desired.ssh_keys)
    if observed == wanted:
        return
    if sides.mark.ready and sides.desired.offer is Offer.ESSENTIAL:
        yield Edit(
            change=Change(
                kind=Kind.NOTICE,
                what="SSH keys",
                before=_count(observed),
                after=_count(wanted),
                why="keys are installed at delivery; managing them afterwards is not part of "
                "cloud-vm-essential (art. 3.3): the client changes them in the machine",
            )
        )
        return
    lines = "\n".join(sides.desired.ssh_keys)
    change = sides.update("SSH keys", _count(observed), _count(wanted))
    yield Edit(change=change, params={"sshkeys": urllib.parse.quote(lines, safe="")})


def _count(keys: frozenset[str]) -> str | None:
    return ", ".join(sorted(key.split()[-1] if len(key.split()) > 2 else key[-12:] for key in keys)) or None


def _cloud_init_drive(sides: _Sides) -> Iterator[Edit]:
    has_drive = any(
        "cloudinit" in value for value in sides.observed.config.current.values() if "media=cdrom" in value
    )
    pending = any("cloudinit" in value for value in sides.observed.config.pending.values())
    if not has_drive and not pending:
        change = sides.update("cloud-init drive", None, CLOUD_INIT_SLOT)
        yield Edit(change=change, params={CLOUD_INIT_SLOT: f"{sides.desired.storage}:cloudinit"})


def _unseen(sides: _Sides) -> Iterator[Edit]:
    """Settings without a story for the reviewer: boot with the host, no upgrade at first boot, protection, KVM."""
    wanted = {"onboot": 1, "protection": 1, "ciupgrade": 0}
    if sides.desired.emulated:
        wanted["kvm"] = 0  # Proxmox starts no machine with KVM where there is none
    if differing := {key: value for key, value in wanted.items() if sides.read(key) != str(value)}:
        yield Edit(change=None, params=dict(differing))
    agent = sides.read("agent") or ""
    if not re.match(r"(enabled=)?1\b", agent):
        yield Edit(change=sides.update("guest agent", agent or None, "on"), params={"agent": 1})


def _tags(sides: _Sides) -> Iterator[Edit]:
    observed = frozenset(filter(None, re.split(r"[;, ]+", sides.read("tags") or "")))
    # A clone starts with its template's tags; later, tags that people add are theirs to keep.
    kept = observed if sides.mark.ready else frozenset()
    wanted = (kept | sides.desired.tags) - {"retired"}
    if observed != wanted:
        change = sides.update("tags", ", ".join(sorted(observed)) or None, ", ".join(sorted(wanted)))
        yield Edit(change=change, params={"tags": ";".join(sorted(wanted))})


def _disks(sides: _Sides) -> Iterator[Edit]:
    free = [
        slot for slot in _DATA_SLOTS if sides.read(slot) is None and slot not in sides.mark.slots.values()
    ]
    wanted_names = {name for name, _ in sides.desired.disks}
    for index, (name, size) in enumerate(sides.desired.disks):
        slot = sides.mark.slots.get(name) or (SYSTEM_SLOT if index == 0 else None)
        if slot is None:
            yield _new_disk(sides, name, size, free.pop(0))
        else:
            yield from _existing_disk(sides, name, size, slot)
    for name in sorted(sides.mark.slots.keys() - wanted_names):
        if sides.read(sides.mark.slots[name]):
            yield Edit(change=_removed_disk(sides, name))


def _new_disk(sides: _Sides, name: str, size: int, slot: str) -> Edit:
    value = f"{sides.desired.storage}:{size}"
    if sides.desired.disk_format:
        value += f",format={sides.desired.disk_format}"
    change = sides.update(f"disk {name}", None, f"{size}GiB")
    return Edit(change=change, params={slot: value}, slot=(name, slot))


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
    gibibyte = 1024**3
    observed = parse_disk(value).size_bytes
    if sides.mark.adopted:  # a file knows whole GiB only
        observed = observed // gibibyte * gibibyte
    if observed < size * gibibyte:
        before = f"{observed / gibibyte:g}GiB"
        change = sides.update(f"disk {name}", before, f"{size}GiB")
        yield Edit(change=change, resize=(slot, size), slot=(name, slot))
    elif observed > size * gibibyte:
        fresh = not sides.mark.applied and slot == SYSTEM_SLOT
        why = (
            f"the image {sides.desired.image} itself needs {observed / gibibyte:g} GiB: ask for at least that"
            if fresh
            else "a disk cannot shrink without losing data: set the size back, or add a smaller disk, copy the "
            "data inside the machine, and ask for the old one to be detached"
        )
        yield Edit(
            change=Change(
                kind=Kind.REFUSED,
                what=f"disk {name}",
                before=f"{observed / gibibyte:g}GiB",
                after=f"{size}GiB",
                why=why,
            )
        )
    elif sides.mark.slots.get(name) != slot:
        yield Edit(change=None, slot=(name, slot))


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


def new_mark(desired: DesiredMachine, vmid: int | None = None) -> Mark:
    """The mark that a clone gets from its first moment: ours, not ready.

    Args:
        desired: the machine.
        vmid: the VM that the mark is for; None before its number is known.
    """
    return Mark(
        vmid=vmid,
        client=desired.client,
        machine=desired.name,
        contract=desired.contract,
        offer=str(desired.offer),
        image=desired.image,
        slots={desired.disks[0][0]: SYSTEM_SLOT},
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
    if desired.redundancy.asked:
        words[APPLIED] = redundancy_words(desired.redundancy)
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
