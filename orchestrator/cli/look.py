"""``orchestrator look``: renew what the Interface shows."""

from __future__ import annotations

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.counting import counted


def look(
    files: Files = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Renew what the Interface shows: read every site once.

    No machine is changed. `orchestrator serve` does this by itself every few minutes. A site that cannot be read keeps
    what was last read of it.

    Exit code 0: every site was read; 1: some could not be, or another look is under way.
    """
    from orchestrator.operations.look import LookRequest, refresh_looks

    done = refresh_looks(LookRequest(inventory=inventory, files=tuple(files or ()), history=history), EVENTS)
    out = session.console()
    out.print(
        f"{counted(done.machines, 'machine')} read, {done.written} written because something changed, "
        f"{done.removed} no longer there"
    )
    for site, why in done.away.items():
        out.print(f"not read: {site}: {why}", style="red")
    for text in done.problems:
        out.print(f"problem: {text}", style="red")
    if done.away:
        raise typer.Exit(1)
