"""No password of a database's URL gets into a message, however odd it is and whatever the driver quotes of it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history import HistoryUnavailable, open_history
from orchestrator.redaction import reason_of, secrets_of, shown_url, without_secrets

_KNOWN = "postgresql+psycopg://history_user@db.example:5432/history?host=sslmode"
_PASSWORDS = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=6, max_size=12),
).filter(lambda word: not any(word in url for url in (_KNOWN, *_URLS)))
"""None that stands in a URL anyway: Hypothesis tries texts of modules that happen to be loaded, such as ``127.0.``"""


def _pieces(password: str) -> list[str]:
    """What must not be seen: the password, and every run of four of its characters."""
    return [password[start : start + 4] for start in range(len(password) - 3)]


_NEVER = "127.0.0.1:1"
"""Nothing listens there: the driver says so at once, and quotes what it understood of the URL."""


def _told(url: str) -> str:
    with pytest.raises(HistoryUnavailable) as refusal:
        open_history(url).close()
    error: BaseException | None = refusal.value
    assert error is not None and error.__cause__ is None and error.__suppress_context__, (
        "no driver's traceback"
    )
    return str(error)


_URLS = (
    "postgresql+psycopg://alice:{}@" + _NEVER + "/hist?connect_timeout=1",
    "postgresql+psycopg://alice@" + _NEVER + "/hist?password={}&connect_timeout=1",
    "postgresql+psycopg://alice@" + _NEVER + "/hist?sslpassword={}&connect_timeout=1",
    "postgresql+psycopg:///hist?host=127.0.0.1&port=1&user=alice&password={}",
    "nosuch://alice:{}@" + _NEVER + "/hist",
    "postgresql+nosuch://alice:{}@" + _NEVER + "/hist",
)


@pytest.mark.parametrize(
    "password",
    [
        "p@ss:w/or?d#1",
        "p%40ss%zz",
        "abcd&efgh=ijkl&host=mnop",
        "5432@db:w@rd",
        "x'y\"z\\w z ",
        "@0008?",
        "émojis🔑",
    ],
)
def test_no_message_has_any_part_of_a_password(password: str) -> None:
    for url in _URLS:
        for written in {password, quote_plus(password)}:
            message = _told(url.format(written))
            assert password not in message
            words = message.replace(shown_url(url.format(written)), "")
            known = url + "the history cannot be opened, could not be read, (the driver's text), database"
            for piece in _pieces(password):
                assert piece not in words or piece in known, (piece, message)


@settings(max_examples=200, deadline=None)
@given(_PASSWORDS, st.sampled_from(_URLS))
def test_a_driver_may_quote_any_piece_of_it(password: str, url: str) -> None:
    raw = url.format(password)
    for text in (password, password.rpartition("@")[2], password.partition("/")[0], repr(password)):
        if len(text) < 3 or (text not in raw and text != repr(password)):
            continue
        said = reason_of(ValueError(f'could not translate host name "{text}" to address'), raw)
        assert password not in said
    assert password not in shown_url(raw) and password not in shown_url(url.format(quote(password, safe="")))


def test_a_url_is_shown_without_its_password_and_with_the_rest() -> None:
    assert shown_url("postgresql+psycopg://u:pw@h:5432/d?sslmode=require") == (
        "postgresql+psycopg://u:***@h:5432/d?sslmode=require"
    )
    assert shown_url("postgresql://u@h/d?password=pw&passfile=/p&service=s") == (
        "postgresql://u@h/d?passfile=%2Fp&service=s"
    )
    assert shown_url("postgresql://u:p@w@h/d") == "postgresql://…"
    assert shown_url("sqlite:////var/lib/h.db") == "sqlite:////var/lib/h.db"
    assert secrets_of("sqlite:////var/lib/h.db") == secrets_of("/var/lib/h.db") == frozenset()


def test_what_a_driver_says_of_anything_else_is_shown() -> None:
    text = 'connection to server at "db" failed: FATAL: password authentication failed for user "alice"'
    assert reason_of(ValueError(text), "postgresql://alice:hunter2@db/h") == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see postgresql://u:hunter2@h/d now", "see postgresql://[hidden]@h/d now"),
        ("https://hc.example/?a=1&token=hunter2&b=2", "https://hc.example/?a=1&[hidden]&b=2"),
        ("postgresql:///d?sslpassword=hunter2", "postgresql:///d?[hidden]"),
        ("mail alice@example.org at 12:30 https://x.example:8006/api", None),
    ],
)
def test_urls_in_any_text_lose_their_passwords(text: str, shown: str | None) -> None:
    assert without_secrets(text) == (shown or text)


def test_a_database_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    assert "can be reached" in _told("postgresql+psycopg://u:pw-1234@" + _NEVER + "/d?connect_timeout=1")
    for url in ("postgresql://u@h:port/d", "sqlite:///x?timeout=soon", "://"):
        assert "history" in _told(url)
