"""``orchestrator export``: a client's disks as qcow2 files with their checksums (article 10)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.unreadable import Unreadable


def export(
    target: Annotated[str, typer.Argument(metavar="CLIENT[/MACHINE]", help="Whose disks.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")],
    files: Annotated[
        list[Path] | None,
        typer.Option("--files", help="Subscription files or folders.  [default: ./subscriptions]"),
    ] = None,
    inventory: session.Inventory = None,
    reason: Annotated[str, typer.Option(help="Why: goes into the history.")] = "export of disks on request",
    history: session.HistoryPath = None,
) -> None:
    """Copy the disks of machines that do not run, as qcow2 files with SHA256SUMS. Changes nothing in Proxmox.

    Goes to the nodes by SSH (node_access in the sites' file): the API hands out no disk. May be repeated.
    """
    from orchestrator.applying.exporting import disks_of, export_disk, write_sums
    from orchestrator.applying.vm import Stopped

    provider = session.open_provider(inventory)
    desired = session.open_desired(files, provider)
    chosen = session.selection(target)
    session.check_selection(chosen, desired)
    if any(machine.client == chosen.client and machine.life.default_of_payment for machine in desired):
        session.fail(f"{chosen.client} is in default of payment: there is no reversibility (art. 10)")
    out = session.console()
    with session.open_clusters(provider) as clusters, session.open_history(history) as opened:
        machines, unread = _machines(clusters, chosen.client or "", chosen.machine)
        for item in unread:
            session.complain(f"{item.site}: {item.subject} could not be read: {item.reason}")
        if not machines:
            session.fail(f"no machine of ours is {target}")
        journal = session.journal(opened, reason, lambda *_: None, clusters)
        failed = bool(unread)
        to.mkdir(parents=True, exist_ok=True)
        for machine in machines:
            mark, access = machine.mark, provider.sites[machine.site].node_access
            assert mark is not None  # noqa: S101  (ours are found by it)
            for name, volume in disks_of(machine).items():
                file = to / f"{mark.client}-{mark.machine}-{name}.qcow2"
                try:
                    if access is None:
                        raise Stopped(f"the sites' file has no node_access for {machine.site}")
                    if machine.running:
                        raise Stopped("it runs, and its disks change while they are read: stop it first")
                    disk = export_disk(access, machine.summary.node, volume, file)
                    write_sums(to, [disk])
                    message, result = f"{disk.size} bytes, sha256 {disk.sha256}", "ok"
                except (Stopped, OSError) as error:
                    message, result, failed = str(error), "failed", True
                details = {"disk": name, "volume": volume, "file": file.name}
                journal.record(
                    mark.client,
                    mark.machine,
                    machine.site,
                    "export",
                    result=result,
                    message=message,
                    seconds=0.0,
                    details=details,
                )
                out.print(f"{mark.client}/{mark.machine} {name}: {message}")
    if failed:
        raise typer.Exit(1)


def _machines(
    clusters: dict[str, Cluster], client: str, machine: str | None
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """The machines that are asked for, and what could not be read and is, or may be, one of them."""
    from orchestrator.resources.scope import Selection
    from orchestrator.resources.survey import Asked, observe_sites

    found: list[ObservedMachine] = []
    unread: list[Unreadable] = []
    read = observe_sites(clusters, Asked(selection=Selection(client=client, machine=machine)))
    for site, why in read.failures.items():
        session.fail(f"site {site}: {why}")
    for observed in read.observed.values():
        found += [
            item
            for item in observed.machines
            if item.mark and item.mark.client == client and machine in (None, item.mark.machine)
        ]
        unread += [
            item
            for item in observed.unreadable
            if item.client == client and item.holds_up and machine in (None, item.machine or machine)
        ]
    return found, unread
