"""``orchestrator update``: install updates in machines now, on a client's request (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import PROGRESS
from orchestrator.cli.shared_options import Files, Reason, Yes, confirmed
from orchestrator.cli.updates import due_lines
from orchestrator.counting import counted, plural

if TYPE_CHECKING:
    from orchestrator.applying.update_outcome import MachineUpdate
    from orchestrator.operations.update import DueFound


def update(
    target: Annotated[str, typer.Argument(metavar="CLIENT[/MACHINE]", help="A client, or one machine.")],
    security_only: Annotated[
        bool, typer.Option("--security-only", help="Install security updates only.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Show what is due; install nothing.")] = False,
    release: Annotated[
        bool,
        typer.Option(
            "--release", help="Also update machines that are held back; somebody has inspected them."
        ),
    ] = False,
    restart_now: Annotated[
        bool,
        typer.Option("--restart-now", help="Restart where needed, also outside the maintenance window."),
    ] = False,
    requested: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the client asked for it (2026-11-23T09:00).  [default: now]"),
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    yes: Yes = False,
    reason: Reason = "updates on request",
    boot_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that a machine may take to come back from a restart.")
    ] = 600.0,
    settle_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that services may take to come back.")
    ] = 60.0,
    history: session.HistoryPath = None,
) -> None:
    """Install updates now, with snapshot and rollback.

    Machines are updated in waves. One that is unhealthy afterwards is rolled back to its snapshot.

    Exit code 0: everything succeeded; 1: a machine was not updated, or is unhealthy.
    """
    from orchestrator.operations import update as operation  # not for `--help`
    from orchestrator.operations.update import UpdateRequest

    request = UpdateRequest(
        target=target,
        inventory=inventory,
        files=tuple(files or ()),
        history=history,
        reason=reason,
        security_only=security_only,
        check=check,
        release=release,
        restart_now=restart_now,
        requested_at=_moment(requested),
        boot_seconds=boot_timeout,
        settle_seconds=settle_timeout,
    )
    out = session.console()
    ended = operation.update(
        request,
        looking=lambda count, of: out.print(f"looking what is due in {count} of {counted(of, 'machine')}"),
        show=lambda found: _print_due(found, security_only=security_only),
        agree=lambda: confirmed("Install these updates?", yes=yes),
        events=PROGRESS,
    )
    if ended is None:
        return
    if ended.lines is not None:
        _report(ended.lines)
    session.end_if(ended.interrupted)
    if not ended.well:
        raise typer.Exit(1)


def _moment(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    from orchestrator.contract.calendar import PARIS

    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        session.fail(f"--requested {text} is not a valid time: write 2026-11-23T09:00 (Europe/Paris)")
    return moment if moment.tzinfo else moment.replace(tzinfo=PARIS)


def _print_due(found: DueFound, *, security_only: bool) -> None:
    out = session.console()
    for machine in found.wanted:
        name = f"{machine.client}/{machine.name}"
        due = found.due.get(machine.key)
        if machine.key in found.reasons:
            out.print(f"{name}   not updated: {found.reasons[machine.key]}", style="yellow")
        elif isinstance(due, str) or due is None:
            out.print(f"{name}   not reached: {due}", style="red")
        else:
            for line in due_lines(name, due, security_only=security_only):
                out.print(line)


def _report(lines: Sequence[MachineUpdate]) -> None:
    out = session.console()
    styles = {"installed": "green", "nothing-due": "dim", "not-started": "yellow", "untouched": "yellow"}
    for line in lines:
        wave = f"wave {line.wave}  " if line.wave else ""
        words = [f"{package.name} {package.old} → {package.new}" for package in line.installed]
        words += ["restarted"] if line.restarted else []
        words += [f"to be restarted: {line.reboot}"] if line.reboot else []
        words += [line.message] if line.message else []
        text = f"{line.result:<12} {wave}{line.client}/{line.machine}  {'; '.join(words)}".rstrip()
        out.print(text, style=styles.get(line.result, "red"))
    done = sum(line.well for line in lines)
    out.print(
        f"{done} of {counted(len(lines), 'machine')} {plural(len(lines), 'is', 'are')} well and up to date"
    )
