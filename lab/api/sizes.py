"""Sizes as Proxmox writes and reads them."""

from __future__ import annotations

import math
import re

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
SIZE_PATTERN = r"\+?\d+(\.\d+)?[KMGT]?"


def format_size(size: int) -> str:
    """Bytes in the largest unit that needs no fraction: `2G`, `300M`, `104858K`."""
    text, rest = str(size), size
    for unit in ("K", "M", "G", "T"):
        if rest % 1024 or rest == 0:
            break
        rest //= 1024
        text = f"{rest}{unit}"
    return text


def parse_size(text: str) -> int:
    """Bytes of a size with an optional unit and fraction; a leading `+` is the caller's business."""
    found = re.fullmatch(r"\+?(\d+(?:\.\d+)?)([KMGT]?)", text)
    if found is None:
        raise ValueError(f"{text!r} is not a size such as 4G")
    return int(float(found[1]) * _UNITS[found[2]])


def gibibytes_to_bytes(text: str) -> int:
    """Bytes of a new disk given in GiB, rounded up to a KiB as Proxmox does."""
    return math.ceil(float(text) * 1024**2) * 1024
