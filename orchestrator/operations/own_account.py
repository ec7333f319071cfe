"""What somebody does with his own account: the password, the language, the sessions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from orchestrator.interface import accounts, attempts, passwords, sessions
from orchestrator.interface.accounts import Account
from orchestrator.interface.sessions import Opened, Session
from orchestrator.operations.interface_desk import InterfaceDesk, recorded
from orchestrator.operations.signing_in import (
    PER_ACCOUNT,
    AccountRefused,
    Caller,
    SignInRefused,
    TooManyAttempts,
    note_refused,
    renewed,
)


def check_password(desk: InterfaceDesk, account: Account, password: str, caller: Caller) -> None:
    """See that whoever sits at the browser knows the account's password.

    Raises:
        SignInRefused: it is another one.
        TooManyAttempts: there were too many attempts before.
    """
    with desk.database.writing() as connection:
        subject = attempts.password_subject(connection, account.name, caller.address, desk.now())
        made = attempts.reserve(connection, {subject: PER_ACCOUNT}, desk.now())
        kept = accounts.password_of(connection, account.name)
    if made[subject] > PER_ACCOUNT:
        raise TooManyAttempts("there were too many attempts with this account's password")
    if not passwords.fits(kept, password):
        note_refused(desk, account, "password", caller)
        raise SignInRefused("this is not the account's password", remedy="type it again", reason="password")
    with desk.database.writing() as connection:
        attempts.forget(connection, subject)


def change_password(
    desk: InterfaceDesk, account: Account, session: Session, *, old: str, new: str, caller: Caller
) -> Opened:
    """Change one's own password. All other sessions end, and this one gets another token.

    Raises:
        RequestRefused: the new one cannot be used, or is the old one; or the account has none.
        SignInRefused: the old one is wrong.
    """
    if account.by_provider:
        raise AccountRefused(
            "this account signs in by the identity provider: change the password there", reason="provider"
        )
    reason = passwords.why_unfit(new, account.name) or (
        "the new password is the old one" if new == old else ""
    )
    if reason:
        raise AccountRefused(reason, reason="unfit")
    check_password(desk, account, old, caller)
    kept = passwords.hash_password(new)
    with (
        recorded(desk, who=account.name, why="access", action="password changed", client=account.client),
        desk.database.writing() as connection,
    ):
        accounts.change(connection, account.name, password=kept, initial=False)
        sessions.end_all(connection, account.name, but=session.identity)
    return renewed(desk, session, caller, second=session.second)


def change_language(desk: InterfaceDesk, account: Account, language: Literal["fr", "en"]) -> None:
    """Choose the language of one's own pages."""
    with desk.database.writing() as connection:
        accounts.change(connection, account.name, language=language)


def own_sessions(desk: InterfaceDesk, account: Account, idle: dt.timedelta) -> Sequence[Session]:
    """The sessions in which somebody is signed in, the last used first."""
    with desk.database.reading() as connection:
        return sessions.listed(connection, account.name, now=desk.now(), idle=idle)


def end_session(desk: InterfaceDesk, account: Account, identity: int) -> None:
    """End a session of one's own.

    Raises:
        RequestRefused: there is none of that number.
    """
    with (
        recorded(
            desk,
            who=account.name,
            why="access",
            action="session ended",
            client=account.client,
            details={"session": identity},
        ),
        desk.database.writing() as connection,
    ):
        if not sessions.end(connection, identity, account=account.name):
            raise AccountRefused("there is no such session any more: reload the page", reason="session")


def end_other_sessions(desk: InterfaceDesk, account: Account, session: Session) -> int:
    """End all sessions of one's own but this one; return how many there were."""
    with (
        recorded(desk, who=account.name, why="access", action="sessions ended", client=account.client),
        desk.database.writing() as connection,
    ):
        return sessions.end_all(connection, account.name, but=session.identity)
