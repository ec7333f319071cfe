"""What the commands share: options, opening files and clusters, and ending with a clear message."""

from __future__ import annotations

import datetime as dt
import getpass
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from orchestrator.shown import hanging, said_once, visible

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.applying.lock import RunLocks
    from orchestrator.applying.stopping import Signals, Stopping
    from orchestrator.cli.screen import Screen
    from orchestrator.documents import Problem
    from orchestrator.guests import SshSettings
    from orchestrator.history import History
    from orchestrator.proxmox import Cluster
    from orchestrator.proxmox.bulk_reader import BulkReader
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.scope import Selection
    from orchestrator.sites.model import Api, Provider, Site
    from orchestrator.subscriptions.model import Subscription

DEFAULT_FOLDER = Path("subscriptions")

_LONGEST_NAME = 100
"""Characters of an account's name: whoever is stopped by a freeze or a lock reads it in one line."""


class OutputFormat(StrEnum):
    """How an answer is printed: for people or for programs."""

    TEXT = "text"
    JSON = "json"


Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Subscription files or folders.  [default: ./subscriptions]"),
]
Inventory = Annotated[
    str | None,
    typer.Option(
        "--inventory",
        "-i",
        envvar="ORCHESTRATOR_INVENTORY",
        help="The sites: a folder with sites.yaml, or its name below ./inventories.",
    ),
]
Only = Annotated[
    str | None, typer.Option(metavar="CLIENT[/MACHINE|/KIND/NAME]", help="Only this client, machine or item.")
]
HistoryPath = Annotated[
    str | None,
    typer.Option("--history", envvar="ORCHESTRATOR_HISTORY", help="The history: a file, or a database URL."),
]


_BEGINS_AS_ERROR = re.compile(r"(?i)^(?:error: *)+")


def fail(message: str) -> NoReturn:
    """Print an error and end with exit code 1."""
    from orchestrator.cli.speaking import LogFormat, voice

    message = _BEGINS_AS_ERROR.sub("", said_once(message))
    if voice.form is LogFormat.JSON:
        logging.getLogger("orchestrator.cli").error("error", extra={"fields": {"message": message}})
        raise typer.Exit(1)
    out = console(stderr=True)
    out.print("error", style="bold red", end="  ")
    _print_lines(out, hanging(message, len("error  ")))
    raise typer.Exit(1)


def complain(message: str, *, style: str | None = None) -> None:
    """Tell on standard error what went wrong, and go on."""
    from orchestrator.cli.speaking import LogFormat, voice

    message = said_once(message)
    if voice.form is LogFormat.JSON:
        fields = {"message": message.strip()}
        logging.getLogger("orchestrator.cli").error("error", extra={"fields": fields})
    else:
        _print_lines(console(stderr=True), hanging(message, 4), style)


def echo(text: str) -> None:
    """Print a document on standard output: Markdown, HTML, YAML, a script. Whoever made it has escaped its values."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def echo_json(text: str) -> None:
    """Print JSON on standard output, valid and complete whatever characters that can carry."""
    from orchestrator.cli.speaking import json_for

    echo(json_for(sys.stdout, text))


def agreed(question: str) -> bool:
    """Ask whoever sits at the terminal."""
    return typer.confirm(visible(question))


def answer_to(question: str, *, hidden: bool = False) -> str:
    """Ask whoever sits at the terminal for a line.

    Args:
        question: what for.
        hidden: a secret: what is typed is not shown, and the question goes to standard error.
    """
    text = typer.prompt(
        visible(question), default=None if hidden else "", show_default=False, hide_input=hidden, err=hidden
    )
    return str(text).strip()


def console(*, stderr: bool = False) -> Screen:
    """The one place that prints for people: colours on a terminal, plain text elsewhere. Texts are never markup."""
    from orchestrator.cli.screen import Screen

    return Screen(stderr=stderr)


def _print_lines(out: Screen, text: str, style: str | None = None) -> None:
    for line in text.split("\n"):
        out.print(line, style=style)


def selection(only: str | None) -> Selection:
    """Read ``CLIENT[/MACHINE]``."""
    from orchestrator.resources.scope import Selection

    client, _, machine = (only or "").partition("/")
    return Selection(client=client or None, machine=machine or None)


def find_inventory(name: str | None) -> Path:
    """The folder of an inventory, by path or by its name below ./inventories."""
    if name is None:
        known = sorted(path.parent.name for path in Path("inventories").glob("*/sites.yaml"))
        fail(
            "which sites? Name an inventory with --inventory, or in ORCHESTRATOR_INVENTORY"
            + (f"; below ./inventories there are: {', '.join(known)}" if known else "")
        )
    for path in (Path(name), Path("inventories") / name):
        if path.exists():
            return path
    fail(f"no inventory {name}: neither a folder of that path, nor inventories/{name}")


def open_provider(inventory: str | None) -> Provider:
    """Read the sites' file; print what is wrong with it and end if it cannot be used."""
    from orchestrator.documents import ProblemsFound
    from orchestrator.sites import load_provider

    try:
        return load_provider(find_inventory(inventory))
    except ProblemsFound as error:
        tell_problems(error.problems)
        raise typer.Exit(1) from None


