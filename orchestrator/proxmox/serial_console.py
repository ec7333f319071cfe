"""What a machine's serial console prints while somebody listens. Proxmox keeps nothing of what was printed before.

``termproxy`` opens the console once, for the same token and at the node that answered; its WebSocket begins with the
ticket. Nothing is typed. What is printed is the guest's: text of a stranger.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.proxmox.web_socket import NoConsole, WebSocket

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster

_MOST_BYTES = 64 * 1024
_LONGEST_LINE = 200
OWN_LINE = b"starting serial terminal on interface"
"""What Proxmox itself prints first."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[PX^_\]][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
"""A terminal's control sequence: it says how text looks, and nothing that is to be read."""


def listen(cluster: Cluster, node: str, vmid: int, *, seconds: float, lines: int) -> tuple[str, ...]:
    """The last lines that a machine's serial console prints within a time; none if it prints nothing.

    Args:
        cluster: the API.
        node, vmid: the machine, which runs and has a serial port (``serial0: socket``).
        seconds: how long it is listened to.
        lines: at most so many, each of at most 200 characters.

    Raises:
        NoConsole: it does not answer as a console does. With API tokens it does from qemu-server 9.1.7 on.
        PermissionDenied: the token lacks VM.Console.
        ProxmoxError: it could not be opened.
    """
    base = f"/nodes/{node}/qemu/{vmid}"
    opened = cluster.post(f"{base}/termproxy")
    ticket = str(opened["ticket"])
    query = {"port": str(opened["port"]), "vncticket": ticket}
    printed = bytearray()
    with WebSocket.open(
        cluster.answered_by(), f"{base}/vncwebsocket", query, seconds=seconds, most_bytes=_MOST_BYTES
    ) as socket:
        socket.send(f"{opened['user']}:{ticket}\n".encode())
        if socket.read(2) != b"OK":
            raise NoConsole("its console does not accept its own ticket")
        try:
            while True:
                printed += socket.read(1)
        except NoConsole:  # the time is over, or enough was printed
            pass
    return last_lines(printed.decode(errors="replace"), lines)


def last_lines(text: str, lines: int) -> tuple[str, ...]:
    """The last lines of what a console printed, without control sequences; empty ones are left out."""
    plain = _SEQUENCE.sub("", text)
    found = [line.strip()[:_LONGEST_LINE] for line in re.split(r"[\r\n]+", plain)]
    return tuple(line for line in found if line and not line.startswith(OWN_LINE.decode()))[-lines:]
