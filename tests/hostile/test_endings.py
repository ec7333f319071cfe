"""How runs end when something is broken here: a message with its cause and what to do, never a traceback."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.cli.ending import end
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.forked import ForkedRun
from tests.hostile_texts import unseen


def _ended_with_a_message(answer: Answer, *words: str) -> None:
    """Exit code 1, one error, and what to do."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.out + answer.err, answer
    for word in words:
        assert word in answer.err, answer
    assert unseen(answer.out + answer.err) == []


@pytest.fixture(scope="module")
def _desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path_factory.mktemp("desk"), {"paris": fake})
        desk.write(subscription("dupont", [machine("web-1")]))
        assert desk.apply().code == 0
        desk.put_in_service()
        shutil.copytree(desk.folder / "state", desk.folder / "state of all")
        yield desk


@pytest.fixture
def made(_desk: Desk) -> Desk:
    """A machine in service, with its history."""
    shutil.rmtree(_desk.folder / "state")
    shutil.copytree(_desk.folder / "state of all", _desk.folder / "state")
    _desk.write(subscription("dupont", [machine("web-1")]))
    return _desk


def _run(desk: Desk, *command: str, **environment: str) -> Answer:
    """Run the command with a changed environment."""
    run = ForkedRun(command, desk.folder, {**desk._environment({}), **environment})
    return Answer(*run.communicate())


