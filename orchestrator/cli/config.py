"""``orchestrator config``: which defaults are in force, and where each comes from."""

from __future__ import annotations

import json
import os
from typing import Annotated, NamedTuple

import typer

from orchestrator.cli import session
from orchestrator.operations.settings import SETTINGS, Configured, Setting, configured
from orchestrator.redaction import without


def config(
    example: Annotated[
        bool, typer.Option("--example", help="Print a file with every setting, commented out.")
    ] = False,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """Show which defaults are in force, and where from.

    An option goes before the environment, that before ~/.config/orchestrator/config.yaml ($XDG_CONFIG_HOME), and that
    before /etc/orchestrator/config.yaml. ORCHESTRATOR_CONFIG names another file instead of the two. None is ever taken
    from the working directory. Passwords are not shown.

      orchestrator config --example > ~/.config/orchestrator/config.yaml
    """
    if example:
        session.echo(_example())
        return
    found = configured()
    rows = [_row(setting, found) for setting in SETTINGS]
    if format is session.OutputFormat.JSON:
        document = {
            "files": [{"path": str(path), "read": there} for path, there in found.files.items()],
            "settings": [row._asdict() for row in rows],
        }
        session.echo_json(json.dumps(document, indent=2, ensure_ascii=False))
        return
    out = session.console()
    wide = [max(len(row[column] or "") for row in rows) for column in (0, 1)]
    for row in rows:
        out.print(f"{row.setting:<{wide[0]}}  {row.value or '':<{wide[1]}}  {row.source}")
    out.print()
    for path, there in found.files.items():
        out.print(f"{path}: {'read' if there else 'not there'}")


class _Row(NamedTuple):
    """A setting, its value without secrets (None: the usual one holds), and where it comes from."""

    setting: str
    value: str | None
    source: str


def _row(setting: Setting, found: Configured) -> _Row:
    told = os.environ.get(setting.variable, "") if setting.variable else ""
    if told:
        return _Row(setting.key, _shown(setting, told), setting.variable)
    if setting.key in found.values:
        item = found.values[setting.key]
        value = item.value if isinstance(item.value, str) else " ".join(item.value)
        return _Row(setting.key, _shown(setting, value), f"{item.file}:{item.line}")
    return _Row(setting.key, None, f"default: {setting.usual}")


def _shown(setting: Setting, value: str) -> str:
    if setting.key == "ping_url":
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}/…"
    if setting.key == "history" and "://" in value:
        from orchestrator.redaction import shown_url  # loads the database's library

        return shown_url(value)
    return without(value, frozenset())


def _example() -> str:
    lines = [
        "# Defaults of orchestrator's options: ~/.config/orchestrator/config.yaml for an account, or",
        "# /etc/orchestrator/config.yaml for all. Options and environment variables go before it. Relative paths are",
        "# relative to this file. With ping_url, or a password in history: chmod 600.",
    ]
    for setting in SETTINGS:
        variable = f"; {setting.variable}" if setting.variable else ""
        lines += ["", f"# {setting.meaning}{variable}", f"#{setting.key}: {setting.example}"]
    return "\n".join(lines)
