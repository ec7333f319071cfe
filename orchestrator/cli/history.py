"""``orchestrator history``: what was done, by whom, why, with what result; and whether anybody changed that."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len, set_cell_size

from orchestrator.cli import session
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.history import Entry, Verification

_VERIFY = "verify"
_NO_END = "no end was recorded: still under way, or interrupted; the task list of site {site} says which"


def history(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLIENT[/MACHINE]|verify]",
            help="A client or machine; or `verify`: check the whole chain (a client of that name is `verify/`).",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many entries at most.")] = 50,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    noted: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:HASH", help="With `verify`: what an earlier check printed must still be there."
        ),
    ] = None,
    history: session.HistoryPath = None,
) -> None:
    """Show the history, or verify that nobody altered it.

    The latest entry comes first. `verify` checks the whole chain; exit code 1: somebody altered it.
    """
    from orchestrator.operations import history as operation  # not for `--help`

    if noted is not None and target != _VERIFY:
        session.fail("--noted belongs to `orchestrator history verify`")
    if target == _VERIFY:
        _print_verification(operation.verify(noted, history=history), format, noted=noted is not None)
        return
    entries = operation.entries(target, limit=limit, history=history)
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_for_programs(entry) for entry in entries], indent=2))
    elif entries:
        _print(entries)
    else:
        session.console().print(f"nothing was recorded{f' for {target}' if target else ''}")


def _print_verification(found: Verification, format: session.OutputFormat, *, noted: bool) -> None:
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps({**asdict(found), "head": f"{found.head[0]}:{found.head[1]}"}, indent=2))
        raise typer.Exit(0 if found.ok else 1)
    if not found.ok:
        session.fail(
            f"the history was changed: {found.reason}. Keep the file as it is, for whoever looks into it"
        )
    out = session.console()
    out.print(f"{counted(found.count, 'entry', 'entries')}: none altered, removed or reordered")
    out.print(f"the last is {found.head[0]}:{found.head[1]}")
    if not noted:
        out.print(
            "note that elsewhere: `--noted` shows later whether the whole history was replaced or cut off"
        )


def _for_programs(entry: Entry) -> dict[str, object]:
    return {**asdict(entry), "at": entry.at.isoformat(timespec="microseconds")}


def _print(entries: list[Entry]) -> None:
    """One line an entry. Where the terminal is too narrow for the tasks, they go below, in one piece to copy."""
    rows: list[tuple[str, ...]] = [("when", "who", "machine", "action", "result", "seconds", "why", "task")]
    rows += [_row(entry) for entry in entries]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    out = session.console()
    narrow = out.is_terminal and sum(widths) + 2 * len(widths) > out.width
    shown = len(widths) - 1 if narrow else len(widths)
    for index, row in enumerate(rows):
        cells = (set_cell_size(text, width) for text, width in zip(row[:shown], widths, strict=False))
        out.print("  ".join(cells).rstrip(), style="bold" if index == 0 else None)
        if index == 0:
            continue
        if narrow and row[-1]:
            out.print(f"    {row[-1]}", style="dim")
        if remark := _remark(entries[index - 1]):
            out.print(f"    {remark}", style="red")


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        paris_time(entry.at, seconds=True),
        visible(entry.who),
        visible(f"{entry.client}/{entry.machine}" if entry.machine else entry.client),
        visible(entry.action),
        visible(entry.result),
        f"{entry.seconds:.1f}",
        visible(entry.why),
        visible(entry.upid or ""),
    )


def _remark(entry: Entry) -> str:
    if entry.result == "begun":
        return _NO_END.format(site=visible(entry.site))
    from orchestrator.history.changes import FORCED

    return "" if entry.result == "ok" and entry.action != FORCED else visible(entry.message)
