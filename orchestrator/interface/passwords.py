"""Passwords: hashing, checking and choosing them."""

from __future__ import annotations

import secrets
import threading
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.errors import Reason

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 12, 256
"""Characters of a password."""

_AT_ONCE = threading.BoundedSemaphore(2)
"""Each takes 46 MiB and a processor: who sends many names and passwords must not take the computer."""


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # not for commands that need no password

    return PasswordHasher(time_cost=2, memory_cost=47_104, parallelism=1)


@cache
def _nobodys() -> str:
    """The hash of a password that nobody knows: what is checked for a name that has none."""
    return hash_password(secrets.token_urlsafe(32))


def hash_password(password: str) -> str:
    """What is kept of a password (argon2id, 46 MiB, two passes)."""
    with _AT_ONCE:
        return _hasher().hash(password.encode(errors="surrogatepass"))


def fits(kept: str | None, password: str) -> bool:
    """Whether a password is the one of a hash.

    Args:
        kept: the hash; None: there is none, which takes as long as a wrong password.
        password: what was typed.
    """
    from argon2.exceptions import Argon2Error, InvalidHashError

    typed = password[: LONGEST + 1].encode(errors="surrogatepass")
    wanted = kept or _nobodys()
    try:
        with _AT_ONCE:
            return _hasher().verify(wanted, typed) and kept is not None
    except (Argon2Error, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with less work than is asked for today."""
    return _hasher().check_needs_rehash(kept)


def generated() -> str:
    """A password that a person can read out and type: 100 random bits in groups."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def why_unfit(password: str, name: str) -> Reason:
    """Why somebody may not have a password; empty if there is no reason.

    Args:
        name: of the account.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters, this one has {len(password)}"
    if name in password.lower():
        return "the password contains the account's name: choose another one"
    if len(set(password)) < 5:
        return "the password repeats a few characters: choose another one"
    return ""
