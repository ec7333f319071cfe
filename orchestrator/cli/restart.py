"""``orchestrator restart``: one machine on its client's request (article 3.2), or all that wait, in their windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import BootTimeout, Files, Yes, confirmed
from orchestrator.contract.calendar import paris_time


def restart(
    target: Annotated[
        str | None, typer.Argument(metavar="CLIENT/MACHINE", help="One machine; none with --due.")
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    yes: Yes = False,
    force: Annotated[
        bool, typer.Option("--force", help="Switch it off if the guest ignores the power button.")
    ] = False,
    due: Annotated[
        bool,
        typer.Option(
            "--due", help="Restart every machine that waits for it and whose maintenance window is open now."
        ),
    ] = False,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --due: only this site; may be repeated.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --due: show what would be restarted; change nothing.")
    ] = False,
    release: Annotated[
        bool,
        typer.Option(
            "--release", help="Its window may restart it again: you have looked why that went wrong."
        ),
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(
            help="Why: recorded in the history (article 3.8.1).  [default: restart on the client's request]"
        ),
    ] = None,
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Restart a machine on the client's request (article 3.2).

    Shuts the guest down, starts it, and waits until it answers. Settings that wait for a start take effect. Not for
    Cloud VM Essentiel (article 3.3).

    With --due: what waits for a restart, in the maintenance windows that are open now; for a timer.
    """
    if due:
        if target is not None or force or release:
            session.fail(
                "--due restarts every machine that waits: leave out CLIENT/MACHINE, --force and --release"
            )
        _due(files, inventory, site, dry_run, reason, boot_timeout, history)
        return
    if target is None:
        session.fail("name a machine, CLIENT/MACHINE, or give --due for all that wait in an open window")
    if site or dry_run:
        session.fail("--site and --dry-run go with --due")
    if release:
        if force or yes:
            session.fail("--release restarts nothing: leave out --force and --yes")
        _release(target, inventory, reason, history)
        return
    from orchestrator.operations import restart as restarting
    from orchestrator.operations.restart import RestartRequest

    request = RestartRequest(
        target=target,
        inventory=inventory,
        reason=reason or "restart on the client's request",
        history=history,
        files=tuple(files or ()),
        force=force,
        boot_seconds=boot_timeout,
    )

    def agree(waiting: Mapping[str, str]) -> bool:
        for setting, value in waiting.items():
            session.console().print(f"takes effect with the restart: {setting} {value}")
        return confirmed(f"Restart {target}?", yes=yes)

    found = restarting.restart(request, agree, EVENTS)
    if found is None:
        return
    how = "restarted, switched off by force" if found.forced else "restarted"
    if found.problem:
        session.fail(f"{target} was {how}: {found.problem}")
    session.console().print(f"{how}; it runs and its guest answers")


def _release(target: str, inventory: str | None, reason: str | None, history: str | None) -> None:
    from orchestrator.operations.named_machine import MachineRequest
    from orchestrator.operations.restart import release

    why = reason or "somebody has looked"
    release(MachineRequest(target=target, inventory=inventory, reason=why, history=history), EVENTS)
    session.console().print(
        f"{target} is no longer held back: what still waits is taken up in its next window; what was taken back, "
        "apply sets again"
    )


def _due(
    files: list[Path] | None,
    inventory: str | None,
    sites: list[str] | None,
    dry_run: bool,
    reason: str | None,
    boot_timeout: float,
    history: str | None,
) -> None:
    from orchestrator.operations.due_request import DueRequest
    from orchestrator.operations.due_restarts import preview_due, restart_due

    request = DueRequest(
        inventory=inventory,
        files=tuple(files or ()),
        sites=tuple(sites or ()),
        boot_seconds=boot_timeout,
        history=history,
        **({} if reason is None else {"reason": reason}),
    )
    out = session.console()
    if dry_run:
        lines, done = preview_due(request, EVENTS)
        for line in lines:
            out.print(line)
    else:
        done = restart_due(request, EVENTS)
    for item in done.ended:
        words = f"{item.client}/{item.machine}: {item.result.replace('-', ' ')}"
        out.print(f"{words}: {item.message}" if item.message else words)
    if done.next_opens is not None:
        out.print(
            f"no maintenance window is open; the next opens {paris_time(done.next_opens, weekday=True)}"
        )
    for problem in done.problems:
        out.print(problem, style="red")
    session.end_if(done.interrupted)
    if not done.well:
        raise typer.Exit(1)
