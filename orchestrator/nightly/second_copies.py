"""Redundancy of the backup itself (article 3.2): which machines get a second archive tonight, and where it can go.

Proxmox copies no archives between storages, so the second copy is a backup of its own, made once the first is there,
on another storage of the same site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import night_begins, night_of
from orchestrator.errors import told
from orchestrator.nightly.due_backups import BackupLine, Due, backup_line, due_of, made_since, wanted_archive
from orchestrator.nightly.schedule import Job

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.machine_archives import Archive

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class SecondCopy:
    """A second copy that is to be made.

    Attributes:
        due: as for a first one; its job names every storage that either copy may go to.
        made: the archives of tonight that were there at the beginning.
    """

    due: Due
    made: tuple[Archive, ...]

    @property
    def missing(self) -> bool:
        """Whether tonight's archives are not yet on two storages."""
        return len({archive.stored.storage for archive in self.made}) < 2


def second_copies(
    night: Night, readings: Mapping[str, SiteReading], last_seconds: Mapping[Key, float]
) -> tuple[dict[Key, SecondCopy], list[str]]:
    """The machines whose backup has two copies, and what could not be judged.

    Args:
        night: the run.
        readings: the sites as they were read.
        last_seconds: how long each machine's last backup took.
    """
    since = night_begins(night_of(night.clock()))
    found: dict[Key, SecondCopy] = {}
    problems: list[str] = []
    for reading in readings.values():
        for machine in reading.observed.machines:
            try:
                wanted = wanted_archive(night, machine)
                if wanted is None or machine.mark is None or night.backup_copies(machine.mark) == 1:
                    continue
                due = due_of(night, reading, machine, wanted, last_seconds)
                if isinstance(due, Due):  # else the first copy's line says why
                    made = tuple(made_since(machine, since, night.clock()))
                    found[due.job.key] = SecondCopy(due=due, made=made)
            except Exception as error:  # whatever one machine stumbles over, the others have two copies
                problems.append(f"second copy of {machine.summary.name}: {told(error)}")
    return found, problems


def second_jobs(copies: Iterable[SecondCopy]) -> list[Job]:
    """The second copies as the forecast of a night counts them, beside the first ones."""
    return [
        replace(item.due.job, key=(item.due.job.key[0], f"{item.due.job.key[1]} (second copy)"))
        for item in copies
        if item.missing
    ]


def second_of(night: Night, item: SecondCopy, first: BackupLine) -> Due | BackupLine:
    """Where a second copy can go, now that it is known what became of the first; or its line, if it needs no work.

    Args:
        night: the run.
        item: the second copy.
        first: the line of the first.
    """
    job, machine, mark = item.due.job, item.due.machine, item.due.mark
    on = first.storage if first.made else ""
    other = next((archive for archive in item.made if on and archive.stored.storage != on), None)
    if other is not None:
        return backup_line(mark, machine, other.stored.storage, "earlier", archive=other)
    sites = {storage.name: storage.site for storage in night.provider.sites[job.site].backup_storages}
    place = sites.get(on)
    names = tuple(name for name in job.storages if name != first.storage and place in (None, sites.get(name)))
    if names:
        return replace(item.due, job=replace(job, storages=names))
    message = (
        f"no second backup storage at {place or 'one site'} can be used on {job.node}: two copies are on two "
        "storages of one site (art. 3.2)"
    )
    return backup_line(mark, machine, "", "failed", message=message)
