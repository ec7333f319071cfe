"""``orchestrator update``: install updates in machines now, on a client's request (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.target import Files, Reason, Yes, confirm
from orchestrator.counting import counted, plural

if TYPE_CHECKING:
    from orchestrator.applying.update_outcome import MachineUpdate
    from orchestrator.guests.updates import DueUpdates
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.scope import Selection


def update(
    target: Annotated[str, typer.Argument(metavar="CLIENT[/MACHINE]", help="A client, or one machine.")],
    security_only: Annotated[
        bool, typer.Option("--security-only", help="Leave the other updates for later.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Show what is due; install nothing.")] = False,
    release: Annotated[
        bool,
        typer.Option("--release", help="Somebody has looked: also machines that are held back."),
    ] = False,
    restart_now: Annotated[
        bool,
        typer.Option("--restart-now", help="Restart where needed, also outside the maintenance window."),
    ] = False,
    requested: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the client asked for it (2026-11-23T09:00); now, if absent."),
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
    """Install updates now: a snapshot first, in waves, back where a machine is not well afterwards.

    Exit code 0: all is well; 1: a machine was not updated, or is not well.
    """
    from orchestrator.applying.machine_update import UpdateTerms
    from orchestrator.applying.update_candidates import candidates
    from orchestrator.applying.updates import UpdateRun, has_work
    from orchestrator.cli.progress import progress
    from orchestrator.guests.updates import look_for_updates
    from orchestrator.planning.window import is_open

    provider = session.open_provider(inventory)
    desired = session.open_desired(files, provider)
    chosen = session.selection(target)
    session.check_selection(chosen, desired)
    asked_at = _moment(requested)
    ssh = session.ssh_settings(provider)
    with (
        session.open_run(provider, "updates") as run,
        session.open_history(history) as opened,
    ):
        out = session.console()
        wanted = [machine for machine in desired if chosen.includes(*machine.key)]
        if not check:
            run.locks.clients(machine.client for machine in wanted)
        now = dt.datetime.now(dt.UTC)
        machines, reasons = candidates(
            wanted,
            read_sites(wanted, run.clusters, chosen),
            run.clusters,
            may_reboot=lambda machine: restart_now or is_open(machine.window, now),
            released=release,
        )
        out.print(f"looking what is due in {len(machines)} of {counted(len(wanted), 'machine')}")
        due = look_for_updates([machine.target() for machine in machines], ssh)
        _print_due(wanted, due, reasons, security_only=security_only)
        todo = [
            one
            for one in machines
            if has_work(one, due[one.key], security_only=security_only) or (release and one.held)
        ]
        if check or not todo:
            raise typer.Exit(1 if _problems(due, reasons) else 0)
        confirm("Install these updates?", yes=yes)
        with progress() as show:
            run.begin()
            terms = UpdateTerms(
                ssh=ssh,
                journal=session.journal(opened, reason, show, run.clusters, run=run),
                clock=lambda: dt.datetime.now(dt.UTC),
                automatic=False,
                requested_at=asked_at,
                security_only=security_only,
                released=release,
                boot_seconds=boot_timeout,
                settle_seconds=settle_timeout,
                pause=run.stopping.pause,
            )
            lines = UpdateRun(terms=terms).run(machines, due)
        _report(lines)
        run.end()
    if reasons or not all(line.well for line in lines):
        raise typer.Exit(1)


def _moment(text: str | None) -> dt.datetime:
    from orchestrator.contract.calendar import PARIS

    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        session.fail(f"--requested {text} is no time: write 2026-11-23T09:00 (Europe/Paris)")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=PARIS)
    if moment > dt.datetime.now(dt.UTC):
        session.fail(f"--requested {text} lies ahead: it is when the client asked for it")
    return moment


def read_sites(
    wanted: list[DesiredMachine], clusters: Mapping[str, Cluster], chosen: Selection
) -> dict[str, ObservedSite]:
    """Read the clusters that machines stand in; those that cannot be read are told and left out."""
    from orchestrator.resources.survey import Asked, observe_sites

    names = sorted({machine.site for machine in wanted})
    read = observe_sites({name: clusters[name] for name in names}, Asked(desired=wanted, selection=chosen))
    for name, why in read.failures.items():
        session.complain(f"{name} could not be read: {why}")
    return read.observed


def _problems(
    due: Mapping[tuple[str, str], DueUpdates | str], reasons: Mapping[tuple[str, str], str]
) -> bool:
    return bool(reasons) or any(isinstance(found, str) for found in due.values())


def _print_due(
    wanted: list[DesiredMachine],
    due: Mapping[tuple[str, str], DueUpdates | str],
    reasons: Mapping[tuple[str, str], str],
    *,
    security_only: bool,
) -> None:
    from orchestrator.cli.updates import due_lines

    out = session.console()
    for machine in wanted:
        name = f"{machine.client}/{machine.name}"
        found = due.get(machine.key)
        if machine.key in reasons:
            out.print(f"{name}   not updated: {reasons[machine.key]}", style="yellow")
        elif isinstance(found, str) or found is None:
            out.print(f"{name}   not reached: {found}", style="red")
        else:
            for line in due_lines(name, found, security_only=security_only):
                out.print(line)


def _report(lines: list[MachineUpdate]) -> None:
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
