"""What an answer says: its JSON within the limits, or why a Proxmox API did not give it. Bytes in, data out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from orchestrator.proxmox.budget import Limits

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"')


class Refusal(Exception):
    """The server answered, and the answer is no."""

    def __init__(self, status: int, text: str, errors: Mapping[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.errors = errors


class NoAnswer(Exception):
    """No answer came.

    Attributes:
        text: what happened.
        sent: whether the request may have reached the server.
        untrusted: whether the server's certificate was refused.
        hung_up: whether a connection that was kept open turned out to be closed, before a byte of an answer came.
    """

    def __init__(self, text: str, *, sent: bool, untrusted: bool = False, hung_up: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.sent = sent
        self.untrusted = untrusted
        self.hung_up = hung_up


class Unfit(Exception):
    """An answer came that a Proxmox API does not give: too long, nested too deeply, not JSON."""


def parse_body(status: int, reason: str, content: bytearray, limits: Limits) -> Any:
    """The ``data`` of an answer.

    Args:
        status, reason: of the answer.
        content: its body.
        limits: how much may be in it.

    Raises:
        Refusal: it is no success, or not from a Proxmox API.
        Unfit: it is what this API does not answer.
        NoAnswer: it leads elsewhere.
    """
    body = _parse(content, limits)
    if 300 <= status < 400:
        raise NoAnswer("it redirects elsewhere, so it is not a Proxmox API", sent=False)
    if status < 400:
        if not isinstance(body, dict) or "data" not in body:
            raise Refusal(502, "the answer is not from a Proxmox API (is a proxy in between?)", {})
        return body["data"]
    if not isinstance(body, dict):
        raise Refusal(status, reason or "no text", {})
    errors = body.get("errors")
    raise Refusal(
        status,
        str(body.get("message") or reason),
        {str(key): str(value) for key, value in errors.items()} if isinstance(errors, dict) else {},
    )


def _parse(body: bytearray, limits: Limits) -> object:
    """The JSON of an answer; None if it is none.

    Raises:
        Unfit: it is what only somebody sends who means harm, or a program that is broken.
    """
    # In texts there may be more: a guest's file may be full of commas.
    if _values(body) > limits.values and _values(_TEXT.sub(b"", body)) > limits.values:
        raise Unfit(f"the answer has more than {limits.values:,} values")
    try:
        return _DECODER.decode(body.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise Unfit("the answer is nested too deeply") from None
    except ValueError:
        return None


def _values(body: bytes | bytearray) -> int:
    """At least as many as there are in it."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _no_constant(name: str) -> NoReturn:
    raise Unfit(f"the answer has an invalid number: {name}")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def parse_http_date(text: str) -> float | None:
    """Return the seconds since the epoch of ``Mon, 23 Nov 2026 05:48:23 GMT``; None if it is not a date."""
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text[:64])
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
