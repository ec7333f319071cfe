"""The clock of an emulated guest: right also where its processor is taken away while it measures it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.agent import GuestAgent
from lab.image import ensure_image
from lab.image.disk import install_boot_loader
from lab.network import LabNetwork
from lab.qemu import Disk, Guests, GuestSpec
from tests.lab.guests import BOOT_SECONDS, NODE, answering, finished

WINDOW_SECONDS = 5.0
CLOCK_FOUND_WRONG_SECONDS = 120.0

_BUSY = "while True: pass"


@contextmanager
def busy_processors() -> Iterator[None]:
    """Keep every processor of this computer busy."""
    burning = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def quarter_of_the_counters_speed() -> int:
    """kHz; the counter of an emulated processor is this computer's own."""
    line = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("cpu MHz"))
    return int(float(line.partition(":")[2]) * 1000 / 4)


def bootable_copy(image: Path, disk: Path, *arguments: str) -> None:
    """Copy the guest image, and let it boot with more kernel arguments."""
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(image), str(disk)], check=True)
    asked = ["blkid", "-p", "-O", str(1024**2), "-o", "value", "-s", "UUID", str(disk)]
    identity = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    install_boot_loader(disk, identity, *arguments)


async def seconds_per_second(agent: GuestAgent) -> float:
    """How many seconds pass in the guest in one of ours."""

    async def reading() -> tuple[float, float]:
        before = time.monotonic()
        uptime = float((await finished(agent, "cat", "/proc/uptime")).out_data.split()[0])
        return uptime, (before + time.monotonic()) / 2

    inside, here = await reading()
    await asyncio.sleep(WINDOW_SECONDS)  # what is measured, not waited for
    inside_then, here_then = await reading()
    return (inside_then - inside) / (here_then - here)


def test_clock_that_was_measured_four_times_too_fast_on_a_busy_computer_is_put_right(tmp_path: Path) -> None:
    """When a processor is taken away between two instructions of the measurement, the kernel takes the counter for
    slower than it is. The argument does so here, since that moment cannot be met at will."""
    disk = tmp_path / "disk.raw"
    bootable_copy(ensure_image(), disk, f"tsc_early_khz={quarter_of_the_counters_speed()}")
    network = LabNetwork(f"test-clock-{os.getpid()}", [])
    guests = Guests(network.lab_name, tmp_path / "run", tmp_path / "log")
    spec = GuestSpec(NODE, 100, "busy", 2, 512, str(uuid.uuid4()), (Disk("scsi0", disk, "raw"),))

    async def boot_and_measure() -> float:
        await guests.start(spec)
        try:
            agent = guests.agent(NODE, 100)
            async with asyncio.timeout(BOOT_SECONDS):
                await answering(agent)
            ends = time.monotonic() + CLOCK_FOUND_WRONG_SECONDS
            while not 0.8 < (ratio := await seconds_per_second(agent)) < 1.25 and time.monotonic() < ends:
                pass
            return ratio
        finally:
            await guests.stop(NODE, 100)

    network.ensure()
    try:
        with busy_processors():
            ratio = asyncio.run(boot_and_measure())
    finally:
        network.remove()
    assert 0.8 < ratio < 1.25, f"{ratio:.2f} seconds pass in the guest in one of ours"
