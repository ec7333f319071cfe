"""What holds for every request: the host, the size and the pace of a body, and the headers of every answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "__Host-session"
"""The prefix has browsers refuse one that is not ours alone: Secure, for the whole host, of no other domain."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "strict-transport-security": "max-age=31536000",
}
"""Of every answer that does not say otherwise itself."""

LONGEST_BODY = 1024 * 1024
"""Bytes of a body, where nothing else is said."""

LONGER_BODIES: Mapping[str, int] = {
    "/api/v1/plans": 32 * 1024 * 1024,
    "/api/v1/alarms/alertmanager": 2 * 1024 * 1024,
}
"""Bytes by the address."""


def form_token(session: str) -> str:
    """What the forms of a session carry: made of its cookie, which no other site can read.

    Args:
        session: the cookie's value.
    """
    return hmac.new(session.encode(), b"form", hashlib.sha256).hexdigest()


def is_from_ours(request: Request, origin: str) -> bool:
    """Whether a request that changes something comes from a page of ours, by what browsers say of it.

    Browsers send one of these headers with every such request; what sends neither is no browser, and needs the token.
    """
    sent = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    return sent in (None, origin) and site in (None, "same-origin")


class Guard:
    """Middleware: refuses other hosts, limits bodies in size and time, adds the headers.

    Args:
        host: of the public address.
        body_seconds: how long a body may be on its way.
    """

    def __init__(self, app: ASGIApp, *, host: str, body_seconds: float) -> None:
        self._app = app
        self._body_seconds = body_seconds
        self._host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if [host.decode("latin-1").lower() for host in hosts] != [self._host]:
            await self._refuse(scope, receive, send, 421, "this is another host's address")
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        limit = LONGER_BODIES.get(scope["path"], LONGEST_BODY)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > limit:
            await self._refuse(scope, receive, send, 413, f"a body here has {limit} bytes at most")
            return
        cached = "no-cache" if scope["path"].startswith("/static/") else "no-store"
        await self._app(scope, _bounded(receive, limit, self._body_seconds), _with_headers(send, cached))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer: Response = PlainTextResponse(text + "\n", status_code=status)
        if scope["path"].startswith("/api/"):
            title = HTTPStatus(status).phrase
            told = {
                "type": "about:blank",
                "title": title,
                "status": status,
                "detail": text,
                "code": "refused",
            }
            answer = JSONResponse(told, status_code=status, media_type="application/problem+json")
        await answer(scope, receive, _with_headers(send))


class BodyRefused(Exception):
    """A body is too long, or too slow."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _bounded(receive: Receive, limit: int, seconds: float) -> Receive:
    read = 0
    ends = asyncio.get_running_loop().time() + seconds
    whole = False

    async def bounded() -> Message:
        nonlocal read, whole
        if whole:  # what comes now is the end of the connection, and may take as long as the answer
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(ends - asyncio.get_running_loop().time(), 0.0))
        except TimeoutError:
            raise BodyRefused(408, f"the body did not come within {seconds:g} s") from None
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > limit:
                raise BodyRefused(413, f"a body here has {limit} bytes at most")
        return message

    return bounded


def _with_headers(send: Send, cached: str = "no-store") -> Send:
    """Add the headers.

    Args:
        cached: of ``Cache-Control``: pages are kept nowhere, scripts and styles until they differ.
    """
    headers = {**_HEADERS, "cache-control": cached}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((n.encode(), v.encode()) for n, v in headers.items() if n.encode() not in there),
            ]
        await send(message)

    return sending
