"""A machine's console, for somebody in a browser: who may have it, where it is, and its entries in the history.

The provider's people may always have one. A client may by the contract's table (articles 3.1 to 3.3, 3.8.2, 9, 10).
Asking for one finds the machine by the hypervisors' own records and gives a ticket; opening it calls the hypervisor.
Nothing is changed; the history says who had which console, from where and how long.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.contract.portal_rights import Act, Position, refusal
from orchestrator.errors import OrchestratorError, Reason
from orchestrator.interface.console_tickets import (
    Console,
    ConsoleKind,
    ConsoleRefused,
    ConsoleTickets,
    Limits,
    Wanted,
    Why,
)
from orchestrator.operations.client_file import FileSays
from orchestrator.operations.connecting import connect
from orchestrator.operations.inventory import site_of
from orchestrator.operations.named_machine import Found, as_it_is_now, find_machine
from orchestrator.operations.run import run_name
from orchestrator.proxmox import Patience
from orchestrator.proxmox.console_stream import OpenedConsole, open_screen, open_terminal
from orchestrator.proxmox.properties import parse_property_string
from orchestrator.resources.desired import desired_machines
from orchestrator.resources.privileges import may_look
from orchestrator.sites.secrets import resolve

if TYPE_CHECKING:
    from orchestrator.history import Entry, History
    from orchestrator.operations.recent_files import FilesRead
    from orchestrator.proxmox import Cluster
    from orchestrator.sites.model import Provider

_SILENCE_SECONDS = 5.0
"""How long an API may be silent; somebody waits. One attempt takes twice as long at most."""

ACTION = "console"
"""In the history."""


@dataclass(frozen=True, kw_only=True)
class ConsoleRequest:
    """A console that somebody asks for.

    Attributes:
        client, machine: of which machine.
        account, session: who asks.
        of_client: whether that is a client's account; the machine is its client's then.
        kind: what is to be shown; None: what the machine shows best.
    """

    client: str
    machine: str
    account: str
    session: int
    of_client: bool
    kind: ConsoleKind | None = None

    @property
    def target(self) -> str:
        """``CLIENT/MACHINE``."""
        return f"{self.client}/{self.machine}"


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A ticket for a console.

    Attributes:
        kind: what it shows.
        kinds: what the machine could show.
    """

    ticket: str
    kind: ConsoleKind
    kinds: tuple[ConsoleKind, ...]


def what_file_says(client: str, machine: str, files: FilesRead) -> FileSays:
    """What the files, as they were read last, say of a machine."""
    subscription = files.by_client.get(client)
    if subscription is None:
        return FileSays(problem=f"no file of {client} without errors was found")
    wanted = next(
        (item for item in desired_machines([subscription], files.provider) if item.name == machine), None
    )
    if wanted is None:
        return FileSays(subscription=subscription, problem=f"the file of {client} has no machine {machine}")
    return FileSays(subscription=subscription, machine=wanted)


def admit(
    request: ConsoleRequest,
    files: FilesRead,
    tickets: ConsoleTickets,
    now: dt.datetime,
    limits: Limits | None = None,
) -> Admission:
    """Give a ticket for a machine's console, or say why not.

    Args:
        request: who asks for what.
        files: the clients' files and the site file.
        tickets: of the database.
        now: the time (aware).
        limits: how many may be open; None: the usual ones.

    Raises:
        ConsoleRefused: there is none for whoever asks, now.
        OrchestratorError: the files or the database cannot be used.
    """
    provider = files.provider
    says = what_file_says(request.client, request.machine, files)
    if request.of_client and (why := kept_from_client(says, now)):
        raise ConsoleRefused(why, why=Why.NOT_ALLOWED)
    clusters = _clusters(provider, says)
    try:
        found = as_it_is_now(find_machine(request.target, clusters, snapshots=False))
        kinds = _shown(found, wanted=site_of(provider, found.machine.site).consoles)
    except ConsoleRefused:
        raise
    except OrchestratorError as error:
        raise ConsoleRefused(str(error), why=Why.UNREACHABLE) from error
    finally:
        for cluster in clusters.values():
            cluster.close()
    kind = _chosen(request.kind, kinds, request.target)
    summary = found.machine.summary
    wanted = Wanted(
        account=request.account,
        session=request.session,
        of_client=request.of_client,
        client=request.client,
        machine=request.machine,
        site=found.machine.site,
        node=summary.node,
        vmid=summary.vmid,
        kind=kind,
    )
    return Admission(ticket=tickets.issue(wanted, now, limits or Limits()), kind=kind, kinds=kinds)


def kept_from_client(says: FileSays, now: dt.datetime) -> Reason:
    """Why a client may not have the console of one of its machines; empty if it may.

    Args:
        says: its file.
        now: the time (aware).
    """
    if says.subscription is None or says.machine is None:
        return f"whether its client may have this console is not known: {says.problem}"
    managed = says.subscription.managed_services
    position = Position(
        offer=says.machine.offer,
        standing=says.machine.life.standing(now),
        level=managed.level if managed else None,
    )
    refused = refusal(Act.CONSOLE, position)
    return f"its client may not have this console: {refused}" if refused else ""


