"""Write the man page ``orchestrator(1)`` from the commands themselves.

python -m tools.man FILE
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer.main

from orchestrator.cli import app


def _roff(text: str) -> str:
    """Text as roff reads it: no backslash, and no line that begins as a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in plain.splitlines())


def _command(command: Any, name: str) -> Iterator[str]:
    yield f".SS {_roff(name)}"
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    yield "\n.PP\n".join(_roff(paragraph) for paragraph in paragraphs if paragraph)
    for parameter in command.params:
        names = ", ".join(getattr(parameter, "opts", [])) or parameter.name
        if getattr(parameter, "param_type_name", "") == "argument":
            names = (parameter.metavar or parameter.name or "").upper()
        words = getattr(parameter, "help", None)
        if words:
            yield f".TP\n.B {_roff(names)}\n{_roff(' '.join(words.split()))}"


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    parts = [
        f'.TH ORCHESTRATOR 1 "" "orchestrator {version("orchestrator")}" "User Commands"',
        ".SH NAME\norchestrator \\- hosting subscriptions as code on Proxmox VE",
        ".SH SYNOPSIS\n.B orchestrator\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]",
        ".SH DESCRIPTION",
        _roff(" ".join((group.help or "").split())),
        ".SH OPTIONS",
    ]
    parts += list(_command(group, "Before every command"))[2:]
    parts.append(".SH COMMANDS")
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            for inner, below in command.commands.items():
                parts += _command(below, f"{name} {inner}")
        else:
            parts += _command(command, name)
    parts.append(
        ".SH ENVIRONMENT\n.TP\n.B ORCHESTRATOR_INVENTORY\nThe sites.\n.TP\n.B ORCHESTRATOR_HISTORY\nThe history: a "
        "file or a database URL.\n.TP\n.B ORCHESTRATOR_LOG_FORMAT\ntext or json.\n.TP\n.B NO_COLOR, FORCE_COLOR, "
        "XDG_STATE_HOME\nAs everywhere."
    )
    parts.append(
        ".SH EXIT STATUS\n0: done. 1: not, or not all done; the message says what. 2: wrong use. "
        "plan and doctor have more."
    )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")
