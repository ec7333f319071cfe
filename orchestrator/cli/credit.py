"""``orchestrator credit``: credits of article 6, on the client's request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.declared import Format, Reference
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.service_level import Month
from orchestrator.cli.shared_options import Files
from orchestrator.contract.calendar import paris_time
from orchestrator.contract.moments import read_moment
from orchestrator.shown import visible

if TYPE_CHECKING:  # `--help` needs nothing that the commands are made of
    from orchestrator.history.declared import Credit, CreditRequest
    from orchestrator.history.records import Recorded
    from orchestrator.operations.credits import CreditTarget

app = typer.Typer(no_args_is_help=True, help="Record requests for credits, issue and list credits.")

Whose = Annotated[
    str,
    typer.Argument(metavar="CLIENT[/MACHINE]", help="Which machine; all whose month opens a credit if none."),
]
Why = Annotated[str, typer.Option("--reason", help="Why it is recorded, for the history.")]


@app.command()
def request(
    whose: Whose,
    month: Month,
    came: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the request came, Paris time; now if absent.")
    ] = None,
    reference: Reference = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Why = "the client asked",
    history: session.HistoryPath = None,
) -> None:
    """Record that a client asks for the credit of a month.

    Refused if the month is not over, opens no credit, or was asked for already. An open credit never expires.
    """
    from orchestrator.operations import credits as operation

    try:
        moment = None if came is None else read_moment(came)
    except ValueError as error:
        session.fail(f"--came {came}: {error}")
    made = operation.request_credit(
        _target(whose, month, files, inventory, reason, history),
        came=moment,
        reference=reference,
        events=EVENTS,
    )
    session.console().print(_request_line(made))


@app.command()
def issue(
    whose: Whose,
    month: Month,
    fee: Annotated[
        str | None,
        typer.Option(
            metavar="EUR", help="The month's fee, if the file says another by now; one machine only."
        ),
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Why = "credit issued",
    history: session.HistoryPath = None,
) -> None:
    """Issue a credit that the client asked for, today.

    Credits of a machine in thirty days are at most 20 % of its fee; what is above lapses (article 6).
    """
    from orchestrator.operations import credits as operation
    from orchestrator.yaml_reader.values import parse_euros

    try:
        amount = None if fee is None else parse_euros(fee)
    except ValueError as error:
        session.fail(f"--fee {fee}: {error}")
    target = _target(whose, month, files, inventory, reason, history)
    for made in operation.issue_credits(target, fee=amount, events=EVENTS):
        session.console().print(_credit_line(made))


@app.command("list")
def list_(
    whose: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Whose; everybody's if none.")
    ] = None,
    format: Format = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """List requests for credits, and credits that were issued."""
    from orchestrator.operations import credits as operation

    found = operation.listed_credits(whose, history)
    if format is session.OutputFormat.JSON:
        document = {
            "format_version": 1,
            "requests": [_for_programs(item) for item in found.requests],
            "credits": [_for_programs(item) for item in found.credits],
            "unreadable": [item.number for item in found.unreadable],
        }
        session.echo_json(json.dumps(document, indent=2, ensure_ascii=False))
        return
    out = session.console()
    for asked in found.requests:
        out.print(_request_line(asked))
    for issued in found.credits:
        out.print(_credit_line(issued))
    for unreadable in found.unreadable:
        out.print(
            f"record {unreadable.number} could not be read and has no effect: {visible(unreadable.reason)}",
            style="red",
        )
    if not (found.requests or found.credits or found.unreadable):
        out.print("nothing was recorded")


def _target(
    whose: str,
    month: str,
    files: list[Path] | None,
    inventory: str | None,
    reason: str,
    history: str | None,
) -> CreditTarget:
    from orchestrator.operations.credits import CreditTarget

    return CreditTarget(
        target=whose,
        month=month,
        inventory=inventory,
        files=tuple(files or ()),
        reason=reason,
        history=history,
    )


def _request_line(item: Recorded[CreditRequest]) -> str:
    said = item.said
    whose = said.client + "".join(f"/{machine}" for machine in said.machines)
    reference = f"  {visible(said.reference)}" if said.reference else ""
    ended = f"  closed {paris_time(said.closed)}: {said.outcome}" if said.closed else ""
    return f"{item.first.number}  credit request  {whose}  {said.month}  came {paris_time(said.came)}{reference}{ended}"


def _credit_line(item: Recorded[Credit]) -> str:
    said = item.said
    full = said.fee * said.percent / 100
    lapsed = (
        f"  capped at 20 % of the fee in thirty days, {full - said.amount:.2f} EUR lapsed"
        if full > said.amount
        else ""
    )
    return (
        f"{item.number}  credit  {said.client}/{said.machine}  {said.month}  {said.amount:.2f} EUR  "
        f"{said.percent} % of {said.fee:.2f}  issued {said.issued}  for request {said.request}{lapsed}"
    )


def _for_programs(item: Recorded[CreditRequest] | Recorded[Credit]) -> dict[str, object]:
    return {
        "number": item.number,
        "recorded_at": item.at.isoformat(),
        "who": item.who,
        "why": item.why,
        **item.said.model_dump(mode="json", by_alias=True),
    }
