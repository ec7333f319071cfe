"""Filing a saved plan in the Interface, from a pipeline."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from orchestrator.errors import RequestRefused, local_reason
from orchestrator.shown import visible

TOKEN_VARIABLE = "ORCHESTRATOR_TOKEN"  # noqa: S105  (a name)
_SECONDS = 60.0
_LARGEST = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What to file, and where.

    Attributes:
        plan: the saved plan.
        url: of the Interface, https.
        author: who made the change, as the pipeline knows; that account cannot approve it.
        link: of the merge request; empty if there is none.
    """

    plan: Path
    url: str
    author: str = ""
    link: str = ""


def upload_plan(request: Upload) -> str:
    """File a plan. Returns the address of its page.

    The token comes from the environment; certificates are verified, redirections not followed.

    Raises:
        RequestRefused: there is no token, the address is none, or the Interface refuses the plan.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise RequestRefused(
            f"{TOKEN_VARIABLE} is not set: make a token with `orchestrator token add --scope plans`"
        )
    parts = urlsplit(request.url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query:
        raise RequestRefused(f"{visible(request.url)} is no address of the Interface: write https://HOST")
    address = f"https://{parts.netloc}{parts.path.rstrip('/')}/api/v1/plans"
    try:
        text = request.plan.read_bytes()
    except OSError as error:
        raise RequestRefused(f"the plan cannot be read: {local_reason(error)}") from None
    ended: list[tuple[int, bytes] | str] = []
    query = {"author": request.author, "link": request.link}
    sending = threading.Thread(target=lambda: ended.append(_send(address, text, token, query)), daemon=True)
    sending.start()
    sending.join(_SECONDS)
    status, body = _heard(ended, parts.netloc)
    try:
        answer = json.loads(body)
        if status == 201:
            return visible(str(answer["url"]), longest=500)
        reason = visible(str(answer["detail"]), longest=500)
    except (ValueError, KeyError, TypeError):
        raise RequestRefused(
            f"{parts.netloc} answers {status}, and not as the Interface does: see the address"
        ) from None
    raise RequestRefused(f"{parts.netloc} does not take the plan: {reason}")


def _heard(ended: list[tuple[int, bytes] | str], host: str) -> tuple[int, bytes]:
    found = ended[0] if ended else f"no whole answer within {_SECONDS:g} s"
    if isinstance(found, str):
        raise RequestRefused(f"the plan was not filed, {host} cannot be used: {found}")
    return found


def _send(address: str, text: bytes, token: str, query: dict[str, str]) -> tuple[int, bytes] | str:
    """Send it. Returns status and body, or why there are none; no reason holds the token."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with requests.post(
            address,
            data=text,
            headers=headers,
            params={name: value for name, value in query.items() if value},
            timeout=_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as answer:
            return answer.status_code, answer.raw.read(_LARGEST, decode_content=True)
    except requests.exceptions.SSLError:
        return (
            "its certificate is not trusted (REQUESTS_CA_BUNDLE names another CA), or it does not speak TLS"
        )
    except requests.Timeout:
        return f"no answer within {_SECONDS:g} s"
    except (requests.RequestException, ValueError, OSError) as error:
        return type(error).__name__
