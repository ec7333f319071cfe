"""``orchestrator doctor``: is everything as it has to be?"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.counting import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.doctor import Finding
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider, Site

_EXIT_CODES = {"ok": 0, "warning": 1, "error": 2}
_UNKNOWN = 3
_FORMAT_VERSION = 1


def doctor(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="SITE", help="Only this site. May be repeated.")
    ] = None,
    guests: Annotated[bool, typer.Option("--guests/--no-guests", help="Enter one machine by SSH.")] = True,
    output: Annotated[
        session.OutputFormat, typer.Option("--format", help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """Look at every site and at this computer, change nothing, and say what is wrong and what to do.

    Reachability, certificate, version, quorum, each privilege, storages, backups in another data centre, templates,
    bridges, clocks, the way into machines, Ansible. Clients' files are read where there are any: what they use
    decides which privileges are needed.

    Exit codes, as monitoring expects them: 0 all is well, 1 warnings, 2 errors, 3 the inventory cannot be read.
    """
    from orchestrator.doctor import examine_here, worst

    provider = _provider(inventory)
    chosen = site or list(provider.sites)
    for name in chosen:
        if name not in provider.sites:
            session.fail(f"there is no site {name}: the inventory has {', '.join(sorted(provider.sites))}")
    desired = _desired(paths, provider)
    with ThreadPoolExecutor(len(chosen), thread_name_prefix="site") as pool:
        results = pool.map(
            lambda name: _site(name, provider, [m for m in desired if m.site == name], guests=guests), chosen
        )
        findings = [*examine_here(provider), *(finding for found in results for finding in found)]
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


def _provider(inventory: str | None) -> Provider:
    try:
        return session.open_provider(inventory)
    except typer.Exit:
        raise typer.Exit(_UNKNOWN) from None


def _desired(paths: list[Path] | None, provider: Provider) -> tuple[DesiredMachine, ...]:
    """What the files ask for, those without errors; nothing where there is no folder of files."""
    if not paths and not any(session.DEFAULT_FOLDER.glob("**/*.yaml")):
        return ()
    desired, _ = session.open_sound_desired(paths, provider)
    return desired


def _site(name: str, provider: Provider, desired: list[DesiredMachine], *, guests: bool) -> list[Finding]:
    from orchestrator.doctor import examine_site
    from orchestrator.guests import SshSettings
    from orchestrator.resources.kinds import needs_of_kinds

    site: Site = provider.sites[name]
    management = provider.management
    key = Path(management.ssh_private_key)

    ssh = SshSettings(private_key=key, proxy_command=management.ssh_proxy_command) if guests else None
    return examine_site(
        name,
        site,
        management,
        connect=partial(session.connect, name, site),
        extra=needs_of_kinds(desired),
        ssh=ssh if ssh and key.is_file() else None,
    )


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
