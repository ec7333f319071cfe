"""``orchestrator snapshot``: snapshots of one machine on demand (articles 3.2 and 3.3)."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.target import Files, Found, Reason, Target, Yes, confirm, find_machine, vm_of, wanted

if TYPE_CHECKING:
    from orchestrator.applying.rollback import Loss
    from orchestrator.proxmox import VmSnapshot

app = typer.Typer(no_args_is_help=True, help="Take, list, remove, or go back to snapshots of one machine.")


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
    """Take a snapshot now. It is kept seven days; at most two at a time."""
    from orchestrator.applying.snapshots import remove_expired, take_snapshot
    from orchestrator.applying.vm import Stopped
    from orchestrator.contract.calendar import paris_time
    from orchestrator.contract.snapshots import name_objection
    from orchestrator.proxmox import ProxmoxError
    from orchestrator.resources.snapshot import expires_at, unable

    if objection := name_objection(name):
        session.fail(objection)
    provider = session.open_provider(inventory)
    with session.open_run(provider) as run, session.open_history(history) as opened:
        run.locks.clients([target.partition("/")[0]])
        found = find_machine(target, run.clusters)
        if reason_why_not := unable(found.machine, found.machine.storage_types):
            session.fail(f"{target}: {reason_why_not}")
        vm = vm_of(found, opened, reason=reason, run=run)
        run.begin()
        try:
            remove_expired(vm, dt.datetime.now(dt.UTC))  # what should be gone does not stand in the way
            taken = take_snapshot(vm, name, declared_for=None)
        except (ProxmoxError, Stopped) as error:
            session.fail(f"{target}: {error}")
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
    """Show the snapshots of a machine, others' included, and when ours expire."""
    provider = session.open_provider(inventory)
    with session.open_clusters(provider) as clusters:
        found = find_machine(target, clusters)
    snapshots = found.machine.snapshots
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_for_programs(snapshot) for snapshot in snapshots], indent=2))
        return
    out = session.console()
    if not snapshots:
        out.print(f"{target} has no snapshots")
    width = max((len(snapshot.name) for snapshot in snapshots), default=0)
    for snapshot in snapshots:
        out.print(f"{snapshot.name:<{width}}   {_in_words(snapshot)}")


def _in_words(snapshot: VmSnapshot) -> str:
    from orchestrator.contract.calendar import paris_time
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
    """Remove a snapshot of ours before its seven days are over. The machine stays as it is."""
    from orchestrator.applying.snapshots import remove_snapshot
    from orchestrator.applying.vm import Stopped
    from orchestrator.proxmox import ProxmoxError
    from orchestrator.resources.snapshot import owned

    provider = session.open_provider(inventory)
    with session.open_run(provider) as run, session.open_history(history) as opened:
        run.locks.clients([target.partition("/")[0]])
        found = find_machine(target, run.clusters)
        snapshot = _existing(found, target, name)
        if owned(snapshot) is None:
            session.fail(f"{name} was made by others in Proxmox, so it is not removed here: remove it there")
        confirm(f"Remove the snapshot {name} of {target}?", yes=yes)
        run.begin()
        try:
            remove_snapshot(vm_of(found, opened, reason=reason, run=run), name)
        except (ProxmoxError, Stopped) as error:
            session.fail(f"{target}: {error}")
    session.console().print("removed")


@app.command()
def rollback(
    target: Target,
    name: Name,
    files: Files = None,
    inventory: session.Inventory = None,
    yes: Yes = False,
    reason: Reason = "rollback on demand",
    boot_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for the guest to boot.")
    ] = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Bring a machine back to a snapshot. Says what is lost and asks; a running machine runs again afterwards."""
    from orchestrator.applying.rollback import (
        address_of_another,
        cannot_go_back,
        go_back,
        refresh_guest,
        what_is_lost,
    )
    from orchestrator.applying.vm import Stopped
    from orchestrator.proxmox import ProxmoxError

    provider = session.open_provider(inventory)
    desired = wanted(target, session.open_desired(files, provider))
    ssh = session.ssh_settings(provider)
    with session.open_run(provider) as run, session.open_history(history) as opened:
        run.locks.clients([desired.client])
        try:
            found = find_machine(target, run.clusters)
            snapshot = _existing(found, target, name)
            vm = vm_of(found, opened, reason=reason, run=run)
            loss = what_is_lost(vm, found.machine, snapshot)
            why = cannot_go_back(vm, found.machine, snapshot) or address_of_another(vm, found.machine, loss)
            if why:
                session.fail(f"{target}: {why}")
            _print_loss(target, snapshot, loss)
            confirm(f"Bring {target} back to {name}?", yes=yes)
            run.begin()
            with run.stopping.finishing(f"{target}: rollback"):
                go_back(vm, found.machine, snapshot)
                if not found.machine.running:
                    session.console().print("back; it is stopped, as it was")
                    return
                again = find_machine(target, run.clusters)
                problem = refresh_guest(
                    vm, desired, again.machine, again.site, ssh, boot_seconds=boot_timeout
                )
        except (ProxmoxError, Stopped) as error:
            session.fail(f"{target}: {error}")
    if problem:
        session.fail(f"{target} is back at {name}, but its guest is not as it should be: {problem}")
    session.console().print("back; it runs, its firewall and its clock are right")


def _existing(found: Found, target: str, name: str) -> VmSnapshot:
    names = {snapshot.name: snapshot for snapshot in found.machine.snapshots}
    if name not in names:
        session.fail(f"{target} has no snapshot {name}: there are {', '.join(names) or 'none'}")
    return names[name]


def _print_loss(target: str, snapshot: VmSnapshot, loss: Loss) -> None:
    from orchestrator.contract.calendar import paris_time

    out = session.console()
    since = paris_time(snapshot.taken_at)
    out.print(f"{target} goes back to {since}. Everything written since then to these disks is lost:")
    for disk in loss.disks:
        out.print(f"  {disk}")
    for name, now, then in loss.settings:
        out.print(f"  setting {name}: {now} goes back to {then}")
    if loss.newer:
        out.print(f"  newer snapshots stay: {', '.join(loss.newer)}")
