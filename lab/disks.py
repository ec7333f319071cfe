"""Disk images: made, copied, grown and looked at through `qemu-img`.

Sizes are bytes. Formats are `qcow2` and `raw`. Images of a running guest are changed through its QEMU
(see `lab.qemu`), never here: `qemu-img` refuses while QEMU holds the image's lock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.commands import CommandFailedError, run, run_reporting

_PERCENT = re.compile(r"\((\d+\.\d+)/100%\)")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True)
class DiskInfo:
    """What an image is: its format, the size a guest sees and the bytes it takes on the host."""

    format: str
    virtual_size: int
    actual_size: int


async def create(path: Path, *, size: int, format: str) -> None:
    """Make an empty image of `size` bytes.

    Raises:
        CommandFailedError: no space, no such folder, or a format `qemu-img` does not know.
        FileExistsError: there is a file of that name; it is left alone.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    await run("qemu-img", "create", "-q", "-f", format, str(path), str(size))


async def copy(
    source: Path,
    target: Path,
    *,
    source_format: str,
    target_format: str,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Copy all of an image, as a full clone or an import does; holes stay holes.

    `report` gets a line for every percent or so, in the words of Proxmox's task logs. A failed copy
    leaves no target behind.

    Raises:
        CommandFailedError: the source is not such an image, is in use by a running guest, or there is no space.
    """
    size = (await info(source)).virtual_size

    def translate(piece: str) -> None:
        if found := _PERCENT.search(piece):
            report(transferred(size, found[1]))

    formats = ("-f", source_format, "-O", target_format)
    try:
        await run_reporting(
            "qemu-img", "convert", "-p", "-W", *formats, str(source), str(target), report=translate
        )
    except CommandFailedError:
        target.unlink(missing_ok=True)
        raise


async def resize(path: Path, *, size: int, format: str) -> None:
    """Grow an image to `size` bytes.

    Raises:
        CommandFailedError: smaller than it is, in use by a running guest, or there is no space.
    """
    await run("qemu-img", "resize", "-q", "-f", format, str(path), str(size))


async def info(path: Path) -> DiskInfo:
    """Look at an image, also one that a running guest uses.

    Raises:
        CommandFailedError: there is no such file, or it cannot be read.
    """
    answer = json.loads(await run("qemu-img", "info", "-U", "--output=json", str(path)))
    return DiskInfo(
        format=answer["format"], virtual_size=answer["virtual-size"], actual_size=answer["actual-size"]
    )


def transferred(size: int, percent: str) -> str:
    """One line of progress as Proxmox writes it: `transferred 1.0 GiB of 2.0 GiB (50.00%)`.

    Args:
        size: bytes in all.
        percent: what `qemu-img` printed, e.g. `50.00`.
    """
    done = int(size * float(percent) / 100)
    return f"transferred {_in_units(done)} of {_in_units(size)} ({percent}%)"


def _in_units(size: int) -> str:
    exponent = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{size / 1024**exponent:.1f} {_UNITS[exponent]}"
