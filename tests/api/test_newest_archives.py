"""Each machine's newest good archive is the same whether all archives are read or only those that matter."""

from __future__ import annotations

import datetime as dt
import random
from contextlib import closing
from dataclasses import replace
from typing import Any

from orchestrator.resources.holdings import with_archives, with_newest_archives
from orchestrator.resources.machine_archives import ArchiveMark, RestoreTest, archive_notes, newest_good
from orchestrator.resources.observing import observe
from tests.api.desk import Desk, machine, subscription

_NAMES = ("web-1", "web-2", "web-3", "web-4")
_STORES = ("vault-1", "vault-2")
_DAY = 86400


def _archives(desk: Desk, chance: random.Random, now: int) -> list[dict[str, Any]]:
    """Archives of all sorts: good and bad ones, of earlier names, of others, forged, damaged, from the future."""
    numbers = [vm["vmid"] for vm in desk.machines().values()]
    found = []
    for _ in range(400):
        vmid = chance.choice([*numbers, 900])
        mark = ArchiveMark(
            client=chance.choice(("dupont", "dupont", "dupont", "martin")),
            machine=chance.choice((*_NAMES, "old-name")),
            contract="C-1",
            days=7,
            vmid=chance.choice((None, vmid, vmid, 901)),
            night=None,
        )
        if chance.random() < 0.4:
            test = RestoreTest(on=dt.date(2026, 11, 1), sound=chance.random() < 0.5, found="")
            mark = replace(mark, test=test)
        notes = chance.choice((archive_notes(mark),) * 8 + (archive_notes(mark)[:-9], "by hand", ""))
        made = now - chance.randrange(-3 * _DAY, 40 * _DAY)
        size = chance.choice((0, 10**9, 10**9, 10**9))
        found.append(
            {
                "storage": chance.choice(_STORES),
                "vmid": vmid,
                "size": size,
                "notes": notes,
                "ctime": made,
            }
        )
    return found


def test_what_is_passed_over_changes_nothing(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    desk.sites["paris"]["backup_storages"] = [{"name": name, "site": "lyon"} for name in _STORES]
    desk.write_sites()
    for name in _STORES:
        fake.add_storage(name, shared=True)
    desk.write(subscription("dupont", [machine(name) for name in _NAMES]))
    assert desk.apply().code == 0
    now = dt.datetime.now(dt.UTC)
    fake.add_archives(_archives(desk, random.Random(20261130), int(now.timestamp())))
    with closing(fake.cluster()) as cluster:
        observed = observe(cluster, "paris")
        known = [("dupont", "web-9")]
        whole = with_archives(cluster, observed, _STORES, known)
        newest = with_newest_archives(cluster, observed, [*_STORES, "gone"], known, now)
    wanted = {
        one.mark.machine: newest_good(one.archives or (), now) for one in whole.observed.machines if one.mark
    }
    found = {one.mark.machine: one.archives for one in newest.observed.machines if one.mark}
    assert found == {name: (archive,) for name, archive in wanted.items() if archive}
    assert sorted(found) == sorted(_NAMES)
    assert "the cluster has no storage gone" in newest.unread["gone"]
    assert not whole.bad_archives and not newest.bad_archives
