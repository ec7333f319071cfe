"""``orchestrator reversibility``: the plan that a client receives when its contract ends (article 10)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files


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
    inventory: session.Inventory = None,
) -> None:
    """Write a client's reversibility plan (article 10).

    It names the days, the machines and their disks, how to copy them, and what happens afterwards. Refused before the
    contract is ended, in default of payment, and once the thirty working days are over. Changes nothing.
    """
    from orchestrator.operations import reversibility as operation  # not for `--help`
    from orchestrator.operations.reversibility import ReversibilityRequest

    request = ReversibilityRequest(
        client=client,
        inventory=inventory,
        files=tuple(files or ()),
        language=language.value,
        form=_FORMS[format],
        output=out,
    )
    said = operation.reversibility(request, EVENTS)
    if out is None:
        session.echo(said)
    else:
        session.console().print(f"{out} written")


_FORMS: dict[DocumentFormat, Literal["md", "html"]] = {
    DocumentFormat.MARKDOWN: "md",
    DocumentFormat.HTML: "html",
}
