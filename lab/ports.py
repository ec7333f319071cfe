"""The ports of a lab's APIs: whether they are free, who has them, and which are."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.daemon import running_server
from lab.settings import DEFAULT_STATE, load_settings

_FIRST, _STEP, _LAST = 18006, 10, 65000


class PortTaken(Exception):
    """Somebody listens there already; the text says who, as far as it is known.

    Attributes:
        lab: the name of the lab that does; None: no lab of this computer.
    """

    def __init__(self, port: int, address: str, lab: str | None) -> None:
        by = f" by the lab {lab!r}" if lab else ""
        super().__init__(f"port {port} of {address} is taken{by}")
        self.lab = lab


def refuse_taken_ports(
    ports: Sequence[int], address: str = "127.0.0.1", states: Path = DEFAULT_STATE
) -> None:
    """Try to listen on each of them.

    Raises:
        PortTaken: one cannot be listened on.
        ValueError: they are not two different ones.
    """
    if len(set(ports)) != 2 or not all(0 < port < 65536 for port in ports):
        raise ValueError(f"two different ports are needed, not {ports}")
    for port in ports:
        refuse_taken_port(port, address, states)


def refuse_taken_port(port: int, address: str = "127.0.0.1", states: Path = DEFAULT_STATE) -> None:
    """Try to listen on it.

    Raises:
        PortTaken: it cannot be listened on.
    """
    if not _is_free(port, address):
        raise PortTaken(port, address, _lab_at(port, states))


def free_ports(address: str = "127.0.0.1") -> tuple[int, int]:
    """Two ports side by side that are free now, as the one after them is: the demo's Interface takes it."""
    for port in range(_FIRST, _LAST, _STEP):
        if all(_is_free(port + place, address) for place in range(3)):
            return port, port + 1
    raise PortTaken(_FIRST, address, None)


def _is_free(port: int, address: str) -> bool:
    try:
        socket.create_server((address, port)).close()
    except OSError:
        return False
    return True


def _lab_at(port: int, states: Path) -> str | None:
    for folder in states.glob("*/"):
        with suppress(OSError, ValueError, KeyError):
            known = load_settings(folder)
            if known and running_server(folder) and any(site.port == port for site in known.sites):
                return known.name
    return None
