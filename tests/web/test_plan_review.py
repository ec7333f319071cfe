"""Plans in the Interface: filed, decided by a second person, carried out by a runner in a process of its own."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.errors import RequestRefused
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface import jobs, plans
from orchestrator.interface.jobs import SILENT_FOR, JobState
from orchestrator.interface.plans import PlanState
from orchestrator.interface.scopes import Scope
from orchestrator.operations import carrying_out, plan_review
from orchestrator.operations.plan_review import Filing
from orchestrator.operations.tokens import NewToken, add_token
from orchestrator.planning.saved import SavedPlan, SavedPlanUnusable
from orchestrator.resources.change import Effect
from orchestrator.runner import telling
from orchestrator.web.desk import Desk as Interface
from orchestrator.web.desk import open_desk
from orchestrator.web.pages import jobs as job_pages
from orchestrator.web.settings import Settings
from tests.api.desk import HOST_KEY, Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.web.signed_in import Browser, signed_in

LINK = "https://forge.example/hosting/merge_requests/7"


@pytest.fixture
def fake() -> Iterator[FakePve]:
    with FakePve() as started:
        started.control("add_template", vmid=9000, name="debian-12")
        yield started


@pytest.fixture
def desk(fake: FakePve, tmp_path: Path) -> Desk:
    made = Desk(tmp_path, {"paris": fake})
    made.write(subscription("dupont", [machine("web-1")]))
    return made


@pytest.fixture
def interface(desk: Desk) -> Iterator[Interface]:
    settings = Settings(
        public_url="https://panel.example",
        inventory=str(desk.folder / "sites.yaml"),
        history=str(desk.folder / "state" / "orchestrator" / "history.db"),
        reports=desk.folder,
    )
    with open_desk(settings) as opened:
        yield opened


@pytest.fixture
def approver(interface: Interface) -> Iterator[Browser]:
    with signed_in(interface, "paula") as browser:
        yield browser


def saved_text(desk: Desk, *arguments: str) -> str:
    answer = desk.run("plan", "--out", "plan.json", *arguments)
    assert answer.code == 0, answer
    return (desk.folder / "plan.json").read_text()


def filed(desk: Desk, interface: Interface, *, by: str = "oscar") -> int:
    filing = Filing(text=saved_text(desk), by=by, link=LINK)
    return plan_review.file_plan(interface.history, filing, interface.now()).number


def run_jobs(desk: Desk) -> Answer:
    return desk.run("runner", "--once", "--no-guests")


def state_of(interface: Interface, number: int) -> PlanState:
    return plan_review.shown(interface.history, number)[0].state


def state_of_row(interface: Interface, number: int) -> PlanState:
    return plan_review.known(interface.history, number).state


def edited(desk: Desk, change: Callable[[SavedPlan], dict[str, Any]]) -> str:
    """A saved plan that somebody changed and sealed again: the hash is no signature."""
    saved = SavedPlan.model_validate_json(saved_text(desk))
    return saved.model_copy(update=change(saved)).sealed().model_dump_json()


def approved(interface: Interface, text: str) -> None:
    number = plan_review.file_plan(
        interface.history, Filing(text=text, by="token ci"), interface.now()
    ).number
    plan_review.approve(interface.history, number, by="paula", word="", now=interface.now())


def cloning(desk: Desk, fake: FakePve, interface: Interface) -> subprocess.Popen[str]:
    """A runner that is in the middle of an approved plan: a clone goes on until the fault is cleared."""
    plan_review.approve(interface.history, filed(desk, interface), by="paula", word="", now=interface.now())
    fake.fault("POST", ".*/clone", "endless")
    runner = desk.start("runner", "--once", "--no-guests")
    awaited(lambda: "POST /nodes/pve1/qemu/9000/clone" in fake.calls())
    return runner


def process_of_job(runner: subprocess.Popen[str]) -> int:
    (child,) = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    return int(child)


def job(interface: Interface, number: int) -> jobs.Job:
    with interface.database.reading() as connection:
        found = jobs.find(connection, number)
    assert found is not None
    return found


def awaited(what: Callable[[], object]) -> None:
    for _ in range(3000):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_a_plan_is_approved_by_a_second_person_and_carried_out(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    number = filed(desk, interface)
    assert "1 to create" in approver.get("/plans").text
    page = approver.get(f"/plans/{number}").text
    assert "web-1" in page and LINK in page and "Approve and carry out" in page
    told = approver.send(f"/plans/{number}", f"/plans/{number}/approve", {"word": "as ordered"})
    place = told.headers["location"]
    assert "waiting" in approver.get(place).text
    answer = run_jobs(desk)
    assert answer.code == 0, answer
    assert "web-1" in desk.machines()
    shown = approver.get(place).text
    assert "done: 1 machine changed" in shown and "dupont/web-1" in shown
    assert state_of(interface, number) is PlanState.APPLIED
    entries = interface.history.entries(client="dupont", machine="web-1", limit=50)
    assert {entry.who for entry in entries} == {"paula"}
    assert all("filed by oscar, approved by paula: as ordered" in entry.why for entry in entries)
    acts = [(e.action, e.who, e.result) for e in interface.history.entries(client="*", limit=9)]
    assert ("approve plan", "paula", "ok") in acts and ("file plan", "oscar", "ok") in acts


def test_the_steps_come_live_and_go_on_where_a_browser_had_left(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    number = filed(desk, interface)
    plan_review.approve(interface.history, number, by="paula", word="", now=interface.now())
    run_jobs(desk)
    stream = approver.get("/live/jobs/1").text
    positions = [int(found) for found in re.findall(r"^id: (\d+)$", stream, re.M)]
    assert positions == list(range(1, len(positions) + 1)) and len(positions) > 2
    assert stream.endswith('event: over\ndata: {"state": "done"}\n\n')
    steps = [json.loads(data) for data in re.findall(r"^event: step\ndata: (.*)$", stream, re.M)]
    assert {step["about"] for step in steps} == {"dupont", "dupont/web-1"} and steps[-1]["kind"] == "ended"
    rest = approver.get("/live/jobs/1", {"after": str(positions[-2])}).text
    assert re.findall(r"^id: (\d+)$", rest, re.M) == [str(positions[-1])]
    again = approver.client.get(
        "/live/jobs/1", params={"after": "0"}, headers={"Last-Event-ID": str(positions[-3])}
    )
    assert re.findall(r"^id: (\d+)$", again.text, re.M) == [str(last) for last in positions[-2:]]


def test_a_stream_ends_with_its_session(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_pages, "_EVERY", 0)
    number = carrying_out.ask_for_plan(interface.history, only=None, by="oscar", now=interface.now())
    asked: list[bool] = []

    def still() -> bool:
        asked.append(len(asked) < 2)
        return asked[-1]

    async def read() -> list[str]:
        return [text async for text in job_pages.stream(interface, number, 0, still)]

    assert set(asyncio.run(read())) == {": going on\n\n"} and asked == [True, True, False]


def test_whoever_made_a_plan_does_not_approve_it(desk: Desk, interface: Interface, approver: Browser) -> None:
    names = "paula", " Paula", "ｐａｕｌａ", "paula@example.org", "Paula Martin <Paula@Example.org>"
    for author, by in (("", "paula"), *((name, "token ci") for name in names)):
        filing = Filing(text=saved_text(desk), by=by, author=author)
        number = plan_review.file_plan(interface.history, filing, interface.now()).number
        page = approver.get(f"/plans/{number}").text
        assert "a second person approves it" in page and "Approve and carry out" not in page
        answer = approver.send(f"/plans/{number}", f"/plans/{number}/approve", {}, status=409)
        assert "a second person approves it" in answer.text
        assert state_of(interface, number) is PlanState.WAITING


def test_of_two_who_decide_at_once_one_does(desk: Desk, interface: Interface) -> None:
    number = filed(desk, interface)
    together, ends = threading.Barrier(4), []

    def decide(name: str) -> None:
        together.wait()
        try:
            if name.endswith("a"):
                plan_review.approve(interface.history, number, by=name, word="", now=interface.now())
            else:
                plan_review.refuse(interface.history, number, by=name, word="no", now=interface.now())
            ends.append(name)
        except RequestRefused as error:
            assert f"plan {number} is" in str(error) and "already" in str(error)

    threads = [threading.Thread(target=decide, args=(name,)) for name in ("paula", "olga", "igor", "yann")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 1
    with interface.database.reading() as connection:
        assert jobs.how_many(connection) == (1 if ends[0].endswith("a") else 0)
    assert plan_review.shown(interface.history, number)[0].decided_by == ends[0]


def test_a_refusal_needs_a_word_and_ends_the_plan(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    number = filed(desk, interface)
    where = f"/plans/{number}"
    assert "say in a few words" in approver.send(where, f"{where}/refuse", {"word": " "}, status=409).text
    approver.send(where, f"{where}/refuse", {"word": "wrong <b>size</b>"})
    page = approver.get(where).text
    assert "wrong &lt;b&gt;size" in page and "Approve and carry out" not in page
    assert "is refused already" in approver.send("/plans", f"{where}/approve", {}, status=409).text
    run_jobs(desk)
    assert desk.machines() == {}


def test_what_moved_between_approval_and_the_run_is_not_changed(desk: Desk, interface: Interface) -> None:
    number = filed(desk, interface)
    plan_review.approve(interface.history, number, by="paula", word="", now=interface.now())
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB")]))
    run_jobs(desk)
    ended = job(interface, 1)
    assert ended.state is JobState.FAILED and "nothing was changed" in ended.result
    assert state_of(interface, number) is PlanState.FAILED and desk.machines() == {}
    with interface.database.reading() as connection:
        told = [event.text for event in jobs.events_of(connection, 1)]
    assert any("dupont.yaml was changed" in text for text in told)


def test_a_plan_too_old_or_changed_is_not_approved(desk: Desk, interface: Interface) -> None:
    text = saved_text(desk)
    saved = SavedPlan.model_validate_json(text)
    old = saved.model_copy(
        update={"plan": saved.plan.model_copy(update={"made_at": saved.made_at - dt.timedelta(hours=25)})}
    ).sealed()
    filing = Filing(text=old.model_dump_json(), by="oscar")
    number = plan_review.file_plan(interface.history, filing, interface.now()).number
    with pytest.raises(RequestRefused, match="more than 24 hours ago"):
        plan_review.approve(interface.history, number, by="paula", word="", now=interface.now())
    run_jobs(desk)
    assert state_of(interface, number) is PlanState.OUTDATED
    fresh = filed(desk, interface)
    with interface.database.writing() as connection:
        changed = plans.PLANS.update().where(plans.PLANS.c.number == fresh)
        connection.execute(changed.values(document=text.replace("web-1", "web-2")))
    with pytest.raises(RequestRefused, match="was changed after it was filed"):
        plan_review.approve(interface.history, fresh, by="paula", word="", now=interface.now())
    assert state_of_row(interface, fresh) is PlanState.WAITING, "a runner leaves a young plan alone"
    with signed_in(interface, "oscar") as browser:
        where = f"/plans/{fresh}"
        page = browser.get(where).text
        assert "was changed after it was filed" in page and "web-2" not in page
        browser.send(where, f"{where}/withdraw", {})
    assert state_of_row(interface, fresh) is PlanState.WITHDRAWN


@pytest.mark.parametrize("text", ["", "{}", "no plan", "[" * 100_000, '{"saved": "orchestrator plan"}'])
def test_what_is_no_plan_is_not_filed(interface: Interface, text: str) -> None:
    with pytest.raises(SavedPlanUnusable, match="what was sent is not a saved plan"):
        plan_review.file_plan(interface.history, Filing(text=text, by="token ci"), interface.now())
    with interface.database.reading() as connection:
        assert plans.how_many(connection) == 0


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "http://forge.example/1", "https://a/\u202e", "https://"]
)
def test_a_link_that_is_none_is_refused(desk: Desk, interface: Interface, link: str) -> None:
    with pytest.raises(RequestRefused, match="link"):
        plan_review.file_plan(
            interface.history, Filing(text=saved_text(desk), by="t", link=link), interface.now()
        )


def test_a_plan_is_made_on_a_button_and_names_drift(
    desk: Desk, fake: FakePve, interface: Interface, approver: Browser
) -> None:
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True, host_keys=(HOST_KEY,))
    place = approver.send("/plans", "/plans/make", {"only": "dupont"}).headers["location"]
    assert place == approver.send("/plans", "/plans/make", {"only": "dupont"}).headers["location"], (
        "asked twice"
    )
    act = interface.history.entries(action="ask for plan", limit=1)[0]
    assert (act.who, json.loads(act.details)) == ("paula", {"only": "dupont", "job": 1})
    run_jobs(desk)
    assert "nothing is to change" in approver.get(place).text
    vm = desk.machines()["web-1"]
    fake.cluster().put(f"/nodes/pve1/qemu/{vm['vmid']}/config", memory=2048)
    place = approver.send("/plans", "/plans/make", {}).headers["location"]
    run_jobs(desk)
    assert "plan 1:" in approver.get(place).text
    page = approver.get("/plans/1").text
    assert "drift" in page and "2GiB" in page and "a second person approves it" in page


def test_a_job_that_was_cancelled_before_it_began_never_begins(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    number = filed(desk, interface)
    place = approver.send(f"/plans/{number}", f"/plans/{number}/approve", {}).headers["location"]
    approver.send(place, f"{place}/cancel", {})
    assert "cancelled by paula" in approver.get(place).text
    run_jobs(desk)
    assert desk.machines() == {} and state_of(interface, number) is PlanState.FAILED
    assert "over already" in approver.send("/jobs", f"{place}/cancel", {}, status=409).text
    acts = [
        (entry.action, entry.who, entry.result) for entry in interface.history.entries(client="*", limit=2)
    ]
    assert acts == [("cancel job", "paula", "refused"), ("cancel job", "paula", "ok")]


def test_a_job_that_runs_is_cancelled_in_order(desk: Desk, fake: FakePve, interface: Interface) -> None:
    number = filed(desk, interface)
    plan_review.approve(interface.history, number, by="paula", word="", now=interface.now())
    fake.fault("POST", ".*/clone", "endless")
    runner = desk.start("runner", "--once", "--no-guests")
    awaited(lambda: "POST /nodes/pve1/qemu/9000/clone" in fake.calls())
    carrying_out.cancel(interface.history, 1, by="oscar", now=interface.now())

    def heard() -> bool:
        with interface.database.reading() as connection:
            return any("interrupted" in event.text for event in jobs.events_of(connection, 1))

    awaited(heard)
    fake.control("clear_faults")
    runner.communicate()
    assert job(interface, 1).state is JobState.CANCELLED
    assert state_of(interface, number) is PlanState.FAILED


def test_a_process_that_is_killed_is_told_and_the_next_plan_finishes(
    desk: Desk, fake: FakePve, interface: Interface
) -> None:
    runner = cloning(desk, fake, interface)
    os.kill(process_of_job(runner), signal.SIGKILL)
    runner.communicate()
    assert job(interface, 1).state is JobState.FAILED
    assert "ended without a word" in job(interface, 1).result
    fake.control("clear_faults")
    plan_review.approve(interface.history, filed(desk, interface), by="paula", word="", now=interface.now())
    run_jobs(desk)
    assert job(interface, 2).state is JobState.DONE, job(interface, 2).result
    assert list(desk.machines()) == ["web-1"]


def test_a_job_whose_runner_is_gone_is_given_up_once_and_not_done_again(
    desk: Desk, interface: Interface
) -> None:
    number = filed(desk, interface)
    now = interface.now()
    plan_review.approve(interface.history, number, by="paula", word="", now=now)
    with interface.database.writing() as connection:
        taken = jobs.take(connection, "another", now)
        assert taken is not None and jobs.take(connection, "mine", now) is None
    assert carrying_out.give_up_silent(interface.history, now + SILENT_FOR) == []
    late = now + SILENT_FOR + dt.timedelta(seconds=1)
    assert [one.number for one in carrying_out.give_up_silent(interface.history, late)] == [1]
    assert state_of(interface, number) is PlanState.FAILED
    with interface.database.writing() as connection:
        assert jobs.beat(connection, 1, "another", late) is None, "a frozen runner that wakes up hears of it"
    run_jobs(desk)
    assert desk.machines() == {} and job(interface, 1).state is JobState.LOST


def test_a_runner_that_is_killed_leaves_nothing_twice_and_nothing_lost(
    desk: Desk, fake: FakePve, interface: Interface
) -> None:
    runner = cloning(desk, fake, interface)
    child = process_of_job(runner)
    runner.kill()
    runner.wait()
    run_jobs(desk)
    assert job(interface, 1).state is JobState.RUNNING, "its process goes on and says so"
    os.kill(child, signal.SIGKILL)
    fake.control("clear_faults")
    run_jobs(desk)
    assert job(interface, 1).state is JobState.RUNNING, "it may still be at work"
    with interface.database.writing() as connection:
        connection.execute(sa.update(jobs.JOBS).values(alive_at="2026-01-01T00:00:00.000000+00:00"))
    run_jobs(desk)
    assert job(interface, 1).state is JobState.LOST and state_of(interface, 1) is PlanState.FAILED
    assert fake.calls()["POST /nodes/pve1/qemu/9000/clone"] == 1, "it is not done a second time"
    plan_review.approve(interface.history, filed(desk, interface), by="paula", word="", now=interface.now())
    run_jobs(desk)
    assert job(interface, 2).state is JobState.DONE, job(interface, 2).result
    assert list(desk.machines()) == ["web-1"]


def test_a_runner_that_is_told_to_end_ends_its_job_in_order(
    desk: Desk, fake: FakePve, interface: Interface
) -> None:
    runner = cloning(desk, fake, interface)
    runner.terminate()

    def heard() -> bool:
        with interface.database.reading() as connection:
            return any("interrupted" in event.text for event in jobs.events_of(connection, 1))

    awaited(heard)
    fake.control("clear_faults")
    runner.communicate()
    assert runner.returncode == 0
    ended = job(interface, 1)
    assert ended.state is JobState.CANCELLED and ended.cancelled_by is None, ended


def test_a_plan_for_other_sites_is_not_carried_out(desk: Desk, interface: Interface) -> None:
    approved(interface, edited(desk, lambda saved: {"sites": "elsewhere", "inventory": "lyon"}))
    run_jobs(desk)
    ended = job(interface, 1)
    assert ended.state is JobState.FAILED and "was made for the sites of lyon" in ended.result
    assert desk.machines() == {}


@pytest.mark.parametrize("path", ["/etc/passwd", "../other", "subscriptions/../../other", "a\0b"])
def test_a_plan_cannot_have_other_files_read(desk: Desk, interface: Interface, path: str) -> None:
    """What is wrong in a file is told: of a password file, that would be its lines."""
    text = edited(desk, lambda saved: {"options": saved.options.model_copy(update={"paths": [path]})})
    approved(interface, text)
    run_jobs(desk)
    ended = job(interface, 1)
    assert ended.state is JobState.FAILED and "not among the clients' files here" in ended.result
    with interface.database.reading() as connection:
        assert jobs.events_of(connection, 1) == []


def test_what_a_job_tells_is_kept_without_secrets_and_after_a_pause_of_the_database(
    interface: Interface, approver: Browser
) -> None:
    now = interface.now()
    number = carrying_out.ask_for_plan(interface.history, only=None, by="oscar", now=now)
    with interface.database.writing() as connection:
        taken = jobs.take(connection, "mine", now)
    assert taken is not None
    told = telling.Told()
    secret = "0f4e3d2c-1b0a-4c5d-8e7f-6a5b4c3d2e1f"
    told.step("dupont", "web-1", f"first\0 PVEAPIToken=root@pam!x={secret}")
    with interface.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE interface_job_events RENAME TO away")
    with pytest.raises(HistoryUnavailable):
        telling._say(interface.database, taken, "mine", told)
    with interface.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO interface_job_events")
    told.step("dupont", "web-1", "second")
    telling._say(interface.database, taken, "mine", told)
    page = approver.get(f"/jobs/{number}").text
    assert page.index("first\\x00") < page.index("second")
    assert secret not in page


def test_a_large_plan_shows_what_needs_a_look_and_leads_to_the_rest(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    def many(saved: SavedPlan) -> dict[str, Any]:
        (one,) = saved.plan.machines
        machines = [
            one.model_copy(update={"client": f"client-{client}", "machine": f"m-{client}-{number}"})
            for client in range(6)
            for number in range(100)
        ]
        bad = [change.model_copy(update={"kind": Effect.REFUSED}) for change in one.changes]
        refused = machines[-1].model_copy(update={"refused": True, "changes": bad})
        return {"plan": saved.plan.model_copy(update={"machines": [*machines[:-1], refused]})}

    filing = Filing(text=edited(desk, many), by="token ci")
    number = plan_review.file_plan(interface.history, filing, interface.now()).number
    page = approver.get(f"/plans/{number}").text
    assert len(page) < 300_000
    assert all(f">client-{client}</a>" in page for client in range(6)), "every client is in the table"
    details = re.findall(r'id="of-(client-\d)"', page)
    elsewhere = re.findall(r'href="\?client=(client-\d)#of-client-\d"', page)
    assert details[0] == "client-5", "what is refused comes first"
    assert "client-4" in elsewhere and sorted(details + elsewhere) == [f"client-{n}" for n in range(6)]
    alone = approver.get(f"/plans/{number}", {"client": "client-4"}).text
    assert re.findall(r'id="of-(client-\d)"', alone) == ["client-4"] and "m-4-99" in alone
    assert 'id="of-' not in approver.get(f"/plans/{number}", {"client": "<b>"}).text


@pytest.mark.parametrize(
    "path", ["/plans/99", "/plans/x", "/plans/9999999999", "/jobs/99", "/jobs/-1", "/live/jobs/9"]
)
def test_what_is_not_there_is_missing(approver: Browser, path: str) -> None:
    approver.get(path, status=404)


def test_an_operator_makes_plans_and_a_reader_only_reads(desk: Desk, interface: Interface) -> None:
    number = filed(desk, interface, by="somebody")
    with signed_in(interface, "oscar") as operator:
        page = operator.get(f"/plans/{number}").text
        assert "Withdraw" in page and "/approve" not in page and "/refuse" not in page
        for act in ("approve", "refuse"):
            operator.send("/plans", f"/plans/{number}/{act}", {"word": "x"}, status=404)
    with signed_in(interface, "rachel") as reader:
        assert "/withdraw" not in reader.get(f"/plans/{number}").text
        assert "/plans/make" not in reader.get("/plans").text
    assert state_of(interface, number) is PlanState.WAITING


def test_plans_are_listed_by_client_and_the_machine_leads_there(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    def of(client: str) -> int:
        def renamed(saved: SavedPlan) -> dict[str, Any]:
            machines = [one.model_copy(update={"client": client}) for one in saved.plan.machines]
            return {"plan": saved.plan.model_copy(update={"machines": machines})}

        filing = Filing(text=edited(desk, renamed), by="token ci")
        return plan_review.file_plan(interface.history, filing, interface.now()).number

    def found(**query: str) -> list[int]:
        return [
            int(number) for number in re.findall(r'href="/plans/(\d+)"', approver.get("/plans", query).text)
        ]

    first, second = of("client-1"), of("client-10")
    assert found() == [second, first]
    assert (found(client="client-1"), found(client="client-10")) == ([first], [second])
    assert found(client="client-1", state="refused") == []
    for none in ("client", "client_1", "%", "client-1\nclient-10"):
        assert found(client=none) == [], none
    assert "No plans of these." in approver.get("/plans", {"client": "x"}).text
    token, _ = add_token(interface, NewToken(name="pipeline", scopes=[Scope.READ]), who="test")
    sent = {"authorization": f"Bearer {token}"}
    listed = approver.client.get("/api/v1/plans?client=client-10", headers=sent).json()
    assert [item["number"] for item in listed["items"]] == [second] and listed["total"] == 1


def test_a_plan_says_its_state_apart_from_what_it_does(
    desk: Desk, interface: Interface, approver: Browser
) -> None:
    page = approver.get(f"/plans/{filed(desk, interface)}").text
    summary = re.sub(r"<[^>]+>", "", page[page.index('<p class="summary">') :].split("</p>")[0])
    assert " ".join(summary.split()).startswith("waiting · 1 to create")


def test_a_job_says_that_later_steps_are_not_kept(interface: Interface, approver: Browser) -> None:
    number = carrying_out.ask_for_plan(interface.history, only=None, by="oscar", now=interface.now())

    def add(position: int) -> None:
        event = jobs.JobEvent(
            position=position, at=interface.now(), kind="step", client="dupont", machine="web-1", text="done"
        )
        with interface.database.writing() as connection:
            jobs.add_events(connection, number, [event])

    add(jobs.MOST_EVENTS - 1)
    assert "are not kept" not in approver.get(f"/jobs/{number}").text
    add(jobs.MOST_EVENTS)
    assert "Steps after number 20,000 are not kept" in approver.get(f"/jobs/{number}").text
