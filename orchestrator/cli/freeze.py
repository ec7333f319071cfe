"""``orchestrator freeze`` and ``thaw``: stop every change of every run at once, and let them go on."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.proxmox import Cluster


def freeze(
    reason: Annotated[str, typer.Argument(help="Why: everybody who is stopped reads it.")],
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Stop every change at every site at once: applies, updates, restores, the night with its backups.

    It stands in Proxmox, as a pool at each site, so it also stops what is run on other computers; runs under way stop
    before their next step. Exit code 1 if a site could not be reached: changes are not stopped there.
    """
    from orchestrator.applying.freezing import freeze as stop

    who = f"{session.operator()}, {dt.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}: {reason}"

    def at(cluster: Cluster) -> str:
        earlier = stop(cluster, who)
        return f"frozen already: {earlier}" if earlier else "frozen"

    _everywhere("freeze", at, inventory, history, why=reason)


def thaw(
    reason: Annotated[str, typer.Option(help="Why: goes into the history.")] = "changes may go on",
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Let changes go on at every site. Says who had stopped them."""
    from orchestrator.applying.freezing import thaw as release

    def at(cluster: Cluster) -> str:
        earlier = release(cluster)
        return f"thawed; it had been frozen by {earlier}" if earlier else "was not frozen"

    _everywhere("thaw", at, inventory, history, why=reason)


def _everywhere(
    action: str, at: Callable[[Cluster], str], inventory: str | None, history: str | None, *, why: str
) -> None:
    from orchestrator.history import HistoryUnavailable
    from orchestrator.proxmox import ProxmoxError

    provider = session.open_provider(inventory)
    out = session.console()
    failed = False
    run = session.run_name(dt.datetime.now(dt.UTC))
    with session.open_clusters(provider) as clusters, session.open_history(history) as opened:
        for site, cluster in clusters.items():
            try:
                words, result = at(cluster), "ok"
            except ProxmoxError as error:
                words, result, failed = f"NOT reached, nothing is changed there: {error}", "failed", True
            out.print(f"{site}: {words}")
            try:
                opened.append(
                    who=session.operator(),
                    why=why,
                    client="*",
                    site=site,
                    action=action,
                    result=result,
                    message=words,
                    run=run,
                )
            except HistoryUnavailable as error:
                session.complain(f"not in the history: {error}")
    if failed:
        raise typer.Exit(1)
