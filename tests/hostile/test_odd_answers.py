"""One site answers nonsense, in thousands of ways: no traceback, the other plan stays the same, nothing is doubled."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.applying.journal import Journal
from orchestrator.contract.calendar import window_closes
from orchestrator.history import History, open_history
from orchestrator.nightly.backup_step import BackupStep
from orchestrator.nightly.context import Night
from orchestrator.nightly.night_run import plan_night
from orchestrator.nightly.step import Work
from orchestrator.operations import preparing
from orchestrator.planning.document import to_document
from orchestrator.planning.saved import PlanOptions
from orchestrator.planning.text import render_plan
from orchestrator.proxmox import Cluster, Patience
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from orchestrator.sites import load_provider
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import MONDAY_NIGHT
from tests.hostile.replay import Answers, Mutation, mutations, recorded, replayed

PLANS = 2200
NIGHTS = 600
SEED = int(os.environ.get("MUTATION_SEED", "20261123"))
QUICK = Patience(attempts=1)
STORE = "backup-store"


class Estate:
    """Two sites with a client's machine each, and what they answer to a plan and to a night's reading."""

    def __init__(self, folder: Path, fakes: Mapping[str, FakePve]) -> None:
        self.desk = Desk(folder, dict(fakes))
        for name, fake in fakes.items():
            fake.control("add_template", vmid=9000, name="debian-12")
            fake.add_storage(STORE, shared=True)
            self.desk.sites[name]["backup_storages"] = [{"name": STORE, "site": "elsewhere"}]
        self.desk.write_sites()
        self.desk.write(self._file("dupont", "web-1", "paris"), self._file("martin", "shop-1", "lyon"))
        answer = self.desk.apply()
        assert answer.code == 0, answer
        for name, fake in fakes.items():
            self.desk.put_in_service(site=name)
            (client, vm) = ("dupont", "web-1") if name == "paris" else ("martin", "shop-1")
            vmid = self.desk.machines(name)[vm]["vmid"]
            fake.add_vms(2, first=700, config={"ipconfig0": "ip=203.0.113.77/24"})
            fake.add_snapshot(vmid, "before", snaptime=int(MONDAY_NIGHT.timestamp()) - 86400)
            notes = archive_notes(ArchiveMark(client=client, machine=vm, contract=f"C-{client}", days=7))
            old = int(MONDAY_NIGHT.timestamp()) - 86400
            fake.add_archives([{"storage": STORE, "vmid": vmid, "ctime": old, "notes": notes}])
        # Something is to be made at both: then the addresses of strangers are read as well.
        self.desk.write(
            self._file("dupont", "web-1", "paris", "web-2"), self._file("martin", "shop-1", "lyon", "shop-2")
        )
        self.provider = load_provider(folder)
        self.asked = preparing.wanted(
            self.provider, PlanOptions(paths=[str(folder / "subscriptions")]), made_at=MONDAY_NIGHT
        )
        self.history = open_history(folder / "history.db")
        self.answers: Answers = {}
        with recorded(self.answers):
            self.sound_plan = self.plan()
            self.sound_night = self.night()
        assert {call[1] for call in self.answers} >= {"/pools", f"/nodes/pve1/storage/{STORE}/content"}

    @staticmethod
    def _file(client: str, first: str, site: str, *more: str) -> dict[str, Any]:
        machines = [machine(name, backup={"retention_days": 7}) for name in (first, *more)]
        return subscription(client, machines, site=site)

    def clusters(self) -> dict[str, Cluster]:
        return {name: fake.cluster(patience=QUICK, site=name) for name, fake in self.desk.fakes.items()}

    def plan(self) -> dict[str, Any]:
        """A plan, rendered in every form, as data."""
        plan = preparing.prepare(self.asked, self.clusters(), {}).plan
        list(render_plan(plan, show_unmanaged=True))
        document: dict[str, Any] = json.loads(to_document(plan).model_dump_json())
        return document

    def night(self) -> Work:
        """What a night would do."""
        return plan_night(self._night(self.history), self.history)

    def _night(self, history: History) -> Night:
        journal = Journal(
            history=history,
            who="timer",
            why="night",
            run="20261123T220000",
            gate=lambda _site: None,
            clock=lambda: MONDAY_NIGHT,
        )
        return Night(
            provider=self.provider,
            desired={item.key: item for item in self.asked.desired},
            clusters=self.clusters(),
            journal=journal,
            clock=lambda: MONDAY_NIGHT,
            tell=lambda event, **fields: None,
            closes_at=window_closes(MONDAY_NIGHT),
            pause=time.sleep,
        )

    def bytes_with(self, mutation: Mutation) -> dict[Any, bytes]:
        usual = {call: json.dumps({"data": data}).encode() for call, data in self.answers.items()}
        return usual | {mutation.call: mutation.body}


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with FakePve() as paris, FakePve(site="lyon") as lyon:
        yield Estate(tmp_path_factory.mktemp("estate"), {"paris": paris, "lyon": lyon})


def paris_of(plan: dict[str, Any]) -> list[Any]:
    return [item for item in plan["machines"] if item["site"] == "paris"]


def created(plan: dict[str, Any]) -> set[str]:
    """The machines that a plan makes."""
    return {
        item["machine"]
        for item in plan["machines"]
        if any(change["kind"] == "create" for change in item["changes"])
    }


def test_a_plan_of_the_other_site_is_the_same_whatever_one_site_answers(estate: Estate) -> None:
    wanted, broken = paris_of(estate.sound_plan), []
    assert created(estate.sound_plan) == {"web-2", "shop-2"}, estate.sound_plan
    for mutation in mutations(estate.answers, estate.desk.fakes["lyon"].url, count=PLANS, seed=SEED):
        with replayed(estate.bytes_with(mutation)):
            try:
                plan = estate.plan()
            except BaseException:
                broken.append(f"{mutation.told}: {traceback.format_exc()}")
                continue
        if paris_of(plan) != wanted or {failure["site"] for failure in plan["failures"]} - {"lyon"}:
            broken.append(f"{mutation.told}: the plan of paris changed")
        if "shop-1" in created(plan):
            broken.append(f"{mutation.told}: a machine that is there would be made again")
    assert not broken, f"{len(broken)} of {PLANS}:\n" + "\n".join(broken[:10])


def test_a_night_of_the_other_site_is_the_same_whatever_one_site_answers(estate: Estate) -> None:
    wanted = estate.sound_night.step(BackupStep).plan.due.keys() & {("dupont", "web-1")}
    assert wanted, estate.sound_night.problems
    broken = []
    for mutation in mutations(estate.answers, estate.desk.fakes["lyon"].url, count=NIGHTS, seed=SEED + 1):
        with replayed(estate.bytes_with(mutation)):
            try:
                plan = estate.night()
            except BaseException:
                broken.append(f"{mutation.told}: {traceback.format_exc()}")
                continue
        if not plan.step(BackupStep).plan.due.keys() >= wanted:
            broken.append(f"{mutation.told}: {plan.problems}")
        if any("internal error" in text for text in plan.problems):
            broken.append(f"{mutation.told}: {plan.problems}")
    assert not broken, f"{len(broken)} of {NIGHTS}:\n" + "\n".join(broken[:10])
