"""``orchestrator reversibility``: the plan that a client receives when its contract ends (article 10)."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.local_errors import reason
from orchestrator.cli.nightly import Language
from orchestrator.cli.target import Files

if TYPE_CHECKING:
    from orchestrator.reports.reversibility import HostedMachine
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import Subscription


class DocumentFormat(StrEnum):
    """The form of a document for clients."""

    MARKDOWN = "markdown"
    HTML = "html"


def reversibility(
    client: Annotated[str, typer.Argument(help="Whose contract ends.")],
    files: Files = None,
    language: Annotated[Language, typer.Option(help="The client's.")] = Language.FR,
    format: Annotated[DocumentFormat, typer.Option(help="Of the document.")] = DocumentFormat.MARKDOWN,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write this file, whole or not at all, instead of printing."),
    ] = None,
    inventory: session.Inventory = None,
) -> None:
    """Draw up a client's reversibility plan: days, machines, disks, how to copy, what happens then (article 10).

    Refused while nobody ended the contract, in default of payment, and when the thirty working days are over. Changes
    nothing.
    """
    from orchestrator.reports.reversibility import (
        NoReversibility,
        Reversibility,
        check_reversibility,
        render_reversibility,
    )
    from orchestrator.resources.desired import desired_machines, life_of

    provider = session.open_provider(inventory)
    subscription = _of_client(client, session.open_subscriptions(files, provider))
    moment, life = dt.datetime.now(dt.UTC), life_of(subscription)
    try:
        check_reversibility(life, moment)
    except NoReversibility as error:
        session.fail(str(error))
    desired = desired_machines([subscription], provider)
    administration = subscription.administration
    said = render_reversibility(
        Reversibility(
            client=client,
            life=life,
            starts=subscription.contract.starts,
            direct_access=desired[0].direct_access,
            user=provider.management.user,
            sources=tuple(map(str, administration.allowed_from)) if administration.ssh_keys else (),
            machines=_machines(client, provider),
            moment=moment,
        ),
        form=_FORMS[format],
        language="fr" if language is Language.FR else "en",
    )
    if out is None:
        session.echo(said)
        return
    try:
        session.replace_file(out, said)
    except OSError as error:
        session.fail(f"the plan cannot be written: {reason(error)}")
    session.console().print(f"{out} written")


_FORMS: dict[DocumentFormat, Literal["md", "html"]] = {
    DocumentFormat.MARKDOWN: "md",
    DocumentFormat.HTML: "html",
}


def _of_client(client: str, subscriptions: tuple[Subscription, ...]) -> Subscription:
    found = next((item for item in subscriptions if item.client == client), None)
    if found is None:
        known = ", ".join(sorted(item.client for item in subscriptions)) or "none"
        session.fail(f"no file has a client {client}: there are {known}")
    return found


def _machines(client: str, provider: Provider) -> tuple[HostedMachine, ...]:
    from orchestrator.reports.reversibility import hosted
    from orchestrator.resources.scope import Selection
    from orchestrator.resources.survey import Asked, observe_sites

    found: list[ObservedMachine] = []
    with session.open_clusters(provider) as clusters:
        read = observe_sites(clusters, Asked(selection=Selection(client=client)))
    for site, why in read.failures.items():
        session.fail(f"no plan was drawn up, it would lack the machines of {site}: {why}")
    for observed in read.observed.values():
        for item in observed.unreadable:
            if item.client == client and item.holds_up:
                session.fail(
                    f"no plan was drawn up, it would lack {item.subject} at {item.site}: {item.reason}"
                )
        found += observed.machines
    return hosted(found, client)
