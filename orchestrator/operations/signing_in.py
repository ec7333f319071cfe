"""Signing in with a password, and with a second factor where the account has one; signing out.

Nobody learns by an answer whether a name exists: a name that has no account, one that is disabled and a wrong password
take the same way to the same answer, and attempts count for names that do not exist as for others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.contract.calendar import paris_time
from orchestrator.errors import OrchestratorError, RequestRefused
from orchestrator.interface import accounts, attempts, passwords, second_factors, sessions
from orchestrator.interface.accounts import Account, account_name
from orchestrator.interface.sessions import Opened, Session
from orchestrator.operations.interface_desk import InterfaceDesk
from orchestrator.operations.run import run_name

PER_ACCOUNT, PER_ADDRESS, PER_SECOND = 10, 30, 5
"""Attempts within :data:`attempts.WINDOW` for a name, from an address, and with codes of one account.

From where an account has signed in lately its name has as many by itself."""

_MOST_ENTRIES = 200
"""Refused attempts that the history takes up within :data:`attempts.WINDOW`: a flood would bury the rest."""


class SignInRefused(OrchestratorError):
    """Nobody was signed in."""

    default_remedy = "check both and try again"

    def __init__(self, text: str, *, remedy: str = "", reason: str = "") -> None:
        super().__init__(text, remedy=remedy)
        self.reason = reason
        """By which a client's page finds its words; empty: none of a signed-in client's pages meets it."""


class TooManyAttempts(OrchestratorError):
    """There were too many attempts to sign in with a name, or from an address; this one was not made."""

    default_remedy = "wait a quarter of an hour, or have an administrator reset the account"
    reason = "many"


class AccountRefused(RequestRefused):
    """Something about one's own account cannot be done, and nothing was begun."""

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text)
        self.reason = reason
        """By which a client's page finds its words."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """From where somebody signs in.

    Attributes:
        address: of the browser, as the nearest trusted proxy has it.
        browser: as it calls itself.
        longest: how long a session lives at most.
    """

    address: str
    browser: str
    longest: dt.timedelta


def sign_in(desk: InterfaceDesk, name: str, password: str, caller: Caller) -> Opened:
    """Sign in with a password.

    Returns:
        A session; it waits for the second factor if the account has one.

    Raises:
        SignInRefused: the name and the password do not fit together, or the account is disabled.
        TooManyAttempts: whatever they are, there were too many before.
        HistoryUnavailable: it could not be recorded.
    """
    known = account_name(name) or ""
    subject, account, kept = _reserve_and_read(desk, known, name, caller)
    if not passwords.fits(kept, password) or account is None or account.disabled is not None:
        note_refused(desk, account, "password", caller)
        raise SignInRefused("the name and the password do not fit together")
    fresh = passwords.hash_password(password) if kept and passwords.is_outdated(kept) else None
    with desk.database.writing() as connection:
        attempts.forget(connection, subject)
        attempts.take_back(connection, address_subject(caller))
        if fresh is not None:
            accounts.change(connection, account.name, password=fresh)
        waits = bool(second_factors.factors_of(connection, account.name))
    if waits:
        return enter_waiting(desk, account, caller)
    return enter(desk, account, caller, how="password")


def _reserve_and_read(
    desk: InterfaceDesk, known: str, typed: str, caller: Caller
) -> tuple[str, Account | None, str | None]:
    """Count the attempt and read the account: the same for every name. Returns what it was counted as as well."""
    with desk.database.writing() as connection:
        subject = attempts.password_subject(connection, known or typed[:1000], caller.address, desk.now())
        limits = {subject: PER_ACCOUNT, address_subject(caller): PER_ADDRESS}
        made = attempts.reserve(connection, limits, desk.now())
        account = accounts.find(connection, known)
        kept = accounts.password_of(connection, known)
    _refuse_above(desk, made, limits, account, caller)
    return subject, account, kept


def _refuse_above(
    desk: InterfaceDesk,
    made: Mapping[str, int],
    limits: Mapping[str, int],
    account: Account | None,
    caller: Caller,
) -> None:
    above = [subject for subject, limit in limits.items() if made[subject] > limit]
    if not above:
        return
    note_refused(desk, account, "too many attempts", caller, once=f"limit {above[0]}")
    latest = paris_time(desk.now() + attempts.WINDOW)
    raise TooManyAttempts(
        f"there were too many attempts to sign in: the next is possible at {latest} at the latest"
    )


def address_subject(caller: Caller) -> str:
    """What attempts from somebody's address are counted as."""
    return f"address {attempts.address_group(caller.address)}"


