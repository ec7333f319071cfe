"""Retention of the night: archives whose days are over go, but for those that must stay (article 3.5)."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

from orchestrator.applying.backups import remove_archive
from orchestrator.contract.calendar import paris_time
from orchestrator.contract.retention import Verdict
from orchestrator.nightly.fence import reason
from orchestrator.nightly.result import ForeignArchives, RetentionLine, UnbelievedArchive
from orchestrator.resources.backup import Archive, verdicts

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading

_REMOVALS_AT_A_TIME = 2
"""For each site: removing a file is quick, and a node has three workers for everybody."""


def over(night: Night, reading: SiteReading) -> list[tuple[tuple[str, str], Verdict[Archive]]]:
    """The archives of a site whose days are over or whose date is in the future, with what retention says of each.

    An archive that its own storage lists twice, or that belongs to nobody, is never among them.
    """
    now = night.clock()
    marks = {
        (machine.mark.client, machine.mark.machine): machine.mark
        for machine in reading.observed.machines
        if machine.mark
    }
    found = []
    for key, archives in sorted(reading.holdings.owned.items()):
        mark, desired = marks.get(key), night.desired.get(key)
        if night.out_of_service(key[0], mark):
            continue  # suspended: nothing is deleted (article 9)
        if mark is not None:
            days, in_file = night.backup_days(mark), not night.has_left(mark)
        else:  # its machine is not here any more, or not yet
            days, in_file = (desired.backup_days if desired else None), desired is not None
        found += [
            (key, verdict)
            for verdict in verdicts(archives, now, days=days, in_file=in_file)
            if verdict.over or verdict.dated_later
        ]
    return found


def carry_out(night: Night, readings: Iterable[SiteReading]) -> list[RetentionLine]:
    """Remove what is over, site by site; one that cannot be removed stops nothing else.

    Where the clocks disagree nothing is: which archives are over is not known there.
    """
    lines: list[RetentionLine] = []
    for reading in readings:
        site = reading.observed.site
        judged = [] if night.clocks.objection(site) else over(night, reading)
        if not judged:
            continue
        with ThreadPoolExecutor(_REMOVALS_AT_A_TIME, thread_name_prefix=f"retention-{site}") as pool:
            lines += pool.map(lambda item: _one(night, *item), judged)
    return lines


def _one(night: Night, key: tuple[str, str], verdict: Verdict[Archive]) -> RetentionLine:
    archive = verdict.archive
    if verdict.dated_later:
        text = (
            f"its date is in the future ({paris_time(archive.taken_at)}), so nobody knows how "
            "old it is: it is kept and does not count as a backup; the clock of its node was wrong; remove it in "
            "Proxmox when newer ones are there"
        )
        return _line(key, archive, "failed", text)
    if verdict.kept_because is not None:
        return _line(key, archive, "kept", verdict.kept_because)
    client, machine = key
    because = f"its days were over on {paris_time(verdict.ends)} (art. 3.5)"
    try:
        remove_archive(night.clusters[archive.site], night.journal, archive, client, machine, reason=because)
    except Exception as error:  # whatever one archive stumbles over, the others go on
        why = reason(error)
        night.tell("archive-failed", client=client, machine=machine, archive=archive.stored.volid, reason=why)
        return _line(key, archive, "failed", why)
    night.tell("archive-removed", client=client, machine=machine, archive=archive.stored.volid)
    return _line(key, archive, "removed", because)


def foreign(readings: Iterable[SiteReading]) -> list[ForeignArchives]:
    """How many archives of each backup storage belong to no machine of ours."""
    lines = []
    for reading in readings:
        by_storage: dict[str, list[int]] = {}
        for stored in reading.holdings.foreign:
            by_storage.setdefault(stored.storage, []).append(stored.size)
        lines += [
            ForeignArchives(site=reading.observed.site, storage=storage, archives=len(sizes), size=sum(sizes))
            for storage, sizes in sorted(by_storage.items())
        ]
    return lines


def unbelieved(readings: Iterable[SiteReading]) -> list[UnbelievedArchive]:
    """The archives whose notes claim to be ours and are not believed."""
    return [
        UnbelievedArchive(site=reading.observed.site, volid=item.stored.volid, reason=item.reason)
        for reading in readings
        for item in reading.holdings.disbelieved
    ]


def _line(
    key: tuple[str, str], archive: Archive, result: Literal["removed", "kept", "failed"], message: str
) -> RetentionLine:
    return RetentionLine(
        client=key[0],
        machine=key[1],
        site=archive.site,
        volid=archive.stored.volid,
        taken_at=archive.taken_at,
        size=archive.stored.size,
        result=result,
        message=message,
    )
