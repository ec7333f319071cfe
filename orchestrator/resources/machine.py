"""A machine's configuration: which edits lead from what Proxmox has to what the file asks for.

Settings are compared row by row of the table of attributes (:mod:`orchestrator.resources.attributes`); what depends on
the machine's mark as well has a function of its own here. Edits are computed from the observed side every time, so a
half-finished creation is finished by the same code that changes an old machine, and repeating an edit that was made is
no edit.

Nothing here can erase or replace. What Proxmox cannot change in place yields a refusal with a way out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Reason
from orchestrator.proxmox import PropertyString, disk_objection, parse_disk
from orchestrator.resources.attributes import ATTRIBUTES, Applied, Attribute
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kind import Edit
from orchestrator.resources.kinds import GUEST_KINDS, asked_of_kinds
from orchestrator.resources.notes import Mark
from orchestrator.resources.restart_hold import with_hold

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
_IN_BACKUP, _LEFT_OUT = "in the backup", "left out"

RESTART_KEYS = frozenset(key for attribute in ATTRIBUTES for key in attribute.at_restart)
"""Settings that a running machine takes up at its next start only (hotplug aside)."""

CLOUD_INIT_KEYS = frozenset({"ipconfig0", "nameserver", "ciuser"})
"""Those of them that Proxmox makes current at once, though the guest reads them at its next start. SSH keys are not
among them: they are changed in the running guest, and cloud-init finds nothing to add at its next start."""


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """Both sides of the comparison, and the address chosen for the machine."""

    desired: DesiredMachine
    observed: ObservedMachine
    mark: Mark
    address: IPv4Address

    def read(self, key: str) -> str | None:
        return self.observed.config.effective(key)

    def taken(self, slot: str) -> bool:
        """Whether something is in a slot, waits for it, or is noted to belong there."""
        config = self.observed.config
        return slot in config.current or slot in config.pending or slot in self.mark.slots.values()

    def was_applied(self, noted: str, value: object) -> bool:
        """Whether the file asked for this value when it was last applied: what differs was changed outside then."""
        return (
            self.mark.ready and self.mark.applied is not None and getattr(self.mark.applied, noted) == value
        )

    def update(self, what: str, before: object, after: object, *, drift: bool = False) -> Change:
        """A change of this machine."""
        return Change(effect=Effect.UPDATE, what=what, before=before, after=after, drift=drift)

    def disk(self, name: str, before: int | None, size: int) -> Change:
        """A change of a disk; sizes in bytes, and in GiB."""
        asked = self.mark.applied.disks.get(name) if self.mark.ready and self.mark.applied else None
        return self.update(f"disk {name}", before, size * _GIB, drift=asked == size)


def _setting(attribute: Attribute[Any], sides: _Sides) -> Iterator[Edit]:
    """The comparison of one row of the table."""
    config, wanted = sides.observed.config, attribute.asked(sides.desired, sides.address)
    found = attribute.read(config)
    if wanted is not None and found != wanted:
        noted = attribute.noted and (attribute.noted[0], attribute.noted[1](wanted))
        change = sides.update(
            attribute.name, found, wanted, drift=noted is not None and sides.was_applied(*noted)
        )
        yield Edit(change=change, params=attribute.write(config, wanted))


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


def _tags(sides: _Sides) -> Iterator[Edit]:
    observed = frozenset(filter(None, re.split(r"[;, ]+", sides.read("tags") or "")))
    # A clone starts with its template's tags; later, tags that people add are theirs to keep.
    kept = observed if sides.mark.ready else frozenset()
    wanted = (kept | sides.desired.tags) - {"retired"}
    if observed != wanted:
        change = sides.update("tags", tuple(sorted(observed)) or None, tuple(sorted(wanted)))
        yield Edit(change=change, params={"tags": ";".join(sorted(wanted))})


def _disks(sides: _Sides) -> Iterator[Edit]:
    free = _free_slots(sides)
    wanted_names = {name for name, _ in sides.desired.disks}
    for index, (name, size) in enumerate(sides.desired.disks):
        slot = sides.mark.slots.get(name) or (SYSTEM_SLOT if index == 0 else None)
        if slot is None:
            yield _new_disk(sides, name, size, next(free, None))
        else:
            yield from _existing_disk(sides, name, size, slot)
    for name in sorted(sides.mark.slots.keys() - wanted_names):
        if sides.read(sides.mark.slots[name]):
            yield Edit(change=_removed_disk(sides, name))


def _free_slots(sides: _Sides) -> Iterator[str]:
    """Slots for new disks; looked for only where one is needed."""
    ours = _cloud_init_slot(sides)
    yield from (slot for slot in _DATA_SLOTS if slot != ours and not sides.taken(slot))


def _new_disk(sides: _Sides, name: str, size: int, slot: str | None) -> Edit:
    desired = sides.desired
    kind = sides.observed.storage_types.get(desired.storage, "")
    why = disk_objection(desired.storage, kind, desired.disk_format)
    if slot is None:
        vmid = sides.observed.summary.vmid
        why = f"VM {vmid} has no free SCSI slot for it: detach a drive that nobody needs, or make fewer, larger disks"
    if slot is None or why:
        return Edit(change=Change(effect=Effect.REFUSED, what=f"disk {name}", after=size * _GIB, why=why))
    value = f"{desired.storage}:{size}"
    if desired.disk_format:
        value += f",format={desired.disk_format}"
    if name in desired.left_out:
        value += ",backup=0"
    change = sides.disk(name, None, size)
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
                effect=Effect.REFUSED,
                what=f"disk {name}",
                before=None,
                after=size * _GIB,
                drift=True,
                why=f"{slot} of VM {sides.observed.summary.vmid} no longer holds this disk: somebody detached it. "
                "Attach it again in Proxmox (an unused disk of the machine), then plan again; "
                "an empty disk is never put in its place",
            )
        )
        return
    yield from _backup_of_disk(sides, name, slot, value)
    observed = parse_disk(value).size_bytes
    if sides.mark.adopted:  # a file knows whole GiB only
        observed = observed // _GIB * _GIB
    if observed < size * _GIB:
        change = sides.disk(name, observed, size)
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
                effect=Effect.REFUSED,
                what=f"disk {name}",
                before=observed,
                after=size * _GIB,
                why=why,
            )
        )
    elif sides.mark.slots.get(name) != slot:
        yield Edit(change=None, slot=(name, slot))


def _backup_of_disk(sides: _Sides, name: str, slot: str, value: str) -> Iterator[Edit]:
    """Whether vzdump saves the disk (article 3.5: the client defines the data). Proxmox's own option ``backup``."""
    wanted, found = name not in sides.desired.left_out, not parse_disk(value).left_out
    if wanted == found:
        return
    noted = sides.mark.applied if sides.mark.ready else None
    drift = noted is not None and (name not in noted.left_out) == wanted and name in noted.disks
    why = (
        None
        if wanted
        else "archives from the next backup on do not hold it: nothing of it can be restored from them"
    )
    before, after = (_IN_BACKUP, _LEFT_OUT) if found else (_LEFT_OUT, _IN_BACKUP)
    change = replace(sides.update(f"backup of disk {name}", before, after, drift=drift), why=why)
    drive = PropertyString.parse(value, default_key="file")
    changed = drive.without("backup") if wanted else drive.with_("backup", "0")
    yield Edit(change=change, params={slot: str(changed)})


