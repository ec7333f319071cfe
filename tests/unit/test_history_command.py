"""``orchestrator history`` and ``orchestrator history verify``, as somebody types them."""

import fcntl
import json
import os
import pty
import sqlite3
import struct
import subprocess
import sys
import termios
from contextlib import closing, suppress
from io import FileIO
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.history import BEGUN, open_history
from tests.unit.history_samples import BASE, write


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a history is looked for if no other place is given."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("ORCHESTRATOR_HISTORY", raising=False)
    return tmp_path / "orchestrator" / "history.db"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["history", *arguments])


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def test_entries_stand_in_aligned_columns_the_latest_first(path: Path) -> None:
    write(path, 2)
    with open_history(path) as history:
        history.append(
            **BASE, client="martin", machine=None, action="create pool", result="ok", seconds=12.34
        )
    done = run()
    assert done.exit_code == 0
    header, *lines = done.output.splitlines()
    assert header.split() == ["when", "who", "machine", "action", "result", "seconds", "why", "task"]
    assert [line[header.index("action") :].split("  ")[0] for line in lines] == [
        "create pool", "step 1", "step 0",
    ]  # fmt: skip
    assert [line[header.index("machine") :].split()[0] for line in lines] == [
        "martin", "dupont/web-1", "dupont/web-1",
    ]  # fmt: skip
    assert [line[header.index("seconds") :].split()[0] for line in lines] == ["12.3", "1.2", "0.2"]
    assert all(line[header.index("why") :].startswith("ticket 12") for line in lines)
    assert lines[1].endswith("UPID:paris-1:1:")
    assert "\t" not in done.output and "\x1b" not in done.output


def test_one_client_one_machine_and_a_number_of_entries_can_be_chosen(path: Path) -> None:
    write(path, 3)
    write(path, 1, client="martin")
    assert len(json.loads(run("--format", "json").output)) == 4
    assert len(json.loads(run("dupont", "--format", "json").output)) == 3
    assert len(json.loads(run("dupont/web-1", "--limit", "2", "--format", "json").output)) == 2
    assert run("dupont/db-1", "--format", "json").output == "[]\n"
    assert run("durand").output == "nothing was recorded for durand\n"


def test_json_has_every_field_of_an_entry(path: Path) -> None:
    write(path, 1)
    (entry,) = json.loads(run("--format", "json").output)
    assert entry.pop("at").endswith("+00:00") and len(entry.pop("hash")) == 64
    assert entry == {
        "sequence": 1, "who": "alice", "why": "ticket 12", "client": "dupont", "machine": "web-1",
        "site": "paris", "action": "step 0", "details": '{"number": 0}', "result": "ok",
        "message": "message 0", "upid": "UPID:paris-1:0:", "seconds": 0.25, "run": "r1", "began": None,
        "previous": "0" * 64,
    }  # fmt: skip


def test_a_failure_is_shown_with_its_message_and_an_interrupted_action_with_where_to_look(path: Path) -> None:
    with open_history(path) as history:
        history.append(**BASE, client="dupont", machine="web-1", action="start", result=BEGUN)
        history.append(
            **BASE, client="dupont", machine="db-1", action="start", result="failed", message="no room"
        )
    _, failed, why, begun, where = run().output.splitlines()
    assert "failed" in failed and why == "    no room"
    assert "begun" in begun and "still under way, or interrupted" in where and "site paris" in where


def test_what_a_guest_or_a_log_said_cannot_move_the_readers_cursor(path: Path) -> None:
    with open_history(path) as history:
        message = "line\nnext\x1b[2J\x9b[bold]"
        history.append(**BASE, client="dupont", action="start", result="failed", message=message)
    lines = run().output.splitlines()
    assert lines[2] == r"    line\nnext\x1b[2J\x9b[bold]"


