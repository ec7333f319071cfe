"""Reference runs for the fault table: a state to begin from, the run, and what it has to lead to."""

from __future__ import annotations

import datetime as dt
import re
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.applying.apply import apply_plan
from orchestrator.applying.freezing import FreezeWatch
from orchestrator.history import open_history
from orchestrator.nightly.contract_ends import ContractLine
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.retention_step import RetentionLine
from orchestrator.nightly.snapshot_step import SnapshotLine
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.operations import preparing
from orchestrator.operations.run import journal
from orchestrator.planning.saved import PlanOptions
from orchestrator.progress import Progress
from orchestrator.proxmox import Cluster, Patience
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes, read_archive_mark
from orchestrator.resources.snapshot import snapshot_description
from orchestrator.sites import load_provider
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import AGENT, MONDAY_NIGHT, PARIS, STORE, NightDesk

EDIT = "\n\nedited by somebody else"
"""What a colleague adds to a machine's notes in the middle of a run."""

_HURRY = Patience(first_wait=0.001, longest_wait=0.002, jitter=0.0, first_poll=0.002, longest_poll=0.02)
_DISKS = [{"name": "system", "size": "6GiB"}, {"name": "data", "size": "1GiB"}]
_INCIDENTAL = ("digest", "meta", "net0", "smbios1", "vmgenid")
_DAY = 86400
_LAST_DAY = dt.datetime(2026, 12, 15, 22, 0, tzinfo=PARIS)
"""The last of thirty working days after 2 November 2026 (article 10)."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended.

    Attributes:
        told: what it says went wrong, one text each; empty if all went well.
    """

    told: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return not self.told


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a run waits before it gives up, seconds, and how much it takes in.

    Short ones are for runs that meet what never comes.

    Attributes:
        answer: for an answer.
        task: for the end of a task.
        body: how many bytes an answer may have.
    """

    answer: float = 30.0
    task: float = 30.0
    body: int = 1024**2

    def options(self) -> dict[str, Any]:
        """Options of the cluster's client."""
        return {
            "timeout_seconds": self.answer,
            "body_bytes": self.body,
            "patience": replace(_HURRY, longest_task=self.task),
        }


LONG = Limits()


class ReferenceRun(ABC):
    """A run that can be had again and again from one state of a cluster of its own.

    Attributes:
        name: as in the table.
    """

    name: str

    def __init__(self, fake: FakePve, folder: Path) -> None:
        fake.control("add_template", vmid=9000, name="debian-12")
        self.fake = fake
        self.desk = Desk(folder, {"paris": fake})
        self.set_up()
        fake.save()
        self._history = {path.name: path.read_bytes() for path in folder.glob("history.db*")}

    def begin_anew(self) -> None:
        """Let the cluster and the history be again what they were after :meth:`set_up`."""
        self.fake.bring_back()
        for path in self.desk.folder.glob("history.db*"):
            path.unlink()
        for name, content in self._history.items():
            (self.desk.folder / name).write_bytes(content)

    @abstractmethod
    def set_up(self) -> None:
        """Bring the cluster to the state that every run begins from."""

    @abstractmethod
    def run(self, *, again: bool = False, limits: Limits = LONG) -> Ending:
        """Run it. ``again``: it is the run after one that went wrong."""

    def names(self) -> dict[int, str]:
        """The machines' names by number."""
        vms = self.fake.dump()["vms"].values()
        return {int(vm["vmid"]): "IMAGE" if vm["template"] else str(vm["name"]) for vm in vms}

    def state(self) -> dict[str, Any]:
        """All that the cluster holds, without what is random or depends on the order of creation."""
        dump = self.fake.dump()
        vms = dump["vms"].values()
        names = {str(vm["vmid"]): str(vm["name"]) for vm in vms}
        volumes = {f"{store}:{name}" for store, held in dump["volumes"].items() for name in held}
        used = {
            str(value).split(",")[0]
            for vm in vms
            for value in vm["config"].values()
            if str(value).partition(":")[0] in dump["volumes"]
        }
        archives = self.fake.archives(STORE)
        ended = Counter(
            f"{task['type']} {names.get(task['id'], task['id'])}"
            for task in dump["tasks"]
            if task.get("exitstatus") == "OK" and task["type"] in ("qmclone", "qmreboot")
        )
        return {
            "machines": sorted(_portrait(vm) for vm in vms),
            "pools": {name: sorted(map(str, pool["vms"])) for name, pool in dump["pools"].items()},
            "volumes of nobody": sorted(volumes - used - {archive["volid"] for archive in archives}),
            "volumes that are missing": sorted(used - volumes),
            "archives": sorted(_archive(archive) for archive in archives),
            "clones and restarts": ended,
            "running tasks": [task["upid"] for task in dump["tasks"] if task["status"] == "running"],
        }