def open_subscriptions(paths: list[Path] | None, provider: Provider) -> tuple[Subscription, ...]:
    """Read the clients' files; print every error of every file and end if there is one."""
    from orchestrator.subscriptions import load

    chosen = paths or [DEFAULT_FOLDER]
    for path in chosen:
        if not path.exists():
            fail(f"{path} does not exist: name the folder with the clients' files")
    loaded = load(chosen, provider)
    tell_problems(loaded.problems)
    if any(problem.severity == "error" for problem in loaded.problems):
        fail("the files have errors, nothing was planned")
    return tuple(item.subscription for item in loaded.subscriptions)


def open_sound_desired(
    paths: list[Path] | None, provider: Provider
) -> tuple[tuple[DesiredMachine, ...], list[str]]:
    """What the files without errors ask for, and the files that have some, in words.

    For the night: one client's mistake must not take the others' backups away.
    """
    from orchestrator.resources.desired import desired_machines
    from orchestrator.subscriptions import load

    chosen = paths or [DEFAULT_FOLDER]
    for path in chosen:
        if not path.exists():
            fail(f"{path} does not exist: name the folder with the clients' files")
    loaded = load(chosen, provider)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    tell_problems(errors)
    told = [
        f"{problem.file}:{problem.line}: {problem.message}; the machines of its client are cared for as last applied"
        for problem in errors
    ]
    return desired_machines((item.subscription for item in loaded.subscriptions), provider), told


def tell_problems(problems: Iterable[Problem]) -> None:
    """Tell the problems of files on standard error: as text with the lines they stand in, or as lines of the log."""
    from orchestrator.cli.speaking import LogFormat, voice
    from orchestrator.documents import render_problem

    log = logging.getLogger("orchestrator.cli")
    out = console(stderr=True)
    for problem in problems:
        if voice.form is LogFormat.JSON:
            fields = problem.as_json()
            del (
                fields["severity"],
                fields["source_line"],
            )  # the first is the level, the second the file's content
            level = logging.ERROR if problem.severity == "error" else logging.WARNING
            log.log(level, "problem", extra={"fields": fields})
        else:
            _print_lines(out, render_problem(problem))


def connect(name: str, site: Site, secret: str, **other: Any) -> Cluster:
    """A client of a site's API (nothing is sent yet).

    Args:
        name: of the site.
        site: what the sites file says of it.
        secret: the token's.
        other: what is not as the sites file says: ``token_id``, ``patience``.

    Raises:
        ValueError: ``token_id`` is none.
    """
    cluster = connect_api(name, site.api, secret, **{"vmids": site.vmids, **other})
    cluster.bulk_reader = bulk_reader(site)
    return cluster


def bulk_reader(site: Site) -> BulkReader | None:
    """What reads the configurations of a site's machines at once; None if the sites file names nothing."""
    if site.bulk_reading is None:
        return None
    from orchestrator.proxmox.bulk_reader import BulkReader

    chosen = site.bulk_reading
    return BulkReader(
        user=chosen.user,
        private_key=chosen.ssh_private_key,
        known_hosts=chosen.ssh_known_hosts,
        addresses=chosen.addresses,
    )


def connect_api(name: str, api: Api, secret: str, **other: Any) -> Cluster:
    """As :func:`connect`, for a site of which only its API is known."""
    from orchestrator.proxmox import Cluster

    usual: dict[str, Any] = {
        "url": api.url,
        "nodes": api.nodes,
        "token_id": api.token_id,
        "ca_file": api.ca_file,
        "verify_tls": api.verify_tls,
        "timeout_seconds": api.timeout_seconds,
    }
    return Cluster(site=name, token_secret=secret, **{**usual, **other})


