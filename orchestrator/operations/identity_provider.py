"""Signing in by the provider's identity provider: OpenID Connect, authorization code with PKCE.

What comes back is believed only if this browser asked for it a moment ago, the provider's own keys signed it, and it
names the provider, this program and the question. Accounts with a password here are never signed in this way: whoever
may choose a name at the identity provider would choose theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError
from orchestrator.interface import accounts, attempts, provider_logins, second_factors, sessions
from orchestrator.interface.accounts import Account, account_name
from orchestrator.interface.roles import Role
from orchestrator.interface.sessions import Opened
from orchestrator.operations.accounts import NewAccount, add_account, change_role
from orchestrator.operations.interface_desk import InterfaceDesk, recorded
from orchestrator.operations.inventory import find_inventory
from orchestrator.operations.openid import Answered, authorization_url, exchanged
from orchestrator.operations.signing_in import (
    PER_ADDRESS,
    Caller,
    SignInRefused,
    TooManyAttempts,
    address_subject,
    enter,
    enter_waiting,
    note_refused,
)
from orchestrator.sites.loading import load_provider

if TYPE_CHECKING:
    from orchestrator.sites.interface import IdentityProvider

_WHO = "identity provider"
_RISING = (Role.READER, Role.OPERATOR, Role.APPROVER, Role.ADMINISTRATOR)


@dataclass(frozen=True, kw_only=True)
class Returned:
    """What the browser brought back.

    Attributes:
        state, code: of the answer; empty if there is none.
        issuer: who answered, as the answer says; empty if it does not.
        browser: what only this browser has.
        address: where it was sent to, as the identity provider knows it.
    """

    state: str
    code: str
    issuer: str
    browser: str
    address: str


def identity_provider(inventory: str | None) -> IdentityProvider | None:
    """The identity provider of the site file; None: there is none, or the file cannot be read.

    People with a password sign in all the same.
    """
    try:
        return load_provider(find_inventory(inventory)).interface.identity_provider
    except OrchestratorError:
        return None


def begin_login(
    desk: InterfaceDesk, provider: IdentityProvider, *, browser: str, to: str, address: str, caller: Caller
) -> str:
    """Begin a login.

    Args:
        provider: who signs in.
        browser: what only this browser has.
        to: the page that was asked for.
        address: of ours, where the browser is to be sent back to.
        caller: from where.

    Returns:
        The address of the identity provider where the browser goes on.

    Raises:
        SignInRefused: the identity provider cannot be reached, or is not the one that the site file names.
        TooManyAttempts: there were too many from this address.
    """
    subject = address_subject(caller)
    with desk.database.writing() as connection:
        made = attempts.reserve(connection, {subject: PER_ADDRESS}, desk.now())
        if made[subject] > PER_ADDRESS:
            raise TooManyAttempts("there were too many attempts to sign in from this address")
        begun = provider_logins.begin(connection, browser=browser, to=to, now=desk.now())
    return authorization_url(provider, begun, address)


def finish_login(
    desk: InterfaceDesk, provider: IdentityProvider, returned: Returned, caller: Caller
) -> tuple[Opened, str]:
    """Sign in with what the browser brought back.

    Returns:
        A session, and the page that was asked for.

    Raises:
        SignInRefused: this browser did not ask for it, it is not signed by the identity provider for this program, or
            nobody has an account for it.
    """
    with desk.database.writing() as connection:
        begun = provider_logins.take(connection, returned.state, browser=returned.browser, now=desk.now())
    account: Account | None = None
    try:
        if begun is None or not returned.code or returned.issuer not in ("", provider.issuer):
            raise SignInRefused("the identity provider's answer is none to a question of this browser")
        answered = exchanged(provider, begun, returned.code, returned.address, desk.now())
        account = _account_of(desk, provider, answered)
        account = _with_role(desk, provider, account, answered.claims)
        if account.disabled is not None:
            raise SignInRefused("the account is disabled")
    except SignInRefused:
        note_refused(desk, account, "identity provider", caller)
        raise
    proved = bool(set(answered.methods) & set(provider.second_factor))
    with desk.database.writing() as connection:
        attempts.take_back(connection, address_subject(caller))
        waits = not proved and bool(second_factors.factors_of(connection, account.name))
    if waits:
        return enter_waiting(desk, account, caller), begun.to
    second = "oidc" if proved else ""
    return enter(desk, account, caller, how="identity provider", second=second), begun.to


def _account_of(desk: InterfaceDesk, provider: IdentityProvider, answered: Answered) -> Account:
    """The account of the subject; at its first login one that waits for it, or a new one where its role says so."""
    with desk.database.reading() as connection:
        known = accounts.of_identity(connection, issuer=provider.issuer, subject=answered.subject)
    if known is not None:
        return known
    name = account_name(_claimed_name(provider, answered.claims))
    if name is None:
        raise SignInRefused(f"the identity provider's {provider.account_claim} is no account's name")
    with desk.database.reading() as connection:
        there = accounts.find(connection, name)
        taken = there is not None and accounts.has_identity(connection, issuer=provider.issuer, account=name)
    if there is not None and (taken or not there.by_provider):
        raise SignInRefused("an account of that name is somebody else's, or has a password here")
    if there is None:
        role = _role_of(provider, answered.claims)
        if role is None:
            raise SignInRefused("nobody has made an account for this person")
        there = add_account(desk, NewAccount(name=name, role=role, by_provider=True), who=_WHO).account
    with (
        recorded(
            desk,
            who=_WHO,
            why="access",
            action="account tied",
            client=there.client,
            details={"account": name, "subject": answered.subject},
        ),
        desk.database.writing() as connection,
    ):
        accounts.tie(connection, issuer=provider.issuer, subject=answered.subject, account=name)
    return there


def _claimed_name(provider: IdentityProvider, claims: Mapping[str, Any]) -> str:
    claimed = claims.get(provider.account_claim)
    if not isinstance(claimed, str) or (
        provider.account_claim == "email" and claims.get("email_verified") is not True
    ):
        return ""
    return claimed


def _with_role(
    desk: InterfaceDesk, provider: IdentityProvider, account: Account, claims: Mapping[str, Any]
) -> Account:
    """The account with the role that the provider says now: one that lost its role there has none here."""
    if account.client is not None or provider.role_claim is None or not provider.roles:
        return account
    role = _role_of(provider, claims)
    if role is None:
        with desk.database.writing() as connection:
            sessions.end_all(connection, account.name)
        raise SignInRefused("the identity provider gives this person no role here")
    if role is not account.role:
        change_role(desk, account.name, role, who=_WHO)
    return replace(account, role=role)


def _role_of(provider: IdentityProvider, claims: Mapping[str, Any]) -> Role | None:
    """The highest role of those that the claim has."""
    if provider.role_claim is None:
        return None
    claimed = claims.get(provider.role_claim)
    values = claimed if isinstance(claimed, list) else [claimed]
    found = {Role(provider.roles[one]) for one in values if isinstance(one, str) and one in provider.roles}
    return next((role for role in reversed(_RISING) if role in found), None)
