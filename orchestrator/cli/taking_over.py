"""``orchestrator import``: describe existing machines as a subscription file, and say what is not good practice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS

if TYPE_CHECKING:
    from orchestrator.planning.gaps import Gap


def import_(
    machines: Annotated[list[str], typer.Argument(metavar="NODE/VMID...", help="The machines to take over.")],
    client: Annotated[str, typer.Option(help="The client they belong to.")],
    contract: Annotated[str, typer.Option(metavar="REFERENCE", help="The contract's number.")],
    starts: Annotated[str, typer.Option(metavar="DATE", help="The contract's first day.")],
    site: Annotated[
        str | None, typer.Option(help="The site they are at.  [default: the inventory's only site]")
    ] = None,
    offer: Annotated[str, typer.Option(help="The offer that they run under.")] = "cloud-vm-advanced",
    image: Annotated[
        str | None,
        typer.Option(help="The site's image that is closest to what they run.  [default: its first]"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of the one machine, if neither Proxmox nor its agent knows it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write.  [default: subscriptions/CLIENT.yaml]"),
    ] = None,
    language: Annotated[
        session.Language, typer.Option(help="Language of the report of gaps.")
    ] = session.Language.FR,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    wording: session.Wording = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Describe existing machines in a file, to take them over.

    Also reports their gaps against the offer (article 4.2). Changes nothing in Proxmox. `plan` then shows that they
    would be taken over as they are, `apply` does it, and the plan after that is empty.
    """
    session.use_wording(wording)
    from orchestrator.operations.take_over import TakeOverRequest, take_over  # not for `--help`

    request = TakeOverRequest(
        machines=tuple(machines),
        client=client,
        contract=contract,
        starts=starts,
        inventory=inventory,
        site=site,
        offer=offer,
        image=image,
        address=address,
        output=out,
        history=history,
    )
    taken = take_over(request, EVENTS)
    _report(client, taken.file, taken.gaps, language.value, format)


def _report(
    client: str, path: Path, gaps: Mapping[str, list[Gap]], language: str, format: session.OutputFormat
) -> None:
    from orchestrator.reports.gap_words import GapWords  # not for `--help`

    words = GapWords("fr" if language == "fr" else "en")
    if format is session.OutputFormat.JSON:
        found = {
            name: [
                {"code": gap.code, "found": words.said_of(gap), "remedy": words.advice(gap)} for gap in items
            ]
            for name, items in gaps.items()
        }
        session.echo_json(json.dumps({"file": str(path), "gaps": found}, indent=2, ensure_ascii=False))
        return
    out = session.console()
    out.print(f"{path} written: review it, then `orchestrator plan` and `apply`")
    out.print(words.gaps_title, style="bold")
    for name, items in gaps.items():
        out.print(f"  {name}" + ("" if items else f"   {words.gaps_none}"))
        for gap in items:
            said = words.gap_remedy.format(found=words.said_of(gap), remedy=words.advice(gap))
            out.print(f"    - {said}", markup=False)
    out.print(words.gaps_next.format(client=client), markup=False)
