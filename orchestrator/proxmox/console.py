"""A picture of a machine's console. Proxmox has no call for one: it is read as a viewer does, by RFB (RFC 6143).

``vncproxy`` opens the console once, for the same token and at the node that answered; RFB 3.8 goes through its
WebSocket, with VNC authentication by the password of that one console. Nothing is shown of the machine but one frame.
Of a machine whose display is a serial port (``vga: serial0``) Proxmox shows a text terminal. That begins empty, and a
text console may have blanked itself: so Return is pressed once. A machine that somebody uses must not be looked at
this way.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.proxmox.web_socket import NoConsole, WebSocket

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster

_MOST_PIXELS = 2560 * 1600
_MOST_BYTES = 3 * 4 * _MOST_PIXELS
"""Bytes that a console may send in all: two frames, and as much again for what comes between them."""
_LONGEST_NAME = 4096
_LONGEST_CUT = 64 * 1024
_MOST_RECTANGLES = 20_000
_RETURN = 0xFF0D
_SETTLE_SECONDS = 1.0
"""What Return brings onto the screen needs a moment."""

_NO_SECURITY, _VNC_SECURITY = 1, 2
_UPDATE, _COLOURS, _BELL, _CUT_TEXT = 0, 1, 2, 3
_RAW, _NEW_SIZE = 0, -223


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What a console shows.

    Attributes:
        width, height: pixels.
        rgb: three bytes a pixel, row by row.
    """

    width: int
    height: int
    rgb: bytes


def read_screen(
    cluster: Cluster,
    node: str,
    vmid: int,
    *,
    seconds: float = 20.0,
    pause: Callable[[float], None] = time.sleep,
) -> Screen:
    """Read one frame of a machine's console, after Return was pressed in it.

    Args:
        cluster: the API.
        node, vmid: the machine, which runs.
        seconds: how long the console may take, once it is opened.
        pause: waits that many seconds.

    Raises:
        NoConsole: it shows nothing that can be read.
        PermissionDenied: the token lacks VM.Console.
        ProxmoxError: the console could not be opened.
    """
    base = f"/nodes/{node}/qemu/{vmid}"
    opened = cluster.post(f"{base}/vncproxy", params={"websocket": 1, "generate-password": 1})
    ticket = str(opened["ticket"])
    query = {"port": str(opened["port"]), "vncticket": ticket}
    with WebSocket.open(
        cluster.answered_by(), f"{base}/vncwebsocket", query, seconds=seconds, most_bytes=_MOST_BYTES
    ) as socket:
        # Before there was a password of its own, the ticket was it.
        return _Viewer(socket).look(str(opened.get("password") or ticket), pause)


class _Viewer:
    """One RFB session."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._width = self._height = 0
        self._pixels = bytearray()

    def look(self, password: str, pause: Callable[[float], None]) -> Screen:
        self._begin(password)
        self._ask_for_frame()
        self._take_frame()
        before = self._screen()
        try:
            for down in (1, 0):
                self._socket.send(struct.pack(">BBxxI", 4, down, _RETURN))
            pause(_SETTLE_SECONDS)
            self._ask_for_frame()
            self._take_frame()
        except NoConsole:
            return before
        return self._screen()

    def _screen(self) -> Screen:
        rgb = bytearray(3 * self._width * self._height)
        for place, shift in enumerate((2, 1, 0)):  # blue, green, red, nothing
            rgb[place::3] = self._pixels[shift::4]
        return Screen(width=self._width, height=self._height, rgb=bytes(rgb))

    # The opening

    def _begin(self, password: str) -> None:
        version = self._socket.read(12)
        if version != b"RFB 003.008\n":
            raise NoConsole("its console speaks another version of RFB than 3.8")
        self._socket.send(version)
        offered = self._socket.read(self._number(">B"))
        if _VNC_SECURITY in offered:
            self._socket.send(bytes([_VNC_SECURITY]))
            self._socket.send(vnc_response(password, self._socket.read(16)))
        elif _NO_SECURITY in offered:
            self._socket.send(bytes([_NO_SECURITY]))
        else:
            raise NoConsole("its console wants an authentication that is not known here")
        if self._number(">I") != 0:
            raise NoConsole("its console refuses its own password")
        self._socket.send(b"\x01")  # others may look as well
        self._width, self._height = struct.unpack(">HH", self._socket.read(4))
        self._socket.read(16)  # its own format of pixels
        named = self._number(">I")
        if named > _LONGEST_NAME:
            raise NoConsole("its console claims a name that is too long")
        self._resize(self._width, self._height)
        self._socket.read(named)
        true_colours = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        self._socket.send(b"\0\0\0\0" + true_colours)
        self._socket.send(struct.pack(">BxHii", 2, 2, _RAW, _NEW_SIZE))

    def _resize(self, width: int, height: int) -> None:
        if not 0 < width * height <= _MOST_PIXELS:
            raise NoConsole(f"its console claims a screen of {width} x {height} pixels")
        self._width, self._height = width, height
        self._pixels = bytearray(4 * width * height)

    # Frames

    def _ask_for_frame(self) -> None:
        self._socket.send(struct.pack(">BBHHHH", 3, 0, 0, 0, self._width, self._height))

    def _take_frame(self) -> None:
        """Read updates until as many pixels came as the screen has."""
        missing = self._width * self._height
        while missing > 0:
            kind = self._number(">B")
            if kind == _UPDATE:
                size = self._pixels
                missing -= self._update()
                if self._pixels is not size:  # QEMU notices only now what the guest has made of its screen
                    missing = self._width * self._height
                    self._ask_for_frame()
            elif kind == _COLOURS:
                _, count = struct.unpack(">xHH", self._socket.read(5))
                self._socket.read(6 * count)
            elif kind == _CUT_TEXT:
                length = struct.unpack(">xxxI", self._socket.read(7))[0]
                if length > _LONGEST_CUT:
                    raise NoConsole("its console sends a text that is too long")
                self._socket.read(length)
            elif kind != _BELL:
                raise NoConsole(f"its console sends a message that is not known here ({kind})")

    def _update(self) -> int:
        """Read one update. Returns how many pixels it had."""
        count = struct.unpack(">xH", self._socket.read(3))[0]
        if count > _MOST_RECTANGLES:
            raise NoConsole("its console sends too many pieces of a picture")
        pixels = 0
        for _ in range(count):
            left, top, width, height, encoding = struct.unpack(">HHHHi", self._socket.read(12))
            if encoding == _NEW_SIZE:
                self._resize(width, height)
                pixels = 0
                continue
            if encoding != _RAW or left + width > self._width or top + height > self._height:
                raise NoConsole("its console sends a piece of a picture that was not asked for")
            for row in range(top, top + height):
                start = 4 * (row * self._width + left)
                self._pixels[start : start + 4 * width] = self._socket.read(4 * width)
            pixels += width * height
        return pixels

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._socket.read(struct.calcsize(form)))[0])


def vnc_response(password: str, challenge: bytes) -> bytes:
    """The answer to VNC's challenge: DES, the bits of each byte of the key in reverse (RFC 6143, 7.2.2)."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES  # slow to import
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    key = password.encode("ascii", "replace")[:8].ljust(8, b"\0")
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    coding = Cipher(TripleDES(turned * 3), modes.ECB()).encryptor()  # noqa: S305  (as the protocol has it)
    return coding.update(challenge) + coding.finalize()