def may_go_on(console: Console, files: FilesRead, now: dt.datetime) -> bool:
    """Whether the contract still allows a console that is open."""
    if not console.of_client:
        return True
    return not kept_from_client(what_file_says(console.client, console.machine, files), now)


def open_console(console: Console, provider: Provider) -> OpenedConsole:
    """Have the hypervisor open a console: one call, to the node where its machine was a moment ago.

    Raises:
        OrchestratorError: it could not be opened.
    """
    cluster = _connected(provider, console.site)
    try:
        how = open_terminal if console.kind is ConsoleKind.SERIAL else open_screen
        return how(cluster, console.node, console.vmid)
    finally:
        cluster.close()


def enter(history: History, console: Console, source: str, now: dt.datetime) -> Entry:
    """Write into the history that a console is opened: who, of what, from where.

    Raises:
        HistoryUnavailable: it cannot be written, so it is not opened.
    """
    return history.append(**_entry(console, source, now), result="begun", at=now)


def leave(
    history: History, console: Console, source: str, now: dt.datetime, *, message: str, failed: bool = False
) -> None:
    """Write into the history that a console was closed: how, and how long it was open.

    Raises:
        HistoryUnavailable: it cannot be written.
    """
    opened = console.opened or now
    history.append(
        **_entry(console, source, opened),
        result="failed" if failed else "ok",
        seconds=max((now - opened).total_seconds(), 0.0),
        began=console.entry,
        message=message,
        at=now,
    )


def close_lost(tickets: ConsoleTickets, history: History, now: dt.datetime) -> int:
    """Write the end of consoles whose program was killed. Returns how many there were.

    Raises:
        HistoryUnavailable: the database cannot be used.
    """
    lost = tickets.lost(now)
    for console in lost:
        message = "closed: the program that served it ended"
        leave(history, console, "", now, message=message, failed=True)
    return len(lost)


def _entry(console: Console, source: str, moment: dt.datetime) -> dict[str, Any]:
    return {
        "who": console.account,
        "why": "console in the Interface",
        "client": console.client,
        "machine": console.machine,
        "site": console.site,
        "action": ACTION,
        "run": run_name(console.opened or moment),
        "details": {"kind": console.kind.value, "from": source, "session": console.session},
    }


def _clusters(provider: Provider, says: FileSays) -> Mapping[str, Cluster]:
    """The sites where the machine may be: its file's, or all of them."""
    there = [says.machine.site] if says.machine else list(provider.sites)
    return {name: _connected(provider, name) for name in there}


def _connected(provider: Provider, name: str) -> Cluster:
    site = site_of(provider, name)
    return connect(
        name,
        site,
        resolve(site.api.token_secret),
        patience=Patience(attempts=1),
        timeout_seconds=min(site.api.timeout_seconds, _SILENCE_SECONDS),
    )


def _shown(found: Found, *, wanted: bool) -> tuple[ConsoleKind, ...]:
    """What a running machine shows, best first. Of a display that is a serial port Proxmox draws a screen as well."""
    site = found.machine.site
    if not wanted:
        raise ConsoleRefused(
            f"there are no consoles at {site}: its site file says consoles: false", why=Why.NOT_OFFERED
        )
    if not may_look(found.site.state.held):
        raise ConsoleRefused(
            f"the API token of {site} lacks VM.Console, so there are no consoles at {site}: give its role VM.Console "
            "if they are wanted",
            why=Why.NOT_OFFERED,
        )
    if not found.machine.running:
        raise ConsoleRefused("it does not run, so it has no console", why=Why.STOPPED)
    current = found.machine.config.current
    serial = current.get("serial0") == "socket"
    display = _display(str(current.get("vga") or ""))
    if display.startswith("serial"):
        return (ConsoleKind.SERIAL,) if serial else ()
    screen = (ConsoleKind.SCREEN,) if display != "none" else ()
    return (*screen, *((ConsoleKind.SERIAL,) if serial else ()))


def _display(vga: str) -> str:
    """The type of a display: ``std``, ``serial0``, ``none``…"""
    parts = parse_property_string(vga)
    return parts.get("type") or parts.get("") or "std"


def _chosen(asked: ConsoleKind | None, kinds: tuple[ConsoleKind, ...], target: str) -> ConsoleKind:
    if not kinds:
        raise ConsoleRefused(
            f"{target} has neither a screen (vga) nor a serial port (serial0: socket)", why=Why.NOTHING_SHOWN
        )
    # Proxmox draws a serial port as a screen where it gives no terminal to a token.
    if asked is None or asked not in (*kinds, ConsoleKind.SCREEN):
        return kinds[0]
    return asked
