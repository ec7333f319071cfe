"""``orchestrator alarms``: alarms of supervision, and what was done about them (article 3.8.1)."""

from __future__ import annotations

import datetime as dt
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files, Procedures, Rules
from orchestrator.counting import counted
from orchestrator.errors import RequestRefused, local_reason

if TYPE_CHECKING:
    from orchestrator.history.declared import Alarm
    from orchestrator.operations.alarms import Listed

app = typer.Typer(no_args_is_help=True, help="Receive alarms, list and acknowledge them, record actions.")
action = typer.Typer(no_args_is_help=True, help="Record what was done about an alarm.")
app.add_typer(action, name="action")

Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The alarm's number, as `list` has it.")]
By = Annotated[str, typer.Option(help="The name of the person.")]
Format = Annotated[session.OutputFormat, typer.Option(help="For people or for programs.")]


class Result(StrEnum):
    """How an action ended."""

    DONE = "done"
    FAILED = "failed"
    NO_EFFECT = "no-effect"


@app.command()
def receive(
    file: Annotated[Path | None, typer.Option(help="The webhook's JSON.  [default: standard input]")] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Record alarms from Alertmanager's webhook, one per event.

    Sent again, it changes nothing. Alarms of machines that no file has are named and not recorded: exit code 1.
    """
    from orchestrator.contract.calendar import paris_time
    from orchestrator.operations import alarms as operation  # not for `--help`

    request = operation.ReceiveRequest(
        body=_body(file), inventory=inventory, files=tuple(files or ()), history=history
    )
    result = operation.receive(request, events=EVENTS)
    out = session.console()
    for made in result.raised:
        until = made.said.silent_until
        note = f", silent until {paris_time(until)} ({made.said.silenced_by})" if until else ""
        note = note or ("" if made.said.acted_on else ", told and not acted on (article 3.7)")
        out.print(f"alarm {made.first.number} raised: {_about(made.said)}{note}")
    for made in result.closed:
        out.print(f"alarm {made.first.number} closed by {made.said.closed_by}: {_about(made.said)}")
    if result.unchanged:
        out.print(f"{counted(result.unchanged, 'alert')} recorded already")
    for text in result.left:
        session.complain(text)
    if result.left:
        raise typer.Exit(1)


def _body(file: Path | None) -> bytes:
    """The webhook, and one byte more than it may have."""
    from orchestrator.alarms.webhook import LARGEST

    if file is None:
        return sys.stdin.buffer.read(LARGEST + 1)
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as error:
        raise RequestRefused(f"the webhook's JSON cannot be read: {local_reason(error)}") from error


@app.command("list")
def list_(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Whose.  [default: everybody's]")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are over, or that maintenance explains.")
    ] = False,
    format: Format = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """List the alarms, the oldest first, with what was done."""
    from orchestrator.contract.calendar import paris_time
    from orchestrator.operations import alarms as operation  # not for `--help`

    found = operation.alarms(target, everything=everything, history=history)
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_for_programs(item) for item in found], indent=2))
        return
    out = session.console()
    if not found:
        out.print("no alarms" if everything else "no open alarms")
    for item in found:
        alarm = item.known.alarm
        out.print(
            f"{item.known.number}  {paris_time(alarm.start)}  {_about(alarm)}  {alarm.severity}  {_state(item)}"
        )
        if alarm.text:
            out.print(f"    {alarm.text}")
        out.print(f"    procedure: {alarm.procedure or 'none: orchestrator alarms rules lists such rules'}")
        for done in item.known.actions:
            said = done.said
            out.print(f"    {paris_time(said.at)}  {said.result}  by {said.by}: {said.text}")


@app.command()
def acknowledge(number: Number, by: By, history: session.HistoryPath = None) -> None:
    """Record who looks after an alarm."""
    from orchestrator.operations import alarms as operation  # not for `--help`

    made = operation.acknowledge(number, by=by, history=history)
    session.console().print(f"alarm {made.first.number} acknowledged by {made.said.acknowledged_by}")


@app.command()
def close(
    number: Number,
    by: By,
    reason: Annotated[str, typer.Option(help="Why: recorded in the history (article 3.8.1).")],
    history: session.HistoryPath = None,
) -> None:
    """Close an alarm whose recovery was not reported."""
    from orchestrator.operations import alarms as operation  # not for `--help`

    made = operation.close(number, by=by, reason=reason, history=history)
    session.console().print(f"alarm {made.first.number} closed by {made.said.closed_by}")


@action.command()
def add(
    number: Number,
    by: Annotated[str, typer.Option(help="The name of the person, or `automatic`.")],
    what: Annotated[str, typer.Option(help="What was done, in one line.")],
    result: Annotated[Result, typer.Option(help="How it ended.")] = Result.DONE,
    procedure: Annotated[
        str, typer.Option(help="The procedure that was followed.  [default: that of the alarm's rule]")
    ] = "",
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it was done, Paris: 2026-11-24T22:15.  [default: now]"),
    ] = None,
    history: session.HistoryPath = None,
) -> None:
    """Record what was done about an alarm."""
    from orchestrator.operations import alarms as operation  # not for `--help`

    request = operation.ActionRequest(
        alarm=number, by=by, what=what, result=_RESULTS[result], procedure=procedure, at=_moment(at)
    )
    made = operation.record_action(request, history=history)
    session.console().print(f"recorded: {made.said.result}, by {made.said.by}")


def _moment(at: str | None) -> dt.datetime | None:
    if at is None:
        return None
    from orchestrator.contract.moments import read_moment

    try:
        return read_moment(at)
    except ValueError as error:
        session.fail(f"--at {at}: {error}")


_RESULTS: dict[Result, Literal["done", "failed", "no-effect"]] = {
    Result.DONE: "done",
    Result.FAILED: "failed",
    Result.NO_EFFECT: "no-effect",
}


@app.command()
def rules(
    file: Rules = None,
    procedures: Procedures = None,
    format: Format = session.OutputFormat.TEXT,
) -> None:
    """List the alert rules with their procedures.

    Exit code 1 if a rule has none (article 3.8.1).
    """
    from orchestrator.alarms.procedures import without_procedure
    from orchestrator.operations import alarms as operation  # not for `--help`

    found = operation.rules(file or (), procedures or ())
    lacking = without_procedure(found)
    if format is session.OutputFormat.JSON:
        listed = [
            {
                "rule": rule.name,
                "severity": rule.severity,
                "procedure": rule.procedure or None,
                "page": str(rule.page) if rule.page else None,
                "file": str(rule.file),
            }
            for rule in found
        ]
        session.echo_json(json.dumps(listed, indent=2))
    else:
        out = session.console()
        width = max((len(rule.name) for rule in found), default=0)
        for rule in found:
            out.print(f"{rule.name:<{width}}  {rule.severity:<8}  {rule.page or 'NO PROCEDURE'}")
        out.print(f"{counted(len(found), 'rule')}, {len(lacking)} without a procedure")
    if lacking:
        raise typer.Exit(1)


def _about(alarm: Alarm) -> str:
    """The rule and whose: ``DiskFull  dupont/web-1``."""
    whose = "/".join(filter(None, (alarm.client, *alarm.machines))) or alarm.site or "the provider"
    return f"{alarm.rule}  {whose}"


def _state(item: Listed) -> str:
    from orchestrator.contract.calendar import paris_time

    alarm = item.known.alarm
    if item.state == "acknowledged":
        return f"acknowledged by {alarm.acknowledged_by}"
    if item.state == "closed" and alarm.end is not None:
        return f"closed by {alarm.closed_by} {paris_time(alarm.end)}"
    if item.state == "silent":
        return f"silent: {alarm.silenced_by}"
    return "told, not acted on (article 3.7)" if item.state == "told" else item.state


def _for_programs(item: Listed) -> dict[str, Any]:
    alarm = item.known.alarm
    return {
        "number": item.known.number,
        "state": item.state,
        **alarm.model_dump(mode="json", by_alias=True),
        "actions": [
            done.said.model_dump(mode="json", exclude={"client", "machines", "site", "reference"})
            for done in item.known.actions
        ],
    }
