"""Making a machine again that does not exist any more: it is whole, and ours, as soon as Proxmox's task has ended.

Number, mark, tags, pool and address are part of the one call that asks for the restore. A kill at any moment leaves
nothing, an empty VM that the next night removes, a restore that goes on alone, or the machine, stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.applying.journal import Journal
from orchestrator.applying.restore_task import ask_for_restore, running_restore
from orchestrator.applying.stopped import Stopped
from orchestrator.planning.recreation import Place, settings
from orchestrator.proxmox import AlreadyExists, Cluster, VmConfig
from orchestrator.resources.kinds import pool_calls
from orchestrator.resources.machine_archives import Archive
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedSite


@dataclass(frozen=True, kw_only=True)
class Recreation:
    """A machine that is to be made again.

    Attributes:
        archive: what of.
        inside: the configuration in it.
        mark: the mark that it gets, but for its number.
        node, storage: where.
        number: the one that is tried first; None: any free one.
        place: how it is reached from now on; None: as before.
    """

    archive: Archive
    inside: VmConfig
    mark: Mark
    node: str
    storage: str
    number: int | None
    place: Place | None


def preferred_number(cluster: Cluster, observed: ObservedSite, archive: Archive) -> int | None:
    """The number that the machine had, if nobody has it and the site gives such numbers; else None."""
    first, last = cluster.vmids or (100, 999_999_999)
    vmid = archive.stored.vmid
    taken = {guest.vmid for guest in (*observed.state.vms, *observed.state.containers)}
    return vmid if first <= vmid <= last and vmid not in taken else None


def recreate_machine(
    cluster: Cluster,
    journal: Journal,
    observed: ObservedSite,
    wanted: Recreation,
    archives: list[Archive],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Make a machine again, and return its number. It is stopped.

    Args:
        cluster: the API.
        journal: where it is written down.
        observed: the site as it was read.
        wanted: the machine.
        archives: all of it: one of them may be being restored by an earlier, killed run.
        pause: waits that many seconds.

    Raises:
        Stopped: such a restore runs, or no number was free.
        TaskFailed: the archive could not be restored; what it left of the VM was removed.
        ProxmoxError: the hypervisor refused.
    """
    mark, volid = wanted.mark, wanted.archive.stored.volid
    if upid := running_restore(cluster, observed.state, [archive.stored for archive in archives]):
        raise Stopped(
            f"an earlier run began to restore {mark.client}/{mark.machine}, and Proxmox goes on with it ({upid}): wait "
            "until that task has ended, then run the same command again"
        )
    for call in pool_calls(mark.client, observed.state):
        with journal.step(mark.client, None, observed.site, call.action), suppress(AlreadyExists):
            cluster.post(call.path, params=call.params)
    params: dict[str, str | int] = {
        "archive": volid,
        "storage": wanted.storage,
        "unique": int(wanted.place is not None and wanted.place.elsewhere),
    }
    with journal.step(
        mark.client,
        mark.machine,
        observed.site,
        "restore",
        archive=volid,
        purpose="recreate",
        replaces=list(mark.replaces),
    ) as step:
        vmid = ask_for_restore(
            cluster,
            wanted.node,
            params,
            lambda number: settings(mark.with_(vmid=number), wanted.inside, wanted.place),
            step,
            number=wanted.number,
            again=False,
            pause=pause,
        )
        step.message = f"VM {vmid} on {wanted.node}"
    return vmid
