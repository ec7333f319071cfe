"""The templates that machines are cloned from: read once for a plan, and judged before anything is made.

Each copy of a template is read, with one call, where the plan makes a machine of it; no machine costs a call. What is
not listed is not taken for absent: while a node is away, its templates have no names in the cluster's list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.counting import counted, plural
from orchestrator.errors import Reason
from orchestrator.proxmox import (
    NotFound,
    PropertyString,
    ProxmoxError,
    disk_objection,
    parse_disk,
    read_vm,
    storage_type,
)
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.machine import image_needs, is_cloud_init, is_drive, size_words
from orchestrator.resources.observed import Template

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, StorageSummary, VmConfig, VmSummary
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedSite

_FIRMWARE = ("efidisk0", "tpmstate0")
_GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What a template lacks.

    Attributes:
        found: what it is, after "template 9000 on pve1".
        remedy: what to do.
        usable: whether machines can be made of it all the same: what is missing is set in each of them.
        notable: whether a plan should tell of it though machines are made.
    """

    found: str
    remedy: str
    usable: bool = True
    notable: bool = False


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a clone is made: the template, its node, and the node that the machine goes to.

    Attributes:
        system_slot: where the template, and so the machine, has its system disk.
        shared: whether the storage of the machine's disks is shared, and so the lock that allocating them takes.
    """

    template: VmSummary
    node: str
    system_slot: str
    shared: bool


def with_templates(
    cluster: Cluster, observed: ObservedSite, desired: Collection[DesiredMachine]
) -> ObservedSite:
    """Read the templates of the machines that are to be made at a site: one call for each copy of each of them.

    Args:
        cluster: the API.
        observed: the site as it was read.
        desired: all machines of all files.
    """
    ours = {
        (machine.mark.client, machine.mark.machine)
        for machine in observed.machines
        if machine.mark is not None
    }
    names = {
        machine.template
        for machine in desired
        if machine.site == observed.site and machine.key not in ours and machine.adopt is None
    }
    return replace(observed, templates=read_templates(cluster, observed.state, names))


def read_templates(cluster: Cluster, state: ClusterState, names: Collection[str]) -> tuple[Template, ...]:
    """Read the templates of these names, on whatever node they are."""
    return tuple(_read(cluster, state, vm) for vm in state.vms if vm.template and vm.name in names)


def _read(cluster: Cluster, state: ClusterState, vm: VmSummary) -> Template:
    if vm.node in state.nodes_off:  # one that is ``unknown`` is asked
        problem = f"{vm.node} is off: bring it back, or keep a copy of the template on another node"
        return Template(summary=vm, config=None, problem=problem)
    try:
        return Template(summary=vm, config=read_vm(cluster, vm.node, vm.vmid, odd=True))
    except NotFound:  # removed since the list was read, or moved
        problem = f"it is no longer on {vm.node}: plan again"
        return Template(summary=vm, config=None, problem=problem)
    except ProxmoxError as error:
        return Template(summary=vm, config=None, problem=f"it could not be read: {error}")


# What a template must look like


def system_slot(config: VmConfig) -> str | None:
    """Where a template has its system disk: the disk that it boots from. None if it has no disk.

    Raises:
        ValueError: a drive of it cannot be understood.
    """
    slots = disk_slots(config)
    return slots[0].name if slots else None


def template_defects(vm: VmSummary, config: VmConfig) -> list[Defect]:
    """What is wrong with a template, or missing: the same for the plan and for the doctor.

    Args:
        vm: the template.
        config: its configuration.
    """
    try:
        if config.wrong:
            raise ValueError(config.wrong)
        return [*_disks(vm, config), *_cloud_init(vm, config), *_settings(vm, config)]
    except ValueError as error:
        found = f"has a setting that cannot be understood: {error}"
        return [Defect(found=found, remedy=f"`qm config {vm.vmid}` on {vm.node}", usable=False)]


def _disks(vm: VmSummary, config: VmConfig) -> Iterator[Defect]:
    slots = disk_slots(config)
    if not slots:
        yield Defect(
            found="has no disk to boot from",
            remedy=f"`qm set {vm.vmid} --scsi0 …` from its unused disk",
            usable=False,
        )
        return
    order = PropertyString.parse(config.effective("boot") or "", default_key="legacy").get("order")
    if order is not None and slots[0].name not in order.split(";"):
        yield Defect(
            found=f"boots from none of its disks (its boot order is {order or 'empty'})",
            remedy=f"`qm set {vm.vmid} --boot order={slots[0].name}`",
            usable=False,
        )
    for slot in slots[1:]:
        yield Defect(
            found=f"has a further disk {slot.name} ({size_words(slot.disk.size_bytes)})",
            remedy="each machine gets a copy of it, which its file does not name; make a template without it if that "
            "is not meant",
            notable=True,
        )


def _cloud_init(vm: VmSummary, config: VmConfig) -> Iterator[Defect]:
    drives = sorted(key for key, value in config.current.items() if is_drive(key) and is_cloud_init(value))
    if not drives:
        yield Defect(
            found="has no cloud-init drive: each machine gets one; was the image made for cloud-init at all?",
            remedy=f"`qm set {vm.vmid} --scsi1 STORAGE:cloudinit`, with cloud-init installed in the image",
        )
    elif not drives[0].startswith("scsi"):
        yield Defect(
            found=f"has its cloud-init drive on {drives[0]}, which cloud kernels have no driver for",
            remedy=f"`qm set {vm.vmid} --delete {drives[0]}` and `qm set {vm.vmid} --scsi1 STORAGE:cloudinit`, unless "
            "its kernel has one",
            notable=True,
        )


def _settings(vm: VmSummary, config: VmConfig) -> Iterator[Defect]:
    agent = PropertyString.parse(config.current.get("agent", ""), default_key="enabled")
    if not agent.is_on("enabled"):
        yield Defect(
            found="has its guest agent switched off: each machine gets it switched on; is it in the image?",
            remedy=f"`qm set {vm.vmid} --agent enabled=1`, with qemu-guest-agent installed in the image",
        )
    cards = sorted(key for key in config.current if key.startswith("net") and key[3:].isdigit())
    if "net0" not in cards:
        yield Defect(
            found="has no network card net0: each machine gets one",
            remedy=f"`qm set {vm.vmid} --net0 virtio,bridge=…`",
        )
    for card in cards:
        if card != "net0":
            bridge = PropertyString.parse(config.current[card]).get("bridge") or "no bridge"
            yield Defect(
                found=f"has a further network card {card} ({bridge})",
                remedy="each machine gets one like it, which its file does not describe; make a template without it "
                "if that is not meant",
                notable=True,
            )


# Where a machine can be made


def places(
    desired: DesiredMachine, state: ClusterState, templates: Sequence[Template]
) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    """Every way to make a machine: of which copy of its template, on which node.

    Proxmox clones to another node only if every volume of the template is on a shared storage, and so is the new
    machine; else the machine is made where its template is.

    Args:
        desired: the machine.
        state: its cluster.
        templates: the templates that were read.

    Returns:
        The places, and for each copy that gives none the reason, with what to do.
    """
    copies = [item for item in templates if item.summary.name == desired.template]
    at_home = [item for item in copies if item.summary.node not in desired.foreign_nodes]
    found: list[Place] = []
    reasons: list[str] = []
    for template in at_home or copies:
        reason = _unusable(template, at_home) or _unfit(template, desired)
        nodes, blocked = _nodes_for(template, desired, state) if reason is None else ([], reason)
        if not nodes:
            reasons.append(f"VM {template.summary.vmid} on {template.summary.node}: {blocked}")
            continue
        assert template.config is not None  # noqa: S101  (else it is not usable)
        slot = system_slot(template.config)
        assert slot is not None  # noqa: S101  (else it is not usable)
        shared = any(item.shared for item in state.storages if item.name == desired.storage)
        found += [
            Place(template=template.summary, node=node, system_slot=slot, shared=shared) for node in nodes
        ]
    return tuple(found), tuple(reasons)


def _unusable(template: Template, copies: Sequence[Template]) -> str | None:
    vm = template.summary
    if template.config is None:
        return template.problem
    twin = next((item.summary for item in copies if item.summary.node == vm.node and item != template), None)
    if twin is not None:
        return f"VM {twin.vmid} on the same node is called {vm.name}, too: rename the one that is out of date"
    if vm.lock:
        return f"a {vm.lock} holds it: plan again when its task has ended; if none runs, {_unlock(vm)}"
    for defect in template_defects(vm, template.config):
        if not defect.usable:
            return f"it {defect.found}: {defect.remedy}"
    return None


def _unlock(vm: VmSummary) -> str:
    return f"`qm unlock {vm.vmid}` on {vm.node}"


def _unfit(template: Template, desired: DesiredMachine) -> str | None:
    """Whether the machine's system disk is smaller than the template's: Proxmox shrinks none."""
    assert template.config is not None  # noqa: S101  (else it is not usable)
    size = disk_slots(template.config)[0].disk.size_bytes
    return image_needs(desired.image, size) if size > desired.disks[0][1] * _GIB else None


def _nodes_for(template: Template, desired: DesiredMachine, state: ClusterState) -> tuple[list[str], str]:
    """The nodes that the machine can be made on; and why there are none."""
    assert template.config is not None  # noqa: S101  (else it is not usable)
    home = template.summary.node
    if home in desired.foreign_nodes:
        return [], f"{home} is at another site: keep a copy of the template on a node of {desired.site}"
    there = {
        (storage.name, storage.node): storage for storage in state.storages if storage.name == desired.storage
    }
    if objection := _storage_objection(there.get((desired.storage, home)), desired, home):
        return [], objection
    nodes = [home]
    shared = {(item.name, item.node) for item in state.storages if item.shared}
    volumes = _storages_of(template.config)
    for node in state.nodes:
        if node.name == home or not node.online or node.name in desired.foreign_nodes:
            continue
        reachable = {(name, node.name) for name in volumes} | {(desired.storage, node.name)}
        if reachable <= shared and not _storage_objection(
            there[desired.storage, node.name], desired, node.name
        ):
            nodes.append(node.name)
    return nodes, ""


def _storages_of(config: VmConfig) -> set[str]:
    """The storages that a template's volumes are on, media in its drives included."""
    drives = [value for key, value in config.current.items() if is_drive(key) or key in _FIRMWARE]
    return {storage for value in drives if (storage := parse_disk(value).storage)}


