# SPDX-License-Identifier: AGPL-3.0-or-later
"""What tests tell the modelled cluster about time, storages, backups, snapshots and guests' agents.

Licensed as fakepve, which it steers; it only ever runs in a process of its own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from fakepve import settle
from fakepve.qemu import SNAPSHOT_SKIP

from tests.api.fakepve_faults import TroubledNode
from tests.api.fakepve_vzdump import Job


class BackupOps:
    """Requests of the process; mixed into its ``Control``."""

    node: TroubledNode

    def op_clock(self, start: float | None = None, speed: float = 1.0) -> None:
        """Set the clock (None: leave the time), and how many of its seconds pass in a real one.

        Everything that takes time in Proxmox, a start or a shutdown too, takes the clock's seconds then.
        """
        self.node.clock.set(start, speed)
        self.node.time_scale = 1 / speed

    def op_set_clock(self, now: float) -> None:
        """Jump to a time. What was to end until then ends at once."""
        self.node.clock.set(now)

    def op_now(self) -> float:
        """The time on the clock."""
        return self.node.clock.time()

    def op_add_storage(self, name: str, **options: Any) -> None:
        """Add a storage: ``type``, ``content``, ``shared``, ``nodes``, ``total`` and ``used`` (bytes), …"""
        self.node.add_storage(name, **options)

    def op_set_storage(self, name: str, **options: Any) -> None:
        """Change a storage: ``active``, ``readonly``, ``total``, ``used``, ``avail`` (0 fills it), …"""
        self.node.set_storage(name, **options)

    def op_backup_behaviour(
        self,
        default_seconds: float | None = None,
        seconds: dict[str, float] | None = None,
        default_size: int | None = None,
        sizes: dict[str, int] | None = None,
        fail: dict[str, str | int] | None = None,
    ) -> None:
        """Arrange how long backups take, how large they are and which fail; what is not given stays."""
        behaviour = self.node.behaviour
        if default_seconds is not None:
            behaviour.default_seconds = default_seconds
        if default_size is not None:
            behaviour.default_size = default_size
        behaviour.seconds = behaviour.seconds if seconds is None else _by_vmid(seconds)
        behaviour.sizes = behaviour.sizes if sizes is None else _by_vmid(sizes)
        behaviour.fail = behaviour.fail if fail is None else _by_vmid(fail)

    def op_restore_behaviour(
        self, default_seconds: float | None = None, seconds: dict[str, float] | None = None
    ) -> None:
        """Arrange how long restores take, by the machine that was backed up; what is not given stays."""
        if default_seconds is not None:
            self.node.restore_default_seconds = default_seconds
        if seconds is not None:
            self.node.restore_seconds = _by_vmid(seconds)

    def op_backup_record(self) -> dict[str, Any]:
        """Every machine's backup so far as ``runs``, and the ``peaks``: how many were at work at once."""
        runs = [dataclasses.asdict(run) for run in self.node.ledger.runs]
        return {"runs": runs, "peaks": self.node.ledger.peaks()}

    def op_add_archives(self, archives: list[dict[str, Any]]) -> None:
        """Put archives on storages: ``storage``, ``vmid``, ``ctime`` and, if wanted, more of ``Archive``."""
        self.node.seed_archives(archives)

    def op_archives(self, storage: str, vmid: int | None = None) -> list[dict[str, Any]]:
        """The archives on a storage, in the order in which they came."""
        return [archive.shown() for archive in self.node.shelves[storage].of(vmid)]

    def op_break_archive(self, volid: str, broken: bool = True) -> None:
        """Let an archive be one that cannot be unpacked."""
        archive = self.node.find_archive(volid)
        if archive is None:
            raise KeyError(volid)
        archive.broken = broken

    def op_verify_archive(self, volid: str, state: str) -> None:
        """Let a backup server have verified an archive: ``ok`` or ``failed``."""
        archive = self.node.find_archive(volid)
        if archive is None:
            raise KeyError(volid)
        archive.verified(state)

    def op_remove_archive(self, volid: str) -> None:
        """Remove an archive behind everybody's back, protected or not."""
        archive = self.node.find_archive(volid)
        if archive is None:
            raise KeyError(volid)
        self.node.remove_archive(archive)

    async def op_run_foreign_backup(
        self, vmid: int, seconds: float, storage: str | None = None, user: str = "root@pam"
    ) -> str:
        """Somebody else backs up a machine, to a directory of their own if no storage is named."""
        node = self.node.vm(vmid).node
        command = f"vzdump {vmid} --mode snapshot --node {node}"
        job = Job(node=node, vmids=(vmid,), storage=storage, user=user, seconds=seconds, command=command)
        return await self.node.start_backup(job)

    def op_set_lock(self, vmid: int, lock: str | None) -> None:
        """Put a lock's mark into a machine's configuration, or lift it as ``qm unlock`` does."""
        self.node.cloning.discard(vmid)
        self.node._qm_lock(self.node.vm(vmid), lock)

    def op_add_snapshot(
        self,
        vmid: int,
        name: str,
        snaptime: int,
        description: str = "",
        parent: str | None = None,
        current: bool = True,
    ) -> None:
        """Give a machine a snapshot. Its parent is the one that the machine stands on, unless told.

        ``current``: the machine stands on this one now.
        """
        vm = self.node.vm(vmid)
        snapshot = {key: value for key, value in vm.config.items() if key not in SNAPSHOT_SKIP}
        snapshot.update(snaptime=snaptime, description=description)
        if parent is not None:
            snapshot["parent"] = parent
        vm.snapshots[name] = snapshot
        if current:
            vm.config["parent"] = name

    def op_guest_agent(self, answers: dict[str, Any] | None, vmid: int | None = None) -> None:
        """What a machine's agent answers, once it runs; without ``vmid``, that of all that have no answers.

        By command: ``get-host-name``, ``get-osinfo``, ``get-fsinfo``, ``network-get-interfaces``, …; ``files``
        by path; ``exec``: the ends of a program's runs by its last argument, none if nothing may be started;
        ``ping``: False for a silent one. None: silent. What is missing is answered as by default:
        interfaces show the address that cloud-init was given.
        """
        if vmid is None:
            self.node.guest_agent = answers
        else:
            self.node.agents[vmid] = answers

    def op_agent_commands(self, command: str) -> list[dict[str, Any]]:
        """Every request of one kind to a guest's agent, also in machines that are gone by now."""
        return [asked for asked in self.node.agent_asked if asked["kind"] == command]

    async def op_node_online(self, name: str, online: bool) -> None:
        """Take a node away, with the tasks that run on it; or bring it back."""
        self.node.set_node_offline(name, not online)
        await settle()


def _by_vmid(values: dict[str, Any]) -> dict[int, Any]:
    """JSON has no numbers for keys."""
    return {int(vmid): value for vmid, value in values.items()}
