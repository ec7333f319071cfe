"""Accounts of the Interface: adding, listing, disabling and resetting them. Whoever does it stands in the history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import RequestRefused
from orchestrator.interface import accounts, attempts, passwords, second_factors, sessions
from orchestrator.interface.accounts import Account, Portion, account_name
from orchestrator.interface.roles import Role
from orchestrator.operations.interface_desk import InterfaceDesk, recorded

_CLIENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class NewAccount:
    """An account that is to be made.

    Attributes:
        name: letters, digits and ``. _ @ + -``; capital letters become small ones.
        role: what it may do.
        client: of the role ``client``, and of no other.
        language: of a client's pages.
        password: None: one is generated, and has to be changed at the first login.
        by_provider: it has no password and signs in by the identity provider.
    """

    name: str
    role: Role
    client: str | None = None
    language: Literal["fr", "en"] = "fr"
    password: str | None = None
    by_provider: bool = False


@dataclass(frozen=True, kw_only=True)
class Made:
    """An account that was made, or whose password was reset.

    Attributes:
        password: generated, to be shown once; None: whoever asked chose it, or there is none.
    """

    account: Account
    password: str | None


def add_account(desk: InterfaceDesk, new: NewAccount, *, who: str, why: str = "access") -> Made:
    """Add an account.

    Raises:
        RequestRefused: the name, the client or the password cannot be used, or there is one of that name.
        HistoryUnavailable: it could not be recorded.
    """
    name = account_name(new.name)
    if name is None:
        raise RequestRefused(
            f"{new.name[:80]!r} cannot be an account's name: "
            f"1 to {accounts.LONGEST_NAME} letters, digits and . _ @ + -, a letter or digit first"
        )
    _check_client(new.role, new.client)
    if new.password is not None:
        _check_password(new.password, name)
    generated = passwords.generated() if new.password is None and not new.by_provider else None
    typed = new.password or generated
    account = Account(
        name=name, role=new.role, client=new.client, language=new.language, initial=generated is not None
    )
    hashed = None if typed is None else passwords.hash_password(typed)
    _refuse_taken(desk, name)
    details = {"account": name, "role": new.role.value, "client": new.client}
    with (
        recorded(desk, who=who, why=why, action="account added", client=new.client, details=details),
        desk.database.writing() as connection,
    ):
        if not accounts.add(connection, account, password=hashed, now=desk.now()):
            raise _taken(name)
        added = accounts.find(connection, name)
    return Made(account=added or account, password=generated)


def _refuse_taken(desk: InterfaceDesk, name: str) -> None:
    with desk.database.reading() as connection:
        if accounts.find(connection, name) is not None:
            raise _taken(name)


def _taken(name: str) -> RequestRefused:
    return RequestRefused(f"there is an account {name} already: choose another name, or reset that one")


def _check_client(role: Role, client: str | None) -> None:
    if (role is Role.CLIENT) is (client is None):
        raise RequestRefused(
            "an account of the role client needs the client's name, and one of another role has none: "
            "--role client --client NAME"
        )
    if client is not None and not _CLIENT.fullmatch(client):
        raise RequestRefused(f"{client[:80]!r} cannot be a client's name: write it as in the client's file")


def _check_password(password: str, name: str) -> None:
    reason = passwords.why_unfit(password, name)
    if reason:
        raise RequestRefused(reason)


def list_accounts(
    desk: InterfaceDesk, *, search: str = "", limit: int = 100, offset: int = 0
) -> tuple[Portion, frozenset[str]]:
    """Accounts by name, and which of them have a second factor: three queries.

    Args:
        search: a part of a name or of a client's name.
        limit, offset: which portion.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    with desk.database.reading() as connection:
        portion = accounts.listed(connection, search=search, limit=limit, offset=offset)
        names = [account.name for account in portion.accounts]
        return portion, second_factors.accounts_with_one(connection, names)


