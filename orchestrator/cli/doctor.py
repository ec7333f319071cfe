"""``orchestrator doctor``: is everything as it has to be?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.counting import counted

if TYPE_CHECKING:
    from orchestrator.doctor import Finding

_EXIT_CODES = {"ok": 0, "warning": 1, "error": 2}
_FORMAT_VERSION = 1


def doctor(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="SITE", help="Only this site. May be repeated.")
    ] = None,
    guests: Annotated[
        bool, typer.Option("--guests/--no-guests", help="Also connect to one machine by SSH.")
    ] = True,
    output: Annotated[
        session.OutputFormat, typer.Option("--format", help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """Check every site and this computer. Changes nothing.

    Says what is wrong and how to fix it: reachability, certificate, version, quorum, each privilege, storages, backups
    in another data centre, templates, bridges, clocks, access to machines, Ansible. Clients' files are read if there
    are any: what they use decides which privileges are needed.

    Exit codes, as monitoring expects them: 0 no problem, 1 warnings, 2 errors, 3 the inventory cannot be read.
    """
    from orchestrator.doctor import worst  # not for `--help`
    from orchestrator.operations import doctor as operation
    from orchestrator.operations.doctor import DoctorRequest

    request = DoctorRequest(
        inventory=inventory, paths=tuple(paths or ()), sites=tuple(site or ()), guests=guests
    )
    findings = operation.examine(request, EVENTS)
    severity = worst(findings)
    if output is session.OutputFormat.JSON:
        document = {
            "format_version": _FORMAT_VERSION,
            "worst": str(severity),
            "findings": [finding.to_data() for finding in findings],
        }
        session.echo_json(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        _print(findings)
    raise typer.Exit(_EXIT_CODES[severity])


_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def _print(findings: Sequence[Finding]) -> None:
    from rich.text import Text

    out = session.console()
    width = max(len(finding.subject) for finding in findings)
    for place in dict.fromkeys(finding.place for finding in findings):
        out.print(place, style="bold")
        for finding in findings:
            if finding.place != place:
                continue
            line = Text("  ")
            line.append(f"{finding.severity:<8}", _STYLES[finding.severity])
            line.append(f"{finding.subject:<{width}}  {finding.found}")
            out.print(line)
            if finding.remedy:
                out.print(f"{'':<10}{'':<{width}}  → {finding.remedy}")
    counts = {
        name: sum(finding.severity == name for finding in findings) for name in ("error", "warning", "ok")
    }
    out.print()
    out.print(
        f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}, {counts['ok']} ok"
    )
