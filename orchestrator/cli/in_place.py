"""``backup restore --in-place``: says what is lost, wants the name typed, and sees the exchange of disks through."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli import session
from orchestrator.cli.target import Found

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.applying.in_place import Exchange
    from orchestrator.applying.restoring import Copy
    from orchestrator.applying.vm import Vm
    from orchestrator.resources.backup import Archive
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """One restore into the original.

    Attributes:
        target: ``CLIENT/MACHINE``.
        boot_seconds: how long the restored machine may take to boot.
        begin: called before the first change.
    """

    target: str
    found: Found
    vm: Vm
    provider: Provider
    boot_seconds: float
    begin: Callable[[], None]

    def restored(self, chosen: Archive, *, given: bool, confirmed: str | None) -> Copy:
        """Restore into a copy; the machine itself is as it was.

        Args:
            chosen: the archive.
            given: whether it was named, and not just the newest one.
            confirmed: what was typed beforehand; None: ask.

        Returns:
            The copy, or that of a restore that was interrupted.

        Raises:
            Stopped, ProxmoxError: it could not be done.
        """
        from orchestrator.applying.in_place import interrupted_copy

        if self.found.machine.snapshots:
            names = ", ".join(snapshot.name for snapshot in self.found.machine.snapshots)
            session.fail(
                f"{self.target} has snapshots ({names}), and their disks cannot leave it: remove them first "
                "(orchestrator snapshot delete), or restore beside it (--as NAME)"
            )
        copy = interrupted_copy(self.vm, self.found.site.state.vms)
        if copy is None:
            self._assure_readable(chosen)
            self._confirm(chosen, confirmed)
            self.begin()
            return self._restore(chosen)
        if given and copy.mark.volid != chosen.stored.volid:
            session.fail(
                f"a restore of {copy.mark.volid} into {self.target} was interrupted: finish it first (the same "
                "command without --archive)"
            )
        session.console().print(f"going on with the interrupted restore of {copy.mark.volid}")
        self.begin()
        return copy

    def exchange(self, copy: Copy) -> None:
        """Exchange the disks, boot, and only then erase the replaced ones.

        Raises:
            Stopped, ProxmoxError: it could not be done; the text says what the machine is like now.
        """
        from orchestrator.applying.in_place import Exchange, switch_off
        from orchestrator.applying.rollback import forget_guest

        switch_off(self.vm)
        delivered = self.vm.cluster.get(f"{copy.path}/config").get("sshkeys")
        exchange = Exchange(vm=self.vm, copy=copy)
        exchange.swap()
        forget_guest(self.vm, delivered=delivered)
        self._boot(exchange, copy)

    def refresh(self, again: Found, desired: DesiredMachine) -> None:
        """Load the firewall that the file asks for: the disks brought that of their time. Set the clock."""
        from orchestrator.applying.in_place import switch_off
        from orchestrator.applying.rollback import refresh_guest

        ssh = session.ssh_settings(self.provider)
        problem = refresh_guest(
            self.vm, desired, again.machine, again.site, ssh, boot_seconds=self.boot_seconds
        )
        if desired.power == "stopped":
            switch_off(self.vm)
        if problem:
            session.fail(
                f"{self.target} is restored and runs, but its guest is not as it should be: {problem}"
            )

    def _assure_readable(self, chosen: Archive) -> None:
        """Refuse an archive that the machine's node cannot restore: disks change hands on one node only."""
        from orchestrator.applying.restoring import cannot_restore

        node, stored = self.vm.node, chosen.stored
        storage = self.provider.sites[self.found.machine.site].storage
        reason = cannot_restore(self.found.site.state, node, storage, stored.storage, stored.node)
        if reason:
            session.fail(
                f"{stored.volid} cannot be restored on {node}, where {self.target} is: {reason}: restore it beside the "
                f"machine (--as NAME), choose another archive, or migrate the machine to a node that can read it"
            )

    def _confirm(self, chosen: Archive, confirmed: str | None) -> None:
        from orchestrator.contract.calendar import paris_time

        when = paris_time(chosen.taken_at)
        out = session.console()
        out.print(
            f"{self.target} gets the disks of {when} ({chosen.stored.volid}). It is switched off for that. Everything "
            "written since then is lost as soon as the restored machine has booted.",
        )
        if confirmed is None:
            if not session.interactive():
                session.fail(
                    f"nobody can answer here: give --confirm {self.target} to do it without being asked"
                )
            confirmed = session.answer_to(f"Type {self.target} to go on")
        if confirmed != self.target:
            session.fail(f"{confirmed!r} is not {self.target}: nothing was changed")

    def _restore(self, chosen: Archive) -> Copy:
        from orchestrator.applying.restoring import restore_copy
        from orchestrator.resources.copies import CopyMark

        mark = CopyMark(
            purpose="in-place",
            client=self.found.mark.client,
            machine=self.found.mark.machine,
            volid=chosen.stored.volid,
            made_at=dt.datetime.now(dt.UTC),
            boot=self.found.machine.config.effective("boot"),
        )
        return restore_copy(
            self.vm.cluster,
            self.vm.journal,
            chosen,
            mark,
            node=self.vm.node,  # disks change hands on one node only
            storage=self.provider.sites[self.found.machine.site].storage,
            name=f"restore-{self.found.mark.machine}"[:63].rstrip("-"),
            unique=False,
        )

    def _boot(self, exchange: Exchange, copy: Copy) -> None:
        """Start the restored machine; if it does not boot, its own disks go back."""
        from orchestrator.applying.in_place import pull_the_plug, start_and_wait
        from orchestrator.applying.restoring import remove_copy
        from orchestrator.applying.rollback import remember_guest
        from orchestrator.applying.vm import Stopped
        from orchestrator.proxmox import ProxmoxError

        try:
            start_and_wait(self.vm, boot_seconds=self.boot_seconds)
        except (Stopped, ProxmoxError) as error:
            if not exchange.kept:
                raise Stopped(
                    f"{error}; its own disks wait in VM {copy.vmid} on {copy.node} (unused0, …): look at its console"
                ) from error
            pull_the_plug(self.vm)
            exchange.swap_back()
            remember_guest(self.vm, self.found.mark)
            start_and_wait(self.vm, boot_seconds=self.boot_seconds)
            remove_copy(copy)
            raise Stopped(
                f"the restored machine: {error}. Its own disks are back, and it runs again"
            ) from error
        remove_copy(copy)
