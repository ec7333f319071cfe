"""The dead man's switch: a service elsewhere that raises the alarm when a night does not report.

The address of such a check is a secret: who knows it can say that all is well. No text of this module shows more of
it than the host. For the same reason it is asked again here and not by urllib3, which logs the whole address.
"""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit, urlunsplit

import requests

TRIES = 3
"""One lost packet at night must not wake anybody."""


def ping(url: str, *, well: bool, timeout_seconds: float = 10.0, pause_seconds: float = 2.0) -> str | None:
    """Tell the service that the night is over: ask for its address, or for the one below it, ``/fail``.

    Never raises: a night is not worse for it.

    Args:
        url: ``http://`` or ``https://``; certificates are verified, redirections not followed, proxies and
            credentials from the environment not used.
        well: whether the night was.
        timeout_seconds: how long to wait for a connection, and for a sign of an answer, each of three times; both
            together, and all of the answer, may take twice as long.
        pause_seconds: how long to wait before asking again.

    Returns:
        None if the service has taken it, else why not, for the log.
    """
    try:
        address, host = _address(url, well=well)
    except ValueError:
        return "the ping was not sent: its URL is none; it must begin with https:// and name a host"
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause_seconds)
        problem, again = _ask_in_time(address, timeout_seconds)
        if not again:
            break
    return f"the ping to {host} failed: {problem}" if problem else None


def _address(url: str, *, well: bool) -> tuple[str, str]:
    """The address to ask for, and its host for messages."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    # /fail belongs to the path: a check's address may have a query
    path = parts.path if well else f"{parts.path.rstrip('/')}/fail"
    return urlunsplit(parts._replace(path=path, fragment="")), host


def _ask_in_time(address: str, timeout_seconds: float) -> tuple[str, bool]:
    """Ask once. A service that answers a byte now and then is left to itself: a night has nothing to do after this."""
    told: list[tuple[str, bool]] = []
    asking = threading.Thread(
        target=lambda: told.append(_ask(address, timeout_seconds)), name="ping", daemon=True
    )
    asking.start()
    asking.join(2 * timeout_seconds)
    return told[0] if told else (f"no whole answer within {2 * timeout_seconds:g} s", True)


def _ask(address: str, timeout_seconds: float) -> tuple[str, bool]:
    """Ask once. Return what is wrong (empty: nothing), and whether asking again may help."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            with session.get(address, timeout=timeout_seconds, allow_redirects=False, stream=True) as answer:
                status = answer.status_code
    except requests.exceptions.SSLError:
        return "its certificate is not trusted, or it does not speak TLS", False
    except requests.Timeout:
        return f"no answer within {timeout_seconds:g} s", True
    except requests.ConnectionError:
        return "it cannot be reached", True
    except (requests.RequestException, ValueError, OSError) as error:
        return f"it cannot be asked ({type(error).__name__}): is the URL right?", False
    if 200 <= status < 300:
        return "", False
    if 300 <= status < 400:
        return f"it answered {status}, a redirection: give the address that it leads to", False
    return f"it answered {status}" + (": is the URL right?" if status < 500 else ""), status >= 500