def _portrait(vm: dict[str, Any]) -> tuple[str, ...]:
    text = {key: str(value) for key, value in vm["config"].items() if key not in _INCIDENTAL}
    config = {key: re.sub(rf"\b{vm['vmid']}\b", "ID", value) for key, value in sorted(text.items())}
    if "description" in config:
        config["description"] = config["description"].replace(EDIT, "").strip()
    return (
        str(vm["name"]),
        str(vm["status"]),
        str(vm["pool"]),
        f"lock {vm['lock']}",
        f"pending {vm['pending']}",
        f"snapshots {vm['snapshots']}",
        *(f"{key}: {value}" for key, value in config.items()),
    )


def _archive(archive: dict[str, Any]) -> tuple[str, ...]:
    mark = read_archive_mark(archive["notes"])
    age = round((MONDAY_NIGHT.timestamp() - archive["ctime"]) / _DAY)
    # That it was found sound counts where the machine's own notes say it: one of its archives was, tonight.
    bad = "bad" if mark and mark.test and not mark.test.sound else "good"
    return (mark.machine if mark else "nobody's", f"{age} days old", bad)


class ApplyRun(ReferenceRun):
    """``apply``: a machine is made, another gets more memory and a larger disk and is restarted."""

    name = "apply"

    def set_up(self) -> None:
        """One machine is in service, with less than its file asks for."""
        self.desk.write(subscription("dupont", [machine("web-1")]))
        assert self.run().well, "the machine to begin with"
        self.desk.put_in_service()
        wanted = [
            machine("web-1", memory="2GiB", disks=_DISKS[:1]),
            machine("db-1", disks=_DISKS, address="203.0.113.50"),
        ]
        self.desk.write(subscription("dupont", wanted[:1]), subscription("martin", wanted[1:]))

    def run(self, *, again: bool = False, limits: Limits = LONG) -> Ending:
        """Plan and apply, as the command does."""
        asked = preparing.wanted(
            load_provider(self.desk.folder),
            PlanOptions(paths=[str(self.desk.folder / "subscriptions")], restart_now=True),
            settle_seconds=60,
        )
        with _client(self.fake, limits) as cluster, open_history(_history(self.desk)) as history:
            clusters = {"paris": cluster}
            prepared = preparing.prepare(asked, clusters, {})
            plan = prepared.plan
            outcomes = apply_plan(
                plan,
                clusters,
                prepared.observed,
                replace(journal(history, "test", Progress(), clusters), gate=_gate(cluster)),
                ssh=None,
                restart_now=True,
                pause=_hurry,
            )
        assert not plan.unsafe, plan.unsafe
        told = [failure.reason for failure in plan.failures]
        told += [item.message for item in outcomes if item.result in ("failed", "refused")]
        return Ending(told=tuple(told))


