"""``orchestrator apply``: show the plan, ask, make it so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import plan as planning
from orchestrator.cli import session
from orchestrator.cli.progress import PROGRESS
from orchestrator.cli.shared_options import BootTimeout, Reason, Yes, confirmed
from orchestrator.shown import said_once

if TYPE_CHECKING:
    from orchestrator.applying.apply import Outcome
    from orchestrator.planning.plan import Plan

Guests = Annotated[
    bool | None,
    typer.Option(
        "--guests/--no-guests",
        help="Inspect the machines first and undo what was changed there by hand; or skip guests altogether.  "
        "[default: guests get what their files changed]",
    ),
]


def apply(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    only: session.Only = None,
    restart_now: planning.RestartNow = False,
    order: planning.Order = None,
    catalogue: planning.Catalogue = None,
    quote: planning.Quote = None,
    classes: planning.Classes = None,
    allow: planning.Allow = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Apply exactly this saved plan, or refuse and say what changed since."
        ),
    ] = None,
    max_plan_age: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="With --plan: refuse an older plan.")
    ] = 24.0,
    yes: Yes = False,
    reason: Reason = "subscription change",
    guests: Guests = None,
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Show the plan, ask, and apply it.

    It may be interrupted at any point: running tasks are finished or left to Proxmox, and the next run continues
    from there.
    """
    references = order or catalogue or quote
    if plan is not None and (paths or only or restart_now or references or classes or allow or guests):
        session.fail(
            f"{plan} says already what to plan for: with --plan leave out paths, --only, --restart-now, --order, "
            "--catalogue, --quote, --class, --allow and --guests, or make another plan"
        )
    from orchestrator.operations import apply as operation  # not for `--help`
    from orchestrator.operations.apply import ApplyRequest

    request = ApplyRequest(
        inventory=inventory,
        paths=tuple(paths or ()),
        only=only,
        restart_now=restart_now,
        guests=bool(guests),
        order=order,
        catalogue=catalogue,
        quote=quote,
        classes=tuple(classes or ()),
        allow=tuple(allow or ()),
        history=history,
        saved=plan,
        max_age_hours=max_plan_age,
        reason=reason,
        leave_guests=guests is False,
        boot_seconds=boot_timeout,
    )
    ended = operation.apply(
        request,
        show=planning.print_plan,
        agree=lambda: confirmed("Apply this plan?", yes=yes),
        events=PROGRESS,
    )
    if ended.outcomes is not None:
        _report(ended.outcomes)
        _left(ended.plan)
    session.end_if(ended.interrupted)
    if not ended.well:
        raise typer.Exit(1)


def _left(made: Plan) -> None:
    """Say what was left as it is because it could not be read."""
    from orchestrator.planning.plan import untold

    out = session.console()
    for item in untold(made):
        if item.claims:
            out.print(f"not touched: {item.subject} at {item.site}: {item.reason}", style="red", markup=False)


def _report(outcomes: Sequence[Outcome]) -> None:
    out = session.console()
    for outcome in outcomes:
        if outcome.message:
            style = "yellow" if outcome.result in ("partly", "interrupted") else "red"
            name = f"{outcome.client}/{outcome.machine}"
            out.print(outcome.result, style=style, end="  ")
            out.print(f"{name}  {said_once(outcome.message)}")
    out.print(_counts(outcomes))


def _counts(outcomes: Sequence[Outcome]) -> str:
    """How many machines were done, in part, or not: each counts once, whatever was refused of it."""
    results: dict[tuple[str, str], set[str]] = {}
    for outcome in outcomes:
        results.setdefault((outcome.client, outcome.machine), set()).add(outcome.result)
    done = sum(found == {"done"} for found in results.values())
    partly = sum(found != {"done"} and bool(found & {"done", "partly"}) for found in results.values())
    others = len(results) - done - partly
    words = [f"{done} done", f"{partly} done in part" if partly else "", f"{others} not" if others else ""]
    more = ": see above; the next run continues from here" if partly or others else ""
    return ", ".join(filter(None, words)) + more
