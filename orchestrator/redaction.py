"""Secrets that got into a text: what is printed, logged, recorded or kept goes through here where one might be in it.

Known by their form: private keys, Proxmox's tokens and tickets, passwords in URLs and in the connection strings of
databases. Known by their value: the password of a database's URL, in whatever piece a driver's message quotes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from sqlalchemy import URL

HIDDEN = "[hidden]"

SECRET_KEY = re.compile(
    r"(^|_)(pass(word|phrase|wd)?|cipassword|secret|token|ticket|cookie|private_?key|authorization|"
    r"csrfpreventiontoken)$"
)
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|PVEAPIToken[=:]\S+"
    r"|\bPVE(?:ADM)?:[^\s:]+@[^\s:]+:[0-9A-F]{8}::\S+"  # a ticket
    r"|(?<=://)[^\s/?#@'\"]*:[^\s'\"]*(?=@)"  # user and password of a URL
    r"|(?i:(?<=[?&])[\w.-]*(?:password|passwd|secret|token)=[^&\s'\"]*)",
    re.DOTALL,
)

_PASSWORD_KEY = re.compile(r"(?i)pass(word|wd|phrase)?$|pwd$|secret|token")
_ORDINARY_KEYS = frozenset(
    [
        "application_name",
        "channel_binding",
        "charset",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "mode",
        "options",
        "passfile",
        "port",
        "replication",
        "require_auth",
        "requirepeer",
        "service",
        "servicefile",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "timeout",
        "uri",
        "user",
    ]
)
"""What a database's URL may say besides a password. Anything else may be a piece of one that was not escaped."""

_PIECES = re.compile(r"[^\w.!$*+~^-]+")
_SHORTEST_PIECE = 3
"""Characters: shorter pieces of a password stand in any text."""


def without_secrets(text: str) -> str:
    """A text with what is known to be secret by its form made unreadable."""
    return SECRET_VALUE.sub(HIDDEN, text)


def without(text: str, secrets: frozenset[str]) -> str:
    """A text with secrets made unreadable that are known by their value; very short ones stand in any text."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > _SHORTEST_PIECE:
            text = text.replace(secret, HIDDEN)
    return without_secrets(text)


def secrets_of(url: str) -> frozenset[str]:
    """Every form in which a message could quote the password of a database's URL: whole, in pieces, escaped or not."""
    found = {secret for secret in _passwords(url) if secret}
    plain = found | {unquote(secret) for secret in found} | {unquote_plus(secret) for secret in found}
    pieces = {piece for secret in plain for piece in _PIECES.split(secret) if len(piece) >= _SHORTEST_PIECE}
    escaped = {escape(secret, safe="") for secret in plain for escape in (quote, quote_plus)}
    return frozenset(plain | pieces | escaped | {repr(secret)[1:-1] for secret in plain})


def shown_url(url: str) -> str:
    """A database's URL as it may be shown: without its password; of one that was not escaped, only the kind."""
    parsed = _parsed(url)
    if parsed is None:
        kind = re.match(r"[A-Za-z][\w+.-]*(?=://)", url)
        return f"{kind[0]}://…" if kind else "the database URL"
    ordinary = {key: value for key, value in parsed.query.items() if key in _ORDINARY_KEYS}
    return parsed.set(query=ordinary).render_as_string(hide_password=True)


def reason_of(error: BaseException, url: str) -> str:
    """What a database's driver says went wrong, unless that quotes any part of the URL's password."""
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip()
    if any(secret in text for secret in secrets_of(url)):
        return f"{type(cause).__name__} (the driver's text is not shown, for it may quote the password)"
    return without_secrets(text)


def _parsed(url: str) -> URL | None:
    """The URL's parts; None if a password in it was not escaped as it must be, so that it may be in any of them."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        return None
    several = parsed.password is not None and url.count("@") > 1
    return None if several or _broken(_query(url)) else parsed


def _query(url: str) -> list[tuple[str, str]]:
    """What stands behind the question mark, as it was written."""
    items = (item.partition("=") for item in url.partition("?")[2].split("&"))
    return [(key, value) for key, _, value in items]


def _broken(query: list[tuple[str, str]]) -> bool:
    """Whether a password in a query has an unescaped ``&``: then what follows it is no key of a database's URL."""
    keys = [unquote_plus(key) for key, _ in query]
    first = next((place for place, key in enumerate(keys) if _PASSWORD_KEY.search(key)), len(keys))
    return any(key not in _ORDINARY_KEYS and not _PASSWORD_KEY.search(key) for key in keys[first + 1 :])


def _passwords(url: str) -> list[str]:
    """The passwords of a URL as they were written; of one that was not escaped, whatever may be a piece of one."""
    rest = url.partition("://")[2]
    if not rest:
        return []
    query = _query(url)
    parsed = _parsed(url)
    if parsed is None:
        return [rest.rpartition("@")[0].partition(":")[2], rest.partition(":")[2], *sum(query, ())]
    found = [value for key, value in query if _PASSWORD_KEY.search(unquote_plus(key))]
    return found if parsed.password is None else [*found, rest.partition("@")[0].partition(":")[2]]
