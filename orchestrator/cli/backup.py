"""``orchestrator backup``: backups of machines on demand (article 3.5)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.backup_files import archived_files
from orchestrator.cli.backup_lists import list_archives, show_volume
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.recreate import (
    LostSites,
    RecreateAddress,
    RecreateNetwork,
    RecreateSite,
    RecreateStart,
    recreate_lost,
)
from orchestrator.cli.shared_options import BootTimeout, Files, Reason, Target, named_again
from orchestrator.contract.calendar import paris_time

if TYPE_CHECKING:
    from orchestrator.resources.machine_archives import Archive

app = typer.Typer(no_args_is_help=True, help="Make, list, verify and restore backups.")

_GIB = 1024**3
_VM_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""One label of a DNS name: all that Proxmox takes as the name of a VM."""


app.command("list")(list_archives)
app.command("volume")(show_volume)
app.command("files")(archived_files)

Chosen = Annotated[
    str | None,
    typer.Option("--archive", metavar="VOLID", help="This archive.  [default: the newest good one]"),
]


@app.command()
def now(
    target: Target,
    inventory: session.Inventory = None,
    reason: Reason = "backup on demand",
    history: session.HistoryPath = None,
) -> None:
    """Back up a machine now, to a storage at another site.

    A running machine keeps running.
    """
    from orchestrator.operations import backup_on_demand  # not for `--help`
    from orchestrator.operations.named_machine import MachineRequest

    request = MachineRequest(target=target, inventory=inventory, reason=reason, history=history)
    made = backup_on_demand.now(request, EVENTS)
    for archive in made:
        session.console().print(f"{archive.stored.volid}   {archive.stored.size / _GIB:.2f} GiB")


@app.command()
def verify(
    target: Target,
    archive: Chosen = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Reason = "restore test on demand",
    boot_timeout: BootTimeout = 600.0,
    check_timeout: Annotated[float, typer.Option(min=1, help="Seconds for the check of its file.")] = 180.0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a picture of the copy's console here, as PNG.")
    ] = None,
    history: session.HistoryPath = None,
) -> None:
    """Test an archive: restore it to a copy and boot it.

    The copy has no network; it is inspected, the check of its file (backup.check) is run in it, then it is erased.
    """
    from orchestrator.operations import backup_on_demand
    from orchestrator.operations.backup_on_demand import VerifyRequest

    request = VerifyRequest(
        target=target,
        inventory=inventory,
        reason=reason,
        history=history,
        volid=archive,
        files=tuple(files or ()),
        boot_seconds=boot_timeout,
        check_seconds=check_timeout,
    )
    tested = backup_on_demand.verify(request, EVENTS)
    session.end_if(tested.interrupted)
    line = tested.line
    if picture is not None:
        _write_picture(line.picture, picture)
    if not tested.sound:
        session.fail("; ".join([f"{target}: {line.volid}: {line.message}", *tested.problems]))
    session.console().print(f"sound: {line.message}")
    if tested.problems:
        session.fail("; ".join(tested.problems))


def _write_picture(png: bytes | None, path: Path) -> None:
    if png is None:
        session.complain(
            f"no picture of the console: {path} was not written (see VM.Console in docs/proxmox.md)"
        )
        return
    from orchestrator.operations.computer import replace_file

    replace_file(path, png)
    session.console().print(f"console: {path}")


@app.command("restore")
def restore_(
    target: Target,
    archive: Chosen = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Restore beside the original, under this name.")
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place", help="Give the original the archive's disks; its own are kept until it has booted."
        ),
    ] = False,
    recreate: Annotated[
        bool,
        typer.Option("--recreate", help="Make the machine again: no site has it any more."),
    ] = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="CLIENT/MACHINE",
            help="With --in-place or --recreate, when not running interactively: the machine's name again.",
        ),
    ] = None,
    site: RecreateSite = None,
    network: RecreateNetwork = None,
    address: RecreateAddress = None,
    lost_site: LostSites = None,
    start: RecreateStart = True,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Reason = "restore on demand",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Restore an archive beside a machine, into it, or anew.

    Beside the original with --as NAME, into it with --in-place; with --recreate where the machine does not exist any
    more, at its own site or at another one.
    """
    if [as_ is not None, in_place, recreate].count(True) != 1:
        session.fail(
            "say where: --as NAME restores beside the original, --in-place into it, --recreate makes it again"
        )
    if not recreate and (site or network or address or lost_site or not start):
        session.fail("--site, --network, --address, --lost-site and --no-start are for --recreate alone")
    if recreate:
        recreate_lost(
            target,
            confirm,
            inventory=inventory,
            reason=reason,
            history=history,
            volid=archive,
            files=tuple(files or ()),
            site=site,
            network=network,
            address=address,
            lost_sites=tuple(lost_site or ()),
            start=start,
            boot_seconds=boot_timeout,
        )
        return
    from orchestrator.operations import restore
    from orchestrator.operations.restore import BesideRequest, InPlaceRequest

    if as_ is None:
        into = InPlaceRequest(
            target=target,
            inventory=inventory,
            reason=reason,
            history=history,
            volid=archive,
            files=tuple(files or ()),
            boot_seconds=boot_timeout,
        )
        restore.in_place(into, lambda chosen: _confirm(target, chosen, confirm), EVENTS)
        session.console().print("restored; it has booted, and its replaced disks are gone")
        return
    if not _VM_NAME.fullmatch(as_):
        session.fail(
            f"--as {as_} cannot be a VM's name: letters, digits and hyphens, at most 63, such as web-1-restored"
        )
    request = BesideRequest(
        target=target, inventory=inventory, reason=reason, history=history, volid=archive, name=as_
    )
    copy = restore.beside(request, EVENTS)
    session.console().print(
        f"restored as {as_}: VM {copy.vmid} on {copy.node}, stopped and unplugged. It has the address of {target}: "
        "give it another one (Cloud-Init in Proxmox) before its network device is connected",
    )


def _confirm(target: str, chosen: Archive, confirmed: str | None) -> bool:
    session.console().print(
        f"{target} gets the disks of {paris_time(chosen.taken_at)} ({chosen.stored.volid}). It is switched off for "
        "that. Everything written since then is lost as soon as the restored machine has booted.",
    )
    return named_again(target, confirmed)
