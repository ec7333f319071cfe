"""The shipped units: systemd takes them, the command takes their options, and the documentation tells of both."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import typer
import yaml

from orchestrator.cli import app
from orchestrator.cli.diagnostics import LogFormat, diagnostics
from orchestrator.contract.calendar import PARIS, window_closes
from orchestrator.nightly.guest_look import UpdateDelay
from orchestrator.nightly.metrics import write_metrics
from orchestrator.sites.access import SecretReference
from orchestrator.sites.secrets import resolve
from tests.unit.night_samples import eventful_night, updating_night

DOCS = Path(__file__).parents[2] / "docs"
SERVICE = DOCS / "systemd" / "orchestrator-nightly.service"
TIMER = DOCS / "systemd" / "orchestrator-nightly.timer"
WATCH = DOCS / "systemd" / "orchestrator-watch.service"
WATCH_TIMER = DOCS / "systemd" / "orchestrator-watch.timer"
RESTARTS = DOCS / "systemd" / "orchestrator-restarts.service"
RESTARTS_TIMER = DOCS / "systemd" / "orchestrator-restarts.timer"
SERVE = DOCS / "systemd" / "orchestrator-serve.service"
NIGHTLY = (DOCS / "nightly.md").read_text()


def parse(path: Path) -> dict[str, dict[str, list[str]]]:
    """A unit's settings by section; a setting may stand there more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), defaultdict(list))
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section[key].append(value)
    return sections


UNIT, RUN = parse(SERVICE)["Unit"], parse(SERVICE)["Service"]
COMMAND = shlex.split(RUN["ExecStart"][0])


def option(name: str) -> str:
    return COMMAND[COMMAND.index(name) + 1]


def seconds(text: str) -> int:
    """``15h``, ``2min`` and ``1s`` in seconds."""
    number, unit = re.fullmatch(r"(\d+)(h|min|s)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"h": 3600, "min": 60, "s": 1}[unit]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "orchestrator"
    for unit in (SERVICE, WATCH, RESTARTS, SERVE):
        text = unit.read_text().replace("/opt/orchestrator/.venv/bin/orchestrator", str(program))
        (tmp_path / unit.name).write_text(text)
    shutil.copy(TIMER, tmp_path)
    shutil.copy(WATCH_TIMER, tmp_path)
    shutil.copy(RESTARTS_TIMER, tmp_path)
    failed = re.search(r"\[Service\]\n( .*\n)+", NIGHTLY)
    assert failed is not None  # the example of the documentation is verified with them
    for name in ("nightly", "watch", "restarts"):
        text = re.sub("(?m)^ +", "", failed[0])
        (tmp_path / f"orchestrator-{name}-failed.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [
        line for line in done.stderr.splitlines() if str(tmp_path) in line or "orchestrator" in line
    ] == []
    assert done.returncode == 0


def test_the_observation_is_locked_in_as_the_night_is_and_ends_before_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnostics, "form", LogFormat.AUTO)
    service = parse(WATCH)["Service"]
    own = {"ExecStart", "ReadWritePaths", "TasksMax", "TimeoutStartSec", "TimeoutStopSec"}
    repeated = {"Restart", "RestartSec"}  # the timer starts it again
    assert {key: value for key, value in service.items() if key not in own} == {
        key: value for key, value in RUN.items() if key not in own | repeated
    }
    group = typer.main.get_command(app)
    command = shlex.split(service["ExecStart"][0])
    context = typer.Context(group)
    watch = group.get_command(context, command[1])  # type: ignore[attr-defined]
    taken = watch.make_context(command[1], command[2:], parent=context).params
    assert taken["paths"] == [Path("/etc/orchestrator/subscriptions")]
    assert parse(WATCH_TIMER)["Timer"]["OnCalendar"] == ["*:0/2"]
    assert int(service["TimeoutStartSec"][0].removesuffix("s")) < 120


