"""Whether machines answer, as a Prometheus knows it from its blackbox exporter: one question for a whole site.

The series carry the labels ``client`` and ``machine``, as ``orchestrator targets`` writes them. What Prometheus does
not say, or said too long ago, is unknown. It is asked without the environment's proxies and credentials, for a limited
time and size.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

LIMIT_SECONDS = 20.0
"""For the whole question."""

LIMIT_BYTES = 16 * 1024**2
"""Some fifty thousand series."""

_SILENCE_SECONDS = 10.0
_STALE_SECONDS = 180.0
"""A probe is made every 15 to 60 seconds."""

Answers = Mapping[tuple[str, str], bool]
"""Whether any probe of a machine succeeded, by client and machine; those that nothing is known of are left out."""


class ProbesUnread(Exception):
    """Prometheus did not answer, or not as it should; the text says why."""


def read_probes(url: str, query: str, ca_file: Path | None = None, token: str = "") -> Answers:
    """Ask a Prometheus which machines answer.

    Args:
        url: of Prometheus: ``https://HOST:PORT``, with a path if it has one.
        query: what it is asked: ``probe_success``.
        ca_file: trusted certificates (PEM); the usual ones if None.
        token: a bearer token; empty: none.

    Raises:
        ProbesUnread: it did not answer in time, or not as it should.
    """
    told: list[bytes | str] = []
    session = requests.Session()
    session.trust_env = False
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def ask() -> None:
        try:
            told.append(_ask(session, url, query, headers, str(ca_file) if ca_file else True))
        except requests.RequestException as error:
            told.append(f"{type(error).__name__}")
        except ValueError as error:
            told.append(str(error))

    asking = threading.Thread(target=ask, name="probes", daemon=True)
    asking.start()
    asking.join(LIMIT_SECONDS)
    session.close()
    if not told:
        raise ProbesUnread(f"no whole answer within {LIMIT_SECONDS:g} s")
    if isinstance(told[0], str):
        raise ProbesUnread(told[0])
    return _answers(told[0])


def _ask(
    session: requests.Session, url: str, query: str, headers: Mapping[str, str], verify: str | bool
) -> bytes:
    with session.get(
        f"{url.rstrip('/')}/api/v1/query",
        params={"query": query},
        headers=dict(headers),
        timeout=_SILENCE_SECONDS,
        allow_redirects=False,
        stream=True,
        verify=verify,
    ) as answer:
        if answer.status_code != requests.codes.ok:
            raise ValueError(f"it answered with status {answer.status_code}")
        content = bytearray()
        for piece in answer.iter_content(64 * 1024):
            content += piece
            if len(content) > LIMIT_BYTES:
                raise ValueError(f"its answer is larger than {LIMIT_BYTES // 1024**2} MiB")
        return bytes(content)


def _answers(content: bytes) -> Answers:
    try:
        body = json.loads(content)
        result = body["data"]["result"] if body["data"]["resultType"] == "vector" else None
    except (ValueError, KeyError, TypeError, RecursionError):
        result = None
    if not isinstance(result, list):
        raise ProbesUnread("its answer is no vector of Prometheus")
    now = time.time()
    found: dict[tuple[str, str], bool] = {}
    for series in result:
        if said := _said(series, now):
            key, answers = said
            found[key] = found.get(key, False) or answers
    return found


def _said(series: Any, now: float) -> tuple[tuple[str, str], bool] | None:
    """Which machine a series is about, and whether it answered; None where that is not known."""
    try:
        client, machine = series["metric"]["client"], series["metric"]["machine"]
        at, value = float(series["value"][0]), float(series["value"][1])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if not isinstance(client, str) or not isinstance(machine, str) or not abs(now - at) <= _STALE_SECONDS:
        return None
    return ((client, machine), value == 1) if value in (0, 1) else None
