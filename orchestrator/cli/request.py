"""``orchestrator request``: the register of clients' requests (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.contract.calendar import UPDATE_DELAY_HOURS, paris_time, working_hours_after
from orchestrator.contract.moments import read_moment
from orchestrator.counting import counted
from orchestrator.history.declared import CreditRequest, Request
from orchestrator.history.records import Recorded, UnreadableRecord
from orchestrator.operations import requests as operation
from orchestrator.operations.requests import ClosingRequest, NewRequest
from orchestrator.shown import visible

app = typer.Typer(no_args_is_help=True, help="Register clients' requests, list and close them.")


class Kind(StrEnum):
    """What is asked for."""

    UPDATE = "update"
    CHANGE = "change"
    CREDIT = "credit"
    HARDWARE = "hardware"
    RESTART = "restart"
    SNAPSHOT = "snapshot"


class Ending(StrEnum):
    """How a request ends."""

    DONE = "done"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class YesOrNo(StrEnum):
    """The provider's answer."""

    YES = "yes"
    NO = "no"


@app.command()
def add(
    target: Annotated[
        str, typer.Argument(metavar="CLIENT[/MACHINE]", help="A client, or one of its machines.")
    ],
    kind: Annotated[Kind, typer.Option(help="What is asked for.")],
    words: Annotated[str, typer.Option(metavar="TEXT", help="The client's own words.")],
    came: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it came (2026-11-23T09:00), Europe/Paris.  [default: now]"),
    ] = None,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who asked.")] = "client",
    reference: Annotated[
        str | None, typer.Option(metavar="REFERENCE", help="A ticket, letter or order.")
    ] = None,
    month: Annotated[
        str | None, typer.Option(metavar="MONTH", help="The month that a credit is for (2026-11).")
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Register a request: the delay counts from when it came.

    Updates of a whole client are registered as a request for each of its machines.
    """
    registered = operation.add(
        NewRequest(
            target=target,
            kind=kind.value,
            words=words,
            came=_moment("--came", came),
            asked_by=by,
            reference=reference,
            month=month,
            inventory=inventory,
            files=tuple(files or ()),
            history=history,
        ),
        EVENTS,
    )
    out = session.console()
    for one in registered.open_before:
        out.print(f"open already: {_line(one)}", style="yellow")
    for one in registered.requests:
        out.print(f"registered: {_line(one)}")


@app.command("list")
def list_(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Only this client, or this machine.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed requests too.")] = False,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """List the open requests, the oldest first."""
    found = operation.listed(target, everything=everything, history=history)
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_for_programs(one) for one in found.requests], indent=2))
        for unreadable in found.unreadable:  # the list is of requests alone
            session.complain(_unreadable(unreadable))
        return
    out = session.console()
    now = dt.datetime.now(dt.UTC)
    for one in found.requests:
        due = _due(one.said)
        late = one.said.closed is None and due is not None and due < now
        out.print(_line(one), style="red" if late else ("dim" if one.said.closed else None))
        out.print(f"    {one.said.text}")
        if one.said.closed is not None:
            out.print(f"    {one.said.outcome} {paris_time(one.said.closed)}: {one.said.result}")
        elif due is not None:
            are = "were" if late else "are"
            out.print(f"    the {UPDATE_DELAY_HOURS} working hours {are} over at {paris_time(due)}")
    for unreadable in found.unreadable:
        out.print(_unreadable(unreadable), style="red")
    out.print(counted(len(found.requests), "request") + ("" if everything else " open"))


@app.command()
def close(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The request's number.")],
    result: Annotated[str, typer.Option(metavar="TEXT", help="What was done, or said.")],
    outcome: Annotated[Ending | None, typer.Option(help="How it ended.  [default: done]")] = None,
    answer: Annotated[YesOrNo | None, typer.Option(help="The provider's answer to new hardware.")] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it was closed (2026-11-23T09:00).  [default: now]"),
    ] = None,
    history: session.HistoryPath = None,
) -> None:
    """Close a request with its result.

    ``orchestrator update`` and the nightly run close the requests for updates themselves.
    """
    closed = operation.close_request(
        ClosingRequest(
            number=number,
            result=result,
            outcome=outcome.value if outcome else None,
            answer=answer.value if answer else None,
            at=_moment("--at", at),
            history=history,
        )
    )
    session.console().print(f"closed: {_line(closed)}")


def _moment(option: str, text: str | None) -> dt.datetime | None:
    """A time that somebody typed: in Paris, if it has no offset of its own."""
    if text is None:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        session.fail(f"{option} {text} is not a valid time: {error}")


def _kind(said: Any) -> str:
    return f"credit for {said.month}" if isinstance(said, CreditRequest) else said.kind


def _due(said: Any) -> dt.datetime | None:
    """When the contract's delay is over, for what it has a delay for."""
    if isinstance(said, Request) and said.kind == "update":
        return working_hours_after(said.came, UPDATE_DELAY_HOURS)
    return None


def _unreadable(one: UnreadableRecord) -> str:
    return f"record {one.number} could not be read and has no effect: {visible(one.reason)}"


def _line(one: Recorded[Any]) -> str:
    said = one.said
    what = "/".join([said.client, ", ".join(said.machines)] if said.machines else [said.client])
    reference = f", {said.reference}" if said.reference else ""
    state = f"   {said.outcome}" if said.closed else ""
    origin = f"came {paris_time(said.came)} from {said.asked_by}{reference}"
    return f"{one.first.number}   {what}   {_kind(said)}   {origin}{state}"


def _for_programs(one: Recorded[Any]) -> dict[str, Any]:
    said, due = one.said, _due(one.said)
    return {
        "number": one.first.number,
        "client": said.client,
        "machines": list(said.machines),
        "kind": "credit" if isinstance(said, CreditRequest) else said.kind,
        "month": said.month if isinstance(said, CreditRequest) else None,
        "came": said.came.isoformat(),
        "asked_by": said.asked_by,
        "words": said.text,
        "reference": said.reference,
        "registered_by": one.first.who,
        "registered_at": one.first.at.isoformat(),
        "state": "closed" if said.closed else "open",
        "over_at": due.isoformat() if due else None,
        "closed": said.closed.isoformat() if said.closed else None,
        "outcome": said.outcome,
        "result": said.result,
        "answer": said.answer if isinstance(said, Request) else None,
    }
