"""One client or one machine as the hypervisors have it, and what was done to it last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.guests.rules import describe_changes, policy_from_data
from orchestrator.operations import show as operation
from orchestrator.planning.taking_over import taking_words
from orchestrator.proxmox import parse_disk
from orchestrator.resources.attributes import ATTRIBUTES
from orchestrator.resources.machine_archives import retention_words
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.restart_hold import hold_words
from orchestrator.resources.snapshot import expires_at, owned

if TYPE_CHECKING:
    import datetime as dt

    from orchestrator.history import Entry


def show_machines(target: str, inventory: str | None, history: str | None) -> None:
    """Print a client's machines, or one, as they are, with their latest history. No subscription files are read.

    Args:
        target: ``CLIENT[/MACHINE]``.
        inventory: where the site file is.
        history: a file or URL; None: the usual one.
    """
    seen = operation.show(target, inventory, history, EVENTS)
    out = session.console()
    for machine in seen.machines:
        mark = machine.mark
        since = seen.waiting_since.get((mark.client, mark.machine)) if mark else None
        place = seen.data_centres.get((machine.site, machine.summary.vmid), "")
        _print(machine, seen.entries, place, since)
    for address, words in seen.shared:
        out.print(f"{address}   {words}", markup=False)
    if len(seen.machines) > 1 and seen.waiting_since:
        oldest = paris_time(min(seen.waiting_since.values()), weekday=True)
        waiting = counted(len(seen.waiting_since), "machine waits", "machines wait")
        out.print(f"{waiting} for a restart, the oldest since {oldest}")
    if seen.taking is not None:
        out.print(taking_words(seen.taking), markup=False)
    for item in seen.seeming:
        out.print(f"not touched: {item.subject}, {item.site}: {item.reason}", style="red")
    for text in seen.unread:
        out.print(f"not read: {text}", style="red")
    if not seen.machines and not seen.seeming:
        _nothing_found(target, bool(seen.unread))
    if seen.history_problem:
        session.fail(seen.history_problem)
    if seen.unread or any(item.holds_up for item in seen.seeming):
        raise typer.Exit(1)


def _nothing_found(target: str, unread: bool) -> NoReturn:
    read = " at the sites that could be read" if unread else ""
    if "/" in target:
        session.fail(f"no machine of ours is {target}{read}")
    session.fail(
        f"the client {target} has no machine{read}: `orchestrator plan` says what its file asks for, and "
        "`orchestrator show` names all clients"
    )


def _print(
    machine: ObservedMachine,
    entries: Mapping[tuple[str, str], list[Entry]],
    data_centre: str,
    waiting_since: dt.datetime | None,
) -> None:
    mark = machine.mark
    assert mark is not None  # noqa: S101  (only ours are shown)
    out = session.console()
    out.print(f"{mark.client}/{mark.machine}", style="bold", end="")
    out.print(f"   contract {mark.contract}   {mark.offer}")
    facts = _facts(machine, waiting_since)
    if data_centre:
        facts.insert(2, ("located", data_centre))
    for name, value in facts:
        out.print(f"  {name:<10} {value}")
    for index, entry in enumerate(entries.get((mark.client, mark.machine), ())):
        label = "history" if index == 0 else ""
        when = paris_time(entry.at, seconds=True)
        out.print(f"  {label:<10} {when}  {entry.action}  {entry.result}  by {entry.who}")


def _facts(machine: ObservedMachine, waiting_since: dt.datetime | None) -> list[tuple[str, str]]:
    mark, config, summary = machine.mark, machine.config, machine.summary
    assert mark is not None  # noqa: S101
    state = summary.status if mark.ready else f"{summary.status}, its creation is not finished"
    if mark.retired:
        state += f", retired {mark.retired}"
    facts = [
        ("state", state),
        ("where", f"VM {summary.vmid} on {summary.node}, {machine.site}"),
        ("address", str(machine.address or "none")),
    ]
    facts += [
        (row.name, row.words(value))
        for row in ATTRIBUTES
        if row.shown and (value := row.read(config)) is not None
    ]
    for name, slot in mark.slots.items():
        value = config.effective(slot)
        size = f"{parse_disk(value).size_bytes / 1024**3:g} GiB" if value else "no longer attached"
        left_out = ", left out of the backup" if value and parse_disk(value).left_out else ""
        facts.append((f"disk {name}", f"{size} ({slot}){left_out}"))
    rules = describe_changes(None, policy_from_data(mark.firewall)) if mark.firewall else []
    facts += [
        ("firewall" if index == 0 else "", rule) for index, rule in enumerate(rules or ["not loaded yet"])
    ]
    facts += [
        ("snapshot" if index == 0 else "", line) for index, line in enumerate(_snapshots(machine) or ["none"])
    ]
    facts.append(("backup", _backup(mark)))
    facts += [("host key", key) for key in mark.host_keys]
    if config.pending:
        waiting = ", ".join(f"{key} {value}" for key, value in config.pending.items() if key != "sshkeys")
        since = f", since {paris_time(waiting_since, weekday=True)}" if waiting_since else ""
        facts.append(("waiting", f"{waiting or 'SSH keys'} (until its next restart{since})"))
    if mark.restart is not None and mark.restart.state == "held":
        facts.append(("held", hold_words(mark, mark.restart)))
    return facts


def _snapshots(machine: ObservedMachine) -> list[str]:
    return [
        f"{snapshot.name}, expires {paris_time(expires_at(snapshot))}"
        if owned(snapshot)
        else f"{snapshot.name}, made by others"
        for snapshot in machine.snapshots
    ]


def _backup(mark: Mark) -> str:
    days = retention_words(mark.backup_days)
    if mark.backup_days is None:
        return days
    copies = f", {mark.backup_copies} copies" if mark.backup_copies > 1 else ""
    return f"kept {days}{copies}; " + (
        f"last restored and found sound on {mark.tested}" if mark.tested else "never restored"
    )
