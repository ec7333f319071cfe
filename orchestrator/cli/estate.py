"""``orchestrator show``: the whole estate, or one client or machine as the hypervisors have it, with its history."""

from __future__ import annotations

import datetime as dt
import re
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.reports.estate import Due, SortKey, State, Table


class EstateFormat(StrEnum):
    """How the estate is printed: for people, for programs, for spreadsheets."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


_ONLY = "Only machines "


def show(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[CLIENT[/MACHINE]]", help="A client, or one machine, with its history."),
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
    site: Annotated[list[str] | None, typer.Option(help="Only this site; repeatable.")] = None,
    node: Annotated[list[str] | None, typer.Option(help=f"{_ONLY}of this node; repeatable.")] = None,
    client: Annotated[list[str] | None, typer.Option(help=f"{_ONLY}of this client; repeatable.")] = None,
    state: Annotated[list[State] | None, typer.Option(help=f"{_ONLY}in this state; repeatable.")] = None,
    due: Annotated[list[Due] | None, typer.Option(help=f"{_ONLY}in which this is due; repeatable.")] = None,
    held: Annotated[bool, typer.Option("--held", help=f"{_ONLY}held back from updates or restarts.")] = False,
    without_backup: Annotated[
        str | None,
        typer.Option(metavar="AGE", help=f"{_ONLY}that should have a good backup of the last 2d or 36h."),
    ] = None,
    without_file: Annotated[bool, typer.Option("--without-file", help=f"{_ONLY}that no file has.")] = False,
    sort: Annotated[SortKey, typer.Option(help="What machines are sorted by.")] = SortKey.NAME,
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort the other way round.")] = False,
    table: Annotated[
        Table | None,
        typer.Option(help="Only this table.  [default: all; machines in CSV, and if machines are chosen]"),
    ] = None,
    format: Annotated[
        EstateFormat, typer.Option(help="For people, for programs, or one table for spreadsheets.")
    ] = EstateFormat.TEXT,
) -> None:
    """Show the whole estate, or machines with their history.

    Without an argument: nodes and storages with what is promised on them, clients, machines, their backups and restore
    tests, restarts and updates that are due. More promised than there is, is marked with an exclamation mark.

    With CLIENT or CLIENT/MACHINE: everything about these machines, with their latest history; no subscription files
    are read, and the options of the estate have no place there.

    Exit code 0: everything could be read; 1: something could not, and is named.
    """
    chosen = bool(site or node or client or state or due or held or without_backup or without_file)
    others = bool(files or table) or reverse or sort is not SortKey.NAME or format is not EstateFormat.TEXT
    if target is not None:
        if chosen or others:
            session.fail(
                f"{target} is shown with everything about it, and the options of the estate do not go with a name: "
                "leave them out, or name --client instead"
            )
        from orchestrator.cli.show import show_machines

        show_machines(target, inventory, history)
        return
    from orchestrator.cli import estate_shown as rendering
    from orchestrator.operations import estate as operation
    from orchestrator.reports.estate import Filters

    filters = Filters(
        clients=frozenset(client or ()),
        nodes=frozenset(node or ()),
        states=frozenset(state or ()),
        due=frozenset(due or ()),
        held=held,
        without_backup=None if without_backup is None else _age(without_backup),
        without_file=without_file,
    )
    request = operation.EstateRequest(
        inventory=inventory,
        files=tuple(files or ()),
        history=history,
        sites=tuple(site or ()),
        filters=filters,
        sort=sort,
        reverse=reverse,
    )
    seen = operation.estate(request, EVENTS)
    if format is EstateFormat.JSON:
        rendering.print_json(seen)
    elif format is EstateFormat.CSV:
        rendering.print_csv(seen, table or Table.MACHINES)
    else:
        every = (Table.MACHINES,) if filters.any else tuple(Table)
        rendering.print_text(seen, (table,) if table else every)
    if seen.incomplete:
        raise typer.Exit(1)


def _age(text: str) -> dt.timedelta:
    found = re.fullmatch(r"([0-9]{1,5})([hd])", text.strip(), re.ASCII)
    if found is None:
        session.fail(f"--without-backup {text} is not an age: write 36h, or 2d")
    return dt.timedelta(**{"hours" if found[2] == "h" else "days": int(found[1])})
