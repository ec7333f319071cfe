"""``orchestrator apply``: show the plan, ask, make it so."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import planning, session
from orchestrator.shown import said_once

if TYPE_CHECKING:
    from orchestrator.applying.apply import Outcome
    from orchestrator.planning.plan import Plan
    from orchestrator.planning.saved import SavedPlan
    from orchestrator.sites.model import Provider

Guests = Annotated[
    bool | None,
    typer.Option(
        "--guests/--no-guests",
        help="Look into the machines first, and undo what was changed there by hand; or leave guests alone "
        "altogether.  [default: guests get what their files changed]",
    ),
]


def apply(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    only: session.Only = None,
    restart_now: planning.RestartNow = False,
    quote: planning.Quote = None,
    classes: planning.Classes = None,
    allow: planning.Allow = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Apply exactly this saved plan, or refuse and say what moved."),
    ] = None,
    max_plan_age: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="With --plan: refuse a plan that is older.")
    ] = 24.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: Annotated[
        str, typer.Option(help="Why: goes into the history with every step (article 3.8.1).")
    ] = "subscription change",
    guests: Guests = None,
    boot_timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for a guest to boot.")] = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Make the machines what the files ask for. Shows the plan first and asks.

    Interrupt it anywhere: what runs is finished or left to Proxmox, and the next run goes on from there.
    """
    provider = session.open_provider(inventory)
    saved = None
    if plan is None:
        options = planning.options(
            paths,
            only=only,
            restart_now=restart_now,
            guests=bool(guests),
            quote=quote,
            classes=classes,
            allow=allow,
        )
    else:
        if paths or only or restart_now or quote or classes or allow or guests:
            session.fail(
                f"{plan} says already what to plan for: with --plan leave out paths, --only, --restart-now, --quote, "
                "--class, --allow and --guests, or make another plan"
            )
        saved = _read_saved(plan, provider, inventory, max_plan_age)
        options = saved.options
    asked = planning.request(provider, options, made_at=saved.made_at if saved else None, settle_seconds=600)
    with session.open_run(provider) as run:
        run.locks.refuse_busy(
            machine.client for machine in asked.desired if asked.selected.includes(*machine.key)
        )
        prepared = planning.prepare(asked, run.clusters, planning.used_changes(history, asked.desired))
        made = prepared.plan
        if saved is not None:
            _refuse_moved(saved, made)
        planning.print_plan(made)
        _refuse_unsafe(made)
        if not made.has_changes:
            raise typer.Exit(1 if made.has_errors else 0)
        _ask(yes)
        # Taken only now: nobody waits for an answer. What was changed since is seen before each machine's first step.
        run.locks.clients(machine.client for machine in made.machines if machine.effective)
        from orchestrator.applying.apply import apply_plan
        from orchestrator.cli.progress import progress

        with session.open_history(history) as opened, progress() as show:
            run.begin()
            outcomes = apply_plan(
                made,
                run.clusters,
                prepared.observed,
                session.journal(opened, reason, show, run.clusters, known=prepared.observed.keys(), run=run),
                ssh=session.ssh_settings(provider) if guests is not False else None,
                restart_now=options.restart_now,
                boot_seconds=boot_timeout,
                locks=run.locks,
                backup_storages={
                    name: [storage.name for storage in site.backup_storages if storage.site != name]
                    for name, site in provider.sites.items()
                },
            )
        _report(outcomes)
        _left(made)
        run.end()
    if made.has_errors or any(outcome.result in ("failed", "refused") for outcome in outcomes):
        raise typer.Exit(1)


def _read_saved(path: Path, provider: Provider, inventory: str | None, max_hours: float) -> SavedPlan:
    from orchestrator.contract.calendar import paris_time
    from orchestrator.planning.saved import SavedPlanUnusable, read_saved

    try:
        saved = read_saved(path)
    except SavedPlanUnusable as error:
        session.fail(str(error))
    if saved.sites != session.provider_name(provider):
        session.fail(
            f"{path} was made for the sites of {saved.inventory or 'another inventory'}, not for those of "
            f"{inventory}: name that inventory, or make the plan again"
        )
    age = (dt.datetime.now(dt.UTC) - saved.made_at).total_seconds() / 3600
    if not 0 <= age <= max_hours:
        when = paris_time(saved.made_at)
        session.fail(
            f"{path} was made {when} by {saved.made_by}, more than {max_hours:g} hours ago (or in the future): make it "
            "again and have it reviewed, or give --max-plan-age HOURS"
        )
    return saved


def _refuse_moved(saved: SavedPlan, made: Plan) -> None:
    from orchestrator.planning.document import to_document
    from orchestrator.planning.saved import moved

    found = list(moved(saved, to_document(made), planning.files_of(saved.options)))
    if not found:
        return
    for line in found:
        session.complain(f"  moved: {line}")
    session.fail(
        "the plan is not what would be done now, nothing was changed: plan again and have it reviewed"
    )


def _refuse_unsafe(made: Plan) -> None:
    if made.frozen:
        session.fail(
            "; ".join(f"{site} is frozen: {who}" for site, who in made.frozen.items())
            + ". Nothing is changed anywhere until `orchestrator thaw`"
        )
    if made.unsafe:
        allow = " ".join(f"--allow {risk.name}" for risk in made.unsafe)
        session.fail(
            f"the plan exceeds the safety limits, nothing was applied. To allow exactly this: {allow}"
        )


def _ask(yes: bool) -> None:
    if yes:
        return
    if not session.interactive():
        session.fail("nobody can answer here: give --yes to apply this plan without being asked")
    if not session.agreed("Apply this plan?"):
        session.console().print("nothing was changed")
        raise typer.Exit(0)


def _left(made: Plan) -> None:
    """Say what was left as it is because it could not be read."""
    from orchestrator.planning.plan import untold

    out = session.console()
    for item in untold(made):
        if item.claims:
            out.print(f"not touched: {item.subject} at {item.site}: {item.reason}", style="red", markup=False)


def _report(outcomes: list[Outcome]) -> None:
    out = session.console()
    for outcome in outcomes:
        if outcome.message:
            style = "yellow" if outcome.result in ("partly", "interrupted") else "red"
            name = f"{outcome.client}/{outcome.machine}"
            out.print(outcome.result, style=style, end="  ")
            out.print(f"{name}  {said_once(outcome.message)}")
    out.print(_counts(outcomes))


def _counts(outcomes: list[Outcome]) -> str:
    """How many machines were done, in part, or not: each counts once, whatever was refused of it."""
    results: dict[tuple[str, str], set[str]] = {}
    for outcome in outcomes:
        results.setdefault((outcome.client, outcome.machine), set()).add(outcome.result)
    done = sum(found == {"done"} for found in results.values())
    partly = sum(found != {"done"} and bool(found & {"done", "partly"}) for found in results.values())
    others = len(results) - done - partly
    words = [f"{done} done", f"{partly} done in part" if partly else "", f"{others} not" if others else ""]
    more = ": see above; the next run goes on from here" if partly or others else ""
    return ", ".join(filter(None, words)) + more