@contextmanager
def open_clusters(provider: Provider, *, only: Collection[str] | None = None) -> Iterator[dict[str, Cluster]]:
    """Connect to every site's API, or to those of some sites only (nothing is sent yet).

    A site whose token, or whose address, cannot be used is there as well, as an
    :class:`orchestrator.proxmox.UnusableCluster`: every call of it raises a ``ProxmoxError``, so it is one of the sites
    that cannot be read, and the others go on.
    """

    clusters: dict[str, Cluster] = {}
    try:
        for name, site in provider.sites.items():
            if only is not None and name not in only:
                continue
            clusters[name] = _connect_or_say_why(name, site)
        yield clusters
    finally:
        for cluster in clusters.values():
            cluster.close()
            for notice in cluster.bulk_reader.notices if cluster.bulk_reader else ():
                complain(notice)


def _connect_or_say_why(name: str, site: Site) -> Cluster:
    from orchestrator.proxmox import UnusableCluster
    from orchestrator.sites.secrets import SecretUnavailable, resolve

    try:
        return connect(name, site, resolve(site.api.token_secret))
    except SecretUnavailable as error:
        reason = f"the API token could not be read: {error}"
    except ValueError as error:
        reason = str(error)
    return UnusableCluster(site=name, url=site.api.url, token_id=site.api.token_id, reason=reason)


def check_selection(chosen: Selection, desired: tuple[DesiredMachine, ...]) -> None:
    """End with an error if a selection names a client that no file has."""
    clients = sorted({machine.client for machine in desired})
    if chosen.client is not None and chosen.client not in clients:
        fail(f"no file has a client {chosen.client}: there are {', '.join(clients) or 'none'}")


def operator() -> str:
    """Who runs this: the person behind sudo, or the account; its number if it has no name here."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's account that /etc/passwd does not have
        name = f"uid {os.getuid()}"
    return visible(name, longest=_LONGEST_NAME)


def state_directory() -> Path:
    """Where history and locks live: ``$XDG_STATE_HOME/orchestrator`` or ``~/.local/state/orchestrator``.

    Ends with an error if the account has no home.
    """
    home = os.environ.get("XDG_STATE_HOME")
    if home:
        return Path(home) / "orchestrator"
    try:
        return Path.home() / ".local" / "state" / "orchestrator"
    except RuntimeError:
        fail(
            "the folder for the history and the locks is unknown, for this account has no home: set XDG_STATE_HOME to "
            "a folder of its own"
        )


def interactive() -> bool:
    """Whether a person can answer a question."""
    return sys.stdin.isatty()


def open_desired(paths: list[Path] | None, provider: Provider) -> tuple[DesiredMachine, ...]:
    """Read the clients' files and compute what they ask for."""
    from orchestrator.resources.desired import desired_machines

    return desired_machines(open_subscriptions(paths, provider), provider)


