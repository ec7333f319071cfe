"""The alert rules, as Prometheus itself reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from orchestrator.cli import app
from orchestrator.shipped_files import template_folder

_RULES = template_folder() / "prometheus" / "alerts.yml"
_ROOT = Path(__file__).parent.parent.parent


def _promtool(*arguments: str) -> str:
    """Run promtool, which `make bootstrap` puts beside this Python."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "promtool"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS: 21 rules found" in _promtool("check", "rules", str(_RULES))


@pytest.mark.parametrize("samples", ["alert_rules_test.yml", "alert_rules_weeks_test.yml"])
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
