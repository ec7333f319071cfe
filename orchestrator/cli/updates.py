"""``orchestrator updates``: what is due in the machines, and how long installing took (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.contract.calendar import UPDATE_DELAY_HOURS, paris_time, working_hours_between
from orchestrator.counting import counted

if TYPE_CHECKING:
    from rich.text import Text

    from orchestrator.guests.packages import DueUpdates
    from orchestrator.history.delays import Delays
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import UpdateNote


def updates(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Only this client, or this machine.")
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    days: Annotated[
        int, typer.Option(min=1, max=3660, help="Count updates installed in the last so many days.")
    ] = 90,
    no_refresh: Annotated[
        bool,
        typer.Option("--no-refresh", help="Do not refresh the machines' package lists first: faster."),
    ] = False,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """Show due updates, held-back machines and average delays.

    Security updates are shown separately. The contract's average is 72 working hours from publication, or from the
    client's request (article 3.8.3).
    """
    from orchestrator.operations.update import DueRequest, due_updates  # not for `--help`

    request = DueRequest(target=target, inventory=inventory, files=tuple(files or ()), history=history)
    seen = due_updates(request, days=days, refresh=not no_refresh, events=EVENTS)
    found, measured = seen.found, seen.measured
    held = {machine.key: note for machine in found.machines if (note := machine.held)}
    rows = [
        _row(
            machine,
            found.due.get(machine.key, found.reasons.get(machine.key, "not inspected")),
            held.get(machine.key),
            measured,
        )
        for machine in found.wanted
    ]
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps({"machines": rows, "installed": measured.to_data()}, indent=2))
    else:
        _print(rows, measured, days)
    if any(row["problem"] for row in rows):
        raise typer.Exit(1)


def _row(
    machine: DesiredMachine, found: DueUpdates | str, note: UpdateNote | None, measured: Delays
) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    packages = []
    for package in () if isinstance(found, str) else found.packages:
        seen = measured.seen.get((machine.client, machine.name, package.name, package.new))
        packages.append(
            {
                "name": package.name,
                "installed": package.old,
                "available": package.new,
                "security": package.security,
                "state": package.state,
                "seen": seen.isoformat() if seen else None,
                "waiting_working_hours": round(working_hours_between(seen, now), 1) if seen else None,
            }
        )
    return {
        "client": machine.client,
        "machine": machine.name,
        "updates": machine.updates,
        "problem": found if isinstance(found, str) else None,
        "held": note.reason if note else None,
        "held_since": note.since.isoformat() if note else None,
        "reboot": None if isinstance(found, str) else found.reboot,
        "interrupted": not isinstance(found, str) and found.interrupted,
        "packages": packages,
    }


def due_lines(name: str, due: DueUpdates, *, security_only: bool = False) -> Iterator[Text]:
    """What is due in one machine, for people: security updates first."""
    from rich.text import Text

    if not due.packages and not due.interrupted and not due.reboot:
        yield Text(f"{name}   up to date", "dim")
        return
    ready = due.ready
    security = sum(package.security for package in ready)
    yield Text(
        f"{name}   {counted(security, 'security update')}, {len(ready) - security} other",
        "bold",
    )
    if due.interrupted:
        yield Text("    ! an installation was interrupted there: it is repaired first", "red")
    for package in sorted(due.packages, key=lambda package: (not package.security, package.name)):
        later = package.state == "ready" and security_only and not package.security
        style = "dim" if later or package.state != "ready" else ("red" if package.security else "yellow")
        sort = "   security" if package.security else ""
        why = {
            "ready": "   later: not a security update" if later else "",
            "held": "   stays: held in the machine (apt-mark hold)",
            "excluded": "   stays: excluded by the file",
            "kept-back": "   stays: it would remove other packages; a person decides",
        }[package.state]
        yield Text(f"    {package.name} {package.old} → {package.new}{sort}{why}", style)
    if due.reboot:
        yield Text(f"    ~ to be restarted: {due.reboot}", "magenta")


def _print(rows: list[dict[str, Any]], measured: Delays, days: int) -> None:
    out = session.console()
    for row in rows:
        name = f"{row['client']}/{row['machine']}"
        ready = [package for package in row["packages"] if package["state"] == "ready"]
        security = sum(package["security"] for package in ready)
        waits = [
            package["waiting_working_hours"]
            for package in ready
            if package["waiting_working_hours"] is not None
        ]
        words = [f"{security} security, {len(ready) - security} other"] if ready else ["up to date"]
        if stays := len(row["packages"]) - len(ready):
            words.append(counted(stays, "stays", "stay"))
        words += [f"the oldest seen {max(waits):.1f} working hours ago"] if waits else []
        words += ["an installation was interrupted"] if row["interrupted"] else []
        words += [f"to be restarted: {row['reboot']}"] if row["reboot"] else []
        if row["problem"]:
            out.print(f"{name}   {row['problem']}", style="red")
        else:
            style = "red" if security else ("yellow" if ready else "dim")
            out.print(f"{name}   {row['updates']}   {'; '.join(words)}", style=style)
        if row["held"]:
            since = paris_time(dt.datetime.fromisoformat(row["held_since"]))
            out.print(f"    held back since {since}: {row['held']}", style="magenta")
    for item in measured.waiting:
        origin = "the client's request" if item.on_request else "publication"
        out.print(
            f"waiting: {item.client}/{item.machine}   {item.hours:.1f} working hours since {paris_time(item.since)} "
            f"({origin}); {UPDATE_DELAY_HOURS} are over at {paris_time(item.due)}",
            style="red" if item.hours > UPDATE_DELAY_HOURS else "yellow",
        )
    out.print(f"in the last {counted(days, 'day')}: {_measured_in_words(measured)}")


def _measured_in_words(measured: Delays) -> str:
    """The average of the contract, and over what: ``3 packages installed in 2 updates, 1 waiting, …``."""
    average = measured.average_hours
    ours = sum(bool(one.packages) for one in measured.installed)
    by_hand = len(measured.installed) - ours  # of those nobody knows the packages
    words = [
        *(
            [f"{counted(measured.packages, 'package')} installed in {counted(ours, 'update')}"]
            if ours
            else []
        ),
        *([f"{counted(by_hand, 'update')} by hand"] if by_hand else []),
        *(["none installed"] if not measured.installed else []),
        *([f"{len(measured.waiting)} waiting"] if measured.waiting else []),
        *(
            [f"on average {average:.1f} working hours after publication or request"]
            if average is not None
            else []
        ),
    ]
    return f"{', '.join(words)} (contract: {UPDATE_DELAY_HOURS}, art. 3.8.3)"
