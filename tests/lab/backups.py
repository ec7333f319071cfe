"""What the tests of backups and restores share: asking for them, and looking at what is there."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.qemu import Guests
from tests.lab.lab_handle import Client, Lab

STORE = "backup-lyon"
CONTENT = f"/nodes/pve1/storage/{STORE}/content"
SECONDS = 30.0


def ask(api: Client, **options: object) -> str:
    """Ask for a backup of VM 100; the task's UPID."""
    upid = api.call("POST", "/nodes/pve1/vzdump", {"vmid": 100, "storage": STORE, **options}).data
    return str(upid)


def back_up(api: Client, **options: object) -> str:
    """Back VM 100 up, uncompressed unless told; the archive's volume id."""
    before = archives(api)
    assert api.end_of(ask(api, **options)) == "OK"
    (made,) = archives(api) - before
    return made


def archives(api: Client) -> set[str]:
    """The archives on the storage."""
    return {archive["volid"] for archive in api.get(CONTENT, content="backup")}


def remove_archives(api: Client) -> None:
    """Remove all of them, protected or not."""
    for volid in archives(api):
        api.put(f"{CONTENT}/{volid}", protected=0)
        api.run("DELETE", f"{CONTENT}/{volid}")


def log(api: Client, upid: str) -> str:
    """A task's log."""
    return "\n".join(line["t"] for line in api.get(f"/nodes/pve1/tasks/{upid}/log", limit=0))


def folder(api: Client) -> Path:
    """Where the storage stands."""
    return next(Path(entry["path"]) for entry in api.get("/storage") if entry["storage"] == STORE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def tell_qemu(lab: Lab, command: str, **arguments: object) -> Any:
    """Say something to the QEMU of VM 100 on its monitor."""

    async def say() -> Any:
        guests = Guests(lab.name, Path("/run/orchestrator-lab") / lab.name, lab.state / "consoles")
        async with guests.monitor("pve1", 100) as monitor:
            return await monitor.execute(command, arguments)

    return asyncio.run(say())


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A file system in memory over a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)
