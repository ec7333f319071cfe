"""The templates that machines are cloned from: there, and fit for cloud-init."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox import parse_disk, parse_property_string

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig, VmSummary
    from orchestrator.sites.model import Site

_DRIVE = re.compile(r"(?:scsi|virtio|sata|ide)\d+")


def judge_images(
    place: Place, site: Site, vms: Sequence[VmSummary], configs: Mapping[int, VmConfig]
) -> Iterator[Finding]:
    """Look at each image of the sites file.

    Args:
        place: the site.
        site: what the sites file says.
        vms: the cluster's VMs.
        configs: of the templates, by VM id.
    """
    for name, image in site.images.items():
        found = [vm for vm in vms if vm.name == image.template]
        templates = [vm for vm in found if vm.template]
        subject = f"image {name}"
        if not templates:
            what = (
                f"VM {found[0].vmid} {image.template} is no template"
                if found
                else f"no template is called {image.template}"
            )
            remedy = (
                f"`qm template {found[0].vmid}` on {found[0].node}"
                if found
                else "make one (docs/proxmox.md), or correct `images` in the sites file"
            )
            yield place.error(subject, what, remedy)
        for vm in templates:
            if vm.vmid in configs:
                yield from _template(place, subject, vm, configs[vm.vmid])


def _template(place: Place, subject: str, vm: VmSummary, config: VmConfig) -> Iterator[Finding]:
    """Machines need cloud-init on SCSI and an agent. What is only not set is set in each clone: said, and no error."""
    drives = {key: value for key, value in config.current.items() if _DRIVE.fullmatch(key)}
    who, before = f"template {vm.vmid} on {vm.node}", f"`qm set {vm.vmid}"
    errors: list[tuple[str, str]] = []
    warnings: list[tuple[str, str]] = []
    cloudinit = sorted(key for key, value in drives.items() if "cloudinit" in value)
    if not cloudinit:
        found = "has no cloud-init drive: each machine gets one; was the image made for cloud-init at all?"
        warnings.append(
            (found, f"{before} --scsi1 STORAGE:cloudinit`, with cloud-init installed in the image")
        )
    elif not cloudinit[0].startswith("scsi"):
        found = f"has its cloud-init drive on {cloudinit[0]}, which cloud kernels have no driver for"
        errors.append((found, f"{before} --delete {cloudinit[0]} --scsi1 STORAGE:cloudinit`"))
    agent = parse_property_string(config.current.get("agent", "0"))
    if agent.get("enabled", agent.get("", "0")) != "1":
        found = "has its guest agent switched off: each machine gets it switched on; is it in the image?"
        warnings.append((found, f"{before} --agent enabled=1`, with qemu-guest-agent installed in the image"))
    system = drives.get("scsi0")
    if system is None or parse_disk(system).is_cdrom:
        errors.append(
            ("has no disk scsi0, the system disk of machines", f"{before} --scsi0 …` from its slot")
        )
    if "net0" not in config.current:
        warnings.append(
            ("has no network card net0: each machine gets one", f"{before} --net0 virtio,bridge=…`")
        )
    for found, remedy in errors:
        yield place.error(subject, f"{who} {found}", remedy)
    for found, remedy in warnings:
        yield place.warning(subject, f"{who} {found}", remedy)
    if not errors and not warnings:
        yield place.ok(subject, f"{who}: cloud-init drive, guest agent, scsi0, net0")