def image_needs(image: str, size: int) -> Reason:
    """Why a system disk is too small for its image, and what to do.

    Args:
        image: its name in the file.
        size: of the template's system disk, bytes.
    """
    return f"the image {image} itself needs {size_words(size)}: ask for at least that"


def _removed_disk(sides: _Sides, name: str) -> Change:
    return Change(
        effect=Effect.REFUSED,
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
                effect=Effect.REFUSED,
                what="image",
                before=sides.mark.image,
                after=sides.desired.image,
                why="a machine is never replaced: upgrade the system inside the machine and set the image back to "
                f"{sides.mark.image}, or add a machine with another name and move the services over",
            )
        )


_BESIDE = (_cloud_init_drive, _unseen, _tags, _disks)
"""What is no row of the table: it depends on the mark, or on what else is in the configuration."""

_BESIDE_ADOPTED = (_tags, _disks)
"""Those that are compared of a machine that was taken over: how it was delivered was not our business."""


def edits(desired: DesiredMachine, observed: ObservedMachine, mark: Mark, address: IPv4Address) -> list[Edit]:
    """Every edit that leads from the observed to the desired configuration.

    Args:
        desired: the file's side.
        observed: the hypervisor's side.
        mark: the machine's mark (ownership has been decided).
        address: the address that it has or shall have.
    """
    sides = _Sides(desired=desired, observed=observed, mark=mark, address=address)
    found = [*_image(sides)]
    for attribute in ATTRIBUTES:
        if attribute.adoptable or not mark.adopted:
            found += _setting(attribute, sides)
    for kind in () if mark.adopted else GUEST_KINDS:
        found += kind.edits(desired, observed, mark)
    for beside in _BESIDE_ADOPTED if mark.adopted else _BESIDE:
        found += beside(sides)
    return [with_hold(edit, observed.config, mark) for edit in found]


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
"""How plans name the packages that no update touches."""


def applied(desired: DesiredMachine, address: IPv4Address) -> Applied:
    """What is noted once a machine is as its file says, with the address that it has."""
    noted = {
        row.noted[0]: row.noted[1](value)
        for row in ATTRIBUTES
        if row.noted and (value := row.asked(desired, address)) is not None
    }
    return Applied(
        **noted,
        backup_days=desired.backup_days,
        backup_copies=desired.backup_copies,
        update_exclude=desired.update_exclude,
        kinds={name: dict(asked) for name, asked in asked_of_kinds(desired).items()},
        disks=dict(desired.disks),
        left_out=desired.left_out,
        power=desired.power,
    )
