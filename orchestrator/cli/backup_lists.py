"""``orchestrator backup list`` and ``volume``: what is kept, until when, and how much it is (article 3.5)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.counting import counted

if TYPE_CHECKING:
    from orchestrator.contract.retention import Verdict
    from orchestrator.resources.backup import Archive
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.scope import Selection
    from orchestrator.resources.unreadable import Unreadable

_GIB = 1024**3


Format = Annotated[session.OutputFormat, typer.Option(help="For people or for programs.")]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A machine's archives, judged.

    Attributes:
        days: the retention in force; None if its backup is off.
    """

    client: str
    machine: str
    site: str
    days: int | None
    verdicts: tuple[Verdict[Archive], ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(verdict.archive.stored.size for verdict in self.verdicts)


def list_archives(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Only this client, or this machine.")
    ] = None,
    inventory: session.Inventory = None,
    format: Format = session.OutputFormat.TEXT,
) -> None:
    """Show archives: when they were made, until when they are kept, and how their restore tests ended."""
    kept, foreign, unread = _read(target, inventory)
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_document(item) for item in kept], indent=2, default=str))
    else:
        out = session.console()
        for item in kept:
            out.print(f"{item.client}/{item.machine}", style="bold", end="")
            out.print(f"   {item.site}   {_policy(item.days)}")
            for verdict in reversed(item.verdicts):
                out.print(f"  {_row(verdict)}")
        if not kept:
            out.print("no archives" if target is None else f"no archives of {target}")
        if target is None and foreign:
            out.print(
                f"{counted(foreign, 'archive belongs', 'archives belong')} to no machine of ours: skipped",
                style="dim",
            )
    _end(unread)


def show_volume(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Only this client, or this machine.")
    ] = None,
    inventory: session.Inventory = None,
    format: Format = session.OutputFormat.TEXT,
) -> None:
    """Show the volume of the backups, machine by machine and client by client (article 3.5)."""
    kept, _, unread = _read(target, inventory)
    clients: dict[str, int] = {}
    for item in kept:
        clients[item.client] = clients.get(item.client, 0) + item.size
    if format is session.OutputFormat.JSON:
        machines = [
            {
                "client": item.client,
                "machine": item.machine,
                "archives": len(item.verdicts),
                "bytes": item.size,
            }
            for item in kept
        ]
        session.echo_json(json.dumps({"machines": machines, "clients": clients}, indent=2))
    else:
        out = session.console()
        for client, total in clients.items():
            out.print(client, style="bold", end="")
            out.print(f"   {total / _GIB:.2f} GiB")
            for item in kept:
                if item.client == client:
                    archives = counted(len(item.verdicts), "archive")
                    size = f"{item.size / _GIB:>9.2f} GiB"
                    out.print(f"  {item.machine:<24} {size}   {archives}   {_policy(item.days)}")
        if not kept:
            out.print("no archives")
    _end(unread)


def _read(target: str | None, inventory: str | None) -> tuple[list[Kept], int, list[str]]:
    """Every machine's archives at every site, the number of those of nobody, and what could not be read."""
    from orchestrator.resources.survey import Asked, observe_sites

    provider = session.open_provider(inventory)
    chosen = session.selection(target)
    kept: list[Kept] = []
    foreign = 0
    with session.open_clusters(provider) as clusters:
        read = observe_sites(clusters, Asked(selection=chosen, archives=provider.backup_storage_names))
    unread = [f"{site}: {why}" for site, why in read.failures.items()]
    for site, reading in read.readings.items():
        # Nobody knows which archives are those of a machine that could not be read.
        unread += [
            f"{site}: {item.subject}: {item.reason}"
            for item in reading.observed.unreadable
            if _asked_for(item, chosen)
        ]
        unread += [f"{site}: {name}: {why}" for name, why in reading.unread.items()]
        foreign += len(reading.holdings.foreign)
        kept += [item for item in _judged(reading) if chosen.includes(item.client, item.machine)]
    return sorted(kept, key=lambda item: (item.client, item.machine)), foreign, unread


def _asked_for(item: Unreadable, chosen: Selection) -> bool:
    """Whether something that could not be read is, or may be, a machine whose archives are asked for."""
    if item.kind != "machine" or not item.holds_up:
        return False
    return chosen.client is None or chosen.includes(item.client or "", item.machine or chosen.machine or "")


def _judged(reading: SiteReading) -> Iterable[Kept]:
    from orchestrator.resources.backup import verdicts

    moment = dt.datetime.now(dt.UTC)
    marks = {
        (machine.mark.client, machine.mark.machine): machine.mark
        for machine in reading.observed.machines
        if machine.mark
    }
    for (client, name), archives in reading.holdings.owned.items():
        mark = marks[client, name]
        days = mark.backup_days
        judged = verdicts(archives, moment, days=days, in_file=mark.retired is None)
        yield Kept(client=client, machine=name, site=reading.observed.site, days=days, verdicts=judged)


def _policy(days: int | None) -> str:
    return "backup off: what is there runs out its days" if days is None else f"kept {counted(days, 'day')}"


def _row(verdict: Verdict[Archive]) -> str:
    from orchestrator.contract.calendar import paris_time

    archive = verdict.archive
    test = archive.mark.test
    tested = (
        "never restored"
        if test is None
        else f"restored {test.on}: {'sound' if test.sound else 'FAILED'}, {test.found}"
    )
    until = f"until {paris_time(verdict.ends)}" + (
        f" (stays: {verdict.kept_because})" if verdict.kept_because else ""
    )
    protected = "   protected" if archive.protected else ""
    return (
        f"{paris_time(archive.taken_at)}   {archive.stored.size / _GIB:>8.2f} GiB   {until}   "
        f"{tested}{protected}   {archive.stored.volid}"
    )


def _document(item: Kept) -> dict[str, Any]:
    return {
        "client": item.client,
        "machine": item.machine,
        "site": item.site,
        "retention_days": item.days,
        "bytes": item.size,
        "archives": [
            {
                "volid": verdict.archive.stored.volid,
                "taken_at": verdict.archive.taken_at.isoformat(),
                "bytes": verdict.archive.stored.size,
                "ends_at": verdict.ends.isoformat(),
                "stays_because": verdict.kept_because,
                "protected": verdict.archive.protected,
                "restore_test": _test_document(verdict.archive),
            }
            for verdict in item.verdicts
        ],
    }


def _test_document(archive: Archive) -> dict[str, Any] | None:
    test = archive.mark.test
    return None if test is None else {"on": test.on.isoformat(), "sound": test.sound, "found": test.found}


def _end(unread: list[str]) -> None:
    for text in unread:
        session.complain(f"not read: {text}", style="red")
    if unread:
        raise typer.Exit(1)
