"""The plan for a merge request: a table that is read in ten seconds, the details folded. Markdown and HTML.

Both are made of the published document (:mod:`orchestrator.planning.document`) by a template in ``templates/plan``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from orchestrator.pages import fill
from orchestrator.planning.interventions import Charge
from orchestrator.resources.change import Kind

if TYPE_CHECKING:
    from orchestrator.planning.document import ChangeDocument, MachineDocument, PlanDocument


@dataclass(frozen=True, kw_only=True)
class ClientRow:
    """One client's line of the table, and what is folded below it.

    Attributes:
        charge: what the client pays for, in words.
        worst: ``bad`` (refused, or data goes), ``warn`` (restarts, retires, lacks a quote) or ``plain``.
    """

    client: str
    contract: str
    create: int
    change: int
    restart: int
    retire: int
    refused: int
    charge: str
    worst: str
    machines: tuple[MachineDocument, ...]


def render_markdown(document: PlanDocument) -> str:
    """The plan as Markdown, as merge requests of GitLab and GitHub show it."""
    return fill("plan", "plan", "md", **_content(document))


def render_html(document: PlanDocument) -> str:
    """The plan as one HTML page without anything from elsewhere."""
    return fill("plan", "plan", "html", **_content(document))


def _content(document: PlanDocument) -> dict[str, object]:
    rows = [
        _row(client, list(machines))
        for client, machines in groupby(document.machines, key=lambda machine: machine.client)
    ]
    return {
        "plan": document,
        "difference": _difference,
        "rows": [row for row in rows if row.machines],
        "quiet": [row.client for row in rows if not row.machines],
        "unmanaged": len(document.unmanaged),
        "refusing": [danger for danger in document.dangers if not danger.allowed],
        "allowed": [danger for danger in document.dangers if danger.allowed],
    }


def _row(client: str, machines: list[MachineDocument]) -> ClientRow:
    changing = tuple(machine for machine in machines if machine.changes)

    def having(*kinds: Kind) -> int:
        return sum(any(change.kind in kinds for change in machine.changes) for machine in going)

    going = [machine for machine in changing if not machine.refused]
    refused = sum(
        change.kind in (Kind.REFUSED, Kind.UNABLE) for machine in changing for change in machine.changes
    )
    create, retire, restart = having(Kind.CREATE), having(Kind.RETIRE), having(Kind.RESTART, Kind.STOP)
    touched = having(*(set(Kind) - {Kind.WAITING, Kind.NOTICE, Kind.REFUSED, Kind.UNABLE}))
    erases = any(change.erases for machine in going for change in machine.changes)
    unpaid = any(_charge_of(machine) is Charge.MISSING for machine in going)
    return ClientRow(
        client=client,
        contract=machines[0].contract,
        create=create,
        change=touched - create - retire,
        restart=restart,
        retire=retire,
        refused=refused,
        charge=_charge_words(going),
        worst="bad" if refused or erases else "warn" if restart or retire or unpaid else "plain",
        machines=changing,
    )


def _charge_of(machine: MachineDocument) -> Charge | None:
    return machine.intervention.charge if machine.intervention else None


def _charge_words(machines: list[MachineDocument]) -> str:
    held = [machine.intervention for machine in machines if machine.intervention]
    words = []
    if free := sum(item.charge is Charge.FREE for item in held):
        words.append(f"{free} free")
    for quote in dict.fromkeys(item.quote for item in held if item.quote):
        words.append(f"{sum(item.quote == quote for item in held)} on quote {quote}")
    if missing := sum(item.charge is Charge.MISSING for item in held):
        words.append(f"{missing} without a quote")
    return ", ".join(words)


def _difference(change: ChangeDocument) -> str:
    words = " → ".join(text for text in (change.before, change.after) if text)
    return words + (f"; restart {change.restart}" if change.restart else "")
