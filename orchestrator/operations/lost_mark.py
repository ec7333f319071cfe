"""A machine whose notes were emptied or damaged: proving which one it is, and writing its mark back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.stopped import Stopped
from orchestrator.errors import OrchestratorError, Reason, RequestRefused, about
from orchestrator.operations.client_file import FileSays, file_says
from orchestrator.operations.inputs import selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.lost_machine import lost_archives
from orchestrator.operations.named_machine import MachineRequest
from orchestrator.operations.run import SILENT, Events, open_run
from orchestrator.planning.identity import has_lost_its_mark, not_the_same, regained_mark
from orchestrator.planning.recreation import called_today, mark_inside
from orchestrator.proxmox import DigestMismatch, read_vm
from orchestrator.proxmox.archived_configuration import read_archived
from orchestrator.resources.notes import Mark, without_marks, write_mark
from orchestrator.resources.survey import Asked, observe_sites

if TYPE_CHECKING:
    from orchestrator.history.renames import Renames
    from orchestrator.proxmox import Cluster, VmConfig, VmSummary
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class LostMark:
    """A VM that seems to be a machine, and has no mark.

    Attributes:
        config: its configuration.
        archive: the archive that proves which machine it is; None if nothing does.
        mark: the mark that it gets back; None if it gets none.
        objection: why not; empty if it does.
    """

    site: str
    summary: VmSummary
    config: VmConfig
    archive: Archive | None = None
    mark: Mark | None = None
    objection: Reason = ""


@dataclass(frozen=True, kw_only=True)
class MarkRequest(MachineRequest):
    """A machine whose mark is to be written back.

    Attributes:
        files: subscription files or folders: which disks it has, where some were added since its archive was made.
    """

    files: tuple[Path, ...] = ()


def put_mark_back(
    request: MarkRequest, agree: Callable[[LostMark], bool], events: Events = SILENT
) -> LostMark | None:
    """Write the mark of a machine back that lost it. Nothing else of it changes.

    Args:
        request: which.
        agree: asked before anything is changed.
        events: who is told what.

    Returns:
        What got its mark back; None if nobody agreed.

    Raises:
        OrchestratorError: it is not proven which machine it is, or the mark could not be written.
    """
    provider = open_provider(request.inventory)
    says = file_says(request.target, request.files, provider)
    with (
        open_run(provider, "a mark", history=request.history, events=events) as run,
        about(request.target),
    ):
        run.locks.clients([request.client])
        read = observe_sites(run.clusters, Asked(selection=selection(request.target)))
        found = lost_marks(request.target, read.observed, run.clusters, provider, says, run.history.renames())
        lost = _only(request.target, found, read.failures)
        if lost.mark is None:
            raise RequestRefused(f"VM {lost.summary.vmid} gets no mark: {lost.objection}")
        if reason := read.observed[lost.site].state.frozen:
            raise Frozen(lost.site, reason)
        if not agree(lost):
            return None
        run.begin()
        journal = run.journal(request.reason, known=[lost.site])
        client, _, machine = request.target.partition("/")
        with journal.step(client, machine, lost.site, "put mark back", vmid=lost.summary.vmid) as step:
            step.message = f"proven by {lost.archive.stored.volid}" if lost.archive else ""
            notes = write_mark(lost.mark, without_marks(lost.config.effective("description") or ""))
            path = f"/nodes/{lost.summary.node}/qemu/{lost.summary.vmid}/config"
            try:
                run.clusters[lost.site].put(path, params={"description": notes, "digest": lost.config.digest})
            except DigestMismatch as error:
                raise Stopped("it was changed meanwhile: run the same command again") from error
        return lost


def _only(target: str, found: list[LostMark], unread: Mapping[str, str]) -> LostMark:
    proven = [item for item in found if item.mark is not None]
    if len(proven) == 1:
        return proven[0]
    if len(found) > 1:
        where = ", ".join(f"VM {item.summary.vmid} at {item.site}" for item in found)
        raise RequestRefused(f"{where} all seem to be {target} without its mark: none of them gets it")
    if not found:
        not_read = "".join(f"; not read: {site}: {why}" for site, why in unread.items())
        raise RequestRefused(f"no VM seems to be {target} without its mark{not_read}")
    return found[0]


def lost_marks(
    target: str,
    sites: Mapping[str, ObservedSite],
    clusters: Mapping[str, Cluster],
    provider: Provider,
    says: FileSays,
    renames: Renames,
) -> list[LostMark]:
    """The VMs that seem to be a machine without its mark; none where the machine is there.

    Args:
        target: ``CLIENT/MACHINE``.
        sites: as they were read.
        clusters: by site.
        provider: the sites.
        says: the client's file.
        renames: what the history says; nothing, where it cannot be read.
    """
    client, _, name = target.partition("/")
    there = (machine.mark for site in sites.values() for machine in site.machines)
    if any(mark and (mark.client, mark.machine) == (client, name) for mark in there):
        return []
    found = []
    for site, observed in sites.items():
        vmids = {
            item.vmid
            for item in observed.unreadable
            if item.kind == "machine" and not item.copy and client in (item.client, item.also)
        }
        for summary in observed.state.vms:
            if summary.vmid in vmids and summary.node not in observed.silent:
                seen = _seen(clusters[site], observed, summary, client, name, provider, says, renames)
                if seen is not None:
                    found.append(seen)
    return found


def _seen(
    cluster: Cluster,
    observed: ObservedSite,
    summary: VmSummary,
    client: str,
    name: str,
    provider: Provider,
    says: FileSays,
    renames: Renames,
) -> LostMark | None:
    config = read_vm(cluster, summary.node, summary.vmid)
    if config.effective("name") != name:
        return None
    lost = LostMark(site=observed.site, summary=summary, config=config)
    if why := has_lost_its_mark(client, name, summary, config):
        return _without(lost, why)
    archives = lost_archives(f"{client}/{name}", cluster, observed, provider, renames)
    own = [archive for archive in archives.owned if archive.stored.vmid == summary.vmid]
    if not own:
        unread = "".join(f"; {item} could not be listed: {text}" for item, text in archives.unread.items())
        return _without(
            lost,
            f"no archive of VM {summary.vmid} proves that it is {client}/{name}{unread}. If you know that it is, "
            f"write `adopt: {summary.vmid}` to the machine in its file and apply",
        )
    try:
        return _proven(cluster, lost, own, archives.names, says)
    except OrchestratorError as error:
        return _without(lost, str(error))


def _proven(
    cluster: Cluster,
    lost: LostMark,
    archives: Iterable[Archive],
    names: Sequence[tuple[str, str]],
    says: FileSays,
) -> LostMark:
    archive = max(archives, key=lambda item: item.taken_at)
    inside = read_archived(cluster, archive.stored)
    before = called_today(mark_inside(archive, inside), names)
    if why := not_the_same(lost.config, inside):
        return _without(lost, f"{why} ({archive.stored.volid}): it is not claimed")
    mark, why = regained_mark(before, lost.config, says.machine)
    return LostMark(
        site=lost.site, summary=lost.summary, config=lost.config, archive=archive, mark=mark, objection=why
    )


def _without(lost: LostMark, why: Reason) -> LostMark:
    return LostMark(site=lost.site, summary=lost.summary, config=lost.config, objection=why)
