"""``orchestrator reversibility``: the plan that a client receives when its contract ends (article 10)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.shown import visible


class DocumentFormat(StrEnum):
    """The form of a document for clients."""

    MARKDOWN = "markdown"
    HTML = "html"


def reversibility(
    client: Annotated[str, typer.Argument(help="The client whose contract ends.")],
    files: Files = None,
    language: Annotated[session.Language, typer.Option(help="The client's language.")] = session.Language.FR,
    format: Annotated[DocumentFormat, typer.Option(help="The document's format.")] = DocumentFormat.MARKDOWN,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write this file, whole or not at all, instead of printing."),
    ] = None,
    approved_by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Record instead that NAME approved the plan for the client."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="With --approved-by: the letter or message that says so.")
    ] = None,
    approved_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="With --approved-by: the day.  [default: today]")
    ] = None,
    wording: session.Wording = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Write a client's reversibility plan (article 10).

    Or record that the client approved it (--approved-by). It names the days, the machines and their disks, how to
    copy them, and what happens afterwards. Refused before the contract is ended, in default of payment, and once the
    thirty working days are over. Changes no machine.
    """
    session.use_wording(wording)
    from orchestrator.operations import reversibility as operation  # not for `--help`
    from orchestrator.operations.reversibility import ApprovalRequest, ReversibilityRequest

    if approved_by is None and (reference or approved_on):
        session.fail("--reference and --approved-on go with --approved-by: who approved the plan")
    if approved_by is not None:
        recorded = operation.approve(
            ApprovalRequest(
                client=client,
                by=approved_by,
                reference=reference,
                day=approved_on,
                inventory=inventory,
                files=tuple(files or ()),
                history=history,
            ),
            EVENTS,
        )
        said = recorded.said
        words = f"approved by {said.by} on {said.day} ({said.reference}): recorded as {recorded.number}"
        session.console().print(visible(f"the reversibility plan of {client} was {words}"), markup=False)
        return
    request = ReversibilityRequest(
        client=client,
        inventory=inventory,
        files=tuple(files or ()),
        language=language.value,
        form=_FORMS[format],
        output=out,
        history=history,
    )
    text = operation.reversibility(request, EVENTS)
    if out is None:
        session.echo(text)
    else:
        session.console().print(f"{out} written")


_FORMS: dict[DocumentFormat, Literal["md", "html"]] = {
    DocumentFormat.MARKDOWN: "md",
    DocumentFormat.HTML: "html",
}
