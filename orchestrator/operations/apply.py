"""Applying: the plan is made anew and shown, somebody agrees, and it is carried out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.applying.apply import Outcome, apply_plan
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import RequestRefused
from orchestrator.operations import preparing
from orchestrator.operations.inputs import ssh_settings
from orchestrator.operations.inventory import open_provider, provider_name
from orchestrator.operations.plan_request import PlanRequest
from orchestrator.operations.run import SILENT, Events, open_run
from orchestrator.planning.document import to_document
from orchestrator.planning.plan import Plan
from orchestrator.planning.saved import SavedPlan, contracts_moved, moved, read_saved
from orchestrator.resources.desired import DesiredMachine
from orchestrator.sites.model import Provider

_SETTLE_SECONDS = 600.0
"""How long clones are waited for that an earlier, killed run asked for."""


@dataclass(frozen=True, kw_only=True)
class ApplyRequest(PlanRequest):
    """What to apply.

    Attributes:
        saved: a plan that was saved and reviewed, to be applied exactly; then nothing else limits it. None: what the
            rest of the request says.
        max_age_hours: how old a saved plan may be.
        reason: why; the history keeps it with every step (article 3.8.1).
        leave_guests: leave the guests alone: the hypervisor's part only.
        boot_seconds: how long a guest may take to boot.
    """

    saved: Path | None = None
    max_age_hours: float = 24.0
    reason: str = "subscription change"
    leave_guests: bool = False
    boot_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Applied:
    """How applying ended.

    Attributes:
        plan: what was to be done.
        outcomes: how each machine's part ended; None if there was nothing to change, or nobody agreed.
        agreed: whether somebody agreed, or did not have to.
        interrupted: somebody asked for the end.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...] | None = None
    agreed: bool = True
    interrupted: bool = False

    @property
    def well(self) -> bool:
        """Whether everything was done that could be planned, or nobody wanted it."""
        bad = ("failed", "refused")
        return not self.agreed or not (
            self.plan.has_errors or any(outcome.result in bad for outcome in self.outcomes or ())
        )


def apply(
    request: ApplyRequest,
    *,
    show: Callable[[Plan], None],
    agree: Callable[[], bool],
    events: Events = SILENT,
) -> Applied:
    """Make the machines what the files ask for.

    Args:
        request: what to apply.
        show: called with the plan before anything is refused or asked.
        agree: asked before anything is changed.
        events: who is told what.

    Raises:
        OrchestratorError: nothing was begun, because of a safety limit, a freeze, another run, or a saved plan that is
            not what would be done now.
    """
    provider = open_provider(request.inventory)
    saved = _read_saved(request, request.saved, provider) if request.saved else None
    options = saved.options if saved else preparing.options_of(request)
    wanted = preparing.wanted(
        provider,
        options,
        events.problems,
        made_at=saved.made_at if saved else None,
        settle_seconds=_SETTLE_SECONDS,
    )
    with open_run(provider, history=request.history, events=events) as run:
        run.locks.refuse_busy(
            client
            for machine in wanted.desired
            if wanted.selection.includes(*machine.key)
            for client in _clients(machine)
        )
        used = preparing.used_changes(request.history, wanted.desired)
        takings = preparing.unsettled_takings(request.history, wanted.desired)
        prepared = preparing.prepare(wanted, run.clusters, used, takings=takings)
        made = preparing.with_waiting_since(prepared.plan, request.history)
        made = preparing.with_archives_left(made, request.history)
        if saved is not None:
            _refuse_moved(saved, made, events)
        show(made)
        _refuse_unsafe(made)
        if not made.has_changes:
            return Applied(plan=made)
        if not agree():
            return Applied(plan=made, agreed=False)
        # Taken only now: nobody waits for an answer. What was changed since is seen before each machine's first step.
        run.locks.clients(
            [
                *(
                    client
                    for machine in made.machines
                    if machine.effective
                    for client in (_clients(machine.desired) if machine.desired else {machine.client})
                ),
                *(item.client for item in made.shared if item.own_effect),
            ]
        )
        run.begin()
        outcomes = apply_plan(
            made,
            run.clusters,
            prepared.observed,
            run.journal(request.reason, known=prepared.observed.keys()),
            ssh=None if request.leave_guests else ssh_settings(provider),
            restart_now=options.restart_now,
            boot_seconds=request.boot_seconds,
            locks=run.locks,
            backup_storages={
                name: {storage.name: storage.site for storage in site.backup_storages if storage.site != name}
                for name, site in provider.sites.items()
            },
        )
        return Applied(plan=made, outcomes=tuple(outcomes), interrupted=run.interrupted)


def _clients(machine: DesiredMachine) -> set[str]:
    """The clients whose lock a machine needs: its own, and what that was called before."""
    return {machine.client, *filter(None, [machine.client_was])}


def _read_saved(request: ApplyRequest, path: Path, provider: Provider) -> SavedPlan:
    saved = read_saved(path)
    if saved.sites != provider_name(provider):
        raise RequestRefused(
            f"{path} was made for the sites of {saved.inventory or 'another inventory'}, not for those of "
            f"{request.inventory}: name that inventory, or make the plan again"
        )
    age = (dt.datetime.now(dt.UTC) - saved.made_at).total_seconds() / 3600
    if not 0 <= age <= request.max_age_hours:
        raise RequestRefused(
            f"{path} was made {paris_time(saved.made_at)} by {saved.made_by}, more than {request.max_age_hours:g} "
            "hours ago (or in the future): make it again and have it reviewed, or give --max-plan-age HOURS"
        )
    return saved


def _refuse_moved(saved: SavedPlan, made: Plan, events: Events) -> None:
    found = list(moved(saved, to_document(made), preparing.files_of(saved.options)))
    found += contracts_moved(made, dt.datetime.now(dt.UTC))
    for line in found:
        events.notice(f"  changed since: {line}")
    if found:
        raise RequestRefused(
            "the plan is not what would be done now, nothing was changed: plan again and have it reviewed"
        )


def _refuse_unsafe(made: Plan) -> None:
    if made.frozen:
        raise RequestRefused(
            "; ".join(f"{site} is frozen: {who}" for site, who in made.frozen.items())
            + ". Nothing is changed anywhere until `orchestrator thaw`"
        )
    if made.unsafe:
        allow = " ".join(f"--allow {risk.name}" for risk in made.unsafe)
        raise RequestRefused(
            f"the plan exceeds the safety limits, nothing was applied. To allow exactly this: {allow}"
        )
