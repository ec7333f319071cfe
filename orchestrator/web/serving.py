"""Serving the Interface: TLS, proxies, slow clients, the end."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.errors import RequestRefused, local_reason
from orchestrator.web.app import application
from orchestrator.web.console_socket import LARGEST_MESSAGE
from orchestrator.web.desk import open_desk
from orchestrator.web.settings import Settings

_MOST_CONNECTIONS = 500
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


def impatient(seconds: float) -> type[H11Protocol]:
    """A protocol that closes a connection which sends no request in time: slow clients would take all connections.

    Args:
        seconds: how long the first line and the headers of the first request may take.
    """

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(seconds, self._close_unused)

        def _close_unused(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient


def websockets() -> dict[str, Any]:
    """How uvicorn serves WebSockets: no message is longer than a console's, none is packed."""
    return {"ws": "websockets-sansio", "ws_max_size": LARGEST_MESSAGE, "ws_per_message_deflate": False}


def serve(settings: Settings, listening: Listening) -> None:
    """Serve until told to end (SIGTERM, Ctrl-C).

    Raises:
        RequestRefused: the certificate or its key cannot be used.
        HistoryUnavailable: the database cannot be used.
    """
    for path in filter(None, (listening.certificate, listening.key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise RequestRefused(local_reason(error)) from None
    with open_desk(settings) as desk:
        config = uvicorn.Config(
            application(desk),
            host=listening.address,
            port=listening.port,
            ssl_certfile=listening.certificate,
            ssl_keyfile=listening.key,
            proxy_headers=bool(listening.proxies),
            forwarded_allow_ips=list(listening.proxies),
            http=impatient(settings.request_seconds),
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
        with desk.renewal.running():
            server.run()
        if not server.started:
            raise RequestRefused(
                f"{listening.address}:{listening.port} cannot be used: see whether another program listens there, and "
                "whether this computer has the address"
            )
