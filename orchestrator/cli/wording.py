"""``orchestrator wording``: every text of the reports, to be worded otherwise."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import session


def wording(
    language: Annotated[session.Language, typer.Option(help="Of the texts.")] = session.Language.FR,
    wording: session.Wording = None,
) -> None:
    """Print every text of reports, to be corrected in a file.

    Keep the lines that you word otherwise in a file of your own and give it with --wording FILE (or
    ORCHESTRATOR_WORDING) to the commands that have --language. Text in braces, such as {machine}, is filled in. With
    --wording: that file is checked, and the texts are printed as it words them.
    """
    from orchestrator.reports.wording import catalogue  # not for `--help`

    session.use_wording(wording)
    session.echo(catalogue(language.value).rstrip())
