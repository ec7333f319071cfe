"""Making a plan for a command: what it is limited to, what was decided for it, and the plan itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.local_errors import reason
from orchestrator.shown import json_safe

if TYPE_CHECKING:
    from orchestrator.planning.interventions import Decisions, FreeUse
    from orchestrator.planning.plan import Plan
    from orchestrator.planning.saved import PlanOptions
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.change import ChangeClass
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.reading_ahead import ReadingAhead
    from orchestrator.resources.scope import Selection
    from orchestrator.sites.model import Provider

RestartNow = Annotated[
    bool, typer.Option("--restart-now", help="Restart machines also outside their maintenance window.")
]
Quote = Annotated[
    str | None,
    typer.Option(metavar="REFERENCE", help="The accepted quote that covers what is charged (article 3.8.4)."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="CLIENT/MACHINE=CLASS",
        help="Class a machine's changes against the rules; goes into the history. May be repeated.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RISK:WHERE", help="Allow exactly what the plan refuses by itself. May be repeated."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan with what it was made from."""

    plan: Plan
    observed: Mapping[str, ObservedSite]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a plan is asked for, read and checked before anything is looked at.

    Attributes:
        selection: what it is limited to; everything if None.
        decisions: quotes and classes; none if None.
        allowed: what ``--allow`` names.
        guests: look into the guests as well.
        made_at: the moment to plan for; now if None.
        settle_seconds: how long to wait for clones that an earlier, killed run asked for.
    """

    provider: Provider
    desired: tuple[DesiredMachine, ...]
    selection: Selection | None = None
    restart_now: bool = False
    guests: bool = False
    decisions: Decisions | None = None
    allowed: frozenset[str] = frozenset()
    made_at: dt.datetime | None = None
    settle_seconds: float = 0.0

    @property
    def selected(self) -> Selection:
        """What it is limited to."""
        from orchestrator.resources.scope import EVERYTHING

        return self.selection or EVERYTHING


def request(
    provider: Provider,
    options: PlanOptions,
    *,
    made_at: dt.datetime | None = None,
    settle_seconds: float = 0.0,
) -> Request:
    """Read the clients' files and check the options; ends with an error if something is wrong with them."""
    from orchestrator.planning.interventions import Decisions
    from orchestrator.planning.safety import NoSuchRisk, read_allowed
    from orchestrator.resources.kinds import EVERY_THING
    from orchestrator.resources.scope import Selection

    desired = session.open_desired([Path(path) for path in options.paths], provider)
    try:
        chosen = Selection.parse(options.only or "", EVERY_THING)
        allowed = read_allowed(options.allow)
    except (NoSuchRisk, ValueError) as error:
        session.fail(str(error))
    session.check_selection(chosen, desired)
    return Request(
        provider=provider,
        desired=desired,
        selection=chosen,
        restart_now=options.restart_now,
        guests=options.guests,
        decisions=Decisions(quote=options.quote, classes=_classes(options.classes)),
        allowed=allowed,
        made_at=made_at,
        settle_seconds=settle_seconds,
    )


def options(
    paths: list[Path] | None,
    *,
    only: str | None,
    restart_now: bool,
    guests: bool,
    quote: str | None,
    classes: list[str] | None,
    allow: list[str] | None,
) -> PlanOptions:
    """The options of a plan, as they are saved with it."""
    from orchestrator.planning.saved import PlanOptions

    pairs = {}
    for text in classes or ():
        target, sign, name = text.partition("=")
        if not sign or "/" not in target:
            session.fail(f"--class {text}: say CLIENT/MACHINE=CLASS, such as dupont/web-1=standard")
        pairs[target] = name
    if quote is not None and not quote.strip():
        session.fail("--quote is empty: name the accepted quote's reference")
    return PlanOptions(
        paths=[str(path) for path in paths or [session.DEFAULT_FOLDER]],
        only=only,
        restart_now=restart_now,
        guests=guests,
        quote=quote.strip() if quote else None,
        classes=pairs,
        allow=list(allow or ()),
    )


def _classes(pairs: Mapping[str, str]) -> dict[tuple[str, str], ChangeClass]:
    from orchestrator.resources.change import ChangeClass

    found = {}
    for target, name in pairs.items():
        client, _, machine = target.partition("/")
        if name not in set(ChangeClass):
            session.fail(f"--class {target}={name}: the classes are {', '.join(ChangeClass)} (art. 3.8.4)")
        found[client, machine] = ChangeClass(name)
    return found