def test_the_restarts_are_locked_in_as_the_night_is_and_run_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnostics, "form", LogFormat.AUTO)
    service = parse(RESTARTS)["Service"]
    own = {"ExecStart", "ReadWritePaths", "TimeoutStartSec"}
    repeated = {"Restart", "RestartSec"}  # the timer starts it again
    assert {key: value for key, value in service.items() if key not in own} == {
        key: value for key, value in RUN.items() if key not in own | repeated
    }
    group = typer.main.get_command(app)
    command = shlex.split(service["ExecStart"][0])
    context = typer.Context(group)
    restart = group.get_command(context, command[1])  # type: ignore[attr-defined]
    taken = restart.make_context(command[1], command[2:], parent=context).params
    assert taken["due"] and taken["target"] is None
    assert taken["files"] == [Path("/etc/orchestrator/subscriptions")]
    assert parse(RESTARTS_TIMER)["Timer"]["OnCalendar"] == ["*:0/5"]
    assert seconds(service["TimeoutStartSec"][0]) >= 6 * 3600, "a wave of restarts is not cut off"


def test_the_interface_is_locked_in_as_the_night_is_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnostics, "form", LogFormat.AUTO)
    service = parse(SERVE)["Service"]
    own = {"ExecStart", "ReadWritePaths", "TimeoutStartSec", "EnvironmentFile", "LoadCredential", "Type"}
    larger = {"MemoryMax", "TasksMax", "Restart", "RestartSec"}
    assert {key: value for key, value in service.items() if key not in own | larger} == {
        key: value for key, value in RUN.items() if key not in own | larger
    }
    assert (service["Type"], service["Restart"], service["MemoryMax"]) == (["exec"], ["always"], ["2G"])
    assert "ReadWritePaths" not in service, "its folder is all that it writes to"
    assert service["LoadCredential"][: len(RUN["LoadCredential"])] == RUN["LoadCredential"]
    credentials = {text.partition(":")[0] for text in service["LoadCredential"]}
    group = typer.main.get_command(app)
    command = shlex.split(service["ExecStart"][0])
    context = typer.Context(group)
    serve = group.get_command(context, command[1])  # type: ignore[attr-defined]
    taken = serve.make_context(command[1], command[2:], parent=context).params
    assert taken["files"] == [Path("/etc/orchestrator/subscriptions")]
    assert taken["report_dir"] == Path(option("--report-dir"))
    for name in ("certificate", "key"):
        assert str(taken[name]) == f"%d/{name}" and name in credentials
    assert (taken["public_url"], taken["no_runner"]) == ("https://panel.example:8443", False)


def test_the_command_takes_the_service_s_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "form", LogFormat.AUTO)
    group = typer.main.get_command(app)
    assert COMMAND[1] == "nightly"
    context = typer.Context(group)
    nightly = group.get_command(context, "nightly")  # type: ignore[attr-defined]
    taken = nightly.make_context("nightly", COMMAND[2:], parent=context).params
    assert taken["metrics_file"] == Path(option("--metrics-file"))
    assert taken["paths"] == [Path("/etc/orchestrator/subscriptions")]
    assert option("--log-format") == "json" and diagnostics.form is LogFormat.JSON


def test_every_option_in_the_documentation_exists() -> None:
    group = typer.main.get_command(app)
    nightly = group.get_command(typer.Context(group), "nightly")  # type: ignore[attr-defined]
    known = {name for parameter in nightly.params for name in parameter.opts}
    commands = re.findall(r"orchestrator nightly(?: [^\s`#]+)*", NIGHTLY)
    texts = [*commands, *re.findall(r"`(--[^`]+)`", NIGHTLY)]
    told = {word for text in texts for word in text.split() if word.startswith("--")}
    assert len(told) >= 8
    assert told - known == set()


def test_no_place_is_left_to_be_filled_in() -> None:
    """Whoever copies the units to a server must not find a place that nobody filled in. Nothing is left open here."""
    for text in (NIGHTLY, SERVICE.read_text(), TIMER.read_text()):
        assert "TODO" not in text


