"""Serving the Interface: TLS, proxies, slow clients, the end."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.errors import RequestRefused, local_reason
from orchestrator.interface.attempts import address_group
from orchestrator.web.app import application
from orchestrator.web.console_socket import LARGEST_MESSAGE
from orchestrator.web.desk import open_desk
from orchestrator.web.settings import Settings

_MOST_CONNECTIONS = 500
_MOST_OF_ONE_ADDRESS = 150
"""Connections of one address: an office behind one, and never all that there are."""

_END_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where the Interface listens.

    Attributes:
        address: of this computer.
        port: 1 to 65535.
        certificate, key: PEM files; None: a proxy in front does TLS.
        proxies: addresses of the proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
    """

    address: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    proxies: Sequence[str] = ()


def impatient(seconds: float, most_of_one_address: int | None = None) -> type[H11Protocol]:
    """A protocol whose connections do not stay for nothing: a few idle programs would take all of them.

    Closed are connections that send no request in time, the first or a later one, that do not take what they are
    sent, and those above the number that one address may have.

    Args:
        seconds: how long the first line and the headers of a request may take, and how long a connection may take
            nothing of an answer.
        most_of_one_address: connections at the same time; None: any number, as they come from a proxy.
    """
    of_address: Counter[str] = Counter()

    class Impatient(H11Protocol):
        _until: asyncio.TimerHandle | None = None
        _taken_until: asyncio.TimerHandle | None = None
        _counted = ""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if most_of_one_address is not None:
                self._counted = address_group(self.client[0] if self.client else "")
                of_address[self._counted] += 1
                if of_address[self._counted] > most_of_one_address:
                    transport.abort()
                    return
            self._mind_request()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._forget()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._forget()  # whoever serves it from here on has limits of its own
            super().handle_websocket_upgrade(event)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._mind_request()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._mind_request()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._mind_answer(self.transport.get_write_buffer_size())

        def resume_writing(self) -> None:
            super().resume_writing()
            _stop(self._taken_until)
            self._taken_until = None

        def _mind_request(self) -> None:
            """Set the time for the next request, and take it back when its head is there."""
            awaited = self.cycle is None or self.cycle.response_complete
            if not awaited or self.transport.is_closing():
                _stop(self._until)
                self._until = None
            elif self._until is None:
                self._until = self.loop.call_later(seconds, self._close)

        def _mind_answer(self, left: int) -> None:
            """Look in a while whether anything of what is left was taken."""
            self._taken_until = self.loop.call_later(seconds, self._close_untaken, left)

        def _close_untaken(self, before: int) -> None:
            left = self.transport.get_write_buffer_size()
            if left < before:
                self._mind_answer(left)
            else:
                self._close()

        def _close(self) -> None:
            self.transport.abort()  # closing would wait for whoever takes nothing

        def _forget(self) -> None:
            _stop(self._until)
            _stop(self._taken_until)
            self._until = self._taken_until = None
            if self._counted:
                of_address[self._counted] -= 1
                if not of_address[self._counted]:
                    del of_address[self._counted]
                self._counted = ""

    return Impatient


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def websockets() -> dict[str, Any]:
    """How uvicorn serves WebSockets: no message is longer than a console's, none is packed."""
    return {"ws": "websockets-sansio", "ws_max_size": LARGEST_MESSAGE, "ws_per_message_deflate": False}


def _check_certificate(listening: Listening) -> None:
    """See that TLS can be spoken with what is named, before anything else is begun.

    Raises:
        RequestRefused: a file cannot be read, is none, has a password, or the key is another certificate's.
    """
    certificate, key = listening.certificate, listening.key
    for path in filter(None, (certificate, key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise RequestRefused(local_reason(error)) from None
    if certificate is None:
        return
    try:
        # An empty password instead of none: nobody is asked for one at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RequestRefused(
            f"{certificate} and {key} cannot be used for TLS ({reason}): give the PEM file of the certificate, "
            "followed by what signed it, and the PEM file of the key that belongs to it, without a password"
        ) from None


def serve(settings: Settings, listening: Listening) -> None:
    """Serve until told to end (SIGTERM, Ctrl-C).

    Raises:
        RequestRefused: the certificate or its key cannot be used.
        HistoryUnavailable: the database cannot be used.
    """
    _check_certificate(listening)
    with open_desk(settings) as desk:
        config = uvicorn.Config(
            application(desk),
            host=listening.address,
            port=listening.port,
            ssl_certfile=listening.certificate,
            ssl_keyfile=listening.key,
            proxy_headers=bool(listening.proxies),
            forwarded_allow_ips=list(listening.proxies),
            http=impatient(settings.request_seconds, None if listening.proxies else _MOST_OF_ONE_ADDRESS),
            **websockets(),
            lifespan="off",
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_END_SECONDS,
            log_config=None,
        )
        server = uvicorn.Server(config)
        # uvicorn sends itself the signal once more when it has ended: being told to end is no failure
        signal.signal(signal.SIGTERM, lambda *_: None)
        with desk.renewal.running(), suppress(SystemExit):  # uvicorn's own end where it cannot listen
            server.run()
        if not server.started:
            raise RequestRefused(
                f"{listening.address}:{listening.port} cannot be used: see whether another program listens there, and "
                "whether this computer has the address"
            )
