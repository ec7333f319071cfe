"""The house: imports point down and never go in a circle (``[tool.importlinter]`` in pyproject.toml)."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).parent / "lint-imports"
    command = [str(linter), str(ROOT / "pyproject.toml"), "--no-cache"]
    environment = {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_imports_point_down_and_never_go_in_a_circle() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("proxmox/higher.py", "def later() -> None:\n    from orchestrator.planning import plan\n"),
        ("sites/model.py", "TYPE_CHECKING = 1\nif TYPE_CHECKING:\n    import orchestrator.sites.loading\n"),
        ("annex/__init__.py", ""),
    ],
    ids=["up, inside a function", "a circle, for types only", "a package that is nowhere in the house"],
)
def test_what_breaks_the_house_is_noticed(module: str, text: str, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "orchestrator", tmp_path / "orchestrator", ignore=shutil.ignore_patterns("__pycache__")
    )
    changed = tmp_path / "orchestrator" / module
    changed.parent.mkdir(exist_ok=True)
    changed.write_text((changed.read_text() if changed.exists() else "") + "\n" + text)
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert Path(module).parent.name in done.stdout


@pytest.mark.parametrize("package", ["guests", "history", "sites", "subscriptions"])
def test_names_that_are_loaded_on_first_use_are_where_they_are_looked_for(package: str) -> None:
    loaded = importlib.import_module(f"orchestrator.{package}")
    assert all(getattr(loaded, name) for name in loaded._HOMES)
    assert not loaded._HOMES.keys() & loaded._NAMES.keys(), "a module that is loaded would take its place"
