"""``orchestrator backup list`` and ``volume``: what is kept, until when, and how much it is (article 3.5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted

if TYPE_CHECKING:
    from orchestrator.contract.retention import Verdict
    from orchestrator.operations.backup_on_demand import Kept
    from orchestrator.resources.machine_archives import Archive

_GIB = 1024**3


Format = Annotated[session.OutputFormat, typer.Option(help="For people or for programs.")]


def list_archives(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Only this client, or this machine.")
    ] = None,
    inventory: session.Inventory = None,
    format: Format = session.OutputFormat.TEXT,
) -> None:
    """List archives, their expiry and restore test results."""
    from orchestrator.operations import backup_on_demand  # not for `--help`

    found = backup_on_demand.listed(target, inventory, EVENTS)
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps([_document(item) for item in found.kept], indent=2, default=str))
    else:
        out = session.console()
        for item in found.kept:
            out.print(f"{item.client}/{item.machine}", style="bold", end="")
            out.print(f"   {item.site}   {_policy(item.days)}")
            for verdict in reversed(item.verdicts):
                out.print(f"  {_row(verdict)}")
        _say_what_sizes_are(found.kept)
        if not found.kept:
            erased = f"; if it was erased: orchestrator rescue {target}" if target and "/" in target else ""
            out.print("no archives" if target is None else f"no archives of {target}{erased}")
        if target is None and found.foreign:
            out.print(
                f"{counted(found.foreign, 'archive belongs', 'archives belong')} to no machine of ours: skipped",
                style="dim",
            )
    _end(found.unread)


def show_volume(
    target: Annotated[
        str | None, typer.Argument(metavar="[CLIENT[/MACHINE]]", help="Only this client, or this machine.")
    ] = None,
    inventory: session.Inventory = None,
    format: Format = session.OutputFormat.TEXT,
) -> None:
    """Show the size of backups, by machine and client.

    Article 3.5.
    """
    from orchestrator.operations import backup_on_demand

    found = backup_on_demand.listed(target, inventory, EVENTS)
    clients: dict[str, int] = {}
    for item in found.kept:
        clients[item.client] = clients.get(item.client, 0) + item.size
    if format is session.OutputFormat.JSON:
        machines = [
            {
                "client": item.client,
                "machine": item.machine,
                "archives": len(item.verdicts),
                "bytes": item.size,
            }
            for item in found.kept
        ]
        session.echo_json(json.dumps({"machines": machines, "clients": clients}, indent=2))
    else:
        out = session.console()
        for client, total in clients.items():
            out.print(client, style="bold", end="")
            out.print(f"   {total / _GIB:.2f} GiB")
            for item in found.kept:
                if item.client == client:
                    archives = counted(len(item.verdicts), "archive")
                    size = f"{item.size / _GIB:>9.2f} GiB"
                    out.print(f"  {item.machine:<24} {size}   {archives}   {_policy(item.days)}")
        _say_what_sizes_are(found.kept)
        if not found.kept:
            out.print("no archives")
    _end(found.unread)


def _say_what_sizes_are(kept: Sequence[Kept]) -> None:
    if any(verdict.archive.stored.deduplicated for item in kept for verdict in item.verdicts):
        session.console().print(
            "sizes on a backup server are those of the disks, before deduplication", style="dim"
        )


def _policy(days: int | None) -> str:
    return "backup off: what is there runs out its days" if days is None else f"kept {counted(days, 'day')}"


def _row(verdict: Verdict[Archive]) -> str:
    archive = verdict.archive
    test = archive.mark.test
    tested = (
        "never restored"
        if test is None
        else f"restored {test.on}: {'sound' if test.sound else 'FAILED'}{_checked(test.check)}, {test.found}"
    )
    until = f"until {paris_time(verdict.ends)}" + (
        f" (stays: {verdict.kept_because})" if verdict.kept_because else ""
    )
    stored = archive.stored
    protected = "   protected" if archive.protected else ""
    protected += "   encrypted" if stored.encrypted else ""
    if stored.verification:
        protected += f"   verification {'ok' if stored.verification == 'ok' else 'FAILED'}"
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
                "before_deduplication": verdict.archive.stored.deduplicated,
                "verification": verdict.archive.stored.verification or None,
                "encrypted": verdict.archive.stored.encrypted,
                "restore_test": _test_document(verdict.archive),
            }
            for verdict in item.verdicts
        ],
    }


def _test_document(archive: Archive) -> dict[str, Any] | None:
    test = archive.mark.test
    if test is None:
        return None
    checked = None if test.check is None else ("passed" if test.check else "failed")
    return {"on": test.on.isoformat(), "sound": test.sound, "check": checked, "found": test.found}


def _checked(check: bool | None) -> str:
    if check is None:
        return ""
    return ", check passed" if check else ", check FAILED"


def _end(unread: Sequence[str]) -> None:
    for text in unread:
        session.complain(f"not read: {text}", style="red")
    if unread:
        raise typer.Exit(1)