def _shell(desk: Desk, script: str, *, namespace: str = "", **environment: str) -> Answer:
    """Run a script in which ``$O`` is the command."""
    command = ["bash", "-c", script]
    if namespace:
        command = ["unshare", *namespace.split(), *command]
    done = subprocess.run(
        command,
        cwd=desk.folder,
        env=desk._environment({"O": f"{sys.executable} -m orchestrator", **environment}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


_COMMANDS = (
    ("apply", "--yes", "--no-guests"),
    ("snapshot", "create", "dupont/web-1", "before"),
    ("nightly", "--in-working-hours"),
    ("history",),
    ("show", "dupont/web-1"),
)


def test_a_file_in_the_place_of_the_state_directory(made: Desk) -> None:
    made.write(subscription("dupont", [machine("web-1"), machine("web-3")]))
    broken = made.folder / "broken"
    broken.write_text("")
    for command in _COMMANDS:
        _ended_with_a_message(_run(made, *command, XDG_STATE_HOME=str(broken)), str(broken))
    assert "web-3" not in made.machines(), "nothing was begun"


def test_a_full_disk(made: Desk) -> None:
    """A file system of its own with no room left: before a run, and for what it is to write."""
    mount = "mkdir full && mount -t tmpfs -o size=100k x full && head -c 200k /dev/zero >full/ballast 2>/dev/null; "
    for command in ("apply --yes --no-guests", "snapshot create dupont/web-1 before"):
        answer = _shell(made, f"{mount} exec $O {command}", namespace="--mount", XDG_STATE_HOME="full")
        _ended_with_a_message(answer, "full/orchestrator", "room")
        (made.folder / "full").rmdir()
    night = "nightly --in-working-hours --report-dir full/reports --metrics-file full/night.prom"
    answer = _shell(made, f"{mount} exec $O {night}", namespace="--mount")
    _ended_with_a_message(answer, "the report could not be written", "the metrics could not be written")
    plan = _shell(made, f"rmdir full; {mount} $O plan --out full/plan.json; ls -A full", namespace="--mount")
    assert "the plan cannot be saved: full/plan.json: No space left" in plan.err and plan.out.split() == [
        "ballast"
    ], plan


def test_an_output_that_cannot_be_written(made: Desk) -> None:
    full = _shell(made, "$O history >/dev/full")
    _ended_with_a_message(full, "the output could not be written", "No space left", "make room")
    seen_enough = _shell(made, "set -o pipefail; $O history --limit 50 | head -n 1")
    assert (seen_enough.err, len(seen_enough.out.splitlines())) == ("", 1)
    made.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    gone = _shell(made, "$O apply --yes --no-guests | true; $O plan --detailed-exitcode >/dev/null")
    assert gone.err == "" and "web-2" in made.machines(), "a reader who is gone stops no work"


def test_a_full_disk_is_told_with_a_place_although_the_system_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as ended:
        end(full)
    assert ended.value.code == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"the state directory {tmp_path}/orchestrator, or a file that was named: No space left" in told


def test_an_account_without_a_name_and_a_home(made: Desk) -> None:
    alone = "--user --map-user=54321"
    nowhere = _shell(made, "unset HOME XDG_STATE_HOME; exec $O history", namespace=alone)
    _ended_with_a_message(nowhere, "set XDG_STATE_HOME")
    answer = _shell(made, "unset HOME; exec $O snapshot create dupont/web-1 alone", namespace=alone)
    assert answer.code == 0, answer
    assert "uid 54321" in made.run("history").out
    assert made.run("snapshot", "delete", "dupont/web-1", "alone", "--yes").code == 0


def _history(desk: Desk, statement: str) -> None:
    with (
        closing(sqlite3.connect(desk.folder / "state" / "orchestrator" / "history.db")) as database,
        database,
    ):
        database.execute(statement)


def test_a_history_that_breaks_after_the_work_was_done(made: Desk) -> None:
    _history(
        made,
        "CREATE TRIGGER full BEFORE INSERT ON history_entries WHEN NEW.result = 'ok' AND NEW.action LIKE 'snapshot%' "
        "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END",
    )
    answer = made.run("snapshot", "create", "dupont/web-1", "before")
    _ended_with_a_message(answer, "was done, but that is not in the history", "history.db", "make room")
    assert "before" in made.machines()["web-1"]["snapshots"]
    assert "no end was recorded" in made.run("history").out


def test_a_history_of_another_version_and_a_damaged_one(made: Desk) -> None:
    _history(made, "ALTER TABLE history_entries RENAME COLUMN upid TO task")
    for command in (("history",), ("snapshot", "create", "dupont/web-1", "other"), ("show", "dupont/web-1")):
        _ended_with_a_message(made.run(*command), "history.db", "another version of orchestrator")
    path = made.folder / "state" / "orchestrator" / "history.db"
    path.write_bytes(b"\xff" * path.stat().st_size)
    for command in (("history",), ("snapshot", "create", "dupont/web-1", "before")):
        _ended_with_a_message(made.run(*command), "history.db", "name another file with --history")


def test_a_password_in_a_databases_url_is_in_no_output(made: Desk) -> None:
    managed = {"level": "supervision", "updates": "on-request"}  # its plans count the month's free changes
    made.write(subscription("dupont", [machine("web-1")], managed_services=managed))
    never = "127.0.0.1:1/h?connect_timeout=1"
    for url in (
        f"postgresql+psycopg://alice:s3cr3t-word@{never}",
        f"postgresql+psycopg://alice:s3cr3t@word@{never}",
        f"postgresql+psycopg://alice@{never}&sslpassword=s3cr3t-word",
        "postgresql+psycopg://alice:s3cr3t-word@h:port/h",
    ):
        for command in (("history",), ("snapshot", "list", "dupont/web-1"), ("plan",)):
            answer = _run(made, "--verbose", *command, ORCHESTRATOR_HISTORY=url)
            assert "s3cr3t" not in answer.out + answer.err and "word" not in answer.err.replace(
                "password", ""
            )
            assert "Traceback (most" not in answer.out
            assert answer.code == (0 if command[0] == "snapshot" else 1), answer


def test_an_internal_error_is_told_as_one_and_its_traceback_kept(made: Desk) -> None:
    broken = (
        "import orchestrator.operations.preparing as preparing\n"
        "def prepare(*_, **__):\n"
        "    raise ZeroDivisionError('\\x1b[2J postgresql://alice:s3cr3t@db/h')\n"
        "preparing.prepare = prepare\n"
        "from orchestrator.__main__ import main\n"
        "main()\n"
    )
    answers = []
    for options in ("", "--verbose "):
        done = _shell(made, f'{sys.executable} -c "$BROKEN" {options}plan', BROKEN=broken)
        _ended_with_a_message(
            done, "internal error (ZeroDivisionError), please report it"
        ) if not options else None
        answers.append(done)
    assert "ZeroDivisionError: \\x1b[2J postgresql://[hidden]@db/h" in answers[1].err
    (kept, _) = sorted((made.folder / "state" / "orchestrator" / "internal-errors").iterdir())
    assert kept.name in answers[0].err and stat.S_IMODE(kept.stat().st_mode) == 0o600
    text = kept.read_text()
    assert "ZeroDivisionError" in text and "s3cr3t" not in text and unseen(text) == []


_HOSTILE = "\x1b[2J\x9b31m\u202e\r\n/close\nerror  forged [bold]x[/bold] :skull: @all"


def test_hostile_words_of_proxmox_of_people_and_of_the_command_line(made: Desk) -> None:
    """From the source to the face, with whole commands; every other pair is in test_texts_on_every_face."""
    fakepve = made.fakes["paris"]
    assert made.run("freeze", _HOSTILE).code == 0
    answers = [
        made.run("plan"),
        made.run("plan", "--format", "markdown"),
        made.run("plan", "--format", "html"),
        made.run("plan", "--format", "json"),
        made.apply(),
        made.run("snapshot", "create", "dupont/web-1", "x"),
        made.run("thaw", "--reason", _HOSTILE),
        made.run("history"),
        made.run("history", "--format", "json"),
    ]
    fakepve.fault("GET", "/cluster/resources", "error", status=400, text="no", errors={"type": _HOSTILE})
    answers.append(made.run("plan"))
    for arguments in (
        ("plan", _HOSTILE),
        ("plan", "--only", _HOSTILE),
        ("plan", "--format", _HOSTILE),
        ("plan", f"--{_HOSTILE}"),
        (_HOSTILE,),
        ("show", _HOSTILE),
        ("snapshot", "list", _HOSTILE),
        ("snapshot", "create", f"dupont/{_HOSTILE}", _HOSTILE),
        ("history", _HOSTILE),
        ("history", "verify", "--noted", _HOSTILE),
        ("nightly", "--at", _HOSTILE),
        ("apply", "--plan", _HOSTILE),
        ("--log-format", "json", "plan", _HOSTILE),
        ("plan", "-i", _HOSTILE),
    ):
        answers.append(made.run(*arguments))
    for answer in answers:
        said = answer.out + answer.err
        assert unseen(said) == [], (answer, unseen(said))
        assert "Traceback" not in said
        assert "<!doctype" in said or not re.search(r"(?m)^(/close|error  forged)", said), answer
    text, markdown = answers[0].out, answers[1].out
    assert "[2J" in text and "[bold]x[/bold] :skull: @all" in text, "shown, not obeyed"
    assert not re.search(r"(?<!`)@all", markdown)
