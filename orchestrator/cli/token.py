"""``orchestrator token``: tokens of the JSON API."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.contract.calendar import paris_time
from orchestrator.interface.scopes import Scope
from orchestrator.operations.computer import operator

app = typer.Typer(no_args_is_help=True, help="Add, list and revoke tokens of the JSON API.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")]
Reason = Annotated[str, typer.Option(help="Why: recorded in the history.")]


@app.command()
def add(
    name: Name,
    scope: Annotated[list[Scope], typer.Option(help="What it is for; repeatable.")],
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT", help="Only this client's things.  [default: everybody's]")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 90,
    reason: Reason = "access",
    history: session.HistoryPath = None,
) -> None:
    """Make a token and show it once."""
    from orchestrator.operations.interface_desk import open_interface_desk  # not for `--help`
    from orchestrator.operations.tokens import NewToken, add_token

    with open_interface_desk(history) as desk:
        token, ends = add_token(
            desk, NewToken(name=name, scopes=scope, client=client, days=days), who=operator(), why=reason
        )
    out = session.console()
    out.print(f"token: {token}")
    out.print(f"shown once; valid until {paris_time(ends)}", style="dim")


@app.command("list")
def list_(
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """List the tokens, without their secrets."""
    from orchestrator.operations.interface_desk import open_interface_desk
    from orchestrator.operations.tokens import list_tokens

    with open_interface_desk(history) as desk:
        found = list_tokens(desk)
    if format is session.OutputFormat.JSON:
        rows = [
            {
                "name": one.name,
                "scopes": sorted(one.scopes),
                "client": one.client,
                "made_by": one.made_by,
                "created": one.created.isoformat(),
                "ends": one.ends.isoformat(),
                "used": one.used.isoformat() if one.used else None,
            }
            for one in found
        ]
        session.echo_json(json.dumps(rows, indent=2))
        return
    out = session.console()
    now = dt.datetime.now(dt.UTC)
    for one in found:
        of = f" of {one.client}" if one.client else ""
        used = f"last used {paris_time(one.used)}" if one.used else "not used yet"
        state = "ended" if one.ends <= now else "valid until"
        out.print(
            f"{one.name}   {', '.join(sorted(one.scopes))}{of}   {state} {paris_time(one.ends)}   {used}   "
            f"by {one.made_by}",
            style="dim" if one.ends <= now else None,
        )
    out.print(f"{len(found)} tokens" if len(found) != 1 else "1 token")


@app.command()
def revoke(name: Name, reason: Reason = "access", history: session.HistoryPath = None) -> None:
    """Revoke a token: its next request is refused."""
    from orchestrator.operations.interface_desk import open_interface_desk
    from orchestrator.operations.tokens import revoke_token

    with open_interface_desk(history) as desk:
        revoke_token(desk, name, who=operator(), why=reason)
    session.console().print(f"revoked: {name}")
