"""Taking a machine out of service: suspension, end of contract, or no longer in its client's file."""

from __future__ import annotations

from orchestrator.applying.archive_tasks import make_backup
from orchestrator.applying.clock import clock_of
from orchestrator.applying.kinds_run import let_go
from orchestrator.applying.machine_power import put_out_of_service, shut_down
from orchestrator.applying.machine_work import MachineWork
from orchestrator.applying.stopped import Stopped
from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import Reason
from orchestrator.resources.desired import OWNER_TAG, RETIRED_TAG, pool_of
from orchestrator.resources.machine_archives import ArchiveMark
from orchestrator.resources.observed import ObservedMachine


def take_out_of_service(work: MachineWork, observed: ObservedMachine, why: Reason) -> ObservedMachine:
    """Stop it, and nothing else (articles 9 and 10). That it ran is noted first: a kill must not lose it.

    Args:
        work: the machine's work.
        observed: the machine.
        why: why the contract has it stopped, with the article.

    Raises:
        Stopped: its notes keep changing.
        ProxmoxError: the hypervisor refused.
    """
    if not observed.running:
        return work.look(observed)
    today = day_in_paris(work.around.clock())
    observed = work.note_out_of_service(observed, lambda mark: mark.with_(suspended=mark.suspended or today))
    return put_out_of_service(work, observed, why)


def retire(work: MachineWork) -> ObservedMachine:
    """Stop a machine that left its file, back it up where it has backup, and keep it.

    Where its client's contract has every machine stopped, a guest that does not shut down is switched off; and one
    that was retired before, and that somebody started, is stopped again.

    Raises:
        Stopped: it does not shut down, its notes keep changing, or there is no room for its last backup.
        ProxmoxError: the hypervisor refused.
    """
    assert work.plan.observed is not None  # noqa: S101  (only what exists is retired)
    observed = work.look(work.plan.observed)
    let_go(work, observed)
    if observed.running:
        why = work.plan.stopped_by_contract
        observed = put_out_of_service(work, observed, why) if why else shut_down(work, observed)
    if observed.mark is not None and observed.mark.retired:
        return observed
    _last_backup(work, observed)
    tags = {OWNER_TAG, pool_of(work.plan.client), RETIRED_TAG}
    tags |= set(filter(None, (observed.config.effective("tags") or "").split(";")))
    today = day_in_paris(work.around.clock())
    return work.note_out_of_service(
        observed, lambda mark: mark.with_(retired=today), tags=";".join(sorted(tags))
    )


def _last_backup(work: MachineWork, observed: ObservedMachine) -> None:
    """Back it up once more, stopped as it is now, where its backup was on when it was last applied.

    Redundancy of the backup (article 3.2) holds for this archive most of all: none comes after it.
    """
    mark, around = observed.mark, work.around
    days = mark.backup_days if mark else None
    if mark is None or days is None:
        return
    storages = _storages(work, observed, mark.backup_copies)
    archive = ArchiveMark(client=mark.client, machine=mark.machine, contract=mark.contract, days=days)
    for storage in storages:
        make_backup(work.vm(observed), storage, archive, clock=clock_of(work.cluster, around.clock))


def _storages(work: MachineWork, observed: ObservedMachine, copies: int) -> list[str]:
    """Where its last backup goes: as many storages of one site as it has copies, those with the most free room.

    Raises:
        Stopped: there are not so many on its node.
    """
    summary, state = observed.summary, work.around.states[observed.site]
    wanted = work.around.backup_storages.get(observed.site, {})
    fit = [
        storage
        for node in state.nodes
        for storage in state.storages
        if node.name == summary.node == storage.node
        and storage.name in wanted
        and storage.usable
        and "backup" in storage.content
    ]
    fit.sort(key=lambda storage: storage.disk - storage.maxdisk)
    for roomiest in fit:
        names = [storage.name for storage in fit if wanted[storage.name] == wanted[roomiest.name]]
        if len(names) >= copies:
            return names[:copies]
    if not fit:
        raise Stopped(
            f"none of its backup storages ({', '.join(wanted) or 'none in the site file'}) is available on "
            f"{summary.node}, so it gets no last backup: it is stopped and kept; apply again when one is"
        )
    raise Stopped(
        f"its backup has {copies} copies (art. 3.2), and of the backup storages at one site only "
        f"{fit[0].name} is available on {summary.node}, so it gets no last backup: it is stopped and kept; apply "
        "again when another one is"
    )
