"""The graphs of a machine (articles 3.2 and 3.8.1), from what its hypervisor measured. Nothing is stored or changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.contract.offers import Offer
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.operations.computer import replace_file
from orchestrator.operations.inputs import open_desired
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import Found, find_machine
from orchestrator.operations.run import SILENT, Events, open_clusters
from orchestrator.proxmox import ProxmoxError, parse_disk
from orchestrator.proxmox.measurements import Consolidation, Timeframe, read_allocated, read_measurements
from orchestrator.reports.series import DiskSize, MachineGraphs, graphs_of
from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class FiguresRequest:
    """Which graphs.

    Attributes:
        target: ``CLIENT/MACHINE``.
        inventory: where the site file is.
        files: subscription files or folders; read only for a machine whose offer has no graphs of its own.
        timeframe: how far back.
        largest: the largest value of each interval, instead of the average.
    """

    target: str
    inventory: str | None
    files: tuple[Path, ...] = ()
    timeframe: Timeframe = "day"
    largest: bool = False


def figures(request: FiguresRequest, events: Events = SILENT) -> MachineGraphs:
    """Read the graphs of a machine: one call for the graphs, and one for each storage that its disks are on.

    Raises:
        RequestRefused: there is no such machine, or its client did not buy graphs (article 3.3).
        ProxmoxError: they could not be read.
    """
    provider = open_provider(request.inventory)
    consolidation: Consolidation = "MAX" if request.largest else "AVERAGE"
    with open_clusters(provider, notice=events.notice) as clusters:
        found = find_machine(request.target, clusters, snapshots=False)
        _check_bought(found, request, provider, events)
        summary = found.machine.summary
        measured = read_measurements(
            found.cluster, summary.node, summary.vmid, request.timeframe, consolidation
        )
        disks = _disks(found)
    return graphs_of(
        measured,
        client=found.mark.client,
        machine=found.mark.machine,
        timeframe=request.timeframe,
        consolidation=consolidation,
        disks=disks,
    )


def write(text: str, path: Path) -> None:
    """Write a file, whole or not at all.

    Raises:
        RequestRefused: it cannot be written.
    """
    try:
        replace_file(path, text)
    except OSError as error:
        raise RequestRefused(f"the graphs cannot be written: {local_reason(error)}") from error


def _check_bought(found: Found, request: FiguresRequest, provider: Provider, events: Events) -> None:
    """Whether the client has graphs: with the offer, or with managed services beside it (articles 3.3, 3.8.1)."""
    if found.mark.offer in [offer for offer in Offer if offer.terms.graphs]:
        return
    desired = open_desired(request.files, provider, events.problems)
    key = (found.mark.client, found.mark.machine)
    if not any(machine.key == key and machine.change_terms is not None for machine in desired):
        raise RequestRefused(
            f"{request.target} has no graphs: article 3.3 lists what {found.mark.offer} covers, and graphs are not "
            "in it; with managed services they are (article 3.8.1)"
        )


def _disks(found: Found) -> list[DiskSize]:
    """The disks of a machine, with what they take where their storages tell."""
    config, summary = found.machine.config, found.machine.summary
    drives = {
        name: parse_disk(value)
        for name, slot in found.mark.slots.items()
        if (value := config.effective(slot)) is not None
    }
    allocated: dict[str, int] = {}
    for storage in sorted({drive.storage for drive in drives.values() if drive.storage}):
        try:
            allocated |= read_allocated(found.cluster, summary.node, storage, summary.vmid)
        except ProxmoxError:  # the graphs are there all the same
            continue
    return [
        DiskSize(name=name, size=drive.size_bytes, allocated=allocated.get(drive.volume))
        for name, drive in drives.items()
    ]
