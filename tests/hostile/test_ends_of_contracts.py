"""The end of a contract when something is not as it should be: what is kept, and what is said of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from orchestrator.nightly.contract_ends import ContractLine
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import MONDAY_NIGHT, STORE, NightDesk

_DAY = dt.timedelta(days=1)


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    desk.erasure = True
    return NightDesk(desk)


def _ended(night: NightDesk, *names: str, **changes: Any) -> None:
    """Write the file of a contract that ended, and let a night record the notice."""
    machines = [machine(name, backup={"retention_days": 7}, **changes) for name in names]
    file = subscription("dupont", machines)
    file["contract"] |= {
        "status": "terminated",
        "termination": {"notice": "2026-09-01", "reference": "L-1"},
    }
    night.desk.write(file)
    night.night()


def _line(night: NightDesk, days: int) -> ContractLine:
    (line,) = night.night(MONDAY_NIGHT + days * _DAY).of(ContractLine)
    return line


def _archive(night: NightDesk, vmid: int, notes_of: str | None) -> dict[str, Any]:
    """An archive of a VM, with the notes of a machine of the client's."""
    made_at = (MONDAY_NIGHT - _DAY).timestamp()
    mark = ArchiveMark(client="dupont", machine=notes_of or "nobody", contract="C-dupont", days=7)
    return {
        "storage": STORE,
        "vmid": vmid,
        "ctime": int(made_at),
        "size": 1024**3,
        "notes": archive_notes(mark) if notes_of else "",
    }


def test_what_is_not_surely_ours_is_kept_named_and_never_counted_as_erased(night: NightDesk) -> None:
    night.deliver("web-1", "web-2", "web-3")
    cluster = night.fake.cluster()
    ids = {name: night.vmid(name) for name in ("web-1", "web-2", "web-3")}
    night.fake.control("set_config", vmid=ids["web-1"], tags="orchestrator")
    cluster.put("/pools", poolid="client-dupont", vms=ids["web-2"], delete=1)
    night.fake.add_archives([_archive(night, vmid, name) for name, vmid in ids.items()])
    _ended(night, "web-1", "web-2", "web-3")
    for days in (1, 2):
        line = _line(night, days)
        assert line.failed and "the next night makes sure" not in line.message, line
        assert f"VM {ids['web-1']} web-1 on pve1 is kept, with its archives" in line.message
        assert "it lacks the tag client-dupont: add them in Proxmox" in line.message
        assert f"`pvesh set /pools/client-dupont --vms {ids['web-2']}` puts it back" in line.message
        assert set(night.desk.machines()) == {"web-1", "web-2"}
        assert {archive["vmid"] for archive in night.archives()} == {ids["web-1"], ids["web-2"]}
    # What the messages say to do is enough.
    night.fake.control("set_config", vmid=ids["web-1"], tags="client-dupont;orchestrator")
    cluster.put("/pools", poolid="client-dupont", vms=ids["web-2"])
    assert not _line(night, 3).failed
    assert night.desk.machines() == {} and night.archives() == []
    assert "nothing is left; the file can be taken out" in _line(night, 4).message


def test_a_machine_that_is_not_surely_ours_keeps_its_archives_although_its_file_takes_it_over(
    night: NightDesk,
) -> None:
    """``adopt`` stays in the file of a machine that was imported; what it is must be as sure as of any other."""
    night.deliver("web-1")
    vmid = night.vmid("web-1")
    night.fake.control("set_config", vmid=vmid, tags="orchestrator")
    night.fake.add_archives([_archive(night, vmid, "web-1")])
    _ended(night, "web-1", adopt=vmid, address="203.0.113.10")
    line = _line(night, 1)
    assert line.failed and f"VM {vmid} web-1 on pve1 is kept, with its archives" in line.message, line
    assert set(night.desk.machines()) == {"web-1"} and len(night.archives()) == 1


def test_nothing_is_said_to_be_left_only_after_everything_was_looked_at(night: NightDesk) -> None:
    """An archive that outlives its file is found by nobody: the client's data would stay for ever."""
    night.deliver("web-1")
    vmid = night.vmid("web-1")
    # Somebody copied the notes of one archive onto that of another VM, which is not believed.
    bound = ArchiveMark(
        client="dupont",
        machine="web-1",
        contract="C-dupont",
        days=7,
        vmid=vmid,
        night=(MONDAY_NIGHT - _DAY).date(),
    )
    night.fake.add_archives(
        [_archive(night, vmid, "web-1"), {**_archive(night, 777, None), "notes": archive_notes(bound)}]
    )
    _ended(night, "web-1")
    away = f"/nodes/pve1/storage/{STORE}/content"
    night.fake.fault("GET", away, "error", text="storage 'backup-lyon' is not online", times=99)
    assert _line(night, 1).message.startswith("erased: 1 machine and 0 archives")
    line = _line(night, 2)
    assert "not known whether archives are left: backup-lyon could not be read" in line.message, line
    night.fake.control("clear_faults")
    # The machine still ran when the first night began, so it had a backup that night, too.
    assert "erased: 0 machines and 2 archives" in _line(night, 3).message
    (other,) = night.archives()
    line = _line(night, 4)
    assert line.failed and other["volid"] in line.message, line
    assert "client-dupont" in night.fake.dump()["pools"]
    night.fake.remove_archive(other["volid"])
    assert "nothing is left; the file can be taken out" in _line(night, 5).message
