"""What a command loads: what it needs, and nothing of the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_RUN = """
import sys
from orchestrator.cli import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
print(*sorted(sys.modules), file=sys.stderr)
"""


def loaded(*code: str, folder: Path) -> set[str]:
    """The modules that a Python has loaded at its end, as it prints them on standard error."""
    run = subprocess.run(
        [sys.executable, "-c", *code], capture_output=True, text=True, check=True, cwd=folder
    )
    return set(run.stderr.split())


def test_no_command_loads_another_one(tmp_path: Path) -> None:
    modules = loaded(_RUN, "plan", "--help", folder=tmp_path)
    commands = {"plan", "nightly", "backup", "snapshot", "doctor", "update", "export", "bootstrap", "freeze"}
    assert {name for name in commands if f"orchestrator.cli.{name}" in modules} == {"plan"}


def test_where_there_is_no_history_no_database_is_loaded(tmp_path: Path) -> None:
    code = """
import sys
from orchestrator.history import HistoryMissing, open_history
try:
    open_history("history.db", create=False)
except HistoryMissing:
    print(*sorted(sys.modules), file=sys.stderr)
"""
    modules = loaded(code, folder=tmp_path)
    assert "orchestrator.history.opening" in modules
    assert not {"sqlalchemy", "sqlite3"} & modules
    assert not list(tmp_path.iterdir())


def test_help_loads_no_command_and_nothing_that_commands_are_made_of(tmp_path: Path) -> None:
    modules = loaded(_RUN, "--help", folder=tmp_path)
    assert not {"pydantic", "yaml", "rich.console", "sqlalchemy", "paramiko"} & modules
    heavy = (
        "operations.run",
        "proxmox",
        "planning",
        "resources",
        "applying",
        "nightly",
        "cli.plan",
        "cli.apply",
    )
    assert not {name for name in heavy if f"orchestrator.{name}" in modules}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("orchestrator.")}


def test_help_of_a_command_loads_nothing_that_the_command_is_made_of(tmp_path: Path) -> None:
    commands = (
        "validate plan apply nightly update updates history freeze thaw reversibility export inventory targets schema "
        "doctor completion import snapshot backup service-level show credit outage event maintenance "
        "report watch figures alarms config init new restart rescue"
    )
    code = f"""
import sys
from orchestrator.cli import app
for command in {commands.split()}:
    try:
        app([command, "--help"])
    except SystemExit:
        pass
print(*sorted(sys.modules), file=sys.stderr)
"""
    modules = loaded(code, folder=tmp_path)
    assert not {"yaml", "http.client", "ssl", "rich.console", "sqlalchemy", "holidays"} & modules
    below = ("operations.", "applying", "planning", "resources", "guests", "proxmox", "history", "nightly")
    found = {name for name in ours(modules) for part in below if name.startswith(f"orchestrator.{part}")}
    assert found <= {
        f"orchestrator.operations.{name}" for name in ("computer", "events", "plan_request", "settings")
    }, found


def test_a_plan_looks_into_the_sites_before_it_loads_what_makes_it(tmp_path: Path) -> None:
    """Hypervisors take their time: while they answer, whatever understands and compares is loaded."""
    code = "import sys, orchestrator.operations.plan; print(*sorted(sys.modules), file=sys.stderr)"
    modules = ours(loaded(code, folder=tmp_path))
    assert "orchestrator.resources.reading_ahead" in modules
    later = ("planning", "applying", "guests", "history", "subscriptions.model", "resources.notes")
    assert not {name for name in modules for part in later if name.startswith(f"orchestrator.{part}")}
    assert len(modules) <= 61, sorted(modules)
