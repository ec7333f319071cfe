"""Pictures for reports: PNG, small enough to stand in a page."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.proxmox.console import Screen

LARGEST_BYTES = 96 * 1024
"""Of one picture: a text console takes some 10 KiB."""

_NARROWEST = 160


def png_of(screen: Screen, *, largest: int = LARGEST_BYTES) -> bytes | None:
    """A picture of a screen, halved as often as it takes to be small enough; None if even that is too large.

    Args:
        screen: what a console shows.
        largest: bytes.
    """
    width, height, rgb = screen.width, screen.height, screen.rgb
    while True:
        written = _written(width, height, rgb)
        if len(written) <= largest:
            return written
        if width // 2 < _NARROWEST or height < 2:
            return None
        width, height, rgb = _halved(width, height, rgb)


def _halved(width: int, height: int, rgb: bytes) -> tuple[int, int, bytes]:
    """Every second pixel of every second row."""
    half, rows = width // 2, []
    for row in range(0, height - height % 2, 2):
        line = rgb[3 * width * row : 3 * width * (row + 1)]
        kept = bytearray(3 * half)
        for colour in range(3):
            kept[colour::3] = line[colour::6][:half]
        rows.append(bytes(kept))
    return half, height // 2, b"".join(rows)


def _written(width: int, height: int, rgb: bytes) -> bytes:
    lines = b"".join(b"\0" + rgb[3 * width * row : 3 * width * (row + 1)] for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pieces = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in pieces
    )
