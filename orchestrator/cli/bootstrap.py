"""``orchestrator bootstrap``: what a cluster needs before the orchestrator can work with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.operations import inventory as sites_file
from orchestrator.operations import run as running

if TYPE_CHECKING:
    from orchestrator.bootstrap import Account
    from orchestrator.sites.model import Provider, Site

_ADMIN_SECRET = "ORCHESTRATOR_ADMIN_SECRET"  # noqa: S105  (a name)
_RELEASES = (8, 9)


def bootstrap(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site of the inventory.")],
    inventory: session.Inventory = None,
    pve: Annotated[
        int | None,
        typer.Option(metavar="8|9", help="The major version of Proxmox VE, if it cannot be asked."),
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
            help=f"Carry it out, as this administrator's token; its secret is asked for, or is in {_ADMIN_SECRET}.",
        ),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="Where a new token's secret goes.  [default: token_secret.file of the site]"),
    ] = None,
    renew_token: Annotated[
        bool,
        typer.Option(
            "--renew-token", help="Make an existing token again: the old secret is worth nothing then."
        ),
    ] = False,
) -> None:
    """Print the lines that give a cluster the role, the user and the token of the orchestrator; or carry them out.

    Nothing is changed without --run. What is there already is left, what is missing is added; afterwards
    the token's privileges are looked at, as `orchestrator doctor` does.

      orchestrator bootstrap paris --pve 9                  the lines for a node's shell
      orchestrator bootstrap paris --run 'root@pam!setup'   over the API
    """
    if pve is not None and pve not in _RELEASES:
        session.fail(
            f"--pve {pve}: the orchestrator works with Proxmox VE {' and '.join(map(str, _RELEASES))}"
        )
    if "@" in role or not role.strip() or " " in role:
        session.fail(f"--role {role!r}: a role's name is a word")
    provider = sites_file.open_provider(inventory)
    chosen = provider.sites.get(site)
    if chosen is None:
        session.fail(f"there is no site {site}: the inventory has {', '.join(sorted(provider.sites))}")
    if bulk_reading is not None:
        _print_bulk_reading(chosen, bulk_reading)
        return
    if run is None:
        _print(site, chosen, pve, role, redundancy=redundancy)
        return
    _carry_out(provider, site, chosen, pve, role, run, secret_file, redundancy=redundancy, renew=renew_token)


def _print_bulk_reading(site: Site, file: Path) -> None:
    from orchestrator.bootstrap.bulk_reading import node_lines
    from orchestrator.documents.public_keys import parse_public_key
    from orchestrator.sites.model import BulkReading

    try:
        key = parse_public_key(file.read_text(encoding="utf-8").strip(), any_comment=True)
    except (OSError, ValueError) as error:
        session.fail(f"{file} has no public SSH key: {error}")
    user = site.bulk_reading.user if site.bulk_reading else BulkReading.model_fields["user"].default
    session.echo("# On each node that bulk_reading.addresses names, as root. It may be run again.")
    session.echo("\n".join(node_lines(user, key.line)))


def _account(site: Site, role: str, release: int, *, redundancy: bool) -> Account:
    from orchestrator.bootstrap import Account
    from orchestrator.resources.redundancy import REDUNDANCY

    extra = REDUNDANCY.needs if redundancy else ()
    return Account(token_id=site.api.token_id, role=role, release=release, extra=extra)


def _print(name: str, site: Site, pve: int | None, role: str, *, redundancy: bool) -> None:
    from orchestrator.bootstrap import pveum_lines

    asked = [pve] if pve else _asked(name, site)
    for release in asked or _RELEASES:
        session.echo(
            f"# Proxmox VE {release}: on any node of {name}, as root. Every line may be run again but the last."
        )
        for line in pveum_lines(_account(site, role, release, redundancy=redundancy)):
            session.echo(line)
        session.echo("")
    session.echo(f"# The last line shows the secret once. Put it where token_secret of {name} says; then:")
    session.echo(f"#   orchestrator doctor --site {name}")


def _asked(name: str, site: Site) -> list[int]:
    """The version, if the token works already: as after an upgrade from 8 to 9."""
    from orchestrator.proxmox import Patience, ProxmoxError
    from orchestrator.proxmox.privileges import major
    from orchestrator.sites.secrets import SecretUnavailable, resolve

    try:
        cluster = running.connect(name, site, resolve(site.api.token_secret), patience=Patience(attempts=1))
        release = major(str(cluster.get("/version")["version"]))
        cluster.close()
    except (ProxmoxError, SecretUnavailable):
        return []
    return [release] if release in _RELEASES else []


def _carry_out(
    provider: Provider,
    name: str,
    site: Site,
    pve: int | None,
    role: str,
    admin: str,
    secret_file: Path | None,
    *,
    redundancy: bool,
    renew: bool,
) -> None:
    from orchestrator.bootstrap import CannotSetUp, carry_out
    from orchestrator.proxmox import ProxmoxError
    from orchestrator.proxmox.privileges import major

    target = secret_file or site.api.token_secret.file
    if target is None:
        session.fail(
            f"token_secret of {name} is no file: say with --secret-file where a new token's secret goes"
        )
    secret = os.environ.get(_ADMIN_SECRET, "").strip()
    if not secret:
        if not session.interactive():
            session.fail(
                f"the administrator's secret is not in {_ADMIN_SECRET}, and nobody is there to be asked"
            )
        secret = session.answer_to(f"Secret of {admin}", hidden=True)
    out = session.console()
    try:
        cluster = running.connect(name, site, secret, token_id=admin)
    except ValueError as error:
        session.fail(f"--run {admin}: {error}")
    try:
        release = pve or major(str(cluster.get("/version")["version"]))
        account = _account(site, role, release, redundancy=redundancy)
        for step in carry_out(cluster, account, target, renew=renew):
            out.print(f"{step.what}: {step.done}")
    except (ProxmoxError, CannotSetUp) as error:
        remedy = getattr(error, "remedy", "")
        session.fail(f"{error}{f': {remedy}' if remedy and remedy not in str(error) else ''}")
    finally:
        cluster.close()
    _check(name, site, target, account)


def _check(name: str, site: Site, secret_file: Path, account: Account) -> None:
    """Ask as the new token what it may do."""
    from orchestrator.doctor import Severity
    from orchestrator.doctor.access import judge_privileges
    from orchestrator.doctor.findings import Place
    from orchestrator.proxmox import ProxmoxError
    from orchestrator.proxmox.privileges import read_held

    cluster = running.connect(name, site, secret_file.read_text(encoding="utf-8").strip())
    try:
        held = read_held(cluster)
    except ProxmoxError as error:
        session.fail(
            f"the token does not work: {error}: make it again with --renew-token if its secret is not right"
        )
    finally:
        cluster.close()
    found = list(
        judge_privileges(Place(name), held, account.release, account.extra, token_id=account.token_id)
    )
    out = session.console()
    for finding in found:
        out.print(f"{finding.subject}: {finding.found}")
        if finding.remedy:
            out.print(f"  → {finding.remedy}")
    if any(finding.severity is Severity.ERROR for finding in found):
        raise typer.Exit(1)
