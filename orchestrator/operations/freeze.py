"""Freezing every site at once, and resuming changes.

Used when something is wrong, so this needs as little as possible to be right: how the clusters are reached, and that is
all. Every site gets its turn whatever happens to the others, and the history comes last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Literal

from orchestrator.applying import freezing
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import RequestRefused, told
from orchestrator.operations.computer import operator
from orchestrator.operations.inventory import find_inventory
from orchestrator.operations.run import SILENT, Events, connect_api, open_history, run_name
from orchestrator.proxmox import Cluster
from orchestrator.sites.loading import load_apis, load_provider
from orchestrator.sites.model import Api
from orchestrator.sites.secrets import resolve
from orchestrator.yaml_reader import ProblemsFound


@dataclass(frozen=True, kw_only=True)
class FreezeRequest:
    """Whether to freeze or to thaw.

    Attributes:
        why: everybody who is stopped reads it, and the history keeps it.
        inventory: where the site file is.
        history: a file or URL; None: the usual one.
    """

    action: Literal["freeze", "thaw"]
    why: str
    inventory: str | None
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class SiteFrozen:
    """What became of one site.

    Attributes:
        words: human-readable.
        done: whether it is frozen, or thawed.
    """

    site: str
    words: str
    done: bool


def freeze_or_thaw(
    request: FreezeRequest, show: Callable[[SiteFrozen], None], events: Events = SILENT
) -> bool:
    """Stop every change at every site, or resume changes.

    Args:
        request: which.
        show: called with what became of each site, as soon as that is known.
        events: who is told what.

    Returns:
        Whether every site was reached, and the history written.

    Raises:
        OrchestratorError: no site can be reached at all.
    """
    if request.action == "freeze":
        why = request.why.encode(errors="replace").decode()
        who = f"{operator()}, {paris_time(dt.datetime.now(dt.UTC))}: {why}"
    else:
        why, who = request.why, ""
    ends: list[SiteFrozen] = []
    apis = _apis(request, events)
    with ThreadPoolExecutor(len(apis), thread_name_prefix="site") as pool:
        for done in as_completed([pool.submit(_at_site, site, api, who) for site, api in apis.items()]):
            ends.append(done.result())
            show(ends[-1])
    return _record(request, ends, why, events) and all(one.done for one in ends)


def _freeze(cluster: Cluster, who: str) -> str:
    earlier = freezing.freeze(cluster, who)
    return f"frozen already: {earlier}" if earlier else "frozen"


def _thaw(cluster: Cluster) -> str:
    earlier = freezing.thaw(cluster)
    return f"thawed; it had been frozen by {earlier}" if earlier else "was not frozen"


def _apis(request: FreezeRequest, events: Events) -> dict[str, Api | None]:
    """How the sites are reached. Errors elsewhere in the site file are told, and stop nothing."""
    path = find_inventory(request.inventory)
    try:
        return {name: site.api for name, site in load_provider(path).sites.items()}
    except ProblemsFound as error:
        events.problems(error.problems)
    except Exception as error:
        events.notice(f"the site file could not be read whole: {told(error)}")
    apis = load_apis(path)
    if not apis:
        raise RequestRefused(
            "the site file names no site that could be reached: correct it, and run the same command again"
        )
    return apis


def _at_site(site: str, api: Api | None, who: str) -> SiteFrozen:
    """Do it at one site. Whatever goes wrong is this site's alone."""
    if api is None:
        return SiteFrozen(site=site, words="NOT reached: its api in the site file has errors", done=False)
    try:
        cluster = connect_api(site, api, resolve(api.token_secret))
        try:
            return SiteFrozen(site=site, words=_freeze(cluster, who) if who else _thaw(cluster), done=True)
        finally:
            cluster.close()
    except Exception as error:
        return SiteFrozen(site=site, words=f"NOT reached, nothing is changed there: {error}", done=False)


def _record(request: FreezeRequest, ends: list[SiteFrozen], why: str, events: Events) -> bool:
    """Write down what was done. A history that cannot be written is told. Return whether it was written."""
    run = run_name(dt.datetime.now(dt.UTC))
    try:
        with open_history(request.history) as opened:
            for one in ends:
                opened.append(
                    who=operator(),
                    why=why,
                    client="*",
                    site=one.site,
                    action=request.action,
                    result="ok" if one.done else "failed",
                    message=one.words,
                    run=run,
                )
    except Exception as error:  # whatever it is, the sites are what counts
        events.notice(f"not in the history: {told(error)}")
        return False
    return True