def test_what_is_written_is_where_the_service_may_write() -> None:
    state = f"/var/lib/{RUN['StateDirectory'][0]}"
    assert RUN["ProtectSystem"] == ["strict"]
    assert Path(option("--report-dir")).is_relative_to(state)
    assert str(Path(option("--metrics-file")).parent) in [path.lstrip("-") for path in RUN["ReadWritePaths"]]
    assert option("--metrics-file").endswith(".prom")
    assert f"XDG_STATE_HOME={Path(state).parent}" in RUN["Environment"][0].split()


@pytest.mark.parametrize(
    "setting",
    [
        "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectHostname",
        "ProtectControlGroups", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
        "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
    ],
)  # fmt: skip
def test_the_service_is_locked_in(setting: str) -> None:
    assert RUN[setting] == ["yes"]


def test_the_service_is_nobody_special_and_keeps_within_bounds() -> None:
    assert RUN["User"] == ["orchestrator"]
    assert RUN["CapabilityBoundingSet"] == [""]
    assert RUN["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
    assert "@system-service" in RUN["SystemCallFilter"]
    assert RUN["MemoryMax"] == ["1G"]


def test_no_secret_is_on_the_command_line() -> None:
    assert "--ping-url" not in COMMAND
    assert RUN["EnvironmentFile"] == ["-/etc/orchestrator/nightly.env"]
    names = [credential.partition(":")[0] for credential in RUN["LoadCredential"]]
    assert names == ["pve-paris", "pve-lyon"]


def test_a_killed_night_is_resumed_and_a_bad_one_is_told_and_left_alone() -> None:
    assert RUN["Restart"] == ["on-abnormal"]
    assert UNIT["OnFailure"] == ["orchestrator-nightly-failed.service"]
    assert int(UNIT["StartLimitBurst"][0]) <= 4
    assert seconds(UNIT["StartLimitIntervalSec"][0]) > 4 * seconds(RUN["RestartSec"][0])


def test_the_service_is_not_stopped_while_a_window_of_the_year_is_open() -> None:
    evenings = [dt.datetime(2026, 1, 1, 22, tzinfo=PARIS) + dt.timedelta(days=n) for n in range(365)]
    longest = max(window_closes(evening).timestamp() - evening.timestamp() for evening in evenings)
    assert longest >= 14 * 3600
    assert seconds(RUN["TimeoutStartSec"][0]) >= longest


def test_the_timer_is_in_the_evening_in_paris() -> None:
    timer = parse(TIMER)["Timer"]
    assert timer["OnCalendar"] == ["*-*-* 22:00:00 Europe/Paris"]
    assert timer["Persistent"] == ["true"]
    assert seconds(timer["RandomizedDelaySec"][0]) <= 300
    assert timer["Unit"] == [SERVICE.name]


@pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="there is no systemd here")
def test_the_documented_token_secret_reads_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = re.search(r"token_secret: \{ command: .* \}", NIGHTLY)
    assert line is not None
    assert line[0] in SERVICE.read_text()
    reference = SecretReference.model_validate(yaml.safe_load(line[0])["token_secret"])
    assert reference.command is not None
    (tmp_path / reference.command[-1]).write_text("the-token\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert resolve(reference) == "the-token"


def test_the_documentation_tells_of_every_metric_and_of_no_other(tmp_path: Path) -> None:
    eventful = eventful_night()
    both = replace(eventful, lines=(*eventful.lines, *updating_night().of(UpdateDelay)))
    write_metrics(both, tmp_path / "o.prom")
    written = set(re.findall(r"(?m)^# HELP (\S+)", (tmp_path / "o.prom").read_text()))
    assert len(written) == 27
    families = "nightly|backup|restore|restart|storage|updates|reboot|firewall|supervision|ends"
    assert set(re.findall(rf"orchestrator_(?:{families})_\w+", NIGHTLY)) == written
    rules = yaml.safe_load(re.search(r"```yaml\n(.*?)```", NIGHTLY, re.DOTALL)[1])["groups"][0]["rules"]  # type: ignore[index]
    assert all("timestamp_seconds" in rule["expr"] for rule in rules)