def count_code(desk: InterfaceDesk, account: Account, caller: Caller) -> None:
    """Count an attempt with a second factor.

    Raises:
        TooManyAttempts: there were too many before.
    """
    limits = {f"second {account.name}": PER_SECOND, address_subject(caller): PER_ADDRESS}
    with desk.database.writing() as connection:
        made = attempts.reserve(connection, limits, desk.now())
    _refuse_above(desk, made, limits, account, caller)


def enter(
    desk: InterfaceDesk,
    account: Account,
    caller: Caller,
    *,
    how: str,
    second: str = "",
    instead: Session | None = None,
) -> Opened:
    """Open the session of an account that has shown all that it has to show. The history has it first.

    Args:
        how: as the history has it.
        second: the second factor that was shown.
        instead: a session that ends with this: after more was shown a browser gets another token.

    Raises:
        HistoryUnavailable: it could not be recorded; nobody was signed in.
    """
    desk.history.append(
        who=account.name,
        why="access",
        client=account.client or "",
        site="",
        action="login",
        result="ok",
        run=run_name(desk.now()),
        details={"with": how, "address": caller.address, "browser": caller.browser[:200]},
    )
    return _begin(desk, account, caller, second=second, instead=instead)


def enter_waiting(desk: InterfaceDesk, account: Account, caller: Caller) -> Opened:
    """Open a session that waits for the second factor."""
    return _begin(desk, account, caller, waiting=True)


def renewed(desk: InterfaceDesk, session: Session, caller: Caller, *, second: str) -> Opened:
    """The same session with another token, after a second factor was shown in it.

    Args:
        second: which.
    """
    longest = (session.ends - desk.now()) if session.ends else caller.longest
    with desk.database.writing() as connection:
        sessions.end(connection, session.identity, account=session.account)
        return sessions.begin(
            connection,
            session.account,
            now=desk.now(),
            longest=longest,
            address=caller.address,
            browser=caller.browser,
            second=second,
        )


def _begin(
    desk: InterfaceDesk,
    account: Account,
    caller: Caller,
    *,
    second: str = "",
    waiting: bool = False,
    instead: Session | None = None,
) -> Opened:
    with desk.database.writing() as connection:
        if instead is not None:
            sessions.end(connection, instead.identity, account=account.name)
        if not waiting:
            attempts.remember_place(connection, account.name, caller.address, desk.now())
        return sessions.begin(
            connection,
            account.name,
            now=desk.now(),
            longest=caller.longest,
            address=caller.address,
            browser=caller.browser,
            second=second,
            waiting=waiting,
        )


def sign_out(desk: InterfaceDesk, account: Account, session: Session) -> None:
    """End a session.

    Raises:
        HistoryUnavailable: it could not be recorded, or not be ended.
    """
    with desk.database.writing() as connection:
        ended = sessions.end(connection, session.identity, account=account.name)
    if ended:
        desk.history.append(
            who=account.name,
            why="access",
            client=account.client or "",
            site="",
            action="logout",
            result="ok",
            run=run_name(desk.now()),
        )


def note_refused(
    desk: InterfaceDesk, account: Account | None, what: str, caller: Caller, *, once: str = ""
) -> None:
    """Record an attempt that was refused, unless there are too many of them. A name without an account is not kept:
    people type passwords there.

    Args:
        account: the one that was named; None: there is none of that name.
        what: was wrong.
        once: recorded once within the window under this name.
    """
    limits = {"entries": _MOST_ENTRIES, **({once: 1} if once else {})}
    with desk.database.writing() as connection:
        made = attempts.reserve(connection, limits, desk.now())
    if any(made[subject] > limit for subject, limit in limits.items()):
        return
    desk.history.append(
        who="unknown" if account is None else account.name,
        why="access",
        client=(account.client or "") if account else "",
        site="",
        action="login",
        result="refused",
        run=run_name(desk.now()),
        details={"wrong": what, "address": caller.address, "browser": caller.browser[:200]},
    )
