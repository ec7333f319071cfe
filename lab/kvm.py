"""Whether hardware virtualization really works here.

`/dev/kvm` can be there, open, and even create a virtual machine on a host that then fails to run an
ordinary guest, or crawls. So a guest is tried: firmware, boot sector, a loop that takes a tenth of a
second on a real processor, and a word of farewell within a few seconds.
"""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DEVICE = Path("/dev/kvm")

_FAREWELL = 0x2A
"""What the guest writes to QEMU's debug-exit port; QEMU then ends with twice that plus one."""

_ROUNDS = 200_000_000
_SECONDS = 5.0


async def kvm_works(cache_dir: Path) -> bool:
    """Try a tiny guest under KVM; the answer is kept in `cache_dir` until the machine is booted again."""
    if not _DEVICE.exists():
        return False
    remembered = cache_dir / f"kvm-{_BOOT_ID.read_text().strip()}"
    if remembered.exists():
        return remembered.read_text() == "works"
    works = await _try_guest()
    cache_dir.mkdir(parents=True, exist_ok=True)
    remembered.write_text("works" if works else "fails")
    return works


def boot_sector() -> bytes:
    """A boot sector that counts down from `_ROUNDS` and then ends QEMU."""
    code = b"\x66\xb9" + struct.pack("<I", _ROUNDS)  # mov ecx, rounds
    code += b"\x66\x49\x75\xfc"  # again: dec ecx; jnz again
    code += b"\xb0" + bytes([_FAREWELL]) + b"\xba\xf4\x00\xee"  # mov al, farewell; mov dx, 0xf4; out dx, al
    code += b"\xf4\xeb\xfd"  # halt, for ever
    return code.ljust(510, b"\0") + b"\x55\xaa"


async def _try_guest() -> bool:
    with tempfile.NamedTemporaryFile(prefix="orchlab-kvm-") as sector:
        sector.write(boot_sector())
        sector.flush()
        try:
            process = await asyncio.create_subprocess_exec(
                *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                *("-accel", "kvm", "-cpu", "host", "-m", "32"),
                *("-drive", f"file={sector.name},format=raw,if=ide,readonly=on"),
                *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except FileNotFoundError:
            return False
        try:
            return await asyncio.wait_for(process.wait(), _SECONDS) == 2 * _FAREWELL + 1
        except TimeoutError:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, 9)
            await process.wait()
