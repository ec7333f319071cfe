"""``orchestrator outage``, ``event`` and ``maintenance``: records of what concerns the service level (article 6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.shown import visible

if TYPE_CHECKING:  # `--help` needs nothing that the commands are made of
    from orchestrator.history.declared import Declared
    from orchestrator.history.records import Recorded
    from orchestrator.operations.declaring import Added, DeclareRequest

outage = typer.Typer(no_args_is_help=True, help="Record, end, correct and list outages (article 6).")
event = typer.Typer(no_args_is_help=True, help="Record and list excusable events (article 6).")
maintenance = typer.Typer(no_args_is_help=True, help="Record and list planned maintenance (article 6).")

Kind = Literal["outage", "excusable event", "maintenance"]
"""A kind of record, as the history calls it."""

_TIME = '"2026-11-10 17:30", Paris time, or with an offset.'
Whose = Annotated[
    str | None,
    typer.Argument(metavar="[CLIENT[/MACHINE[,...]]]", help="Which machines; all of the client's if none."),
]
Site = Annotated[str | None, typer.Option(metavar="NAME", help="Everybody's machines at a site instead.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"When it began: {_TIME}")]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="When it ended; leave it out while it goes on.")
]
Reference = Annotated[str | None, typer.Option(help="A ticket, letter or order.")]
Text = Annotated[str | None, typer.Option(help="What happened, in one line; clients read it.")]
FromFile = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Record everything in this YAML file instead."),
]
Why = Annotated[str, typer.Option("--reason", help="Why it is recorded, for the history.")]
WhyCorrected = Annotated[
    str, typer.Option("--reason", help="Why; the history keeps it, and clients read it in reports.")
]
Number = Annotated[int, typer.Argument(min=1, help="The record's number, from the list.")]
Of = Annotated[str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Whose; everybody's if none.")]
By = Annotated[
    str | None, typer.Option("--notified-by", metavar="WHO", help="Who notified it: client, or a name.")
]
NotifiedAt = Annotated[
    str | None, typer.Option("--notified-at", metavar="TIME", help="When it was notified.")
]
CauseOption = Annotated[
    str | None,
    typer.Option(metavar="CAUSE", help="i, ii, iii, iv, v or vi, as article 6 numbers them; force-majeure."),
]
Announced = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="When the client was told."),
]
Format = Annotated[session.OutputFormat, typer.Option(help="For people or for programs.")]


@outage.command("add")
def add_outage(
    whose: Whose = None,
    site: Site = None,
    start: From = None,
    end: To = None,
    notified_by: By = None,
    notified_at: NotifiedAt = None,
    reference: Reference = None,
    text: Text = None,
    file: FromFile = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Why = "declared",
    history: session.HistoryPath = None,
) -> None:
    """Record an outage. It counts once somebody notified it.

    An outage that nobody notified is listed, and does not count (article 6). With --file, all records of the file:
    outages, events, maintenance.
    """
    values = {
        **_concerned(whose, site, file),
        "from": start,
        "to": end,
        "notified_by": notified_by,
        "notified_at": notified_at,
        "reference": reference,
        "text": text,
    }
    _add("outage", values, file, _request(files, inventory, reason, history))


@outage.command("end")
def end_outage(
    number: Number,
    at: Annotated[str, typer.Option(metavar="TIME", help=f"When it ended: {_TIME}")],
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Why = "it ended",
    history: session.HistoryPath = None,
) -> None:
    """Record that an outage ended."""
    _change(number, "outage", {"to": at}, _request(files, inventory, reason, history), ends=True)


@outage.command("correct")
def correct_outage(
    number: Number,
    start: From = None,
    end: To = None,
    notified_by: By = None,
    notified_at: NotifiedAt = None,
    reference: Reference = None,
    text: Text = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: WhyCorrected = "correction",
    history: session.HistoryPath = None,
) -> None:
    """Correct an outage by a new record.

    The old record stays in the history; what is not named stays as it is.
    """
    values = {
        "from": start,
        "to": end,
        "notified_by": notified_by,
        "notified_at": notified_at,
        "reference": reference,
        "text": text,
    }
    _change(number, "outage", values, _request(files, inventory, reason, history))


@event.command("add")
def add_event(
    whose: Whose = None,
    site: Site = None,
    cause: CauseOption = None,
    reference: Reference = None,
    start: From = None,
    end: To = None,
    text: Text = None,
    file: FromFile = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Why = "declared",
    history: session.HistoryPath = None,
) -> None:
    """Record an excusable event, with its cause and reference.

    Its minutes are taken out of outages that overlap it. With --file, all records of the file.
    """
    values = {
        **_concerned(whose, site, file),
        "cause": cause,
        "reference": reference,
        "from": start,
        "to": end,
        "text": text,
    }
    _add("excusable event", values, file, _request(files, inventory, reason, history))


@event.command("correct")
def correct_event(
    number: Number,
    cause: CauseOption = None,
    reference: Reference = None,
    start: From = None,
    end: To = None,
    text: Text = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: WhyCorrected = "correction",
    history: session.HistoryPath = None,
) -> None:
    """Correct or end an excusable event by a new record."""
    values = {"cause": cause, "reference": reference, "from": start, "to": end, "text": text}
    _change(number, "excusable event", values, _request(files, inventory, reason, history))


@maintenance.command("add")
def add_maintenance(
    whose: Whose = None,
    site: Site = None,
    start: From = None,
    end: To = None,
    announced: Announced = None,
    reference: Reference = None,
    text: Text = None,
    file: FromFile = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Why = "declared",
    history: session.HistoryPath = None,
) -> None:
    """Record planned maintenance, before it begins.

    Once it has begun it is not planned any more, and is refused. With --file, all records of the file.
    """
    values = {
        **_concerned(whose, site, file),
        "from": start,
        "to": end,
        "announced": announced,
        "reference": reference,
        "text": text,
    }
    _add("maintenance", values, file, _request(files, inventory, reason, history))


@maintenance.command("correct")
def correct_maintenance(
    number: Number,
    start: From = None,
    end: To = None,
    announced: Announced = None,
    reference: Reference = None,
    text: Text = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: WhyCorrected = "correction",
    history: session.HistoryPath = None,
) -> None:
    """Correct planned maintenance by a new record.

    Once it has begun it can only be made shorter.
    """
    values = {"from": start, "to": end, "announced": announced, "reference": reference, "text": text}
    _change(number, "maintenance", values, _request(files, inventory, reason, history))


def _commands_alike(app: typer.Typer, kind: Kind, name: str) -> None:
    """What is the same for all three: listing and withdrawing."""

    @app.command("list", help=f"List {name}, corrected and withdrawn ones too.")
    def list_(
        of: Of = None, format: Format = session.OutputFormat.TEXT, history: session.HistoryPath = None
    ) -> None:
        _list(kind, of, format, history)

    @app.command("withdraw", help="Take a record back that should never have been made.")
    def withdraw(number: Number, reason: Why = "withdrawn", history: session.HistoryPath = None) -> None:
        from orchestrator.operations import declaring

        made = declaring.take_back(number, _model(kind), _request(None, None, reason, history))
        session.console().print(f"record {number} is withdrawn by record {made.number}")


_commands_alike(outage, "outage", "outages")
_commands_alike(event, "excusable event", "excusable events")
_commands_alike(maintenance, "maintenance", "planned maintenance")


def _model(kind: Kind) -> type[Declared]:
    from orchestrator.history.declared import KINDS

    return KINDS[kind]


def _kind_of(said: Declared) -> str:
    from orchestrator.history.records import kind_of

    return kind_of(said)


def _concerned(whose: str | None, site: str | None, file: Path | None) -> dict[str, object]:
    if file is not None:
        if whose or site:
            session.fail("--file says itself which machines: leave out CLIENT and --site")
        return {}
    client, _, machines = (whose or "").partition("/")
    return {"client": client or None, "machines": machines.split(",") if machines else None, "site": site}


def _request(
    files: list[Path] | None, inventory: str | None, reason: str, history: str | None
) -> DeclareRequest:
    from orchestrator.operations.declaring import DeclareRequest

    return DeclareRequest(inventory=inventory, files=tuple(files or ()), reason=reason, history=history)


def _add(kind: Kind, values: dict[str, object], file: Path | None, request: DeclareRequest) -> None:
    from orchestrator.operations import declaring

    if file is not None:
        added = declaring.add_from_file(file, request, EVENTS)
    else:
        added = [declaring.add_one(declaring.declared(_model(kind), values), request, EVENTS)]
    out = session.console()
    for item in added:
        out.print(f"{'recorded already: ' if item.known else ''}{_line(item.recorded)}")
        _print_remarks(item)
    if file is not None:
        new = sum(not item.known for item in added)
        out.print(f"{counted(new, 'new record')} of {len(added)} in {visible(str(file))}")


def _print_remarks(item: Added) -> None:
    out = session.console()
    if item.overlaps:
        numbers = ", ".join(map(str, item.overlaps))
        out.print(f"    overlaps {numbers}: the time in common counts once")
    said = item.recorded.said
    if _kind_of(said) == "outage" and said.notified_at is None:
        out.print("    nobody notified it: it is listed, and does not count (art. 6)")


def _change(
    number: int, kind: Kind, values: dict[str, Any], request: DeclareRequest, *, ends: bool = False
) -> None:
    from orchestrator.operations import declaring

    made = declaring.change(number, _model(kind), values, request, EVENTS, ends=ends)
    session.console().print(f"{_line(made)}, instead of {number}")


def _list(kind: Kind, of: str | None, format: session.OutputFormat, history: str | None) -> None:
    from orchestrator.operations import declaring

    found = declaring.listed(_model(kind), of, history)
    if format is session.OutputFormat.JSON:
        document = {
            "format_version": 1,
            "records": [_for_programs(item) for item in found.records],
            "unreadable": [
                {"number": item.number, "client": item.client, "reason": item.reason}
                for item in found.unreadable
            ],
        }
        session.echo_json(json.dumps(document, indent=2, ensure_ascii=False))
        return
    out = session.console()
    for item in found.records:
        out.print(_line(item))
        for old in item.before:
            out.print(f"    instead of {_line(old)}", style="dim")
    for unreadable in found.unreadable:
        out.print(
            f"record {unreadable.number} could not be read and has no effect: {visible(unreadable.reason)}",
            style="red",
        )
    if not found.records and not found.unreadable:
        out.print("nothing was recorded")


def _line(item: Recorded[Any]) -> str:
    said, kind = item.said, _kind_of(item.said)
    whose = f"site {said.site}" if said.client is None else said.client
    if said.machines:
        whose += "/" + ",".join(said.machines)
    parts = [f"{item.number}  {kind}  {whose}"]
    if item.withdrawn:
        parts.append("withdrawn")
    end = paris_time(said.end, seconds=True) if said.end else "still going on"
    parts.append(f"{paris_time(said.start, seconds=True)} to {end}")
    if kind == "outage" and said.notified_at is not None:
        parts.append(f"notified by {visible(said.notified_by or '')} at {paris_time(said.notified_at)}")
    if kind == "excusable event":
        parts.append(f"cause {said.cause}")
    if kind == "maintenance":
        parts.append(f"announced {paris_time(said.announced)}")
    parts += [visible(text) for text in (said.reference, said.text) if text]
    parts.append(f"recorded by {visible(item.who)} at {paris_time(item.at)}")
    return "  ".join(parts)


def _for_programs(item: Recorded[Any]) -> dict[str, object]:
    return {
        "number": item.number,
        "recorded_at": item.at.isoformat(),
        "who": item.who,
        "why": item.why,
        "kind": _kind_of(item.said),
        "withdrawn": item.withdrawn,
        "replaces": item.replaces,
        **item.said.model_dump(mode="json", by_alias=True),
        "before": [_for_programs(old) for old in item.before],
    }
