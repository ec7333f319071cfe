"""What somebody at three in the morning has to know of one machine, as far as it can be read.

Every part is read for itself: one that cannot be read is named, and the rest is shown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestrator.applying.restoring import config_of
from orchestrator.errors import OrchestratorError, Reason, RequestRefused
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.history.renames import Renames
from orchestrator.operations.client_file import FileSays, file_says
from orchestrator.operations.fail_over import Replica, newest_replica, on_lost_node
from orchestrator.operations.inputs import selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.lost_machine import lost_archives
from orchestrator.operations.lost_mark import LostMark, lost_marks
from orchestrator.operations.named_machine import Found, as_it_is_now
from orchestrator.operations.names_seen import remember_sites
from orchestrator.operations.put_aside import superseded
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history
from orchestrator.planning.machine import waits_for_start
from orchestrator.proxmox import parse_upid, ping_agent, read_redundancy
from orchestrator.proxmox.serial_console import listen
from orchestrator.resources.attributes import BY_NAME
from orchestrator.resources.copies import COPY_TAG, read_copy_mark
from orchestrator.resources.privileges import may_look
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.resources.tags import pool_of

if TYPE_CHECKING:
    from orchestrator.history import Entry
    from orchestrator.proxmox import Cluster, ReplicationJob
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.unreadable import Unreadable
    from orchestrator.sites.model import Provider

T = TypeVar("T")

_ENTRIES = 8
_CONSOLE_SECONDS = 2.0
_CONSOLE_LINES = 12
_CONSOLE_TASK = "vncproxy"
"""Somebody looks at the machine, which holds no lock and changes nothing."""


@dataclass(frozen=True, kw_only=True)
class HeardConsole:
    """What the machine's serial console printed while it was listened to.

    Attributes:
        lines: the last of them, as the guest wrote them.
        why: why there are none, human-readable; empty if there are some.
    """

    lines: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class RunningTask:
    """A task of Proxmox that is at work on the machine.

    Attributes:
        since: when it began (aware).
        user: who asked for it.
    """

    upid: str
    kind: str
    since: dt.datetime
    user: str


@dataclass(frozen=True, kw_only=True)
class LostNode:
    """The node of a machine, which is off by its cluster's word, and the replica of the machine elsewhere.

    Attributes:
        replica: the newest whole one; None if the machine cannot be started from one.
        why: why it cannot, human-readable; empty if it can.
    """

    site: str
    node: str
    vmid: int
    replica: Replica | None = None
    why: Reason = ""


@dataclass(frozen=True, kw_only=True)
class RescueState:
    """One machine, and what there is to bring it back with.

    Attributes:
        target: ``CLIENT/MACHINE``.
        now: when it was read (aware).
        found: the machine; None if no site that could be read has one that is surely it.
        says: its file.
        answers: whether its guest agent answers; None: it does not run, has none, or nobody knows.
        console: what its console printed; None if it does not run, or was not listened to.
        waiting: settings that wait for its next start.
        tasks: at work on it; None if that is not known.
        archives: all of it, at every site that sees some, the oldest first; at its own site if it exists.
        replicas: its disks are sent there.
        entries: the last of its history, the latest first.
        seeming: what could not be read, or is not surely ours, and seems to be it.
        lost_marks: VMs that seem to be it without its mark.
        half_restored: the archive of a restore into it that was interrupted; empty if there was none.
        lost_node: where it is, if that node is off; None if it is not.
        old: what was it before it was restored at another site.
        away: sites that could not be read: it may be there.
        unread: sites and parts that could not be read, and why.
    """

    target: str
    now: dt.datetime
    found: Found | None
    says: FileSays
    answers: bool | None = None
    console: HeardConsole | None = None
    waiting: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[RunningTask, ...] | None = None
    archives: tuple[Archive, ...] = ()
    replicas: tuple[ReplicationJob, ...] = ()
    entries: tuple[Entry, ...] = ()
    seeming: tuple[Unreadable, ...] = ()
    lost_marks: tuple[LostMark, ...] = ()
    half_restored: str = ""
    lost_node: LostNode | None = None
    old: tuple[Unreadable, ...] = ()
    away: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether nothing is known of a machine of this name."""
        return not (self.found or self.archives or self.seeming or self.lost_marks or self.entries)

    @property
    def running(self) -> bool:
        """Whether the machine runs."""
        return self.found is not None and self.found.machine.running

    @property
    def stale_lock(self) -> bool:
        """Whether a lock holds the machine that no task of its node explains."""
        return bool(self.found and self.found.machine.summary.lock and self.tasks == ())


