"""``orchestrator show``: one client or one machine as the hypervisors have it, and what was done to it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.scope import Selection
    from orchestrator.resources.unreadable import Unreadable

_ENTRIES = 5


def show(
    target: Annotated[str, typer.Argument(metavar="CLIENT[/MACHINE]", help="A client, or one machine.")],
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Show machines as the hypervisors have them, with the last entries of their history. Reads no files."""
    from orchestrator.resources.survey import Asked, observe_sites

    provider = session.open_provider(inventory)
    chosen = session.selection(target)
    found: list[ObservedMachine] = []
    seeming: list[Unreadable] = []
    with session.open_clusters(provider) as clusters:
        read = observe_sites(clusters, Asked(selection=chosen))
    unread = [f"{site}: {why}" for site, why in read.failures.items()]
    for observed in read.observed.values():
        found += [m for m in observed.machines if m.mark and chosen.includes(m.mark.client, m.mark.machine)]
        seeming += [item for item in observed.unreadable if _seems(item, chosen)]
    out = session.console()
    for machine in found:
        _print(machine, history)
    for item in seeming:
        out.print(f"not touched: {item.subject}, {item.site}: {item.reason}", style="red")
    for text in unread:
        out.print(f"not read: {text}", style="red")
    if not found and not seeming:
        session.fail(
            f"no machine of ours is {target}" + (" at the sites that could be read" if unread else "")
        )
    if unread or any(item.holds_up for item in seeming):
        raise typer.Exit(1)


def _seems(item: Unreadable, chosen: Selection) -> bool:
    """Whether something that could not be read seems to be what is asked for, or a copy of it."""
    if item.client is None or item.client != chosen.client:
        return False
    return chosen.machine is None or item.machine in (None, chosen.machine)


def _print(machine: ObservedMachine, history: str | None) -> None:
    from orchestrator.contract.calendar import paris_time

    mark = machine.mark
    assert mark is not None  # noqa: S101  (only ours are shown)
    out = session.console()
    out.print(f"{mark.client}/{mark.machine}", style="bold", end="")
    out.print(f"   contract {mark.contract}   {mark.offer}")
    for name, value in _facts(machine):
        out.print(f"  {name:<10} {value}")
    with session.open_history(history) as opened:
        entries = opened.entries(client=mark.client, machine=mark.machine, limit=_ENTRIES)
    for index, entry in enumerate(entries):
        label = "history" if index == 0 else ""
        when = paris_time(entry.at, seconds=True)
        out.print(f"  {label:<10} {when}  {entry.action}  {entry.result}  by {entry.who}")


def _facts(machine: ObservedMachine) -> list[tuple[str, str]]:
    from orchestrator.guests.rules import describe_changes, policy_from_data
    from orchestrator.proxmox import parse_disk
    from orchestrator.resources.attributes import ATTRIBUTES

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
        facts.append((f"disk {name}", f"{size} ({slot})"))
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
        facts.append(("waiting", f"{waiting or 'SSH keys'} (until its next restart)"))
    return facts


def _snapshots(machine: ObservedMachine) -> list[str]:
    from orchestrator.contract.calendar import paris_time
    from orchestrator.resources.snapshot import expires_at, owned

    return [
        f"{snapshot.name}, expires {paris_time(expires_at(snapshot))}"
        if owned(snapshot)
        else f"{snapshot.name}, made by others"
        for snapshot in machine.snapshots
    ]


def _backup(mark: Mark) -> str:
    from orchestrator.resources.backup import retention_words

    if mark.backup_days is None:
        return retention_words(None)
    return f"kept {retention_words(mark.backup_days)}; " + (
        f"last restored and found sound on {mark.tested}" if mark.tested else "never restored"
    )