class NightlyRun(ReferenceRun):
    """``nightly``: a snapshot is due, another expires; backup, retention, restore test."""

    name = "nightly"

    def set_up(self) -> None:
        """One machine with backup and a snapshot that has lived its days, an archive whose days are over."""
        self.night = NightDesk(self.desk)
        self.night.files("web-1", snapshots=[{"name": "release", "taken_on": MONDAY_NIGHT.date()}])
        assert self.desk.apply().code == 0
        self.desk.put_in_service()
        vmid = self.night.vmid("web-1")
        self.fake.guest_agent(AGENT, vmid=vmid)
        old = MONDAY_NIGHT - dt.timedelta(days=9)
        notes = archive_notes(ArchiveMark(client="dupont", machine="web-1", contract="C-dupont", days=7))
        self.fake.add_archives(
            [{"storage": STORE, "vmid": vmid, "ctime": int(old.timestamp()), "notes": notes}]
        )
        about = snapshot_description("dupont", "web-1", declared_for=None)
        self.fake.add_snapshot(vmid, "before", snaptime=int(old.timestamp()), description=about)

    def run(self, *, again: bool = False, limits: Limits = LONG) -> Ending:
        """Begin the night, or begin it again an hour later."""
        at = MONDAY_NIGHT + dt.timedelta(hours=again)
        report, _ = self.night.night_and_plan(
            at,
            speed=60,
            boot_seconds=60,
            gate=_gate,
            **limits.options(),
        )
        return Ending(told=tuple(_complaints(report)))


class TerminationRun(ReferenceRun):
    """The two nights after a contract's last day: a machine and its archives are erased, then the rest is seen to."""

    name = "end of contract"

    def set_up(self) -> None:
        """One client's contract has ended, which an earlier night has noted; another's goes on."""
        self.night = NightDesk(self.desk)
        self.desk.erasure = True
        self.desk.write_sites()
        ended = subscription("dupont", [machine("web-1", backup={"retention_days": 7})])
        staying = subscription("martin", [machine("shop-1")])
        self.desk.write(ended, staying)
        assert self.desk.apply().code == 0
        self.desk.put_in_service()
        self.fake.guest_agent(AGENT, vmid=self.night.vmid("web-1"))
        ended["contract"] |= {
            "status": "terminated",
            "termination": {"notice": "2026-11-02", "reference": "LRAR-9"},
        }
        self.desk.write(ended, staying)
        assert self.night.night(_LAST_DAY).well
        assert len(self.night.archives()) == 1

    def run(self, *, again: bool = False, limits: Limits = LONG) -> Ending:
        """Let two nights pass."""
        told: list[str] = []
        for days in (3, 4) if again else (1, 2):
            at = _LAST_DAY + dt.timedelta(days=days)
            report, _ = self.night.night_and_plan(at, speed=60, gate=_gate, **limits.options())
            told += _complaints(report)
        return Ending(told=tuple(told))


def _complaints(report: NightReport) -> Iterator[str]:
    yield from report.problems
    for snapshot in report.of(SnapshotLine):
        if snapshot.action in ("failed", "refused"):
            yield snapshot.message
    yield from (line.message for line in report.of(BackupLine) if line.failed)
    lines: list[RetentionLine | RestoreTestLine] = [*report.of(RetentionLine), *report.of(RestoreTestLine)]
    for line in lines:
        if line.result in ("failed", "not-started", "missing"):
            yield line.message
    for contract in report.of(ContractLine):
        if contract.failed:
            yield contract.message
    for storage in report.of(StorageLine):
        if storage.failed:
            yield f"storage {storage.name}: {storage.message}"


@contextmanager
def _client(fake: FakePve, limits: Limits) -> Iterator[Cluster]:
    cluster = fake.cluster(**limits.options())
    try:
        yield cluster
    finally:
        cluster.close()


def _gate(cluster: Cluster) -> FreezeWatch:
    """Looks once a run whether changes are stopped, however long the run takes."""
    return FreezeWatch({"paris": cluster}, monotonic=lambda: 0.0)


def _history(desk: Desk) -> Path:
    return desk.folder / "history.db"


def _hurry(seconds: float) -> None:
    time.sleep(min(seconds, 0.002))