def test_verify_says_that_all_is_well_and_what_to_note(path: Path) -> None:
    write(path, 3)
    done = run("verify")
    assert done.exit_code == 0
    assert done.output.startswith("3 entries: none altered, removed or reordered\nthe last is 3:")
    noted = done.output.splitlines()[1].rpartition(" ")[2]
    write(path, 1)
    assert run("verify", "--noted", noted).exit_code == 0
    answer = json.loads(run("verify", "--format", "json").output)
    assert answer.pop("head").startswith("4:")
    assert answer == {"ok": True, "count": 4, "bad": None, "reason": ""}


def test_verify_names_the_first_wrong_entry_and_ends_with_1(path: Path) -> None:
    write(path, 4)
    tamper(path, "UPDATE history_entries SET who = 'nobody' WHERE sequence >= 3")
    done = run("verify")
    assert done.exit_code == 1
    assert "the history was changed: entry 3 was altered" in done.output
    told = run("verify", "--format", "json")
    assert told.exit_code == 1 and json.loads(told.output)["bad"] == 3


def test_verify_against_a_noted_head_finds_a_history_that_was_replaced(path: Path) -> None:
    write(path, 3)
    with open_history(path) as history:
        number, noted = history.verify().head
    for file in path.parent.iterdir():
        file.unlink()
    write(path, 3)
    assert run("verify").exit_code == 0
    done = run("verify", "--noted", f"{number}:{noted}")
    assert done.exit_code == 1 and "entry 3 is not the one that was noted" in done.output


@pytest.mark.parametrize("noted", ["", "3", "3:abc", "x:" + "0" * 64, "3:" + "0" * 63 + "\n"])
def test_a_noted_head_that_is_none_is_refused(noted: str, path: Path) -> None:
    write(path, 1)
    done = run("verify", "--noted", noted)
    assert done.exit_code == 1 and "64 hexadecimal digits" in done.output


def test_a_noted_head_without_verify_is_refused(path: Path) -> None:
    write(path, 1)
    assert "belongs to" in run("dupont", "--noted", "1:" + "0" * 64).output


@pytest.mark.parametrize("arguments", [(), ("verify",)])
def test_where_there_is_no_history_none_is_made_and_none_is_declared_good(
    arguments: tuple[str, ...], path: Path
) -> None:
    done = run(*arguments)
    assert done.exit_code == 1 and "there is no history at" in done.output
    assert not path.parent.exists()


def test_a_client_named_verify_can_be_read(path: Path) -> None:
    write(path, 1, client="verify")
    assert "step 0" in run("verify/").output


def test_altered_entries_are_shown_all_the_same(path: Path) -> None:
    write(path, 3)
    tamper(path, "UPDATE history_entries SET at = '0001-01-01', seconds = 'long' WHERE sequence = 2")
    tamper(path, "UPDATE history_entries SET who = CAST(x'ff' AS TEXT), machine = x'00' WHERE sequence = 3")
    done = run()
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == 4 and "1970-01-01" in done.output and r"\udcff" in done.output


def test_on_a_narrow_terminal_the_task_goes_below_in_one_piece(path: Path) -> None:
    """A real terminal of 100 columns."""
    write(path, 1)
    with open_history(path) as history:
        upid = "UPID:paris-1:0001A2B3:00C4D5E6:65A1B2C3:qmclone:101:orchestrator@pve!apply:"
        history.append(**BASE, client="dupont", machine="web-1", action="clone", result="ok", upid=upid)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "orchestrator", "history", "--limit", "1"]
    with closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        subprocess.run(command, stdout=theirs, stderr=theirs, env=environment, check=True, timeout=60)
        os.close(theirs)
        shown = _everything(screen).decode().replace("\r\n", "\n")
    header, line, task, *rest = [text for text in strip_styles(shown).split("\n") if text]
    assert "task" not in header and "clone" in line and upid not in line
    assert task == f"    {upid}" and rest == []


def _everything(screen: FileIO) -> bytes:
    """What a terminal shows: one read may give a part of it."""
    shown = b""
    with suppress(OSError):  # the other end is closed, and all was read
        while piece := screen.read(65536):
            shown += piece
    return shown


def strip_styles(text: str) -> str:
    for style in ("\x1b[1m", "\x1b[2m", "\x1b[0m"):
        text = text.replace(style, "")
    return text