def _storage_objection(storage: StorageSummary | None, desired: DesiredMachine, node: str) -> Reason | None:
    """Why the machine's disks cannot be made on a node: not one flag, but all that Proxmox looks at."""
    name = desired.storage
    if storage is None:
        return (
            f"the storage {name} of the site file is not on {node} (it is not there, disabled, or restricted to "
            "other nodes): see Datacenter > Storage, or have a copy of the template on a node that has it"
        )
    if not storage.usable:
        return f"the storage {name} cannot be used on {node} now ({storage.status}): see the network or disk behind it"
    if "images" not in storage.content:
        takes = ",".join(sorted({*storage.content, "images"}))
        return f"the storage {name} does not take machines' disks: `pvesm set {name} --content {takes}`"
    if objection := disk_objection(name, storage.kind, desired.disk_format):
        return objection
    needed = sum(size for _, size in desired.disks) if storage_type(storage.kind).thick else 1
    free = max(storage.maxdisk - storage.disk, 0) / _GIB
    if storage.maxdisk and free < needed:
        return f"the storage {name} has {free:.1f} GiB left on {node} and the machine needs {needed} GiB: make room"
    return None


def absence(desired: DesiredMachine, state: ClusterState) -> Reason:
    """Why no template of that name was found, and what to do: it may only be that nobody can see it now."""
    image, template, site = desired.image, desired.template, desired.site
    named = [vm for vm in state.vms if vm.name == template]
    unnamed = [vm.node for vm in state.vms if not vm.named and vm.on is None]
    unnamed += [entry.node or "some node" for entry in state.bad_entries if entry.kind == "machine"]
    if named:
        vm = named[0]
        return (
            f"the image {image} needs a template called {template} at {site}; VM {vm.vmid} on {vm.node} has the name "
            f"and is not a template: `qm template {vm.vmid}` there"
        )
    if unnamed:
        where = ", ".join(sorted(set(unnamed)))
        return (
            f"the image {image} needs a template called {template} at {site}; none is listed, but "
            f"{counted(len(unnamed), 'VM')} on {where} {plural(len(unnamed), 'has', 'have')} no known name while it "
            "does not report: plan again when it does (`systemctl status pvestatd` there)"
        )
    templates = ", ".join(sorted({vm.name for vm in state.vms if vm.template})) or "none"
    return (
        f"the image {image} needs a template called {template} at {site}, which has {templates}: make the template, "
        "or correct `images` in the site file"
    )


def restricted(found: Sequence[Place], desired: DesiredMachine, state: ClusterState) -> tuple[str, ...]:
    """The nodes that a machine can be made on, where its template leaves it fewer than its storage does; else none."""
    nodes = {place.node for place in found}
    able = {
        storage.node
        for storage in state.storages
        if storage.name == desired.storage
        and storage.node not in desired.foreign_nodes
        and any(node.name == storage.node and node.online for node in state.nodes)
        and _storage_objection(storage, desired, storage.node) is None
    }
    return tuple(sorted(nodes)) if nodes < able else ()


def notes_on(found: Sequence[Place], templates: Mapping[int, Template]) -> list[Defect]:
    """What a reviewer should know of the templates that a machine may be made of, each thing once."""
    seen: dict[str, Defect] = {}
    for vmid in sorted({place.template.vmid for place in found}):
        template = templates[vmid]
        if template.config is not None:
            for defect in template_defects(template.summary, template.config):
                if defect.notable:
                    seen.setdefault(defect.found, defect)
    return list(seen.values())
