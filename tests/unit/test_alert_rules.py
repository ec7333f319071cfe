"""The alert rules, as Prometheus itself reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from orchestrator.alarms.procedures import RulesUnreadable, without_procedure
from orchestrator.cli import app
from orchestrator.operations import alarms as operation
from orchestrator.shipped_files import procedure_folder, template_folder
from tests.unit.test_page_commands import commands, problem

_RULES = template_folder() / "prometheus" / "alerts.yml"
_ROOT = Path(__file__).parent.parent.parent


def _promtool(*arguments: str) -> str:
    return _tool("promtool", *arguments)


def _tool(name: str, *arguments: str) -> str:
    """Run promtool or amtool, which `make bootstrap` puts beside this Python."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS: 25 rules found" in _promtool("check", "rules", str(_RULES))


@pytest.mark.parametrize(
    "samples", ["alert_rules_test.yml", "alert_rules_weeks_test.yml", "alert_rules_two_minutes_test.yml"]
)
def test_the_rules_fire_when_they_should_and_stay_silent_otherwise(samples: str) -> None:
    assert "SUCCESS" in _promtool("test", "rules", str(Path(__file__).parent / samples))


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    rules = [rule for group in yaml.safe_load(_RULES.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule
        assert len(rule["annotations"]["description"]) > 40, rule
        assert len(rule["annotations"]["summary"]) < 130, rule


def test_no_machine_has_a_say_in_what_is_known_of_nights_and_storages() -> None:
    """An exporter in a machine may tell of any metric: the labels of its target, its job among them, stay its own."""
    named = 0
    for group in yaml.safe_load(_RULES.read_text())["groups"]:
        for rule in group["rules"]:
            metrics = re.findall(r"\borchestrator_[a-z_]+\b(\S*)", rule["expr"])
            assert all(rest.startswith('{job!="machines"}') for rest in metrics), rule["expr"]
            named += len(metrics)
    assert named > 10


def test_every_command_that_an_alert_names_is_there() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    said = " ".join(
        rule["annotations"]["description"]
        for entry in yaml.safe_load(_RULES.read_text())["groups"]
        for rule in entry["rules"]
    )
    named = re.findall(r"\borchestrator ([a-z]+)(?: ([a-z]+))?", said)
    assert len(named) > 5
    for command, subcommand in named:
        found = group.commands[command]
        if isinstance(found, TyperGroup):
            assert subcommand in found.commands, f"{command} {subcommand}"


def test_every_metric_of_the_nights_is_one_that_the_night_writes() -> None:
    written = "".join(path.read_text() for path in (_ROOT / "orchestrator/nightly").glob("*.py"))
    rules = [rule for group in yaml.safe_load(_RULES.read_text())["groups"] for rule in group["rules"]]
    used = set(re.findall(r"orchestrator_[a-z_]+", " ".join(rule["expr"] for rule in rules)))
    assert used
    for name in used:
        assert f'"{name}"' in written, name


def _rules(group: str = "") -> list[dict[str, Any]]:
    groups = yaml.safe_load(_RULES.read_text())["groups"]
    return [rule for entry in groups if group in ("", entry["name"]) for rule in entry["rules"]]


def test_each_rule_names_a_procedure_that_is_shipped_and_no_page_is_left_over(tmp_path: Path) -> None:
    found = operation.rules((), ())
    assert len(found) == 25 and without_procedure(found) == ()
    assert {rule.page for rule in found} == set(procedure_folder().iterdir())
    text = _RULES.read_text().replace("procedure: disk-full\n", "procedure: no-such-page\n")
    changed = tmp_path / "rules.yml"
    changed.write_text(text.replace("          procedure: memory-short\n", ""))
    lacking = without_procedure(operation.rules([changed], ()))
    assert [rule.name for rule in lacking] == ["DiskFull", "MemoryShort"]
    answer = CliRunner().invoke(app, ["alarms", "rules", "--rules", str(changed)])
    assert answer.exit_code == 1 and "2 without a procedure" in answer.output


def test_the_providers_own_procedures_go_before_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "disk-full.md").write_text("# ours")
    pages = {rule.name: rule.page for rule in operation.rules((), [tmp_path])}
    assert pages["DiskFull"] == tmp_path / "disk-full.md"
    assert pages["MemoryShort"] == procedure_folder() / "memory-short.md"


@pytest.mark.parametrize(
    "text", ["", "groups: 1", "a: &a 1\nb: *a\ngroups: []", "\t", "[" * 2_000, "groups: [1]"]
)
def test_what_is_no_file_of_rules_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(text)
    with pytest.raises(RulesUnreadable):
        operation.rules([tmp_path / "rules.yml"], ())


@pytest.mark.parametrize("page", sorted(procedure_folder().iterdir()), ids=lambda page: page.stem)
def test_a_procedure_says_what_it_means_what_to_check_what_to_do_and_who_is_told(page: Path) -> None:
    text = page.read_text()
    rule = next(rule for rule in _rules() if rule["annotations"]["procedure"] == page.stem)
    assert text.startswith(f"# {rule['alert']}: ")
    for heading in ("**What it means.**", "**What to check**", "**What to do**", "**Who is told.**"):
        assert heading in text
    assert [(said, why) for said, words in commands(page) if (why := problem(words))] == []


def test_events_are_raised_within_two_minutes_by_the_shipped_files() -> None:
    """15 s to the scrape, 10 s for it, 15 s to the evaluation, `for`, group_wait: what is ours of the two minutes."""
    folder = _RULES.parent
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text())["global"]
    route = yaml.safe_load((folder / "alertmanager.yml").read_text())["route"]
    names = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    spent = sum(_seconds(prometheus[name]) for name in names) + _seconds(route["group_wait"])
    assert [
        rule["alert"] for rule in _rules("machines") if spent + _seconds(rule.get("for", "0s")) > 120
    ] == []
    _promtool("check", "config", "--syntax-only", str(folder / "prometheus.yml"))


def _seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def test_alertmanager_takes_its_file_and_sends_every_alarm_to_us() -> None:
    file = str(_RULES.parent / "alertmanager.yml")
    assert "SUCCESS" in _tool("amtool", "check-config", file)
    sent = _tool(
        "amtool", "config", "routes", "test", f"--config.file={file}", "client=dupont", "alertname=DiskFull"
    )
    assert sent.strip() == "orchestrator"
