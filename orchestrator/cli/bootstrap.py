"""``orchestrator bootstrap``: what a cluster needs before the orchestrator can work with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.doctor import Severity
from orchestrator.operations import bootstrap as operation
from orchestrator.operations.bootstrap import Administrator, BootstrapRequest


def bootstrap(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site of the inventory.")],
    inventory: session.Inventory = None,
    pve: Annotated[
        int | None,
        typer.Option(metavar="8|9", help="The major version of Proxmox VE, if the cluster cannot be asked."),
    ] = None,
    role: Annotated[str, typer.Option(help="The name of the role.")] = "Orchestrator",
    redundancy: Annotated[
        bool,
        typer.Option(help="With the privileges for redundancy.hardware and redundancy.second_site."),
    ] = False,
    bulk_reading: Annotated[
        Path | None,
        typer.Option(
            metavar="PUBLIC_KEY_FILE",
            help="Print instead the lines that let this SSH key read all configurations, and nothing else.",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="ADMIN_TOKEN",
            help="Run them with this administrator's token; its secret is asked for, or read from "
            f"{session.ADMIN_SECRET}.",
        ),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="Where a new token's secret goes.  [default: token_secret.file of the site]"),
    ] = None,
    renew_token: Annotated[
        bool,
        typer.Option("--renew-token", help="Create an existing token again; its old secret stops working."),
    ] = False,
) -> None:
    """Print or run the commands that create role, user and token.

    Nothing is changed without --run. What exists already is kept, what is missing is added; afterwards the token's
    privileges are checked, as `orchestrator doctor` does.

      orchestrator bootstrap paris --pve 9                  the lines for a node's shell
      orchestrator bootstrap paris --run 'root@pam!setup'   over the API
    """
    request = BootstrapRequest(site=site, inventory=inventory, pve=pve, role=role, redundancy=redundancy)
    if bulk_reading is not None:
        lines = operation.bulk_reading_lines(request, bulk_reading)
        session.echo("# On each node that bulk_reading.addresses names, as root. It may be run again.")
        session.echo("\n".join(lines))
    elif run is None:
        _print(request)
    else:
        _make(request, run, secret_file, renew=renew_token)


def _print(request: BootstrapRequest) -> None:
    name = request.site
    for release, lines in operation.account_lines(request).items():
        session.echo(
            f"# Proxmox VE {release}: on any node of {name}, as root. Every line may be run again but the last."
        )
        for line in lines:
            session.echo(line)
        session.echo("")
    session.echo(f"# The last line shows the secret once. Put it where token_secret of {name} says; then:")
    session.echo(f"#   orchestrator doctor --site {name}")


def _make(request: BootstrapRequest, admin: str, secret_file: Path | None, *, renew: bool) -> None:
    out = session.console()
    found = operation.make_account(
        request,
        Administrator(token_id=admin, secret=lambda: session.secret_of_administrator(admin)),
        lambda step: out.print(f"{step.what}: {step.done}"),
        secret_file=secret_file,
        renew=renew,
    )
    for finding in found:
        out.print(f"{finding.subject}: {finding.found}")
        if finding.remedy:
            out.print(f"  → {finding.remedy}")
    if any(finding.severity is Severity.ERROR for finding in found):
        raise typer.Exit(1)
