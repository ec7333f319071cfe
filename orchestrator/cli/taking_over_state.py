"""``orchestrator taking-over``: how far a taking over is, and recording it (article 4.2)."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files

if TYPE_CHECKING:
    from orchestrator.history.taking_over import Taking

_DOCUMENTS = "operations-manual, application-configuration, specifics, security-level, architecture"


class GapState(StrEnum):
    """What became of the gaps."""

    NOTIFIED = "notified"
    CORRECTED = "corrected"
    IMPOSSIBLE = "impossible"


def taking_over(
    client: Annotated[str, typer.Argument(help="Whose estate was taken over.")],
    files: Files = None,
    state: Annotated[
        GapState | None, typer.Option(help="Record what became of the gaps that `import` found.")
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Record a document as received: {_DOCUMENTS}. May be repeated."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The letter, message or quote that says so; needed to record.")
    ] = None,
    day: Annotated[str | None, typer.Option(metavar="DATE", help="When.  [default: today]")] = None,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Show how far a taking over is, or record it (article 4.2).

    Gaps are notified to the client, and corrected by the client or on a quote; where they are not, or documents are
    missing, the service cannot be provided. Changes nothing in Proxmox.
    """
    from orchestrator.history.taking_over import DOCUMENTS  # not for `--help`
    from orchestrator.operations import taking_over_state as operation
    from orchestrator.operations.taking_over_state import StateRequest
    from orchestrator.planning.taking_over import taking_words

    if state is None and not document and (reference or day):
        session.fail("--reference and --day go with --state or --document: what is to be recorded")
    taking = operation.taking_over_state(
        StateRequest(
            client=client,
            state=state.value if state else None,
            documents=tuple(document or ()),
            reference=reference,
            day=day,
            inventory=inventory,
            files=tuple(files or ()),
            history=history,
        ),
        EVENTS,
    )
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps(_for_programs(taking), indent=2))
        return
    out = session.console()
    out.print(f"{client}  {taking_words(taking)}", markup=False)
    for machine, gaps in taking.gaps.items():
        out.print(f"  {machine}: {', '.join(gaps) or 'no gaps'}", markup=False)
    for name in DOCUMENTS:
        out.print(f"  {'received' if name in taking.documents else 'missing '}  {name}")


def _for_programs(taking: Taking) -> dict[str, object]:
    decided = taking.decided
    return {
        "client": taking.client,
        "state": taking.state,
        "gaps": {machine: list(gaps) for machine, gaps in taking.gaps.items()},
        "day": str(decided.said.day) if decided else None,
        "reference": decided.said.reference if decided else None,
        "who": decided.who if decided else None,
        "documents": sorted(taking.documents),
        "missing": list(taking.missing),
        "settled": taking.settled,
    }