def rescue_state(
    target: str,
    inventory: str | None,
    history: str | None,
    files: tuple[Path, ...] = (),
    events: Events = SILENT,
    *,
    console: bool = True,
) -> RescueState:
    """Read everything that there is of a machine. Changes nothing.

    Args:
        target: ``CLIENT/MACHINE``.
        inventory: where the site file is.
        history: a file or URL; None: the usual one.
        files: subscription files or folders.
        events: who is told what.
        console: whether its console is listened to, which takes two seconds.

    Raises:
        OrchestratorError: the site file cannot be used, or no machine was named.
    """
    provider = open_provider(inventory)
    chosen = selection(target)
    if chosen.client is None or chosen.machine is None:
        raise RequestRefused(f"name one machine, CLIENT/MACHINE, not {target!r}")
    says = file_says(target, files, provider)
    with open_clusters(provider, notice=events.notice) as clusters:
        read = observe_sites(clusters, Asked(selection=chosen, snapshots=True))
        remember_sites(read.observed.values(), snapshots_of=target)
        reader = _Reader(target, provider, clusters, read.observed, says)
        reader.unread += [f"{site}: {why}" for site, why in read.failures.items()]
        return replace(reader.read(history, console=console), away=tuple(sorted(read.failures)))


class _Reader:
    """Reads the parts, one after the other."""

    def __init__(
        self,
        target: str,
        provider: Provider,
        clusters: Mapping[str, Cluster],
        sites: Mapping[str, ObservedSite],
        says: FileSays,
    ) -> None:
        self._target = target
        self._client, _, self._machine = target.partition("/")
        self._provider = provider
        self._clusters = clusters
        self._sites = sites
        self._says = says
        self._now = dt.datetime.now(dt.UTC)
        self._renames = Renames()
        self.unread: list[str] = []

    def read(self, history: str | None, *, console: bool) -> RescueState:
        """Read every part."""
        found = self._found()
        if found is not None:
            listed = found
            found = self._tried("the state of its VM", lambda: as_it_is_now(listed), listed)
        entries = self._entries(history)
        archives = [
            archive
            for site in ([found.machine.site] if found else sorted(self._sites))
            for archive in self._archives(site)
        ]
        none: list[LostMark] = []
        lost = self._tried("the notes", self._lost_marks, none) if found is None else none
        return RescueState(
            target=self._target,
            now=self._now,
            found=found,
            says=self._says,
            answers=self._tried("the guest agent", lambda: _answers(found), None),
            console=_console(found) if console else None,
            waiting=self._waiting(found),
            tasks=self._tried("the running tasks", lambda: _tasks(found), None),
            archives=tuple(sorted(archives, key=lambda archive: archive.taken_at)),
            replicas=self._tried("the replicas", lambda: _replicas(found), ()),
            entries=entries,
            seeming=self._seeming(),
            lost_marks=tuple(lost),
            half_restored=self._tried("the copies", lambda: self._half_restored(found), ""),
            lost_node=self._lost_node() if found is None else None,
            old=superseded(self._target, self._sites),
            unread=tuple(self.unread),
        )

    def _tried(self, what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except OrchestratorError as error:
            self.unread.append(f"{what}: {error}")
            return otherwise

    def _found(self) -> Found | None:
        for site, observed in self._sites.items():
            for machine in observed.machines:
                if machine.mark and (machine.mark.client, machine.mark.machine) == (
                    self._client,
                    self._machine,
                ):
                    return Found(
                        machine=machine, mark=machine.mark, cluster=self._clusters[site], site=observed
                    )
        return None

    def _entries(self, history: str | None) -> tuple[Entry, ...]:
        try:
            with open_history(history, create=False) as opened:
                self._renames = opened.renames()
                return tuple(opened.entries(client=self._client, machine=self._machine, limit=_ENTRIES))
        except HistoryUnavailable as error:
            self.unread.append(f"the history, without which nothing is changed: {error}")
            return ()

    def _archives(self, site: str) -> tuple[Archive, ...]:
        read = self._tried(
            f"the archives at {site}",
            lambda: lost_archives(
                self._target, self._clusters[site], self._sites[site], self._provider, self._renames
            ),
            None,
        )
        if read is None:
            return ()
        self.unread += [f"{site}: {name}: {why}" for name, why in read.unread.items()]
        return read.owned

    def _lost_marks(self) -> list[LostMark]:
        return lost_marks(
            self._target, self._sites, self._clusters, self._provider, self._says, self._renames
        )

    def _lost_node(self) -> LostNode | None:
        """What a machine whose node is off can be started from: a node that is left is asked by SSH."""
        lost = on_lost_node(self._target, self._sites.values())
        if lost is None:
            return None
        item, site = lost
        assert item.node is not None and item.vmid is not None  # noqa: S101  (it is a VM)
        place = LostNode(site=item.site, node=item.node, vmid=item.vmid)
        try:
            cluster = self._clusters[item.site]
            replica = newest_replica(self._target, item, site, cluster, self._provider, self._says)
        except OrchestratorError as error:
            return replace(place, why=str(error))
        return replace(place, replica=replica)

    def _half_restored(self, found: Found | None) -> str:
        """One call for each copy in the client's pool."""
        if found is None:
            return ""
        for vm in found.site.state.vms:
            if COPY_TAG in vm.tags and vm.pool == pool_of(self._client) and vm.node not in found.site.silent:
                seen = config_of(found.cluster, vm.node, vm.vmid)
                mark = read_copy_mark(str(seen[1].get("description") or "")) if seen else None
                if mark and mark.purpose == "in-place" and mark.machine == self._machine:
                    return mark.volid
        return ""

    def _waiting(self, found: Found | None) -> Mapping[str, str]:
        if found is None:
            return {}
        waiting = waits_for_start(found.machine, found.mark, self._now)
        return {"cloud-init": "its settings"} if waiting == {} else waiting or {}

    def _seeming(self) -> tuple[Unreadable, ...]:
        return tuple(
            item
            for site in self._sites.values()
            for item in site.unreadable
            if self._client in (item.client, item.also) and item.machine in (None, self._machine)
        )


def _answers(found: Found | None) -> bool | None:
    if found is None or not found.machine.running:
        return None
    if not BY_NAME["guest agent"].read(found.machine.config):
        return None
    return ping_agent(found.cluster, found.machine.summary.node, found.machine.summary.vmid)


def _console(found: Found | None) -> HeardConsole | None:
    """Listen to the console of a machine that runs, for some seconds."""
    if found is None or not found.machine.running:
        return None
    if not found.machine.config.effective("serial0"):
        return HeardConsole(why="it has no serial port")
    if not may_look(found.site.state.held):
        return HeardConsole(why="the API token lacks VM.Console")
    summary = found.machine.summary
    try:
        lines = listen(
            found.cluster, summary.node, summary.vmid, seconds=_CONSOLE_SECONDS, lines=_CONSOLE_LINES
        )
    except OrchestratorError as error:
        return HeardConsole(why=str(error))
    return HeardConsole(lines=lines, why="" if lines else f"it printed nothing for {_CONSOLE_SECONDS:.0f} s")


def _tasks(found: Found | None) -> tuple[RunningTask, ...]:
    """The tasks at work on a machine: one call."""
    if found is None:
        return ()
    summary = found.machine.summary
    listed = found.cluster.get(f"/nodes/{summary.node}/tasks", source="active", vmid=summary.vmid)
    active = [task for entry in listed if not entry.get("endtime") and (task := parse_upid(entry["upid"]))]
    running = [task for task in active if task.kind != _CONSOLE_TASK]
    return tuple(
        RunningTask(
            upid=task.text,
            kind=task.kind,
            since=dt.datetime.fromtimestamp(task.started, dt.UTC),
            user=task.user,
        )
        for task in running
        if task.subject == str(summary.vmid)
    )


def _replicas(found: Found | None) -> tuple[ReplicationJob, ...]:
    if found is None or not found.mark.redundant:
        return ()
    return read_redundancy(found.cluster, found.site.state.version).jobs_of(found.machine.summary.vmid)
