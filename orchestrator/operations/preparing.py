"""Making a plan: what it is limited to, what was decided for it, and the plan itself."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.applying.looking import look_into_guests
from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.history.errors import HistoryMissing, HistoryUnavailable
from orchestrator.operations.computer import operator, replace_file
from orchestrator.operations.inputs import (
    Tell,
    check_selection,
    open_desired,
    ssh_settings,
)
from orchestrator.operations.inventory import DEFAULT_FOLDER, provider_name
from orchestrator.operations.names_seen import remember_sites
from orchestrator.operations.plan_request import PlanRequest
from orchestrator.operations.run import open_history
from orchestrator.planning.creation import archives_left
from orchestrator.planning.document import to_document
from orchestrator.planning.interventions import NO_DECISIONS, Decisions, FreeUse, with_interventions
from orchestrator.planning.plan import Plan, SiteFailure, make_plan
from orchestrator.planning.safety import read_allowed, with_risks
from orchestrator.planning.saved import PlanOptions, SavedPlan, hash_files
from orchestrator.proxmox import Cluster
from orchestrator.resources.attributes import attributes_of
from orchestrator.resources.change import ChangeClass, Effect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import EVERY_THING, shared_kinds
from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.reading_ahead import ReadingAhead
from orchestrator.resources.scope import EVERYTHING, Selection
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.resources.without_file import without_file
from orchestrator.shown import json_safe, quoted
from orchestrator.sites.model import Provider
from orchestrator.subscriptions.model import REFERENCE
from orchestrator.yaml_reader.files import YamlFile, yaml_files

if TYPE_CHECKING:
    from orchestrator.history.taking_over import Taking


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan with what it was made from."""

    plan: Plan
    observed: Mapping[str, ObservedSite]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a plan is asked for, read and checked before anything is looked at.

    Attributes:
        selection: what it is limited to.
        decisions: quotes and classes.
        allowed: what ``--allow`` names.
        guests: look into the guests as well.
        everybody: whether the files are meant to be all there are: a folder of them was given.
        made_at: the moment to plan for; now if None.
        settle_seconds: how long to wait for clones that an earlier, killed run asked for.
    """

    provider: Provider
    desired: tuple[DesiredMachine, ...]
    selection: Selection = EVERYTHING
    restart_now: bool = False
    guests: bool = False
    decisions: Decisions = NO_DECISIONS
    allowed: frozenset[str] = frozenset()
    everybody: bool = False
    made_at: dt.datetime | None = None
    settle_seconds: float = 0.0


def wanted(
    provider: Provider,
    options: PlanOptions,
    tell: Tell = lambda _: None,
    *,
    made_at: dt.datetime | None = None,
    settle_seconds: float = 0.0,
) -> Wanted:
    """Read the clients' files and check the options.

    Raises:
        OrchestratorError: something is wrong with them.
    """
    desired = open_desired([Path(path) for path in options.paths], provider, tell)
    chosen = (
        EVERYTHING if options.only is None else Selection.parse(options.only, EVERY_THING, shared_kinds())
    )
    check_selection(chosen, desired)
    if options.order is not None or options.catalogue is not None:
        _check_one_client(desired, chosen)
    if options.quote is not None:
        _check_quote(options.quote, desired, chosen)
    return Wanted(
        provider=provider,
        desired=desired,
        selection=chosen,
        restart_now=options.restart_now,
        guests=options.guests,
        decisions=Decisions(
            order=options.order,
            catalogue=options.catalogue,
            quote=options.quote,
            classes=_classes(options.classes),
        ),
        allowed=read_allowed(options.allow),
        everybody=any(Path(path).is_dir() for path in options.paths),
        made_at=made_at,
        settle_seconds=settle_seconds,
    )


def options_of(request: PlanRequest) -> PlanOptions:
    """The options of a plan, as they are saved with it.

    Raises:
        RequestRefused: one is not written as it must be.
    """
    pairs = {}
    for text in request.classes:
        target, sign, name = text.partition("=")
        if not sign or "/" not in target:
            raise RequestRefused(f"--class {text}: say CLIENT/MACHINE=CLASS, such as dupont/web-1=standard")
        pairs[target] = name
    references: tuple[tuple[str, str | None], ...] = (
        ("--order", request.order),
        ("--catalogue", request.catalogue),
        ("--quote", request.quote),
    )
    for option, given in references:
        if given is not None and not re.fullmatch(REFERENCE, given.strip()):
            raise RequestRefused(
                f"{option} {quoted(given)} is not a valid reference: letters, digits, blanks and . _ / # -, at most 64"
            )
    return PlanOptions(
        paths=[str(path) for path in request.paths or [DEFAULT_FOLDER]],
        only=request.only,
        restart_now=request.restart_now,
        guests=request.guests,
        order=request.order.strip() if request.order else None,
        catalogue=request.catalogue.strip() if request.catalogue else None,
        quote=request.quote.strip() if request.quote else None,
        classes=pairs,
        allow=list(request.allow),
    )


def _check_one_client(desired: Iterable[DesiredMachine], chosen: Selection) -> None:
    """Make sure that a reference which was named for this run is about one client: it is one client's document.

    Raises:
        RequestRefused: it would be taken for several clients' changes.
    """
    clients = {machine.client for machine in desired if machine.change_terms is not None}
    if chosen.client is None and len(clients) > 1:
        raise RequestRefused(
            "--order and --catalogue name one client's document, and several clients of the files have "
            "managed services: add --only CLIENT"
        )


def _check_quote(reference: str, desired: Iterable[DesiredMachine], chosen: Selection) -> None:
    """Make sure that a quote is one of the files' (article 3.8.4: accepted before), and covers something today.

    Raises:
        RequestRefused: it is not.
    """
    today = day_in_paris(dt.datetime.now(dt.UTC))
    terms = {
        machine.client: machine.change_terms for machine in desired if chosen.client in (None, machine.client)
    }
    quotes = [quote for own in terms.values() if own for quote in own.quotes]
    found = [quote for quote in quotes if quote.reference == reference]
    if not found:
        known = ", ".join(sorted({quoted(quote.reference) for quote in quotes})) or "none"
        raise RequestRefused(
            f"--quote {quoted(reference)} is not an accepted quote of the files, contract.quotes has {known}: "
            "write the quote into the client's file, with the last day that it is valid (art. 3.8.4)"
        )
    last = max(quote.valid_until for quote in found)
    if last < today:
        raise RequestRefused(f"--quote {quoted(reference)} was valid until {last}: get another one accepted")


def _classes(pairs: Mapping[str, str]) -> dict[tuple[str, str], ChangeClass]:
    found = {}
    for target, name in pairs.items():
        client, _, machine = target.partition("/")
        if name not in set(ChangeClass):
            raise RequestRefused(
                f"--class {target}={name}: the classes are {', '.join(ChangeClass)} (art. 3.8.4)"
            )
        found[client, machine] = ChangeClass(name)
    return found


def used_changes(history: str | None, desired: Iterable[DesiredMachine]) -> FreeUse:
    """The month's free changes so far; none where there is no history yet, or no client has any (article 3.8.4).

    The library of the database takes longer to load than a few machines to plan, so it is only loaded for an answer.
    """
    if not any(machine.change_terms for machine in desired):
        return {}
    from orchestrator.history.changes import free_changes

    try:
        with open_history(history, create=False) as opened:
            return free_changes(opened, dt.datetime.now(dt.UTC))
    except HistoryMissing:
        return {}


def unsettled_takings(history: str | None, desired: Iterable[DesiredMachine]) -> dict[str, Taking]:
    """The takings over that are not settled (article 4.2), of clients whose file has one.

    Only words of the plan depend on them: a history that cannot be read keeps nothing from being planned.
    """
    clients = {machine.client for machine in desired if machine.taken_over is not None}
    if not clients:
        return {}
    from orchestrator.history.taking_over import Taking, takings  # as above

    try:
        with open_history(history, create=False) as opened:
            found = takings(opened)
    except HistoryUnavailable:
        return {}
    known = {client: found.get(client, Taking(client=client)) for client in sorted(clients)}
    return {client: taking for client, taking in known.items() if not taking.settled}


def with_waiting_since(plan: Plan, history: str | None) -> Plan:
    """The plan with the time since when settings wait for a restart, as far as the history or a mark knows it.

    Only words of the plan depend on it: a history that cannot be read keeps nothing from being planned. It is opened
    only where something waits.
    """
    waiting = {
        machine.key: attributes_of(change.after)
        for machine in plan.machines
        for change in machine.changes
        if change.effect is Effect.WAITING and change.what == "restart" and isinstance(change.after, Mapping)
    }
    if not waiting:
        return plan
    from orchestrator.history.restarts import written_at  # the library of the database loads slowly

    found = {
        machine.key: dt.datetime.fromtimestamp(mark.restart_due, dt.UTC)
        for machine in plan.machines
        if machine.key in waiting
        and (mark := machine.observed.mark if machine.observed else None) is not None
        and mark.restart_due is not None
    }
    try:
        with open_history(history, create=False) as opened:
            found |= written_at(opened, {key: names for key, names in waiting.items() if names})
    except HistoryUnavailable:
        pass
    return replace(plan, waiting_since=found)


def with_archives_left(plan: Plan, history: str | None) -> Plan:
    """The plan with a notice for each new machine that was backed up: somebody may have erased it in Proxmox.

    A machine that is to be made would be empty. The history is opened only where one is, and one that cannot be read
    keeps nothing from being planned.
    """
    made = {
        machine.key
        for machine in plan.machines
        if any(change.effect is Effect.CREATE for change in machine.changes)
    }
    if not made:
        return plan
    from orchestrator.history.last_backups import last_backups  # the library of the database loads slowly

    try:
        with open_history(history, create=False) as opened:
            found = last_backups(opened, made)
    except HistoryUnavailable:
        return plan
    machines = (
        replace(machine, changes=(*machine.changes, archives_left(*machine.key, found[machine.key])))
        if machine.key in found
        else machine
        for machine in plan.machines
    )
    return replace(plan, machines=tuple(machines)) if found else plan


def prepare(
    asked: Wanted,
    clusters: Mapping[str, Cluster],
    used: FreeUse,
    ahead: ReadingAhead | None = None,
    *,
    takings: Mapping[str, Taking] | None = None,
) -> Prepared:
    """Observe every site at once, plan, and say what the plan means: who pays, and what is dangerous about it.

    Args:
        asked: what the plan is asked for.
        clusters: by site.
        used: the month's free changes so far.
        ahead: what is being read of them already.
        takings: takings over that are not settled, by client.
    """
    chosen, decisions = asked.selection, asked.decisions
    read = observe_sites(
        clusters,
        Asked(
            desired=asked.desired,
            selection=chosen,
            everybody=asked.guests,
            plan=True,
            settle_seconds=asked.settle_seconds,
        ),
        ahead.look_at if ahead else None,
    )
    observed = read.observed
    remember_sites(observed.values())
    failures = [SiteFailure(site=site, reason=why) for site, why in read.failures.items()]
    inside = None
    if asked.guests:
        ssh = ssh_settings(asked.provider)
        inside = look_into_guests(asked.desired, observed, ssh, includes=chosen.includes)
    plan = make_plan(
        asked.desired,
        observed,
        asked.made_at or dt.datetime.now(dt.UTC),
        selection=chosen,
        restart_now=asked.restart_now,
        failures=failures,
        inside=inside,
    )
    if chosen.machine is not None and not plan.machines and not failures and not plan.unreadable:
        raise RequestRefused(
            f"{chosen.client} has no machine {chosen.machine}, neither in its file nor at its sites"
        )
    _check_classes(decisions, plan)
    plan = with_interventions(plan, used, decisions)
    plan = with_risks(plan, observed, asked.provider.safety, asked.allowed)
    missing = without_file(
        {name: site.state for name, site in observed.items()},
        asked.desired,
        everybody=asked.everybody,
        only=chosen.client,
    )
    return Prepared(plan=replace(plan, takings=takings or {}, without_file=missing), observed=observed)


def _check_classes(decisions: Decisions, plan: Plan) -> None:
    known = {machine.key for machine in plan.machines}
    for key in decisions.classes:
        if key not in known and not plan.failures and not plan.unreadable:
            raise RequestRefused(f"--class {'/'.join(key)}: the plan has no such machine")


def save(path: Path, chosen: PlanOptions, provider: Provider, inventory: str, plan: Plan) -> None:
    """Save a plan, whole or not at all."""
    saved = SavedPlan(
        orchestrator=version("orchestrator"),
        made_by=operator(),
        inventory=inventory,
        sites=provider_name(provider),
        options=chosen,
        files=files_of(chosen),
        plan=to_document(plan),
    )
    try:
        replace_file(path, json_safe(saved.sealed().model_dump_json(indent=1)) + "\n")
    except OSError as error:
        raise RequestRefused(f"the plan cannot be saved: {local_reason(error)}") from error


def files_of(chosen: PlanOptions) -> dict[str, str]:
    """The clients' files of a plan with their hashes."""
    found = yaml_files([Path(path) for path in chosen.paths])
    files = [file.path for file in found if isinstance(file, YamlFile)]
    try:
        return hash_files(files)
    except OSError as error:
        raise RequestRefused(f"a file cannot be read again: {local_reason(error)}") from error
