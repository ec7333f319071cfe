"""A PostgreSQL of our own: in a temporary folder, on a socket there, gone with the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

_OWNER = "postgres"
"""PostgreSQL refuses to run as root; the Debian package brings this account."""


def _binaries() -> Path:
    """Where Debian keeps the server's programs: the newest version that is installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a server; gives the URL of an empty database for the history."""
    folder = Path(mkdtemp(prefix="pg-"))
    shutil.chown(folder, _OWNER)
    data = folder / "data"
    binaries = _binaries()

    def run(*arguments: str | Path) -> None:
        as_owner = ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups"]
        subprocess.run([*as_owner, *arguments], check=True, capture_output=True, cwd=folder, env=_ENVIRONMENT)

    try:
        run(binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--encoding=UTF8")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={quote(str(folder))}"
        finally:
            run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


_ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
