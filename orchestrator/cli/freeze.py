"""``orchestrator freeze`` and ``thaw``: stop every change of every run at once, and resume changes."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.operations.freeze import FreezeRequest, freeze_or_thaw


def freeze(
    reason: Annotated[str, typer.Argument(help="Why: everybody who is stopped reads it.")],
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Stop every change at every site at once: applies, updates, restores, the night with its backups.

    It stands in Proxmox, as a pool at each site, so it also stops what is run on other computers; runs under way stop
    before their next step. Exit code 1 if a site could not be frozen, or the history could not be written.
    """
    _everywhere(FreezeRequest(action="freeze", why=reason, inventory=inventory, history=history))


def thaw(
    reason: Annotated[str, typer.Option(help="Why: goes into the history.")] = "changes may go on",
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Resume changes at every site. Says who had stopped them."""
    _everywhere(FreezeRequest(action="thaw", why=reason, inventory=inventory, history=history))


def _everywhere(request: FreezeRequest) -> None:
    out = session.console()
    if not freeze_or_thaw(request, lambda one: out.print(f"{one.site}: {one.words}"), EVENTS):
        raise typer.Exit(1)
