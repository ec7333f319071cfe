"""``orchestrator freeze`` and ``thaw``: stop every change of every run at once, and resume changes.

Used when something is wrong, so they need as little as possible to be right: how the clusters are reached, and that is
all. Every site gets its turn whatever happens to the others, and the history comes last.
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.operations import computer
from orchestrator.operations import inventory as sites_file
from orchestrator.operations import run as running

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.proxmox import Cluster
    from orchestrator.sites.model import Api


def freeze(
    reason: Annotated[str, typer.Argument(help="Why: everybody who is stopped reads it.")],
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Stop every change at every site at once: applies, updates, restores, the night with its backups.

    It stands in Proxmox, as a pool at each site, so it also stops what is run on other computers; runs under way stop
    before their next step. Exit code 1 if a site could not be frozen, or the history could not be written.
    """
    from orchestrator.applying.freezing import freeze as stop
    from orchestrator.contract.calendar import paris_time

    why = reason.encode(errors="replace").decode()
    who = f"{computer.operator()}, {paris_time(dt.datetime.now(dt.UTC))}: {why}"

    def at(cluster: Cluster) -> str:
        earlier = stop(cluster, who)
        return f"frozen already: {earlier}" if earlier else "frozen"

    _everywhere("freeze", at, inventory, history, why=why)


def thaw(
    reason: Annotated[str, typer.Option(help="Why: goes into the history.")] = "changes may go on",
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Resume changes at every site. Says who had stopped them."""
    from orchestrator.applying.freezing import thaw as release

    def at(cluster: Cluster) -> str:
        earlier = release(cluster)
        return f"thawed; it had been frozen by {earlier}" if earlier else "was not frozen"

    _everywhere("thaw", at, inventory, history, why=reason)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What became of one site."""

    site: str
    words: str
    done: bool


def _everywhere(
    action: str, at: Callable[[Cluster], str], inventory: str | None, history: str | None, *, why: str
) -> None:
    apis = _apis(inventory)
    out = session.console()
    told: list[_Told] = []
    with ThreadPoolExecutor(len(apis), thread_name_prefix="site") as pool:
        for done in as_completed([pool.submit(_at_site, site, api, at) for site, api in apis.items()]):
            one = done.result()
            out.print(f"{one.site}: {one.words}")
            told.append(one)
    recorded = _record(action, told, history, why=why)
    if not recorded or not all(one.done for one in told):
        raise typer.Exit(1)


def _apis(inventory: str | None) -> dict[str, Api | None]:
    """How the sites are reached. Errors elsewhere in the sites' file are told, and stop nothing."""
    from orchestrator.documents import ProblemsFound
    from orchestrator.sites import load_apis, load_provider

    path = sites_file.find_inventory(inventory)
    try:
        return {name: site.api for name, site in load_provider(path).sites.items()}
    except ProblemsFound as error:
        session.tell_problems(error.problems)
    except Exception as error:
        session.complain(f"the sites' file could not be read whole: {error}")
    apis = load_apis(path)
    if not apis:
        session.fail(
            "the sites' file names no site that could be reached: correct it, and run the same command again"
        )
    return apis


def _at_site(site: str, api: Api | None, at: Callable[[Cluster], str]) -> _Told:
    """Do it at one site. Whatever goes wrong is this site's alone."""
    from orchestrator.sites.secrets import resolve

    if api is None:
        return _Told(site=site, words="NOT reached: its api in the sites' file has errors", done=False)
    try:
        cluster = running.connect_api(site, api, resolve(api.token_secret))
        try:
            return _Told(site=site, words=at(cluster), done=True)
        finally:
            cluster.close()
    except Exception as error:
        return _Told(site=site, words=f"NOT reached, nothing is changed there: {error}", done=False)


def _record(action: str, told: list[_Told], history: str | None, *, why: str) -> bool:
    """Write down what was done. A history that cannot be written is told. Return whether it was written."""
    from orchestrator.history import HistoryUnavailable, open_history

    run = running.run_name(dt.datetime.now(dt.UTC))
    try:
        with open_history(history or computer.state_directory() / "history.db") as opened:
            for one in told:
                opened.append(
                    who=computer.operator(),
                    why=why,
                    client="*",
                    site=one.site,
                    action=action,
                    result="ok" if one.done else "failed",
                    message=one.words,
                    run=run,
                )
    except (HistoryUnavailable, OSError, RuntimeError) as error:
        session.complain(f"not in the history: {error}")
        return False
    return True
