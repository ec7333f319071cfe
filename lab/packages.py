"""The lab's own package mirror: what guests are told where they ask whether updates are due.

The lab has no way out, so that Debian's mirrors cannot be reached from its guests. Their image asks `packages.lab`
instead, through the node's address (`overlay/usr/lib/orchestrator-lab/package-source`): a folder of the lab, which is
empty, so that nothing is newer than what is installed. A `.deb` that is put there is offered after the next start.
"""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import os
import socket
import subprocess
import threading
import time
from email.utils import formatdate
from pathlib import Path

from aiohttp import web

from lab.network import namespace_of

PORT = 3142
"""Where the mirror listens at each gateway, inside the lab's namespace. The image has it too."""

_CLONE_NEWNET = 0x40000000


class MirrorError(RuntimeError):
    """The mirror cannot be opened; the message says why."""


def write_index(folder: Path, label: str = "orchestrator-lab", suite: str = "stable") -> None:
    """List the packages in a folder, as apt reads a flat repository.

    Args:
        folder: holds the packages, and gets `Packages`, `Packages.gz` and `Release`.
        label: whose they are said to be: updates of Debian's security part have one of their own.
        suite: its suite.
    """
    lists = "".join(_entry(path) for path in sorted(folder.glob("*.deb")))
    (folder / "Packages").write_text(lists)
    (folder / "Packages.gz").write_bytes(gzip.compress(lists.encode()))
    sums = [
        f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} {path.name}"
        for path in (folder / "Packages", folder / "Packages.gz")
    ]
    head = [f"Origin: {label}", f"Label: {label}", f"Suite: {suite}", "Codename: lab", "Version: 12"]
    head += [f"Date: {formatdate(time.time(), usegmt=True)}", "Acquire-By-Hash: no", "SHA256:", *sums, ""]
    (folder / "Release").write_text("\n".join(head))


def _entry(path: Path) -> str:
    control = subprocess.run(["dpkg-deb", "-f", str(path)], capture_output=True, text=True, check=True).stdout
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control.strip()}\nFilename: ./{path.name}\nSize: {len(content)}\nSHA256: {digest}\n\n"


async def open_mirror(folder: Path, lab_name: str) -> web.AppRunner:
    """Serve a folder's packages to the lab's guests.

    Raises:
        MirrorError: the namespace or the port cannot be had.
    """
    folder.mkdir(exist_ok=True, mode=0o755)
    write_index(folder)
    application = web.Application()
    application.router.add_static("/", folder)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, _listener(lab_name)).start()
    return runner


def _listener(lab_name: str) -> socket.socket:
    """A socket that listens inside the lab's namespace: a socket stays in the one that it was made in."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def make() -> None:
        try:
            descriptor = os.open(f"/run/netns/{namespace_of(lab_name)}", os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            finally:
                os.close(descriptor)
            made.append(socket.create_server(("0.0.0.0", PORT)))  # noqa: S104 (nothing of the computer is in there)
        except OSError as error:
            failed.append(error)

    # The namespace is the thread's own, and the thread ends here.
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failed:
        raise MirrorError(f"the lab's package mirror cannot listen on port {PORT}: {failed[0].strerror}")
    return made[0]
