"""A thousand subscription files with mistakes in them: every one is answered with places and remedies, none raises."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.resources.desired import desired_machines
from orchestrator.sites import Provider, load_provider
from orchestrator.subscriptions import Problem, load, render_problem
from orchestrator.yaml_reader.places import lines_of
from tests.unit.mutations import mutate
from tests.unit.subscription_texts import HEAD, MACHINE, file_of, machine

_ROOT = Path(__file__).parents[2]
_SEED = 20261123
_FILES = 2000
_PARTS = 4
_EXTRAS = """\
backup: { retention_days: 31 }
redundancy: { hardware: true, second_site: lyon }
snapshots: [{ name: before-migration, taken_on: 2026-11-20 }]
power: running
"""


def _good_files() -> list[bytes]:
    """The examples, and the texts that the other tests of loading begin with."""
    written = [
        file_of(MACHINE),
        file_of(machine(_EXTRAS) + machine(name="db-1")),
        file_of(MACHINE, "cloud-vm-essential"),
    ]
    assert HEAD in written[0]
    return [path.read_bytes() for path in sorted((_ROOT / "examples").glob("*.yaml"))] + [
        text.encode() for text in written
    ]


def _mutated() -> list[bytes]:
    chance = random.Random(_SEED)
    good = _good_files()
    return [mutate(good[number % len(good)], chance) for number in range(_FILES)]


@pytest.fixture(scope="module")
def provider() -> Provider:
    """The example's sites: those that the good files name."""
    return load_provider(_ROOT / "inventories" / "example")


def _assert_clear(problem: Problem, path: Path, content: bytes) -> None:
    assert problem.file == str(path)
    assert problem.message.strip() and problem.allowed.strip(), problem
    assert "\n" not in problem.message + problem.allowed, problem
    lines = lines_of(content.decode("utf-8-sig", errors="replace"))
    assert 1 <= problem.line <= len(lines), problem
    assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, (problem, lines[problem.line - 1])
    assert problem.end_column > problem.column, problem
    assert render_problem(problem).startswith(f"{path}:{problem.line}:{problem.column}  {problem.severity}  ")


@pytest.mark.parametrize("part", range(_PARTS))
def test_a_file_with_mistakes_is_answered_with_places_and_remedies(
    part: int, provider: Provider, tmp_path: Path
) -> None:
    path = tmp_path / "client.yaml"
    sound = 0
    for number, content in enumerate(_mutated()):
        if number % _PARTS != part:
            continue
        path.write_bytes(content)
        loaded = load([path], provider)
        assert loaded.files == 1
        for problem in loaded.problems:
            _assert_clear(problem, path, content)
        assert len(loaded.subscriptions) == (0 if loaded.errors else 1), number
        found = desired_machines((item.subscription for item in loaded.subscriptions), provider)
        asked = sum(
            len(service.machines) for item in loaded.subscriptions for service in item.subscription.services
        )
        assert len(found) == asked, number
        sound += not loaded.errors
    assert 0 < sound < _FILES / _PARTS / 3, "most mutations are mistakes, and some are harmless"


def test_validate_answers_for_all_of_them_at_once(tmp_path: Path) -> None:
    for number, content in enumerate(_mutated()):
        (tmp_path / f"client-{number:04d}.yaml").write_bytes(content)
    inventory = str(_ROOT / "inventories" / "example")
    answer = CliRunner().invoke(
        app, ["validate", str(tmp_path), "--inventory", inventory, "--format", "json"]
    )
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.exception
    told = json.loads(answer.stdout)
    assert told["files"] == _FILES and told["errors"] >= _FILES // 2
    assert all(problem["message"] and problem["allowed"] for problem in told["problems"])
