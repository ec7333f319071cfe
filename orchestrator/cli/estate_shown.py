"""The whole estate for people, as tables of 100 columns; and for programs: JSON, CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from orchestrator.cli import session
from orchestrator.counting import counted
from orchestrator.reports.estate import LATE, ROWS, Estate, State, Table, row_data
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.cli.columns import Column
    from orchestrator.reports.estate import EstateClient, EstateMachine, EstateNode, EstateStorage

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets take for a formula."""

_GIB = 1024**3
_HOURS = 48


def print_csv(estate: Estate, table: Table) -> None:
    """Print one table as CSV: a header, then a line for each row."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(field.name for field in fields(ROWS[table]))
    for row in estate.table(table):
        out.writerow(_csv_cell(value) for value in row_data(row).values())
    session.echo(text.getvalue())


def _csv_cell(value: object) -> object:
    """A value as a cell. What somebody else wrote is never a formula, and never a second line."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return value
    shown = visible(value, longest=None)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def print_json(estate: Estate) -> None:
    """Print everything as JSON."""
    session.echo_json(json.dumps(estate.to_data(), indent=1))


def print_text(estate: Estate, tables: Sequence[Table]) -> None:
    """Print tables, what could not be read, and the sums."""
    from orchestrator.cli.columns import WIDTH, lines_of

    out = session.console()
    width = max(WIDTH, out.width) if out.is_terminal else WIDTH
    for table in tables:
        columns, rows = _TABLES[table](estate)
        if not rows:
            continue
        title, *lines = lines_of(columns, rows, width)
        out.print(title, style="bold")
        session.echo("\n".join(lines) + "\n\n")
    for site in estate.sites:
        if site.problem:
            out.print(f"not read: {site.site}: {site.problem}", style="red")
    for problem in estate.problems:
        out.print(f"not read: {problem}", style="red")
    without = [f"{item.found}: {item.remedy}" for item in estate.without_file]
    for text in (*without, *_sums(estate)):
        for line in textwrap.wrap(text, width):
            out.print(line)


def _sums(estate: Estate) -> Iterator[str]:
    machines = estate.machines
    late = sum(row.without_backup(estate.at, LATE) for row in machines)  # of those shown, as all the sums
    parts = [
        counted(len(estate.clients), "client"),
        counted(len(machines), "machine"),
        f"{sum(row.running is True for row in machines)} running",
    ]
    counts = (
        (sum(row.state is State.MISSING for row in machines), "not made"),
        (sum(row.state in (State.UNREADABLE, State.UNKNOWN) for row in machines), "unreadable"),
        (sum(bool(row.restart) for row in machines), "to be restarted"),
        (sum(bool(row.updates_due) for row in machines), "with updates due"),
        (sum(row.held is not None for row in machines), "held back"),
        (late, "without a good backup for 2 days"),
        (sum(row.in_file is False for row in machines), "in no file"),
    )
    yield ", ".join(parts + [f"{count} {what}" for count, what in counts if count])
    over = sum(row.vcpus_over_promised or row.memory_over_promised for row in estate.nodes)
    full = sum(row.over_promised for row in estate.storages)
    if over or full:
        yield f"more promised than there is (!): {counted(over, 'node')}, {counted(full, 'storage')}"
    if not estate.files:
        yield "no subscription files were read: name them with --files to see what they promise"


Rendered = tuple[Sequence["Column"], list[Sequence[str]]]


def _nodes(estate: Estate) -> Rendered:
    from orchestrator.cli.columns import Column

    columns = (
        Column(title="site", least=6),
        Column(title="node", least=8),
        Column(title="state"),
        Column(title="machines", right=True),
        Column(title="vCPU", right=True),
        Column(title="promised", right=True),
        Column(title="others", right=True),
        Column(title="RAM GiB", right=True),
        Column(title="promised", right=True),
        Column(title="others", right=True),
    )
    return columns, [_node(row) for row in estate.nodes]


def _node(row: EstateNode) -> Sequence[str]:
    return (
        row.site,
        row.node or "(not made yet)",
        row.state,
        str(row.machines),
        _known(row.vcpus),
        _promised(row.vcpus_promised, row.vcpus, over=row.vcpus_over_promised),
        str(row.vcpus_others or ""),
        _gib(row.memory_mib / 1024) if row.memory_mib else "",
        _promised(row.memory_mib_promised / 1024, row.memory_mib / 1024, over=row.memory_over_promised),
        _gib(row.memory_mib_others / 1024) if row.memory_mib_others else "",
    )


