"""Restoring a machine that does not exist any more, at its site or at another one (articles 3.5 and 10)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.recreating import Recreation, preferred_number, recreate_machine
from orchestrator.applying.restarting import await_guest, bring_up
from orchestrator.applying.restoring import choose_node
from orchestrator.applying.rollback import refresh_guest
from orchestrator.contract.life import ContractLife
from orchestrator.errors import OrchestratorError, RequestRefused, about
from orchestrator.nightly.contract_ends import erased_contracts, notices
from orchestrator.nightly.restore_testing import last_sound_test
from orchestrator.operations.client_file import FileSays, at_site, file_says
from orchestrator.operations.inputs import ssh_settings
from orchestrator.operations.inventory import open_provider, site_of
from orchestrator.operations.lost_machine import LostArchives, lost_archives, read_lost, refuse_twins
from orchestrator.operations.named_machine import MachineRequest, find_machine, vm_of
from orchestrator.operations.run import SILENT, Events, Run, open_run
from orchestrator.planning.recreation import (
    Ended,
    called_today,
    lost_disks,
    mark_inside,
    may_come_back,
    restored_mark,
)
from orchestrator.planning.recreation_place import PlaceChoice
from orchestrator.proxmox import VmConfig
from orchestrator.proxmox.archived_configuration import read_archived
from orchestrator.resources.attributes import BY_NAME
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.register import with_register
from orchestrator.resources.static_addresses import addresses_in

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.resources.survey import SitesRead
    from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class RecreateRequest(MachineRequest):
    """A machine to restore that no site has any more.

    Attributes:
        volid: the archive; None: the newest good one.
        files: subscription files or folders. A machine that no sound file has comes back as it was.
        site: where; None: where its file, or else the history, says.
        network: of that site; None: the file's, or the one of the same name.
        address: IPv4, at that site; None: the one that it had if that can be, else a free one.
        lost_sites: sites that do not answer, and that the machine is not to run at again.
        start: whether it is started, if its file and its contract say so.
        boot_seconds: how long its guest may take to answer.
    """

    volid: str | None = None
    files: tuple[Path, ...] = ()
    site: str | None = None
    network: str | None = None
    address: str | None = None
    lost_sites: tuple[str, ...] = ()
    start: bool = True
    boot_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What is about to be done.

    Attributes:
        archive: what the machine is made of.
        site, node: where.
        number: the one that it gets if nobody takes it first; None: a free one.
        address: that it has afterwards; None: none that Proxmox knows of.
        starts: whether it is started.
        remarks: what else somebody should know before, human-readable.
    """

    archive: Archive
    site: str
    node: str
    number: int | None
    address: IPv4Address | None
    starts: bool
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recreated:
    """A machine that was restored.

    Attributes:
        running: whether it runs.
        problem: what is not as it should be; None if all is well.
    """

    site: str
    node: str
    vmid: int
    running: bool
    problem: str | None = None


