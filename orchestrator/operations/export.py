"""Copying a client's disks as qcow2 files with their checksums (article 10). Nothing in Proxmox is changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.applying.exporting import disks_of, export_disk, write_sums
from orchestrator.applying.journal import Journal
from orchestrator.applying.stopped import Stopped
from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import OrchestratorError, RequestRefused, local_reason
from orchestrator.operations.inputs import check_selection, open_subscriptions, selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, journal, open_clusters, open_history
from orchestrator.progress import End
from orchestrator.proxmox import Cluster
from orchestrator.resources.desired import desired_machines
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.scope import Selection
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.resources.unreadable import Unreadable
from orchestrator.shown import quoted
from orchestrator.sites.model import NodeAccess
from orchestrator.subscriptions.model import Quote


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """Whose disks, and where to.

    Attributes:
        target: ``CLIENT[/MACHINE]``.
        folder: where the files go; made if it is not there.
        inventory: where the site file is.
        files: subscription files or folders.
        quote: the accepted quote of the client's file that this assistance is charged by; None: any that covers it.
        reason: why; the history keeps it.
        history: a file or URL; None: the usual one.
    """

    target: str
    folder: Path
    inventory: str | None
    files: tuple[Path, ...] = ()
    quote: str | None = None
    reason: str = "export of disks on request"
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class DiskExport:
    """How copying one disk ended.

    Attributes:
        message: its size and checksum, or why it was not copied.
        done: whether it was.
    """

    client: str
    machine: str
    disk: str
    message: str
    done: bool


def export(
    request: ExportRequest, show: Callable[[DiskExport], None], events: Events = SILENT
) -> list[DiskExport]:
    """Copy the disks of machines that do not run. May be repeated.

    Args:
        request: whose.
        show: called with each disk as soon as it is copied, or is not.
        events: who is told what.

    Returns:
        Every disk; a machine that could not be read is one that was not done.

    Raises:
        OrchestratorError: nothing was copied, or the history cannot be written any more.
    """
    provider = open_provider(request.inventory)
    subscriptions = open_subscriptions(request.files, provider, events.problems)
    desired = desired_machines(subscriptions, provider)
    chosen = selection(request.target)
    check_selection(chosen, desired)
    if any(machine.client == chosen.client and machine.life.default_of_payment for machine in desired):
        raise RequestRefused(f"{chosen.client} is in default of payment: there is no reversibility (art. 10)")
    own = [item.contract.quotes for item in subscriptions if item.client == chosen.client]
    quotes = _quotes(own[0] if own else (), request.quote)
    with (
        open_clusters(provider, notice=events.notice) as clusters,
        open_history(request.history) as history,
        ExitStack() as opened,
    ):
        machines, unread = _machines(clusters, chosen)
        for item in unread:
            events.notice(f"{item.site}: {item.subject} could not be read: {item.reason}")
        if not machines:
            raise RequestRefused(f"no machine of ours is {request.target}")
        progress = opened.enter_context(events.steps())
        recorded = journal(history, request.reason, progress, clusters)
        ends = [
            DiskExport(
                client=item.client or "", machine=item.machine or "", disk="", message=item.reason, done=False
            )
            for item in unread
        ]
        try:
            request.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestRefused(f"the folder cannot be used: {local_reason(error)}") from error
        for machine in machines:
            mark, access = machine.mark, provider.sites[machine.site].node_access
            assert mark is not None  # noqa: S101  (ours are found by it)
            name = (mark.client, mark.machine)
            for disk, volume in disks_of(machine).items():
                progress.step(*name, f"copy the disk {disk}")
                quote = next(
                    (item for item in quotes if mark.machine in (item.machines or (mark.machine,))), None
                )
                ends.append(_one(machine, mark, disk, volume, access, request.folder, recorded, quote))
                show(ends[-1])
            progress.ended(*name, *_end(ends, name))
        return ends


def _end(ends: Sequence[DiskExport], name: tuple[str, str]) -> tuple[End, str]:
    """How a machine's copies ended."""
    failed = [one.disk for one in ends if (one.client, one.machine) == name and not one.done]
    return ("failed", f"not copied: {', '.join(failed)}") if failed else ("done", "")


def _quotes(quotes: Sequence[Quote], named: str | None) -> list[Quote]:
    """The accepted quotes that assistance is charged by today (article 10: "feront l'objet d'un devis").

    Raises:
        RequestRefused: there is none.
    """
    today = day_in_paris(dt.datetime.now(dt.UTC))
    found = [item for item in quotes if named in (None, item.reference) and today <= item.valid_until]
    if not found:
        which = (
            f"the quote {quoted(named)} is not one of them, or its last day is over"
            if named
            else "there is none"
        )
        raise RequestRefused(
            f"an export is assistance, on a quote that the client accepted (art. 10): {which}; write it into "
            "contract.quotes of the client's file"
        )
    return found


def _one(
    machine: ObservedMachine,
    mark: Mark,
    disk: str,
    volume: str,
    access: NodeAccess | None,
    folder: Path,
    recorded: Journal,
    quote: Quote | None,
) -> DiskExport:
    file = folder / f"{mark.client}-{mark.machine}-{disk}.qcow2"
    try:
        if quote is None:
            raise Stopped(
                "no accepted quote of its client covers this machine: add it to one in contract.quotes"
            )
        if access is None:
            raise Stopped(f"the site file has no node_access for {machine.site}")
        if machine.running:
            raise Stopped("it runs, and its disks change while they are read: stop it first")
        told = partial(recorded.progress.share, mark.client, mark.machine)
        copied = export_disk(access, machine.summary.node, volume, file, told)
        write_sums(folder, [copied])
        message, done = f"{copied.size} bytes, sha256 {copied.sha256}", True
    except (OrchestratorError, OSError) as error:
        message, done = str(error), False
    recorded.record(
        mark.client,
        mark.machine,
        machine.site,
        "export",
        result="ok" if done else "failed",
        message=message,
        seconds=0.0,
        details={
            "disk": disk,
            "volume": volume,
            "file": file.name,
            "quote": quote.reference if quote else None,
        },
    )
    return DiskExport(client=mark.client, machine=mark.machine, disk=disk, message=message, done=done)


def _machines(
    clusters: Mapping[str, Cluster], chosen: Selection
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """The machines that are asked for, and what could not be read and is, or may be, one of them."""
    found: list[ObservedMachine] = []
    unread: list[Unreadable] = []
    read = observe_sites(clusters, Asked(selection=chosen))
    for site, why in read.failures.items():
        raise RequestRefused(f"site {site}: {why}")
    for observed in read.observed.values():
        found += [
            item
            for item in observed.machines
            if item.mark and chosen.includes(item.mark.client, item.mark.machine)
        ]
        unread += [
            item
            for item in observed.unreadable
            if item.client == chosen.client
            and item.holds_up
            and chosen.machine in (None, item.machine or chosen.machine)
        ]
    return found, unread