def _storages(estate: Estate) -> Rendered:
    from orchestrator.cli.columns import Column

    columns = (
        Column(title="site", least=6),
        Column(title="storage", least=8),
        Column(title="node", least=8),
        Column(title="for"),
        Column(title="state", least=9),
        Column(title="size GiB", right=True),
        Column(title="used", right=True),
        Column(title="promised", right=True),
    )
    return columns, [_storage(row) for row in estate.storages]


def _storage(row: EstateStorage) -> Sequence[str]:
    size = row.size_bytes / _GIB
    promised = row.promised_bytes
    return (
        row.site,
        row.storage,
        row.node or ("(all)" if row.status else "(not made yet)"),
        row.purpose,
        row.status,
        _gib(size) if size else "",
        f"{_gib(row.used_bytes / _GIB)} ({row.used_bytes * 100 // row.size_bytes} %)" if size else "",
        "" if promised is None else _promised(promised / _GIB, size, over=row.over_promised),
    )


def _clients(estate: Estate) -> Rendered:
    from orchestrator.cli.columns import Column

    columns = (
        Column(title="client", least=12),
        Column(title="contract", least=10),
        Column(title="machines", right=True),
        Column(title="running", right=True),
        Column(title="vCPU", right=True),
        Column(title="RAM GiB", right=True),
        Column(title="disk GiB", right=True),
        Column(title="attention", least=14, cut="end"),
    )
    return columns, [_client(row) for row in estate.clients]


def _client(row: EstateClient) -> Sequence[str]:
    file = {"none": "no file", "errors": "errors in its file"}.get(row.file or "", "")
    needs = (
        (row.without_backup, "no backup"),
        (row.held, "held"),
        (row.missing, "not made"),
        (row.restarts_due, "restart"),
        (row.updates_due, "updates"),
    )
    return (
        row.client,
        ", ".join(row.contracts),
        str(row.machines),
        str(row.running),
        str(row.vcpus),
        _gib(row.memory_mib / 1024),
        _gib(row.disk_gib),
        ", ".join(filter(None, (file, *(f"{count} {what}" for count, what in needs if count)))),
    )


def _machines(estate: Estate) -> Rendered:
    from orchestrator.cli.columns import Column

    columns = (
        Column(title="machine", least=16),
        Column(title="where", least=8),
        Column(title="state"),
        Column(title="vCPU", right=True),
        Column(title="RAM GiB", right=True),
        Column(title="disk GiB", right=True),
        Column(title="backup", right=True),
        Column(title="tested", right=True),
        Column(title="due", least=7, cut="end"),
    )
    return columns, [_machine(row, estate.at) for row in estate.machines]


def _machine(row: EstateMachine, now: dt.datetime) -> Sequence[str]:
    due = [
        "restart" if row.restart else "",
        counted(row.updates_due, "update") if row.updates_due else "",
        "held" if row.held is not None else "",
        "in no file" if row.in_file is False else "",
    ]
    return (
        f"{row.client}/{row.machine}",
        f"{row.site}/{row.node}" if row.node else row.site,
        row.state,
        str(row.vcpus),
        _gib(row.memory_mib / 1024),
        _gib(row.disk_gib),
        _backup(row, now),
        _tested(row, now),
        ", ".join(filter(None, due)),
    )


def _backup(row: EstateMachine, now: dt.datetime) -> str:
    if row.last_backup is not None:
        return _age(now - row.last_backup) + ("" if row.backups_known else "?")
    if row.state in (State.MISSING, State.UNKNOWN):
        return ""
    if row.backup_days is None:
        return "off" if row.state is not State.UNREADABLE else "?"
    return "none" if row.backups_known else "?"


def _tested(row: EstateMachine, now: dt.datetime) -> str:
    if row.tested is not None:
        return f"{max((now.date() - row.tested).days, 0)} d"
    return "never" if row.backup_days is not None and row.state in (State.RUNNING, State.STOPPED) else ""


def _age(age: dt.timedelta) -> str:
    hours = max(age.total_seconds(), 0) / 3600
    return f"{hours:.0f} h" if hours < _HOURS else f"{hours / 24:.0f} d"


def _promised(promised: float, has: float, *, over: bool) -> str:
    share = f" ({promised * 100 / has:.0f} %)" if has else ""
    return f"{_gib(promised)}{share}{' !' if over else ''}"


def _gib(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 100 else f"{number:.0f}"


def _known(number: int) -> str:
    return str(number) if number else ""


_TABLES: dict[Table, Callable[[Estate], Rendered]] = {
    Table.NODES: _nodes,
    Table.STORAGES: _storages,
    Table.CLIENTS: _clients,
    Table.MACHINES: _machines,
}
