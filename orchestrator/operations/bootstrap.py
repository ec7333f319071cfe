"""What a cluster needs before the orchestrator can work with it: its role, user and token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.bootstrap import Account, Step, carry_out, pveum_lines
from orchestrator.bootstrap.bulk_reading import node_lines
from orchestrator.doctor import Finding
from orchestrator.doctor.access import judge_privileges
from orchestrator.doctor.findings import Place
from orchestrator.errors import OrchestratorError, RequestRefused
from orchestrator.operations.inventory import open_provider, site_of
from orchestrator.operations.run import connect
from orchestrator.proxmox import Patience, ProxmoxError
from orchestrator.proxmox.privileges import major, read_held
from orchestrator.resources.redundancy import REDUNDANCY
from orchestrator.sites.model import BulkReading, Site
from orchestrator.sites.secrets import resolve
from orchestrator.yaml_reader.public_keys import parse_public_key

RELEASES = (8, 9)
"""Major versions of Proxmox VE."""


@dataclass(frozen=True, kw_only=True)
class BootstrapRequest:
    """Which account a site is to have.

    Attributes:
        site: the site's name.
        inventory: where the site file is.
        pve: the major version of Proxmox VE; None: it is asked.
        role: the name of the role.
        redundancy: with the privileges for redundancy.
    """

    site: str
    inventory: str | None
    pve: int | None = None
    role: str = "Orchestrator"
    redundancy: bool = False

    def open(self) -> Site:
        """Check the request, and read the site.

        Raises:
            OrchestratorError: something is wrong with it.
        """
        if self.pve is not None and self.pve not in RELEASES:
            known = " and ".join(map(str, RELEASES))
            raise RequestRefused(f"--pve {self.pve}: the orchestrator works with Proxmox VE {known}")
        if "@" in self.role or not self.role.strip() or " " in self.role:
            raise RequestRefused(f"--role {self.role!r}: a role's name is a word")
        return site_of(open_provider(self.inventory), self.site)

    def account(self, site: Site, release: int) -> Account:
        """The account on a version of Proxmox VE."""
        extra = REDUNDANCY.needs if self.redundancy else ()
        return Account(
            token_id=site.api.token_id,
            role=self.role,
            release=release,
            extra=extra,
            consoles=site.consoles,
        )


def bulk_reading_lines(request: BootstrapRequest, public_key: Path) -> list[str]:
    """The lines for a node that let an SSH key read all configurations, and nothing else.

    Raises:
        OrchestratorError: there is no such site, or no key.
    """
    site = request.open()
    try:
        key = parse_public_key(public_key.read_text(encoding="utf-8").strip(), any_comment=True)
    except (OSError, ValueError) as error:
        raise RequestRefused(f"{public_key} has no public SSH key: {error}") from error
    user = site.bulk_reading.user if site.bulk_reading else BulkReading.model_fields["user"].default
    return node_lines(user, key.line)


def account_lines(request: BootstrapRequest) -> dict[int, list[str]]:
    """The lines for a node's shell that make the account, by the major version of Proxmox VE: of the one that answers,
    or of each.

    Raises:
        OrchestratorError: there is no such site.
    """
    site = request.open()
    releases = [request.pve] if request.pve else _asked(request.site, site) or RELEASES
    return {release: list(pveum_lines(request.account(site, release))) for release in releases}


def _asked(name: str, site: Site) -> list[int]:
    """The version, if the token works already: as after an upgrade from 8 to 9."""
    try:
        cluster = connect(name, site, resolve(site.api.token_secret), patience=Patience(attempts=1))
        release = major(str(cluster.get("/version")["version"]))
        cluster.close()
    except OrchestratorError:
        return []
    return [release] if release in RELEASES else []


@dataclass(frozen=True, kw_only=True)
class Administrator:
    """Who carries it out.

    Attributes:
        token_id: of the administrator.
        secret: called for the token's secret.
    """

    token_id: str
    secret: Callable[[], str]


def make_account(
    request: BootstrapRequest,
    administrator: Administrator,
    show: Callable[[Step], None],
    *,
    secret_file: Path | None,
    renew: bool,
) -> list[Finding]:
    """Make the account over the API, and ask as the new token what it may do.

    Args:
        request: which account.
        administrator: who makes it.
        show: called with each thing that was looked at or done.
        secret_file: where a new token's secret goes; None: where the site file says.
        renew: make an existing token again.

    Returns:
        What the token may do.

    Raises:
        OrchestratorError: it could not be made, or does not work.
    """
    site = request.open()
    target = secret_file or site.api.token_secret.file
    if target is None:
        raise RequestRefused(
            f"token_secret of {request.site} is not a file: say with --secret-file where a new token's secret goes"
        )
    secret = administrator.secret()
    try:
        cluster = connect(request.site, site, secret, token_id=administrator.token_id)
    except ValueError as error:
        raise RequestRefused(f"--run {administrator.token_id}: {error}") from error
    try:
        release = request.pve or major(str(cluster.get("/version")["version"]))
        account = request.account(site, release)
        for step in carry_out(cluster, account, target, renew=renew):
            show(step)
    finally:
        cluster.close()
    return _check(request.site, site, target, account)


def _check(name: str, site: Site, secret_file: Path, account: Account) -> list[Finding]:
    """Ask as the new token what it may do."""
    cluster = connect(name, site, secret_file.read_text(encoding="utf-8").strip())
    try:
        held = read_held(cluster)
    except ProxmoxError as error:
        raise RequestRefused(
            f"the token does not work: {error}: make it again with --renew-token if its secret is not right"
        ) from error
    finally:
        cluster.close()
    return list(
        judge_privileges(
            Place(name),
            held,
            account.release,
            account.extra,
            token_id=account.token_id,
            consoles=account.consoles,
        )
    )
