"""``orchestrator snapshot``: snapshots of one machine on demand (articles 3.2 and 3.3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import BootTimeout, Files, Reason, Target, Yes, confirmed
from orchestrator.contract.calendar import paris_time

if TYPE_CHECKING:
    from orchestrator.applying.rollback import Loss
    from orchestrator.proxmox import VmSnapshot

app = typer.Typer(no_args_is_help=True, help="Take, list, delete and roll back snapshots of a machine.")


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="2 to 40 letters, digits, '-' and '_', a letter first.")
]


@app.command()
def create(
    target: Target,
    name: Name,
    inventory: session.Inventory = None,
    reason: Reason = "snapshot on demand",
    history: session.HistoryPath = None,
) -> None:
    """Take a snapshot now; kept seven days, at most two."""
    from orchestrator.operations import snapshot as snapshots  # not for `--help`
    from orchestrator.operations.snapshot import SnapshotRequest
    from orchestrator.resources.snapshot import expires_at

    request = SnapshotRequest(target=target, name=name, inventory=inventory, reason=reason, history=history)
    taken = snapshots.create(request, EVENTS)
    session.console().print(
        f"taken; it is removed by the first night after {paris_time(expires_at(taken))} (art. 3.2, 3.3)"
    )


@app.command("list")
def list_(
    target: Target,
    inventory: session.Inventory = None,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """List a machine's snapshots, and when ours expire.

    Snapshots that others made are listed too.
    """
    from orchestrator.operations import snapshot as snapshots

    found = snapshots.snapshots_of(target, inventory, EVENTS)
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_for_programs(snapshot) for snapshot in found], indent=2))
        return
    out = session.console()
    if not found:
        out.print(f"{target} has no snapshots")
    width = max((len(snapshot.name) for snapshot in found), default=0)
    for snapshot in found:
        out.print(f"{snapshot.name:<{width}}   {_in_words(snapshot)}")


def _in_words(snapshot: VmSnapshot) -> str:
    from orchestrator.resources.snapshot import expires_at, owned

    end = (
        f"expires {paris_time(expires_at(snapshot))}"
        if owned(snapshot)
        else "made by others: counted, never removed"
    )
    unfinished = "   incomplete: its task was aborted" if snapshot.unfinished else ""
    return f"taken {paris_time(snapshot.taken_at)}   {end}{unfinished}"


def _for_programs(snapshot: VmSnapshot) -> dict[str, str]:
    from orchestrator.resources.snapshot import expires_at, owned

    return {
        "name": snapshot.name,
        "taken_at": snapshot.taken_at.isoformat(),
        "expires_at": expires_at(snapshot).isoformat() if owned(snapshot) else "",
        "unfinished": snapshot.unfinished or "",
    }


@app.command()
def delete(
    target: Target,
    name: Name,
    inventory: session.Inventory = None,
    yes: Yes = False,
    reason: Reason = "snapshot removed on demand",
    history: session.HistoryPath = None,
) -> None:
    """Delete one of our snapshots before it expires.

    The machine stays as it is.
    """
    from orchestrator.operations import snapshot as snapshots
    from orchestrator.operations.snapshot import SnapshotRequest

    request = SnapshotRequest(target=target, name=name, inventory=inventory, reason=reason, history=history)
    question = f"Remove the snapshot {name} of {target}?"
    if snapshots.delete(request, lambda: confirmed(question, yes=yes), EVENTS):
        session.console().print("removed")


@app.command()
def rollback(
    target: Target,
    name: Name,
    files: Files = None,
    inventory: session.Inventory = None,
    yes: Yes = False,
    reason: Reason = "rollback on demand",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Roll a machine back to a snapshot. Shows the loss and asks.

    A running machine is started again afterwards.
    """
    from orchestrator.operations import snapshot as snapshots
    from orchestrator.operations.snapshot import RollbackRequest

    request = RollbackRequest(
        target=target,
        name=name,
        inventory=inventory,
        reason=reason,
        history=history,
        files=tuple(files or ()),
        boot_seconds=boot_timeout,
    )

    def agree(snapshot: VmSnapshot, loss: Loss) -> bool:
        _print_loss(target, snapshot, loss)
        return confirmed(f"Bring {target} back to {name}?", yes=yes)

    found = snapshots.rollback(request, agree, EVENTS)
    if found is None:
        return
    if found.problem:
        session.fail(f"{target} is back at {name}, but its guest is not as it should be: {found.problem}")
    session.console().print(
        "back; it runs, its firewall and its clock are right"
        if found.running
        else "back; it is stopped, as it was"
    )


def _print_loss(target: str, snapshot: VmSnapshot, loss: Loss) -> None:
    out = session.console()
    since = paris_time(snapshot.taken_at)
    out.print(f"{target} goes back to {since}. Everything written since then to these disks is lost:")
    for disk in loss.disks:
        out.print(f"  {disk}")
    for name, now, then in loss.settings:
        out.print(f"  setting {name}: {now} goes back to {then}")
    if loss.newer:
        out.print(f"  newer snapshots stay: {', '.join(loss.newer)}")
