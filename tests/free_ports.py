"""Ports that servers of the tests listen on."""

from __future__ import annotations

import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)
"""None that the system gives to connections that go out: those come and go all the time, and a server that is started
again on its port would find it taken."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    for port in random.sample(_BELOW_EPHEMERAL, 100):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise RuntimeError("no port is free")
