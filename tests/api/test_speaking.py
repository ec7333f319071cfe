"""How the program speaks: logs for programs, more or less of it for people, on any terminal and in any locale."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

_ESCAPE = re.compile(r"\x1b\[")


@pytest.fixture
def planned(desk: Desk) -> Desk:
    desk.write(subscription("dupont", [machine("web-1")]))
    return desk


def _json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_log_of_an_apply_has_every_step_and_no_secret(planned: Desk, fakepve: FakePve) -> None:
    answer = planned.run("--log-format", "json", "--verbose", "apply", "--yes", "--no-guests")
    assert answer.code == 0, answer
    lines = _json_lines(answer.err)
    steps = [line for line in lines if line["event"] == "step" and line["result"] == "ok"]
    assert {"clone", "configure", "start"} <= {str(line["step"]) for line in steps}
    assert all(line["client"] == "dupont" and line["site"] == "paris" and line["run"] for line in steps)
    clone = next(line for line in steps if line["step"] == "clone")
    assert str(clone["upid"]).startswith("UPID:pve1:") and clone["machine"] == "web-1"
    calls = [line for line in lines if line["event"] == "call"]
    assert len(calls) == sum(fakepve.calls(locks=True).values())
    assert all("T" in str(line["at"]) and str(line["at"]).endswith("+00:00") for line in lines)
    assert fakepve.token_secret not in answer.err
    assert "dupont/web-1  clone" not in answer.out, "what the log has is not told twice"


def test_an_error_is_a_line_of_the_log(planned: Desk) -> None:
    answer = planned.run("--log-format", "json", "plan", "nowhere")
    (line,) = _json_lines(answer.err)
    assert answer.code == 1 and line["level"] == "error" and "nowhere does not exist" in str(line["message"])
    by_environment = planned.run("plan", "nowhere", environment={"ORCHESTRATOR_LOG_FORMAT": "json"})
    assert _json_lines(by_environment.err)[0]["message"] == line["message"]


@pytest.mark.parametrize("command", [("plan",), ("nightly", "--in-working-hours")])
def test_problems_of_files_are_lines_of_the_log(planned: Desk, command: tuple[str, ...]) -> None:
    (planned.folder / "subscriptions" / "martin.yaml").write_text("client: martin\nnonsense: 1\n")
    answer = planned.run("--log-format", "json", *command)
    problems = [line for line in _json_lines(answer.err) if line["event"] == "problem"]
    assert answer.code == 1
    found = next(line for line in problems if line["message"] == "unknown key nonsense")
    assert (found["file"], found["line"], found["level"]) == ("subscriptions/martin.yaml", 2, "error")
    assert "managed_services" in str(found["allowed"])


def test_json_stays_whole_where_characters_cannot_be_shown(planned: Desk) -> None:
    plain = {"PYTHONIOENCODING": "ascii"}
    (line,) = _json_lines(planned.run("--log-format", "json", "plan", "«été»", environment=plain).err)
    assert str(line["message"]).startswith("«été» does not exist")
    path = planned.folder / "subscriptions" / "martin.yaml"
    path.write_text("client: «été»\n", encoding="utf-8")
    answer = planned.run("validate", "subscriptions", "--format", "json", environment=plain)
    assert "client: «été»" in {problem["source_line"] for problem in json.loads(answer.out)["problems"]}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_quiet_night_tells_its_result_alone(planned: Desk, form: str) -> None:
    night = ("nightly", "--in-working-hours", "--log-format", form)
    loud, quiet = planned.run(*night), planned.run("--quiet", *night)
    begun, ended, written = (
        ("CET  night of ", "night ended after", "report written: ")
        if form == "text"
        else ("night-started", "night-ended", "report-written")
    )
    assert begun.replace("CET  ", "") in loud.out
    assert f"{begun}2" not in quiet.out.replace("CEST", "CET") and ended not in quiet.out
    assert written in quiet.out and "all went well" in quiet.out


def test_help_has_the_exit_codes(planned: Desk) -> None:
    assert "Exit codes: 0 done" in planned.run("--help").out


def test_quiet_has_results_and_errors_alone(planned: Desk) -> None:
    loud = planned.run("apply", "--yes", "--no-guests")
    assert "clone" in loud.out
    planned.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    quiet = planned.run("--quiet", "apply", "--yes", "--no-guests")
    assert quiet.code == 0 and "dupont/web-2  clone" not in quiet.out and "2 done" in quiet.out
    assert quiet.err == ""


def test_verbose_tells_people_every_call(planned: Desk) -> None:
    answer = planned.run("--verbose", "plan")
    assert re.search(r"call  site paris  method GET  path /version  status 200  ms [\d.]+", answer.err)
    assert "Authorization" not in answer.err


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "iso8859-5"},
        {"LANG": "fr_FR.UTF-8", "LC_ALL": "fr_FR.UTF-8"},
    ],
)
def test_no_locale_stops_it(planned: Desk, environment: dict[str, str]) -> None:
    assert planned.apply().code == 0
    planned.write(subscription("dupont", [machine("web-1", memory="2GiB")]))
    answer = planned.run("plan", environment=environment)
    assert answer.code == 0, answer
    assert re.search(r"memory web-1 +1GiB (→|->) 2GiB", answer.out), answer
    assert "Traceback" not in answer.err


def test_without_a_terminal_there_is_no_control_character_and_no_broken_line(planned: Desk) -> None:
    answer = planned.run("plan", environment={"COLUMNS": "40"})
    assert not _ESCAPE.search(answer.out + answer.err)
    assert any(len(line) > 60 for line in answer.out.splitlines())


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_on_a_terminal_colours_are_used_unless_somebody_says_no(
    planned: Desk, environment: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "plan"],
        cwd=planned.folder,
        env={
            **base,
            "TERM": "xterm-256color",
            "ORCHESTRATOR_INVENTORY": str(planned.folder / "sites.yaml"),
            "XDG_STATE_HOME": str(planned.folder / "state"),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # the other side is closed: all was said
        pass
    os.close(ours)
    assert process.wait() == 0
    colours = re.findall(rb"\x1b\[[0-9;]*3[0-9]", said)
    assert bool(colours) is coloured, said
    assert b"web-1" in said


def test_a_shell_completes_commands_and_options(planned: Desk) -> None:
    script = (
        'eval "$(orchestrator completion bash)"; COMP_WORDS=(orchestrator backup ve); COMP_CWORD=2; '
        '_orchestrator_completion orchestrator; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"},  # noqa: PTH120
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "verify", done


_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?P<zone> CES?T)?")


def test_every_face_tells_the_time_of_paris_wherever_this_computer_is(planned: Desk) -> None:
    assert planned.apply().code == 0
    planned.put_in_service()
    windowed = {
        "level": "supervision",
        "maintenance_window": {"days": ["tuesday"], "from": "22:00", "to": "23:00"},
    }
    planned.write(subscription("dupont", [machine("web-1", memory="2GiB")], managed_services=windowed))
    for arguments, least in (
        (("snapshot", "create", "dupont/web-1", "before"), 1),
        (("snapshot", "list", "dupont/web-1"), 2),
        (("history", "dupont"), 5),
        (("show", "dupont/web-1"), 4),
        (("plan",), 1),
        (("plan", "--format", "markdown"), 2),
        (("plan", "--format", "html"), 2),
        (("nightly", "--dry-run"), 2),
        (("nightly", "--in-working-hours", "--log-format", "text"), 3),
        (("freeze", "looking", "--verbose"), 1),
        (("plan",), 2),
        (("thaw",), 1),
    ):
        elsewhere = {"TZ": "America/New_York"} if arguments[0] in ("history", "freeze") else None
        answer = planned.run(*arguments, environment=elsewhere)
        text = re.sub(r"\d{8}T\d{6}\.\d+Z", "", answer.out + answer.err)
        found = list(_TIME.finditer(text))
        assert len(found) >= least, (arguments, text)
        assert all(match["zone"] for match in found) and "UTC" not in text, (arguments, text)
    listed = json.loads(planned.run("snapshot", "list", "dupont/web-1", "--format", "json").out)
    assert all(re.search(r"[+-]\d\d:\d\d$", entry["taken_at"]) for entry in listed), (
        "ISO 8601 with its offset"
    )
