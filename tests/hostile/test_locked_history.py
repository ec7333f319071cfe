"""A history that another program locks in the middle of a command: an error for people, and nothing half done."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.history import database
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk
from tests.api.together import Together


@pytest.fixture
def desk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    night = NightDesk(desk)
    night.deliver("web-1", days=7)
    night.files("web-1", days=7, memory="2GiB")
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.2)
    monkeypatch.chdir(desk.folder)
    for name, value in desk._environment({}).items():
        monkeypatch.setenv(name, value)
    return desk


@contextmanager
def locked_in_the_middle(path: Path) -> Iterator[None]:
    """Lock a history as soon as a step has begun: its end can then not be written."""
    over = threading.Event()

    def lock() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as holder:
            while not (over.is_set() or _begun(holder)):
                over.wait(0.0005)  # whoever only reads is in nobody's way
            with suppress(sqlite3.OperationalError):
                holder.execute("BEGIN IMMEDIATE")
            over.wait()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _begun(holder: sqlite3.Connection) -> bool:
    last = holder.execute("SELECT result FROM history_entries ORDER BY sequence DESC LIMIT 1").fetchone()
    return bool(last == ("begun",))


@pytest.mark.parametrize(
    "command",
    [
        ["snapshot", "create", "dupont/web-1", "before"],
        ["backup", "now", "dupont/web-1"],
        ["apply", "--yes", "--no-guests"],
    ],
    ids=lambda command: command[0],
)
def test_a_history_that_is_locked_in_the_middle_is_an_error_and_the_next_run_finishes(
    desk: Desk, command: list[str]
) -> None:
    desk.fakes["paris"].control("pace", time_scale=0.5)  # tasks take a moment
    with locked_in_the_middle(desk.folder / "state" / "orchestrator" / "history.db"):
        ended = CliRunner().invoke(app, command)
    told = " ".join((ended.stdout + ended.stderr).split())
    assert ended.exit_code == 1 and isinstance(ended.exception, SystemExit), ended
    assert "could not be written: database is locked: another program holds it" in told
    assert "internal error" not in told and "Traceback" not in told
    if command[0] == "snapshot":  # it was taken: said, and nothing else stands in its way
        assert "snapshot was done, but that is not in the history" in told
        command = [*command[:-1], "after"]
    assert CliRunner().invoke(app, command).exit_code == 0
    if command[0] == "apply":
        assert "~ memory" not in desk.run("plan").out
    assert CliRunner().invoke(app, ["history", "verify"]).exit_code == 0


def test_the_log_has_the_code_of_an_error(desk: Desk) -> None:
    ended = CliRunner().invoke(
        app, ["--log-format", "json", "history", "--history", str(desk.folder / "none.db")]
    )
    (line,) = [json.loads(text) for text in ended.stderr.splitlines()]
    assert (line["event"], line["code"]) == ("error", "history-missing"), line


def test_snapshots_and_backups_on_demand_wait_for_nobody_and_refuse_a_client_that_is_being_changed(
    desk: Desk,
) -> None:
    """Two processes at the same moment: one has the client's lock, the other says who."""
    environment = {
        name: desk._environment({})[name] for name in ("ORCHESTRATOR_INVENTORY", "XDG_STATE_HOME", "COLUMNS")
    }
    assert desk.run("snapshot", "create", "dupont/web-1", "one").code == 0  # there for whoever wins below
    desk.fakes["paris"].control("pace", time_scale=0.2)
    with Together(desk.folder, environment) as both:
        for first, second in (
            (["snapshot", "create", "dupont/web-1", "two"], ["backup", "now", "dupont/web-1"]),
            (["snapshot", "delete", "dupont/web-1", "one", "--yes"], ["backup", "now", "dupont/web-1"]),
        ):
            ended = both.run(first, second)
            assert 0 in {answer.code for answer in ended}, ended
            for answer in ended:
                assert answer.code == 0 or "is changing dupont: wait until that run has ended" in answer.err


def test_show_has_the_machines_although_the_history_cannot_be_read(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    broken = desk.folder / "broken.db"
    broken.write_text("not a database " * 100)
    answer = desk.run("show", "dupont/web-1", "--history", str(broken))
    assert answer.code == 1 and "running" in answer.out and "VM " in answer.out, answer
    assert str(broken) in answer.err and "Traceback" not in answer.err, answer
