"""``orchestrator targets``: the supervised machines, as Prometheus' file-based discovery reads them (article 3.8.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.local_errors import reason

if TYPE_CHECKING:
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.unreadable import Unreadable

_FILE_MODE = 0o644
"""Prometheus runs as another user. The file holds names and addresses of machines, and no secret."""


def targets(
    inventory: session.Inventory = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write this file, whole or not at all, instead of printing."),
    ] = None,
) -> None:
    """Print the supervised machines for Prometheus' file_sd: address and labels.

    A machine is there from the apply that installed its node exporter until the one that switched it off, and while
    its file wants it to run. The alert rules in templates/prometheus expect the job name "machines". One that cannot
    be read now stays as the file of --output has it, and the exit code is 1.
    """
    from orchestrator.resources.survey import OURS, observe_sites

    provider = session.open_provider(inventory)
    found: list[dict[str, Any]] = []
    unread: list[Unreadable] = []
    there: set[tuple[str, str]] = set()
    with session.open_clusters(provider) as clusters:
        read = observe_sites(clusters, OURS)
    if read.failures:  # half a list would end the supervision of the other half
        session.fail(f"nothing was written: {'; '.join(read.failures.values())}")
    for observed in read.observed.values():
        found += [target for machine in observed.machines if (target := _target(machine))]
        unread += [item for item in observed.unreadable if item.holds_up and item.kind == "machine"]
        there |= {
            (machine.mark.client, machine.mark.machine) for machine in observed.machines if machine.mark
        }
    if output is not None:
        found += _kept(output, unread, there)
    text = json.dumps(sorted(found, key=lambda item: str(item["labels"])), indent=2)
    if output is None:
        session.echo_json(text)
    else:
        try:
            session.replace_file(output, text + "\n", mode=_FILE_MODE)
        except OSError as error:
            session.fail(f"the list could not be written: {reason(error)}")
    for item in unread:
        session.complain(f"{item.site}: {item.subject} could not be read: {item.reason}")
    if unread:
        raise typer.Exit(1)


def _kept(output: Path, unread: list[Unreadable], there: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """What the file has of machines that cannot be read now: their supervision goes on."""
    try:
        earlier = json.loads(output.read_text(encoding="utf-8"))
        pairs = [(entry, entry["labels"]["client"], entry["labels"]["machine"]) for entry in earlier]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # there is no file of ours yet
        return []
    return [
        entry
        for entry, client, machine in pairs
        if (client, machine) not in there
        and any(
            item.client == client and (item.guessed or item.machine in (None, machine)) for item in unread
        )
    ]


def _target(machine: ObservedMachine) -> dict[str, Any] | None:
    from orchestrator.guests.rules import EXPORTER_PORT

    mark = machine.mark
    if mark is None or not mark.supervised or mark.retired or machine.address is None:
        return None
    if (
        mark.applied is not None and mark.applied.power == "stopped"
    ):  # one that is down although its file says otherwise stays: it alerts
        return None
    return {
        "targets": [f"{machine.address}:{EXPORTER_PORT}"],
        "labels": {
            "client": mark.client,
            "machine": mark.machine,
            "site": machine.site,
            "offer": mark.offer,
            "contract": mark.contract,
        },
    }