def recreate(
    request: RecreateRequest, agree: Callable[[Proposal], bool], events: Events = SILENT
) -> Recreated | None:
    """Restore a machine that no site has any more, with its number, its mark, its pool and its address.

    Args:
        request: which.
        agree: asked before anything is changed.
        events: who is told what.

    Returns:
        What there is now; None if nobody agreed.

    Raises:
        OrchestratorError: it may not, or could not be done.
    """
    provider = open_provider(request.inventory)
    says = file_says(request.target, request.files, provider)
    with (
        open_run(provider, "a restore", history=request.history, events=events) as run,
        about(request.target),
    ):
        run.locks.clients([request.client])
        read = read_lost(request.target, run.clusters, request.lost_sites)
        found = _Found.of(request, says, run, read, provider)
        if not agree(found.proposal):
            return None
        run.begin()
        with run.stopping.finishing(f"{request.target}: restore"):
            return found.carried_out()


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A machine that may be restored, and everything that was found out about it."""

    request: RecreateRequest
    run: Run
    provider: Provider
    observed: ObservedSite
    archives: LostArchives
    wanted: Recreation
    desired: DesiredMachine | None
    proposal: Proposal

    @classmethod
    def of(
        cls, request: RecreateRequest, says: FileSays, run: Run, read: SitesRead, provider: Provider
    ) -> _Found:
        """Choose site, archive, node and address.

        Raises:
            OrchestratorError: the machine may not come back, or cannot.
        """
        now = dt.datetime.now(dt.UTC)
        home = _home(request, says, run.history)
        site = _site(request, says, home, read, provider)
        cluster, observed = run.clusters[site], read.observed[site]
        if observed.state.frozen:
            raise Frozen(site, observed.state.frozen)
        archives = lost_archives(request.target, cluster, observed, provider, run.history.renames())
        archive = archives.choose(request.target, request.volid)
        inside = read_archived(cluster, archive.stored)
        before = called_today(mark_inside(archive, inside), archives.names)
        refuse_twins(inside, archive, read.observed.values())
        may_come_back(before, says.life, _ended(run.history, request.client), now)
        node, reasons = choose_node(
            observed.state, provider.sites[site].storage, archive.stored.storage, archive.stored.node
        )
        if node is None:
            raise RequestRefused(
                f"no online node reaches both {provider.sites[site].storage} and {archive.stored.storage}: {reasons}"
            )
        desired, why = (says.machine, says.problem) if home == site else at_site(says, site, provider)
        if desired is not None and desired.site != site:
            desired, why = at_site(says, site, provider)
        observed = with_register(cluster, observed)
        place = PlaceChoice(
            site=provider.sites[site],
            observed=observed,
            desired=desired,
            mark=before,
            inside=inside,
            elsewhere=home != site,
            network=request.network,
            address=request.address,
        ).choose()
        elsewhere = tuple(sorted({*request.lost_sites, *([home] if home and home != site else [])}))
        mark = restored_mark(
            before,
            inside,
            archive.stored.vmid,
            says.life,
            now,
            tested=last_sound_test(archives.owned, before.tested),
            place=place,
            replaces=elsewhere,
        )
        power = desired.power if desired else before.power_left
        starts = request.start and power != "stopped" and not mark.retired and not _out(says.life, now)
        wanted = Recreation(
            archive=archive,
            inside=inside,
            mark=mark,
            node=node,
            storage=provider.sites[site].storage,
            number=preferred_number(cluster, observed, archive),
            place=place,
        )
        proposal = Proposal(
            archive=archive,
            site=site,
            node=node,
            number=wanted.number,
            address=place.address if place else next(iter(addresses_in(inside)), before.adopted),
            starts=starts,
            remarks=tuple(_remarks(says, why, site, before, inside, now)),
        )
        return cls(
            request=request,
            run=run,
            provider=provider,
            observed=observed,
            archives=archives,
            wanted=wanted,
            desired=desired,
            proposal=proposal,
        )

    def carried_out(self) -> Recreated:
        """Restore it, start it, and give its guest what its file asks for."""
        site, request, run = self.observed.site, self.request, self.run
        cluster = run.clusters[site]
        journal = run.journal(request.reason, known=[site])
        if self.wanted.place is not None:
            others = run.locks.addresses(site, [self.wanted.place.address])
            if holder := others.get(self.wanted.place.address):
                raise RequestRefused(
                    f"{self.wanted.place.address} is being given by {holder}: run the same command again"
                )
        vmid = recreate_machine(
            cluster, journal, self.observed, self.wanted, list(self.archives.owned), pause=run.stopping.pause
        )
        made = Recreated(site=site, node=self.wanted.node, vmid=vmid, running=False)
        if not self.proposal.starts:
            return made
        try:
            problem = self._started()
        except OrchestratorError as error:
            return replace(made, problem=f"it is restored, and not started: {error}")
        return replace(made, running=True, problem=problem)

    def _started(self) -> str | None:
        found = find_machine(self.request.target, self.run.clusters, snapshots=False)
        vm = vm_of(found, self.run, self.request.reason)
        bring_up(vm, managed=found.machine.summary.ha)
        agent = bool(BY_NAME["guest agent"].read(found.machine.config))
        if problem := await_guest(vm, agent=agent, boot_seconds=self.request.boot_seconds):
            return problem
        if self.desired is None:
            return None
        again = find_machine(self.request.target, self.run.clusters, snapshots=False)
        return refresh_guest(
            vm,
            self.desired,
            again.machine,
            again.site,
            ssh_settings(self.provider),
            boot_seconds=self.request.boot_seconds,
        )


def _home(request: RecreateRequest, says: FileSays, history: History) -> str | None:
    """Where the machine was; None if nothing tells."""
    entries = history.entries(client=request.client, machine=request.target.partition("/")[2], limit=50)
    last = next(
        (entry.site for entry in entries if entry.result == "ok" and entry.site not in ("", "*")), None
    )
    return last or (says.machine.site if says.machine else None)


def _site(
    request: RecreateRequest, says: FileSays, home: str | None, read: SitesRead, provider: Provider
) -> str:
    """Where it is to be."""
    named = says.machine.site if says.machine else home
    site = request.site or named
    if site is None:
        sites = list(provider.sites)
        if len(sites) > 1:
            raise RequestRefused(
                f"no file and no history says at which site it was: name one, --site {' or --site '.join(sites)}"
            )
        site = sites[0]
    site_of(provider, site)
    if site not in read.observed:
        raise RequestRefused(
            f"{site}, where it is to be restored, could not be read: {read.failures.get(site, '')}. Another site: "
            "--site NAME"
        )
    return site


def _ended(history: History, client: str) -> Ended:
    """What the history says of the ends of a client's contracts."""
    lives = tuple(
        ContractLife(reference=notice.reference, notice=notice.notice) for notice in notices(history, client)
    )
    return Ended(lives=lives, erased=tuple(erased_contracts(history, client)))


def _out(life: ContractLife | None, now: dt.datetime) -> bool:
    return bool(life and life.why(now))


def _remarks(
    says: FileSays, why: str, site: str, mark: Mark, inside: VmConfig, now: dt.datetime
) -> list[str]:
    found = [
        f"the disk {name} is not in the archive (art. 3.5): what it held is lost, and apply makes an empty one"
        for name in lost_disks(mark, inside)
    ]
    if why:
        found.append(f"it comes back as it was backed up, and nothing is set in its guest: {why}")
    if says.life and (reason := says.life.why(now)):
        found.append(f"it is not started: {reason}")
    if mark.retired:
        found.append(f"it was retired on {mark.retired}, and stays so")
    if says.subscription and says.subscription.contract.site != site:
        found.append(
            f"its file says site {says.subscription.contract.site}: write contract.site: {site}; until then plans "
            "refuse it"
        )
    return found
