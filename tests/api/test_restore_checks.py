"""The check of a file, run in the copy of a restore test: what passes, what fails, and what says nothing."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from orchestrator.guests.check import OUTPUT_BYTES, arguments
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.resources.machine_archives import RestoreTest, read_archive_mark
from tests.api.desk import Answer, Desk
from tests.api.night_desk import AGENT, NightDesk

_RUN = "psql -c 'select count(*) from orders' shop"


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _with_check(night: NightDesk, *ends: dict[str, Any], expect: str | None = "orders", **agent: Any) -> None:
    """A machine whose file has a check, and how the runs of its command end in it."""
    check = {"run": _RUN} | ({"expect": expect} if expect else {})
    night.deliver("web-1", days=None, backup={"retention_days": 7, "check": check})
    night.fake.guest_agent({**AGENT, "exec": {_RUN: list(ends)}, **agent}, vmid=night.vmid("web-1"))


def _verify(night: NightDesk, *options: str) -> Answer:
    return night.desk.run("backup", "verify", "dupont/web-1", "--check-timeout", "1", *options)


def _test(night: NightDesk) -> RestoreTest | None:
    mark = read_archive_mark(night.archives()[-1]["notes"])
    assert mark is not None
    return mark.test


def test_a_check_that_passes_is_noted_with_the_test_and_told_to_the_client_in_his_language(
    night: NightDesk,
) -> None:
    _with_check(night, {"exitcode": 1, "out-data": "connection refused"}, {"out-data": "42 orders, dédiés\n"})
    report = night.night()
    assert report.well, report
    (line,) = report.of(RestoreTestLine)
    assert (line.result, line.check) == ("sound", "passed"), "the services of a copy may still be starting"
    assert "; its check passed;" in line.message and "42" not in line.message
    test = _test(night)
    assert test is not None and (test.sound, test.check) == (True, True)
    assert "sound, check passed" in night.archives()[-1]["notes"]
    assert report.of(MachineLine)[0].check == "passed"
    assert "saine; contrôle réussi" in render_night(report, form="html", client="dupont")
    assert "sound; check passed" in render_night(report, form="html", client="dupont", language="en")
    listed = json.loads(night.desk.run("backup", "list", "--format", "json").out)
    assert listed[0]["archives"][0]["restore_test"]["check"] == "passed"
    told = night.desk.run("history", "dupont/web-1", "--format", "json", "--history", "history.db").out
    entries = json.loads(told)
    (tested,) = [entry for entry in entries if entry["action"] == "restore test"]
    assert json.loads(tested["details"])["check"] == "passed" and "42" not in tested["message"]
    assert "check copy" in {entry["action"] for entry in entries}


def test_the_command_runs_in_the_copy_alone_as_one_argument(night: NightDesk) -> None:
    _with_check(night, {"out-data": "orders"})
    original = night.vmid("web-1")
    assert night.night().well
    asked = night.fake.control("agent_commands", command="exec")
    assert asked and {entry["vmid"] for entry in asked} != {original}
    assert original not in {entry["vmid"] for entry in asked}, "never in the machine itself"
    assert [entry["command"] for entry in asked] == [arguments(_RUN)]


_FAILURES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"exitcode": 1, "out-data": "first\nno such table\n"}, 'exit code 1; its last line: "no such table"'),
    ({"out-data": "nothing here"}, "output does not contain 'orders'; its last line: \"nothing here\""),
    ({"out-data": ""}, "its output does not contain 'orders'; it wrote nothing"),
    ({"out-data": "o" * OUTPUT_BYTES}, "does not contain 'orders' in its first 64 KiB"),
    ({"exitcode": 2, "out-data": "\x1b[2J\x07\x00\u202e\xff"}, r'"\x1b[2J\x07\x00\u202e'),
    ({"exitcode": 2, "out-data": "x" * 5000}, f'"{"x" * 100}…"'),
    ({"exitcode": 2, "out-data": "postgres://shop:hunter2@db/x"}, "postgres://[hidden]@db/x"),
    ({"signal": 9}, "killed by signal 9"),
    ({"hangs": True}, "did not end in time; it was left in the copy, which is erased"),
    ({"silent": True}, "the guest agent fell silent"),
)


def test_a_check_that_fails_makes_the_backup_not_good(night: NightDesk) -> None:
    _with_check(night)
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    volid = night.archives()[-1]["volid"]
    for end, told in _FAILURES:
        night.fake.guest_agent({**AGENT, "exec": {_RUN: [end]}}, vmid=night.vmid("web-1"))
        failed = _verify(night, "--archive", volid)
        assert failed.code == 1 and told in failed.err, failed
        assert "its check did not pass within 1 s" in failed.err and "hunter2" not in failed.err
        test = _test(night)
        assert test is not None and (test.sound, test.check) == (False, False)
        assert "hunter2" not in night.archives()[-1]["notes"]
    assert "FAILED, check FAILED" in night.desk.run("backup", "list").out
    refused = night.desk.run("backup", "verify", "dupont/web-1")
    assert refused.code == 1 and "has no good archive" in refused.err
    assert set(night.desk.machines()) == {"web-1"}, "no copy is left behind"


def test_a_failed_check_is_told_in_the_report_and_counted_and_can_be_made_good_again(
    night: NightDesk,
) -> None:
    _with_check(night, {"exitcode": 3, "out-data": "no such table"})
    report = night.night()
    (line,) = report.of(RestoreTestLine)
    assert (line.result, line.check) == ("failed", "failed") and not report.well
    (machine,) = report.of(MachineLine)
    assert machine.newest_good is None and machine.check == "failed"
    client = render_night(report, form="html", client="dupont")
    assert "Test de restauration échoué" in client and "échec; contrôle échoué" in client
    night.fake.guest_agent({**AGENT, "exec": {_RUN: [{"out-data": "orders"}]}}, vmid=night.vmid("web-1"))
    volid = night.archives()[-1]["volid"]
    again = _verify(night, "--archive", volid)
    assert again.code == 0 and "its check passed" in again.out, "the command was mended, not the archive"
    test = _test(night)
    assert test is not None and (test.sound, test.check) == (True, True)


def test_an_agent_that_starts_no_commands_says_nothing_about_the_backup(night: NightDesk) -> None:
    _with_check(night, {"out-data": "orders"}, exec=None)
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    failed = _verify(night)
    assert failed.code == 1 and "the guest agent starts no check" in failed.err, failed
    assert "guest-exec has been disabled" in failed.err
    assert _test(night) is None


def test_a_token_that_may_run_nothing_in_guests_says_nothing_about_the_backup(night: NightDesk) -> None:
    _with_check(night, {"out-data": "orders"})
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    night.fake.fault(
        "POST",
        "/nodes/[^/]+/qemu/[0-9]+/agent/exec",
        "error",
        status=403,
        text="Permission check failed (/vms/101, VM.GuestAgent.Unrestricted)",
        times=9,
    )
    failed = _verify(night)
    assert failed.code == 1 and "VM.GuestAgent.Unrestricted" in failed.err, failed
    assert _test(night) is None


def test_without_a_check_in_the_file_nothing_is_run(night: NightDesk) -> None:
    night.deliver("web-1")
    report = night.night()
    assert report.well and report.of(RestoreTestLine)[0].check == ""
    assert night.fake.control("agent_commands", command="exec") == []
    test = _test(night)
    assert test is not None and test.check is None


@pytest.mark.parametrize(
    ("run", "code", "output"),
    [
        ("echo one; echo two >&2; exit 3", 3, "one\ntwo\n"),
        ("""printf '%s' "$(echo 'it''s')" """, 0, "its"),
        ("true", 0, ""),
        ("no-such-command-here 2>/dev/null", 127, ""),
        ("exit 0 # '\"`$(", 0, ""),
        ("kill -9 $$", 137, None),
    ],
)
def test_a_shell_runs_the_command_and_ends_as_it_does(run: str, code: int, output: str | None) -> None:
    """With a real /bin/sh, as the guest agent starts it."""
    ended = subprocess.run(arguments(run), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code, ended
    if output is not None:
        assert ended.stdout == output


def test_endless_output_is_cut_in_the_guest_and_ends_the_command() -> None:
    ended = subprocess.run(arguments("yes"), capture_output=True, timeout=60, check=False)
    assert len(ended.stdout) == OUTPUT_BYTES and ended.returncode == 141
