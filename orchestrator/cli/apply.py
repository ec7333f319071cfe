"""``orchestrator apply``: show the plan, ask, make it so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.plan import RestartNow

if TYPE_CHECKING:
    from orchestrator.applying.apply import Outcome


def apply(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    only: session.Only = None,
    restart_now: RestartNow = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: Annotated[
        str, typer.Option(help="Why: goes into the history with every step (article 3.8.1).")
    ] = "subscription change",
    guests: Annotated[
        bool | None,
        typer.Option(
            "--guests/--no-guests",
            help="Look into the machines first, and undo what was changed there by hand; or leave guests alone "
            "altogether.  [default: guests get what their files changed]",
        ),
    ] = None,
    boot_timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for a guest to boot.")] = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Make the machines what the files ask for. Shows the plan first and asks.

    Interrupt it anywhere: the next run goes on from what the hypervisors have then.
    """
    from orchestrator.applying.lock import Held, exclusive

    provider = session.open_provider(inventory)
    desired = session.open_desired(paths, provider)
    chosen = session.selection(only)
    session.check_selection(chosen, desired)
    lock = session.apply_lock(provider)
    try:
        with exclusive(lock, session.holder()), session.open_clusters(provider) as clusters:
            prepared = session.prepare(
                desired,
                clusters,
                chosen,
                restart_now=restart_now,
                settle_seconds=600,
                look_inside=session.ssh_settings(provider) if guests else None,
            )
            plan = prepared.plan
            session.print_plan(plan)
            if not plan.has_changes:
                raise typer.Exit(1 if plan.has_errors else 0)
            _ask(yes)
            from orchestrator.applying.apply import apply_plan
            from orchestrator.applying.journal import Journal
            from orchestrator.cli.progress import progress

            with session.open_history(history) as opened, progress() as show:
                journal = Journal(
                    history=opened,
                    who=session.operator(),
                    why=reason,
                    run=session.run_name(plan.made_at),
                    show=show,
                )
                outcomes = apply_plan(
                    plan,
                    clusters,
                    prepared.observed,
                    journal,
                    ssh=session.ssh_settings(provider) if guests is not False else None,
                    restart_now=restart_now,
                    boot_seconds=boot_timeout,
                )
    except Held as error:
        session.fail(str(error))
    _report(outcomes)
    if plan.has_errors or any(outcome.result in ("failed", "refused") for outcome in outcomes):
        raise typer.Exit(1)


def _ask(yes: bool) -> None:
    if yes:
        return
    if not session.interactive():
        session.fail("nobody can answer here: give --yes to apply this plan without being asked")
    if not typer.confirm("Apply this plan?"):
        session.console().print("nothing was changed")
        raise typer.Exit(0)


def _report(outcomes: list[Outcome]) -> None:
    out = session.console()
    done = sum(outcome.result in ("done", "partly") for outcome in outcomes)
    for outcome in outcomes:
        if outcome.message:
            style = "yellow" if outcome.result == "partly" else "red"
            name = f"{outcome.client}/{outcome.machine}"
            out.print(f"[{style}]{outcome.result}[/]  {name}  ", end="")
            out.print(outcome.message, markup=False)
    others = len(outcomes) - done
    out.print(
        f"{done} done" + (f", {others} not: see above; the next run goes on from here" if others else "")
    )
