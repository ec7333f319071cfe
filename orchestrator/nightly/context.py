"""What all steps of one night share."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.applying.archive_tasks import SILENCE_SECONDS
from orchestrator.applying.claims import Claims
from orchestrator.applying.vm import Named, Vm
from orchestrator.nightly.clocks import Clocks

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.contract.life import ContractLife
    from orchestrator.guests import SshSettings
    from orchestrator.nightly.bare_rule import BareRule
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import BackupCheck


class Tell(Protocol):
    """Told of every event of the night: for the progress, or for the log."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Take one event."""


def nobody_else(_clients: Collection[str]) -> AbstractContextManager[Mapping[str, str]]:
    """No other run is at work, for instance because nothing is changed."""
    return nullcontext({})


@dataclass(frozen=True, kw_only=True)
class Night:
    """One run of a night.

    Attributes:
        provider: the sites.
        desired: what the files ask for, by client and machine.
        file_problems: files that could not be used, in words: their clients' machines are cared for as last applied.
        everybody: whether the files are meant to be all there are: a folder of them was given.
        unusable_files: clients whose file could not be used.
        clusters: the API of each site of this run.
        journal: where steps are written down.
        clock: the time, aware.
        wall_clock: the time to be compared with the sites' clocks; ``clock`` if None. A dry run shows another time.
        clocks: what is known of the clocks: where they disagree nothing is removed.
        tell: told of every event.
        closes_at: when no new work is begun any more.
        ssh: how guests are reached; None: they are left alone.
        changing: held while clients' machines are changed: no other run changes them then. Gives who is changing
            the others, by client: those are to be left alone.
        claims: machines that a step works on: no other step touches them meanwhile.
        boot_seconds: how long a restored machine may take to boot.
        check_seconds: how long the check of its file may take in a restored machine, all its runs together.
        silence_seconds: how long a node may be away while its backup is waited for.
        tests_at_a_time: restore tests at a site at once.
        pause: waits that many seconds.
        certificates: until when the certificate of each site's API is good, as far as that could be seen.
        bare_rules: the alert rules that lack a procedure; none where the provider named no rules and procedures.
    """

    provider: Provider
    desired: Mapping[tuple[str, str], DesiredMachine]
    clusters: Mapping[str, Cluster]
    journal: Journal
    clock: Callable[[], dt.datetime]
    tell: Tell
    closes_at: dt.datetime
    wall_clock: Callable[[], dt.datetime] | None = None
    clocks: Clocks = field(default_factory=Clocks)
    file_problems: tuple[str, ...] = ()
    everybody: bool = True
    unusable_files: frozenset[str] = frozenset()
    ssh: SshSettings | None = None
    changing: Callable[[Collection[str]], AbstractContextManager[Mapping[str, str]]] = nobody_else
    claims: Claims = field(default_factory=Claims)
    boot_seconds: float = 600.0
    check_seconds: float = 180.0
    silence_seconds: float = SILENCE_SECONDS
    tests_at_a_time: int = 2
    pause: Callable[[float], None] = time.sleep
    certificates: Callable[[Collection[str]], Mapping[str, dt.datetime]] = lambda _sites: {}
    bare_rules: Callable[[], Iterable[BareRule]] = tuple

    @property
    def closed(self) -> bool:
        """Whether the window has closed, or somebody ended the night: what runs goes on, nothing new begins."""
        return self.journal.stopping.asked or self.clock() >= self.closes_at

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site of this run, also those that cannot be read."""
        return tuple(sorted(self.clusters))

    def look_at_clocks(self, sites: Collection[str]) -> list[str]:
        """Compare the clocks of sites with this computer's: one call a site. Return what is newly wrong."""
        chosen = {site: self.clusters[site] for site in sites if site in self.clusters}
        return self.clocks.look(chosen, self.wall_clock or self.clock)

    def site_clock(self, site: str) -> Callable[[], dt.datetime]:
        """The time at a site: its archives are dated by its own clock."""
        return lambda: self.clocks.at(site, self.clock())

    @cached_property
    def _clients(self) -> frozenset[str]:
        return frozenset(client for client, _ in self.desired)

    @cached_property
    def _renamed(self) -> frozenset[tuple[str, str]]:
        """Machines that files rename and that have their old names still: cared for as last applied."""
        return frozenset(key for machine in self.desired.values() for key in machine.former_keys)

    @cached_property
    def lives(self) -> Mapping[str, ContractLife]:
        """Where each client's contract stands, as far as its file could be used."""
        return {machine.client: machine.life for machine in self.desired.values()}

    def out_of_service(self, client: str, mark: Mark | None = None) -> bool:
        """Whether nothing is done for a client but keeping what there is: its contract is suspended, or has ended.

        Args:
            client: whose.
            mark: of one of its machines: it says so where the client's file cannot be used.
        """
        life = self.lives.get(client)
        if life is None:
            return mark is not None and mark.suspended is not None
        return bool(life.why(self.clock()))

    def has_left(self, mark: Mark) -> bool:
        """Whether a machine is no longer in its client's file. A missing file says nothing: it ends no contract."""
        return mark.client in self._clients and mark.key not in self.desired and mark.key not in self._renamed

    def backup_days(self, mark: Mark) -> int | None:
        """The retention in force for a machine of ours, calendar days; None if it gets no backup.

        The file's; where its client has no file that can be used, the one that was last applied: a mistake in a
        file, or a file that is not there, takes nobody's backup away.
        """
        desired = self.desired.get((mark.client, mark.machine))
        if desired is not None:
            return desired.backup_days
        return None if self.has_left(mark) else mark.backup_days

    def backup_copies(self, mark: Mark) -> int:
        """How many archives a night makes of a machine of ours (article 3.2): as :meth:`backup_days`."""
        desired = self.desired.get((mark.client, mark.machine))
        return desired.backup_copies if desired is not None else mark.backup_copies

    def backup_check(self, mark: Named) -> BackupCheck | None:
        """The command that a restored copy of a machine must run well; None if no file that can be used has one."""
        desired = self.desired.get((mark.client, mark.machine))
        return desired.backup_check if desired is not None else None

    def vm(self, machine: ObservedMachine, mark: Named) -> Vm:
        """A machine, as steps address it."""
        return Vm.of(self.clusters[machine.site], self.journal, machine, mark, pause=self.pause)
