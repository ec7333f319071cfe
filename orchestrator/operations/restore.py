"""Restoring an archive: beside the machine that it was made of, or into it (article 3.5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.applying.in_place import (
    Exchange,
    interrupted_copy,
    pull_the_plug,
    start_and_wait,
    switch_off,
)
from orchestrator.applying.restoring import (
    Copy,
    cannot_restore,
    choose_node,
    config_of,
    remove_copy,
    restore_copy,
)
from orchestrator.applying.rollback import forget_guest, refresh_guest, remember_guest
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.errors import RequestRefused, about
from orchestrator.operations.backup_on_demand import archives_at, choose
from orchestrator.operations.client_file import UNKNOWN_WISH, wanted_as_known
from orchestrator.operations.inputs import ssh_settings
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import Found, MachineRequest, find_machine, vm_of
from orchestrator.operations.run import SILENT, Events, Run, open_run
from orchestrator.proxmox import ProxmoxError, parse_disk
from orchestrator.resources.copies import CopyMark
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.machine_archives import Archive
from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class BesideRequest(MachineRequest):
    """An archive to restore beside its original.

    Attributes:
        name: of the new VM.
        volid: the archive; None: the newest good one.
    """

    name: str
    volid: str | None = None


@dataclass(frozen=True, kw_only=True)
class InPlaceRequest(MachineRequest):
    """An archive to restore into its original.

    Attributes:
        volid: the archive; None: the newest good one, or that of an interrupted restore.
        files: subscription files or folders: what the machine's firewall is to be.
        lenient: no sound file need have it: then its firewall is that of the archive's day.
        boot_seconds: how long the restored machine may take to boot.
    """

    volid: str | None = None
    files: tuple[Path, ...] = ()
    lenient: bool = False
    boot_seconds: float = 600.0


def beside(request: BesideRequest, events: Events = SILENT) -> Copy:
    """Restore an archive beside the original: stopped, unplugged, with an identity of its own.

    Raises:
        OrchestratorError: it could not be done.
    """
    provider = open_provider(request.inventory)
    with (
        open_run(provider, "a restore", history=request.history, events=events) as run,
        about(request.target),
    ):
        found, chosen = _chosen(run, provider, request, request.volid)
        if any(vm.name == request.name for vm in found.site.state.vms):
            raise RequestRefused(
                f"a VM at {found.machine.site} is called {request.name} already: choose another name"
            )
        storage = provider.sites[found.machine.site].storage
        node, reasons = choose_node(found.site.state, storage, chosen.stored.storage, chosen.stored.node)
        if node is None:
            raise RequestRefused(
                f"no online node reaches both {storage} and {chosen.stored.storage}: {reasons}"
            )
        vm = vm_of(found, run, request.reason)
        mark = CopyMark(
            purpose="restored",
            client=found.mark.client,
            machine=found.mark.machine,
            volid=chosen.stored.volid,
            made_at=dt.datetime.now(dt.UTC),
        )
        run.begin()
        # Left half done it would have the original's network.
        with run.stopping.finishing(f"{request.target}: restore as {request.name}"):
            copy = restore_copy(
                found.cluster,
                vm.journal,
                chosen,
                mark,
                node=node,
                storage=storage,
                name=request.name,
                unique=True,
            )
        for name in _not_in(copy, found):
            events.notice(f"the disk {name} is not in the archive: {_WHY_NOT}; the copy does not have it")
        return copy


def in_place(request: InPlaceRequest, agree: Callable[[Archive], bool], events: Events = SILENT) -> None:
    """Give a machine the disks of an archive; its own are kept until it has booted.

    Args:
        request: which.
        agree: asked before anything is changed, unless an interrupted restore is gone on with.
        events: who is told what.

    Raises:
        OrchestratorError: it could not be done, nobody agreed, or the guest is not as it should be; the text says what
            the machine is like now.
    """
    provider = open_provider(request.inventory)
    desired = wanted_as_known(
        request.target, request.files, provider, events.problems, lenient=request.lenient
    )
    with (
        open_run(provider, "a restore", history=request.history, events=events) as run,
        about(request.target),
    ):
        found, chosen = _chosen(run, provider, request, request.volid)
        into = _InPlace(
            request=request,
            found=found,
            vm=vm_of(found, run, request.reason),
            provider=provider,
            events=events,
            run=run,
        )
        copy = into.restored(chosen, agree)
        with run.stopping.finishing(f"{request.target}: exchange of disks"):
            into.exchange(copy)
            if desired is None:
                raise Stopped(f"{request.target} is restored and runs: {UNKNOWN_WISH}")
            again = find_machine(request.target, run.clusters)
            into.refresh(again, desired)


def left_out(found: Found) -> list[str]:
    """The disks of a machine that its backups do not hold, by their names in the file."""
    slots = found.machine.config.current
    return [
        name
        for name, slot in sorted(found.mark.slots.items())
        if slot in slots and parse_disk(slots[slot]).left_out
    ]


_WHY_NOT = "it was left out of the backup (art. 3.5), or added later"
_OWN_DISKS_SECONDS = 600.0
"""How long a machine that has its own disks back may take to boot, however short the time for the restored ones."""


def _not_in(copy: Copy, found: Found) -> list[str]:
    """The disks of a machine that an archive did not hold, by their names in the file: what was restored tells.

    What its file leaves out today says nothing of an archive that was made before that.
    """
    restored = config_of(copy.cluster, copy.node, copy.vmid)
    has = restored[1] if restored else {}
    own = found.machine.config.current
    return [name for name, slot in sorted(found.mark.slots.items()) if slot in own and slot not in has]


def _chosen(
    run: Run, provider: Provider, request: MachineRequest, volid: str | None
) -> tuple[Found, Archive]:
    run.locks.clients([request.client])
    found = find_machine(request.target, run.clusters)
    return found, choose(request.target, found, archives_at(found, provider), volid)


@dataclass(frozen=True, kw_only=True)
class _InPlace:
    """One restore into the original."""

    request: InPlaceRequest
    found: Found
    vm: Vm
    provider: Provider
    events: Events
    run: Run

    def restored(self, chosen: Archive, agree: Callable[[Archive], bool]) -> Copy:
        """Restore into a copy, or find that of a restore that was interrupted; the machine itself is as it was."""
        target = self.request.target
        if self.found.machine.snapshots:
            names = ", ".join(snapshot.name for snapshot in self.found.machine.snapshots)
            raise RequestRefused(
                f"{target} has snapshots ({names}), and their disks cannot leave it: remove them first "
                "(orchestrator snapshot delete), or restore beside it (--as NAME)"
            )
        copy = interrupted_copy(self.vm, self.found.site.state.vms)
        if copy is None:
            self._assure_readable(chosen)
            for name in left_out(self.found):
                self.events.notice(
                    f"the disk {name} is left out of the backup, as its file says (art. 3.5): it keeps what it "
                    "holds now, which may be newer than the restored disks"
                )
            if not agree(chosen):
                raise RequestRefused("not confirmed, nothing was changed")
            self.run.begin()
            return self._restore(chosen)
        if self.request.volid is not None and copy.mark.volid != chosen.stored.volid:
            raise RequestRefused(
                f"a restore of {copy.mark.volid} into {target} was interrupted: finish it first (the same command "
                "without --archive)"
            )
        self.run.begin()
        self.run.progress.step(
            self.vm.client, self.vm.machine, f"going on with the interrupted restore of {copy.mark.volid}"
        )
        return copy

    def exchange(self, copy: Copy) -> None:
        """Exchange the disks, boot, and only then erase the replaced ones."""
        switch_off(self.vm)
        delivered = self.vm.cluster.get(f"{copy.path}/config").get("sshkeys")
        exchange = Exchange(vm=self.vm, copy=copy)
        exchange.swap()
        forget_guest(self.vm, delivered=delivered)
        self._boot(exchange, copy)

    def refresh(self, again: Found, desired: DesiredMachine) -> None:
        """Load the firewall that the file asks for: the disks brought that of their time. Set the clock."""
        problem = refresh_guest(
            self.vm,
            desired,
            again.machine,
            again.site,
            ssh_settings(self.provider),
            boot_seconds=self.request.boot_seconds,
        )
        if desired.power == "stopped":
            switch_off(self.vm)
        if problem:
            raise Stopped(
                f"{self.request.target} is restored and runs, but its guest is not as it should be: {problem}"
            )

    def _assure_readable(self, chosen: Archive) -> None:
        """Refuse an archive that the machine's node cannot restore: disks change hands on one node only."""
        node, stored = self.vm.node, chosen.stored
        storage = self.provider.sites[self.found.machine.site].storage
        reason = cannot_restore(self.found.site.state, node, storage, stored.storage, stored.node)
        if reason:
            raise RequestRefused(
                f"{stored.volid} cannot be restored on {node}, where {self.request.target} is: {reason}: restore it "
                "beside the machine (--as NAME), choose another archive, or migrate the machine to a node that can "
                "read it"
            )

    def _restore(self, chosen: Archive) -> Copy:
        mark = CopyMark(
            purpose="in-place",
            client=self.found.mark.client,
            machine=self.found.mark.machine,
            volid=chosen.stored.volid,
            made_at=dt.datetime.now(dt.UTC),
            boot=self.found.machine.config.effective("boot"),
        )
        copy = restore_copy(
            self.vm.cluster,
            self.vm.journal,
            chosen,
            mark,
            node=self.vm.node,  # disks change hands on one node only
            storage=self.provider.sites[self.found.machine.site].storage,
            name=f"restore-{self.found.mark.machine}"[:63].rstrip("-"),
            unique=False,
        )
        for name in sorted(set(_not_in(copy, self.found)) - set(left_out(self.found))):
            self.events.notice(
                f"the disk {name} is not in the archive: {_WHY_NOT}; it keeps what it holds now, which may be newer "
                "than the restored disks"
            )
        return copy

    def _boot(self, exchange: Exchange, copy: Copy) -> None:
        """Start the restored machine; if it does not boot, its own disks go back."""
        seconds = self.request.boot_seconds
        try:
            start_and_wait(self.vm, boot_seconds=seconds)
        except (Stopped, ProxmoxError) as error:  # not a history that is away: the machine may have booted
            if not exchange.kept:
                raise Stopped(
                    f"{error}; its own disks wait in VM {copy.vmid} on {copy.node} (unused0, …): look at its console"
                ) from error
            pull_the_plug(self.vm)
            exchange.swap_back()
            remember_guest(self.vm, self.found.mark)
            start_and_wait(self.vm, boot_seconds=max(seconds, _OWN_DISKS_SECONDS))
            remove_copy(copy)
            raise Stopped(
                f"the restored machine: {error}. Its own disks are back, and it runs again"
            ) from error
        remove_copy(copy)