def find_account(desk: InterfaceDesk, name: str) -> Account:
    """An account by its name.

    Raises:
        RequestRefused: there is none.
    """
    exact = account_name(name)
    with desk.database.reading() as connection:
        found = accounts.find(connection, exact) if exact else None
    if found is None:
        raise RequestRefused(f"there is no account {name[:80]!r}: orchestrator user list shows them")
    return found


def disable_account(desk: InterfaceDesk, name: str, *, who: str, why: str = "access") -> Account:
    """Disable an account: it may not sign in any more, and its sessions end at once.

    Raises:
        RequestRefused: there is none, it is disabled, or it is the account of whoever asks.
        HistoryUnavailable: it could not be recorded.
    """
    account = find_account(desk, name)
    if account.name == who:
        raise RequestRefused("nobody disables his own account: another administrator does")
    if account.disabled is not None:
        raise RequestRefused(f"the account {account.name} is disabled already")
    with (
        recorded(
            desk,
            who=who,
            why=why,
            action="account disabled",
            client=account.client,
            details={"account": account.name},
        ),
        desk.database.writing() as connection,
    ):
        accounts.change(connection, account.name, disabled=desk.now().isoformat())
        sessions.end_all(connection, account.name)
    return account


def enable_account(desk: InterfaceDesk, name: str, *, who: str, why: str = "access") -> Account:
    """Let an account sign in again, with the password and the second factor that it had.

    Raises:
        RequestRefused: there is none, or it is not disabled.
        HistoryUnavailable: it could not be recorded.
    """
    account = find_account(desk, name)
    if account.disabled is None:
        raise RequestRefused(f"the account {account.name} is not disabled")
    with (
        recorded(
            desk,
            who=who,
            why=why,
            action="account enabled",
            client=account.client,
            details={"account": account.name},
        ),
        desk.database.writing() as connection,
    ):
        accounts.change(connection, account.name, disabled=None)
    return account


def reset_account(
    desk: InterfaceDesk, name: str, *, who: str, password: str | None = None, why: str = "access"
) -> Made:
    """Give an account another password and take its second factors and sessions away.

    An account of the identity provider gets no password: its second factors and sessions alone go.

    Args:
        password: None: one is generated, and has to be changed at the next login.

    Raises:
        RequestRefused: there is no such account, or the password cannot be used.
        HistoryUnavailable: it could not be recorded.
    """
    account = find_account(desk, name)
    if password is not None:
        _check_password(password, account.name)
        if account.by_provider:
            raise RequestRefused(
                f"{account.name} signs in by the identity provider and has no password here: reset it without one"
            )
    generated = None if password is not None or account.by_provider else passwords.generated()
    typed = password or generated
    values: dict[str, object] = {"initial": generated is not None}
    if typed is not None:
        values["password"] = passwords.hash_password(typed)
    with (
        recorded(
            desk,
            who=who,
            why=why,
            action="account reset",
            client=account.client,
            details={"account": account.name},
        ),
        desk.database.writing() as connection,
    ):
        accounts.change(connection, account.name, **values)
        second_factors.remove(connection, account.name)
        sessions.end_all(connection, account.name)
        attempts.forget_account(connection, account.name)
        attempts.forget(connection, f"second {account.name}")
    return Made(account=account, password=generated)


def change_role(desk: InterfaceDesk, name: str, role: Role, *, who: str, why: str = "access") -> Account:
    """Give an account of the provider another role; it is in force at its next request.

    Raises:
        RequestRefused: there is no such account, it or the role is a client's, or it is the account of whoever asks.
        HistoryUnavailable: it could not be recorded.
    """
    account = find_account(desk, name)
    if account.name == who:
        raise RequestRefused("nobody changes the role of his own account: another administrator does")
    if (account.client is None) is (role is Role.CLIENT):
        raise RequestRefused(
            f"{account.name} cannot become {role.value}: a client's account and one of the provider's are made apart"
        )
    details = {"account": account.name, "role": role.value, "before": account.role.value}
    with (
        recorded(desk, who=who, why=why, action="account role changed", details=details),
        desk.database.writing() as connection,
    ):
        accounts.change(connection, account.name, role=role.value)
    return account
