"""The templates that machines are cloned from: there, and fit for cloud-init."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.counting import counted, plural
from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox import BadAnswer, ProxmoxError
from orchestrator.resources.image import system_slot, template_defects

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig, VmSummary
    from orchestrator.sites.model import Site


def judge_images(
    place: Place, site: Site, vms: Sequence[VmSummary], configs: Mapping[int, VmConfig | ProxmoxError]
) -> Iterator[Finding]:
    """Look at each image of the site file.

    Args:
        place: the site.
        site: what the site file says.
        vms: the cluster's VMs.
        configs: of the templates, by VM id, or why one could not be read.
    """
    for name, image in site.images.items():
        found = [vm for vm in vms if vm.name == image.template]
        templates = [vm for vm in found if vm.template]
        subject = f"image {name}"
        if not templates:
            what = (
                f"VM {found[0].vmid} {image.template} is not a template"
                if found
                else f"no template is called {image.template}"
            )
            remedy = (
                f"`qm template {found[0].vmid}` on {found[0].node}"
                if found
                else "make one (docs/proxmox.md), or correct `images` in the site file"
            )
            unnamed = sum(not vm.named and vm.on is None for vm in vms)
            if unnamed and not found:
                silent = plural(unnamed, "its node does", "their nodes do")
                what += (
                    f", but {counted(unnamed, 'VM has', 'VMs have')} no known name while {silent} not report"
                )
                remedy = "see the nodes (`systemctl status pvestatd`), and run this again"
            yield place.error(subject, what, remedy)
        yield from _twins(place, subject, templates)
        for vm in templates:
            if vm.vmid in configs:
                yield from _template(place, subject, vm, configs[vm.vmid])


def _twins(place: Place, subject: str, templates: Sequence[VmSummary]) -> Iterator[Finding]:
    """One copy on each node is good; two on one node leave open which is meant: nothing is made of either."""
    for node, count in Counter(vm.node for vm in templates).items():
        if count > 1:
            which = ", ".join(str(vm.vmid) for vm in templates if vm.node == node)
            yield place.error(
                subject,
                f"{count} templates on {node} are called {templates[0].name} ({which})",
                "rename those that are out of date",
            )


def _template(
    place: Place, subject: str, vm: VmSummary, config: VmConfig | ProxmoxError
) -> Iterator[Finding]:
    """What the plan looks at, too: what makes it refuse is an error, what is set in each clone is said."""
    who = f"template {vm.vmid} on {vm.node}"
    if isinstance(config, BadAnswer):
        yield place.error(
            subject, f"{who} has a setting that cannot be understood: {config.text}", "correct it in Proxmox"
        )
        return
    if isinstance(config, ProxmoxError):
        remedy = config.remedy or "see the error, and run this again"
        yield place.error(subject, f"{who} could not be read: {config.text}", remedy)
        return
    defects = template_defects(vm, config)
    for defect in defects:
        report = place.warning if defect.usable else place.error
        yield report(subject, f"{who} {defect.found}", defect.remedy)
    if not defects:
        yield place.ok(
            subject, f"{who}: cloud-init drive, guest agent, system disk {system_slot(config)}, net0"
        )