def used_changes(history: str | None, desired: Iterable[DesiredMachine]) -> FreeUse:
    """The month's free changes so far; none where there is no history yet, or no client has any (article 3.8.4).

    The library of the database takes longer to load than a few machines to plan, so it is only loaded for an answer.
    """
    if not any(machine.change_terms for machine in desired):
        return {}
    from orchestrator.history import HistoryMissing, HistoryUnavailable, open_history
    from orchestrator.history.changes import free_changes

    try:
        with open_history(history or session.state_directory() / "history.db", create=False) as opened:
            return free_changes(opened, dt.datetime.now(dt.UTC))
    except HistoryMissing:
        return {}
    except HistoryUnavailable as error:
        session.fail(str(error))


def reading_ahead(
    clusters: Mapping[str, Cluster], paths: list[Path] | None, only: str | None
) -> ReadingAhead:
    """Begin to read the sites while the files are read: the machines of the clients that those seem to be about."""
    from orchestrator.resources.reading_ahead import ReadingAhead
    from orchestrator.subscriptions.loading import clients_named

    client, _, machine = (only or "").partition("/")
    if machine:
        return ReadingAhead(clusters, ())
    named = clients_named(paths or [session.DEFAULT_FOLDER])
    return ReadingAhead(clusters, named & {client} if client else named)


def prepare(
    asked: Request, clusters: Mapping[str, Cluster], used: FreeUse, ahead: ReadingAhead | None = None
) -> Prepared:
    """Observe every site at once, plan, and say what the plan means: who pays, and what is dangerous about it.

    Args:
        asked: what the plan is asked for.
        clusters: by site.
        used: the month's free changes so far.
        ahead: what is being read of them already.
    """
    from orchestrator.planning.interventions import NO_DECISIONS, with_interventions
    from orchestrator.planning.plan import SiteFailure, make_plan
    from orchestrator.planning.safety import with_risks
    from orchestrator.resources.survey import Asked, observe_sites

    chosen = asked.selected
    decisions = asked.decisions or NO_DECISIONS
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
    failures = [SiteFailure(site=site, reason=why) for site, why in read.failures.items()]
    inside = None
    if asked.guests:
        from orchestrator.applying.looking import look_into_guests

        ssh = session.ssh_settings(asked.provider)
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
        session.fail(f"{chosen.client} has no machine {chosen.machine}, neither in its file nor at its sites")
    _check_classes(decisions, plan)
    plan = with_interventions(plan, used, decisions)
    plan = with_risks(plan, observed, asked.provider.safety, asked.allowed)
    return Prepared(plan=plan, observed=observed)


def _check_classes(decisions: Decisions, plan: Plan) -> None:
    known = {machine.key for machine in plan.machines}
    for key in decisions.classes:
        if key not in known and not plan.failures and not plan.unreadable:
            session.fail(f"--class {'/'.join(key)}: the plan has no such machine")


def print_plan(plan: Plan, *, show_unmanaged: bool = False) -> None:
    """Print a plan for people."""
    from orchestrator.planning.text import render_plan

    out = session.console()
    for line in render_plan(plan, show_unmanaged=show_unmanaged):
        out.print(line)


def save(path: Path, chosen: PlanOptions, provider: Provider, inventory: str, plan: Plan) -> None:
    """Save a plan, whole or not at all; ends with an error if it cannot be."""
    from importlib.metadata import version

    from orchestrator.planning.document import to_document
    from orchestrator.planning.saved import SavedPlan

    saved = SavedPlan(
        orchestrator=version("orchestrator"),
        made_by=session.operator(),
        inventory=inventory,
        sites=session.provider_name(provider),
        options=chosen,
        files=files_of(chosen),
        plan=to_document(plan),
    )
    try:
        session.replace_file(path, json_safe(saved.sealed().model_dump_json(indent=1)) + "\n")
    except OSError as error:
        session.fail(f"the plan cannot be saved: {reason(error)}")


def files_of(chosen: PlanOptions) -> dict[str, str]:
    """The clients' files of a plan with their hashes."""
    from orchestrator.documents.files import YamlFile, yaml_files
    from orchestrator.planning.saved import hash_files

    found = yaml_files([Path(path) for path in chosen.paths])
    files = [file.path for file in found if isinstance(file, YamlFile)]
    try:
        return hash_files(files)
    except OSError as error:
        session.fail(f"a file cannot be read again: {reason(error)}")
