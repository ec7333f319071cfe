"""``orchestrator freeze`` and ``thaw``: stop every change of every run at once, and resume changes."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS


def freeze(
    reason: Annotated[str, typer.Argument(help="Why: shown to everybody whose run is stopped.")],
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Stop all changes at every site at once, backups included.

    The freeze is a pool in Proxmox at each site, so it also stops runs on other computers. Current runs stop before
    their next step. Exit code 1 if a site could not be frozen, or the history could not be written.
    """
    _everywhere("freeze", why=reason, inventory=inventory, history=history)


def thaw(
    reason: Annotated[str, typer.Option(help="Why: recorded in the history.")] = "resume changes",
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Resume changes at every site.

    Says who had stopped them.
    """
    _everywhere("thaw", why=reason, inventory=inventory, history=history)


def _everywhere(
    action: Literal["freeze", "thaw"], why: str, inventory: str | None, history: str | None
) -> None:
    from orchestrator.operations.freeze import FreezeRequest, freeze_or_thaw  # not for `--help`

    out = session.console()
    request = FreezeRequest(action=action, why=why, inventory=inventory, history=history)
    if not freeze_or_thaw(request, lambda one: out.print(f"{one.site}: {one.words}"), EVENTS):
        raise typer.Exit(1)
