"""``orchestrator history``: what was done, by whom, why, with what result; and whether anybody changed that."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from orchestrator.history import Entry

_VERIFY = "verify"


class HistoryFormat(StrEnum):
    """How entries are printed."""

    TEXT = "text"
    JSON = "json"


def history(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLIENT[/MACHINE]|verify]", help="Whose; or `verify`: check the whole chain."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many entries at most.")] = 50,
    format: Annotated[HistoryFormat, typer.Option(help="For people or for programs.")] = HistoryFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """Show the history, the latest entry first. `verify` checks that nobody altered it."""
    if target == _VERIFY:
        _verify(history)
        return
    chosen = session.selection(target)
    with session.open_history(history) as opened:
        entries = opened.entries(client=chosen.client, machine=chosen.machine, limit=limit)
    if format is HistoryFormat.JSON:
        typer.echo(json.dumps([{**asdict(entry), "at": entry.at.isoformat()} for entry in entries], indent=2))
    elif entries:
        _print(entries)
    else:
        session.console().print(f"nothing was recorded{f' for {target}' if target else ''}", markup=False)


def _verify(path: str | None) -> None:
    with session.open_history(path) as opened:
        found = opened.verify()
    if not found.ok:
        session.fail(f"the history was changed: {found.reason}")
    session.console().print(
        f"{found.count} entries, none altered, removed or reordered; the last is {found.head}"
    )


def _print(entries: list[Entry]) -> None:
    rows = [("when", "who", "machine", "action", "result", "seconds", "why", "task")]
    rows += [
        (
            f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}",
            entry.who,
            f"{entry.client}/{entry.machine}" if entry.machine else entry.client,
            entry.action,
            entry.result,
            f"{entry.seconds:.1f}",
            entry.why,
            entry.upid or "",
        )
        for entry in entries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    out = session.console()
    messages = ["", *(entry.message if entry.result != "ok" else "" for entry in entries)]
    for index, (row, message) in enumerate(zip(rows, messages, strict=True)):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        out.print(line, style="bold" if index == 0 else None, markup=False)
        if message:
            out.print(f"    {message}", style="red", markup=False)