def provider_name(provider: Provider) -> str:
    """A name for the set of sites, by the addresses of their APIs: for saved plans, and the list of host keys."""
    import hashlib

    urls = sorted(site.api.url for site in provider.sites.values())
    return hashlib.sha256("\n".join(urls).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that changes something: what all its steps share.

    Attributes:
        clusters: the API of each site.
        locks: none taken yet.
        stopping: whether somebody asked for its end.
        signals: hears Ctrl-C; told when the changes begin.
    """

    clusters: dict[str, Cluster]
    locks: RunLocks
    stopping: Stopping
    signals: Signals

    def begin(self) -> None:
        """From here on things are changed: Ctrl-C ends the run in order, and no longer at once."""
        self.signals.begin()

    def end(self) -> None:
        """End the command with the exit code of an interrupted one, if somebody asked for its end."""
        from orchestrator.interruption import EXIT_CODE

        if self.stopping.asked:
            raise typer.Exit(EXIT_CODE)


@contextmanager
def open_run(provider: Provider, what: str = "", *, only: Collection[str] | None = None) -> Iterator[Run]:
    """Open a run that changes something at every site, or at some only. Its locks go when it ends.

    What it stumbles over ends the command with a message: a lock that somebody has, a freeze, an interruption.

    Args:
        provider: the sites.
        what: what the run does, for others who want the same locks.
        only: these sites.
    """
    from orchestrator.applying.lock import Held, LocksUnavailable, RunLocks
    from orchestrator.applying.lock_note import holder_text
    from orchestrator.applying.stopping import Signals, Stopping
    from orchestrator.applying.vm import Stopped
    from orchestrator.interruption import EXIT_CODE

    stopping = Stopping()
    holder = holder_text(operator(), dt.datetime.now(dt.UTC), what)
    try:
        with (
            Signals(stopping, _tell_interrupted) as signals,
            open_clusters(provider, only=only) as clusters,
            RunLocks(clusters, holder, tell=complain) as locks,
        ):
            for site, cluster in clusters.items():
                cluster.leaves_task = stopping.leaves_task
                cluster.before_write = locks.fence(site)
            try:
                yield Run(clusters=clusters, locks=locks, stopping=stopping, signals=signals)
            except (Held, LocksUnavailable, Stopped) as error:
                fail(str(error))
    except typer.Exit as ended:
        raise typer.Exit(EXIT_CODE if ended.exit_code and stopping.asked else ended.exit_code) from None


def _tell_interrupted(running: list[str]) -> None:
    from orchestrator.applying.stopping import LEAVE_SECONDS

    waited = (
        f" Waiting up to {LEAVE_SECONDS:.0f} s for what runs, then it goes on in Proxmox alone: "
        f"{', '.join(sorted(running))}."
        if running
        else ""
    )
    complain(f"interrupted: nothing new is begun.{waited} Interrupt again to end at once.")


def run_name(moment: dt.datetime) -> str:
    """Name a run by its time: ``20261123T080000.000000Z``."""
    return f"{moment.astimezone(dt.UTC):%Y%m%dT%H%M%S.%fZ}"


def journal(
    history: History,
    why: str,
    show: Callable[[str, str, str], None],
    clusters: Mapping[str, Cluster],
    *,
    known: Collection[str] = (),
    run: Run | None = None,
) -> Journal:
    """A journal of a run of its own.

    Args:
        history: where entries go.
        why: the reason that the history keeps.
        show: called with client, machine and text when a step begins.
        clusters: the API of the sites that it changes: a freeze there stops it.
        known: sites that were read just now, and not frozen.
        run: the run, if it has locks: without them it goes no further, nor after an interruption.
    """
    from orchestrator.applying.freezing import FreezeWatch
    from orchestrator.applying.journal import Journal
    from orchestrator.applying.stopping import Stopping

    watch = FreezeWatch(clusters, known=known, look=run.locks.look if run else None)

    def gate(site: str) -> None:
        if run is not None:
            run.locks.check(site)
        watch(site)

    return Journal(
        history=history,
        who=operator(),
        why=why,
        run=run_name(dt.datetime.now(dt.UTC)),
        show=show,
        gate=gate,
        stopping=run.stopping if run else Stopping(),
    )


def open_history(path: str | None) -> History:
    """Open the history: the given one, or the one in the state directory."""
    from orchestrator.history import HistoryUnavailable
    from orchestrator.history import open_history as opened

    try:
        return opened(path or state_directory() / "history.db")
    except HistoryUnavailable as error:
        fail(str(error))


def replace_file(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file whole or not at all: somebody may be reading the earlier one.

    Args:
        path: where; its folder is made.
        text: what.
        mode: who may read it; by default as the account's umask has it.

    Raises:
        OSError: it could not be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        # A full disk is noticed where no name is known any more.
        raise OSError(error.errno, error.strerror, str(error.filename or path)) from error


def home_path(path: str | Path) -> Path:
    """A path whose ``~`` is the account's home. Ends with an error if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        fail(f"{path}: this computer knows no home for ~: write the whole path")


def ssh_settings(provider: Provider) -> SshSettings:
    """How the provider reaches guests; ends with an error if its key is not there."""
    from orchestrator.guests import SshSettings

    management = provider.management
    key = home_path(management.ssh_private_key)
    if not key.is_file():
        fail(
            f"the provider's SSH key {key} does not exist: correct management.ssh_private_key in the sites' file"
        )
    return SshSettings(private_key=key, proxy_command=management.ssh_proxy_command)
