"""The supervised machines, as Prometheus' file-based discovery reads them (article 3.8.1)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import RequestRefused, local_reason
from orchestrator.guests.rules import EXPORTER_PORT
from orchestrator.operations.computer import replace_file
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_clusters
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.survey import OURS, observe_sites
from orchestrator.resources.unreadable import Unreadable

_FILE_MODE = 0o644
"""Prometheus runs as another user. The file holds names and addresses of machines, and no secret."""


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """The list, and what it may lack.

    Attributes:
        text: JSON.
        unread: machines that could not be read: as the file had them before, if one is written.
    """

    text: str
    unread: tuple[Unreadable, ...]


def supervised(inventory: str | None, output: Path | None, events: Events = SILENT) -> Supervised:
    """List the supervised machines, and write the list.

    Args:
        inventory: where the site file is.
        output: the file that Prometheus reads; None: none is written.
        events: who is told what.

    Raises:
        RequestRefused: a site cannot be read: half a list would end the supervision of the other half.
    """
    provider = open_provider(inventory)
    with open_clusters(provider, notice=events.notice) as clusters:
        read = observe_sites(clusters, OURS)
    if read.failures:
        raise RequestRefused(f"nothing was written: {'; '.join(read.failures.values())}")
    found: list[dict[str, Any]] = []
    unread: list[Unreadable] = []
    there: set[tuple[str, str]] = set()
    for observed in read.observed.values():
        found += [target for machine in observed.machines if (target := _target(machine))]
        unread += [item for item in observed.unreadable if item.holds_up and item.kind == "machine"]
        there |= {
            (machine.mark.client, machine.mark.machine) for machine in observed.machines if machine.mark
        }
    if output is not None:
        found += _kept(output, unread, there)
    text = json.dumps(sorted(found, key=lambda item: str(item["labels"])), indent=2)
    if output is not None:
        try:
            replace_file(output, text + "\n", mode=_FILE_MODE)
        except OSError as error:
            raise RequestRefused(f"the list could not be written: {local_reason(error)}") from error
    return Supervised(text=text, unread=tuple(unread))


def _kept(output: Path, unread: Iterable[Unreadable], there: set[tuple[str, str]]) -> list[dict[str, Any]]:
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
    mark = machine.mark
    if mark is None or not mark.supervised or mark.retired or machine.address is None:
        return None
    if mark.applied and mark.applied.power == "stopped":
        return None  # one that is down although its file says otherwise stays: it alerts
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
