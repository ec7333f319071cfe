# SPDX-License-Identifier: AGPL-3.0-or-later
"""Several addresses of one modelled cluster: as if each node were asked at its own, which any of them answers.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import ssl
from typing import Any

from aiohttp import web

from tests.api.fakepve_faults import TroubledNode


class AddressOps:
    """Addresses come, go, and are counted. A part of ``fakepve_process.Control``."""

    node: TroubledNode
    certificate: tuple[str, str]

    async def op_add_address(self, certificate: tuple[str, str] | None = None) -> str:
        """Listen on another port, too; return its URL."""
        return f"https://{self.node.host}:{await self._listen(0, certificate or self.certificate)}"

    def op_know_token(self, token_id: str, secret: str) -> None:
        """Accept another cluster's token, as a copy of that cluster does."""
        self.node.apitokens[token_id] = secret

    async def op_address(self, url: str, listening: bool) -> None:
        """Stop listening at one address (connections that are open stay), or begin again."""
        port = int(url.rpartition(":")[2])
        if listening:
            await self._listen(port, self.certificate)
            return
        assert self.node.runner is not None
        for site in list(self.node.runner.sites):
            if site.name.rstrip("/") == url:
                await site.stop()

    def op_calls_at(self, url: str) -> dict[str, int]:
        """How many requests came in at one address, by "METHOD path"."""
        return dict(self.node.calls_at[int(url.rpartition(":")[2])])

    async def _listen(self, port: int, certificate: tuple[str, str]) -> int:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        runner: Any = self.node.runner
        before = {address[1] for address in runner.addresses}
        await web.TCPSite(runner, self.node.host, port, ssl_context=context).start()
        return next(int(address[1]) for address in runner.addresses if address[1] not in before)
