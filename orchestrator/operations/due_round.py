"""Restarts in the windows that are open now: the machines that are concerned are read, and restarted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.applying.due_restart import RestartTerms, patience_of
from orchestrator.applying.restart_candidates import (
    Restartable,
    concerned_machines,
    objection,
    unwell_clients,
)
from orchestrator.applying.restart_outcome import MachineRestart
from orchestrator.applying.restart_waves import RestartRun
from orchestrator.applying.update_candidates import window_in_words
from orchestrator.contract.calendar import paris_time
from orchestrator.operations.computer import home_path
from orchestrator.operations.due_request import DueRestarts
from orchestrator.operations.inputs import ssh_settings
from orchestrator.operations.run import Events, open_clusters, open_run
from orchestrator.planning.window import current_or_next
from orchestrator.planning.words import setting_words
from orchestrator.resources.survey import Asked, observe_sites

if TYPE_CHECKING:
    from orchestrator.guests import SshSettings
    from orchestrator.operations.due_request import DueRequest
    from orchestrator.operations.run import Run
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider


def carry_out(
    request: DueRequest, provider: Provider, open_now: Sequence[DesiredMachine], events: Events
) -> DueRestarts:
    """Restart those of some machines that wait for it.

    Args:
        request: what is asked for.
        provider: the sites.
        open_now: machines whose windows are open now.
        events: who is told what.

    Raises:
        OrchestratorError: nothing was begun: the history is not there, or a site's access is not configured.
    """
    with open_run(
        provider, "restarts", only=_sites_of(open_now), history=request.history, events=events
    ) as run:
        waiting, _, problems = _waiting(open_now, run.clusters)
        if not waiting:
            return DueRestarts(problems=tuple(problems))
        run.begin()
        with run.locks.changing({machine.desired.client for machine in waiting}) as others:
            mine = {machine.desired.client for machine in waiting} - others.keys()
            own = [machine for machine in open_now if machine.client in mine]
            # Anew: whoever held the locks until now may have restarted them, or held them back.
            free, unwell, problems = _waiting(own, run.clusters) if own else ([], frozenset(), problems)
            ended = _restart(free, unwell, run, request, _ssh(provider)) if free else []
        ended += [
            machine.ended(
                "busy", message=f"{others[machine.desired.client]} is changing its client's machines"
            )
            for machine in waiting
            if machine.desired.client in others
        ]
        return DueRestarts(ended=tuple(ended), problems=tuple(problems), interrupted=run.interrupted)


def preview(
    request: DueRequest, provider: Provider, open_now: Sequence[DesiredMachine], events: Events
) -> tuple[list[str], DueRestarts]:
    """What would be restarted, in words. Changes nothing. Arguments and errors as :func:`carry_out`."""
    with open_clusters(provider, only=_sites_of(open_now), notice=events.notice) as clusters:
        waiting, unwell, problems = _waiting(open_now, clusters)
    patience = patience_of(request.boot_seconds)
    lines = [_foretold(machine, unwell, patience) for machine in waiting]
    if not lines and not problems:
        lines = ["nothing waits for a restart in the windows that are open"]
    return lines, DueRestarts(problems=tuple(problems))


def _foretold(machine: Restartable, unwell: frozenset[str], patience: dt.timedelta) -> str:
    """What a run would do with a machine that waits, in words."""
    name = "/".join(machine.key)
    if machine.unfinished:
        return f"would be seen through: {name}: a restart that an earlier run began"
    why = objection(machine) or _no_time(machine, patience, dt.datetime.now(dt.UTC))
    if not why and machine.desired.client in unwell:
        why = f"another machine of {machine.desired.client} did not come back in this window"
    return (
        f"not restarted: {name}: {why}"
        if why
        else f"would be restarted: {name}: {setting_words(machine.waiting)}"
    )


def _sites_of(machines: Sequence[DesiredMachine]) -> set[str]:
    return {machine.site for machine in machines}


def _waiting(
    open_now: Sequence[DesiredMachine], clusters: Mapping[str, Cluster]
) -> tuple[list[Restartable], frozenset[str], list[str]]:
    """The machines that have their turn, the clients with one that did not come back, and what is wrong with sites.

    Machines that are held back are left alone.
    """
    read = observe_sites(clusters, Asked(desired=open_now, least=True))
    problems = [
        f"site {site} could not be read, nothing is restarted there: {why}"
        for site, why in read.failures.items()
    ]
    free = {}
    for site, observed in read.observed.items():
        if observed.state.frozen:
            problems.append(f"{site} is frozen, nothing is restarted there: {observed.state.frozen}")
        else:
            free[site] = observed
    now = dt.datetime.now(dt.UTC)
    concerned = concerned_machines(open_now, free, clusters, now)
    return [machine for machine in concerned if not machine.held], unwell_clients(concerned, now), problems


def _restart(
    machines: Sequence[Restartable],
    unwell: frozenset[str],
    run: Run,
    request: DueRequest,
    ssh: SshSettings | None,
) -> list[MachineRestart]:
    patience = patience_of(request.boot_seconds)

    def may_begin(machine: Restartable) -> str | None:
        return _no_time(machine, patience, dt.datetime.now(dt.UTC))

    terms = RestartTerms(
        journal=run.journal(request.reason),
        clock=lambda: dt.datetime.now(dt.UTC),
        ssh=ssh,
        boot_seconds=request.boot_seconds,
        may_begin=may_begin,
        pause=run.stopping.pause,
    )
    return RestartRun(terms=terms, unwell=unwell).run(machines)


def _no_time(machine: Restartable, patience: dt.timedelta, now: dt.datetime) -> str | None:
    """Why a restart must not begin now: its window is over, or leaves no time; None if it may.

    The window of this moment, not that of the run's begin: reading sites and earlier waves take their time.
    """
    assert machine.desired.window is not None  # noqa: S101  (chosen by it)
    opens, closes = current_or_next(machine.desired.window, now)
    if opens > now:
        return f"its window has closed; the next one opens {paris_time(opens, weekday=True)}"
    if now + patience <= closes:
        return None
    minutes = patience / dt.timedelta(minutes=1)
    return (
        f"its window ({window_in_words(opens, closes)}) leaves no time: a restart may take {minutes:.0f} min, so none "
        "was begun that could not end in it"
    )


def _ssh(provider: Provider) -> SshSettings | None:
    """How guests are reached whose agent is silent; None if the provider's key is not there: the night tells that."""
    return ssh_settings(provider) if home_path(provider.management.ssh_private_key).is_file() else None
