"""A package repository that a test builds: its own packages, in the versions it needs, served over HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.packages import write_index


@dataclass
class PackageRepository:
    """A flat repository in a folder: one part for ordinary packages, one that counts as Debian's security part."""

    folder: Path
    _times: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for part in ("main", "security"):
            (self.folder / part).mkdir(parents=True)
            self._index(part)

    def add(
        self,
        name: str,
        version: str,
        *,
        files: dict[str, str] | None = None,
        scripts: dict[str, str] | None = None,
        depends: str = "",
        part: str = "main",
        published: float | None = None,
        payload: int = 0,
    ) -> Path:
        """Build a package and publish it.

        Args:
            name, version: what it is called.
            files: contents by path; those that begin with ``#!`` become programs.
            scripts: maintainer scripts (``postinst``, ``prerm``, …) by name: the commands in them.
            depends: Debian's ``Depends``.
            part: ``main``, ``security``, or empty: built, not published.
            published: the time that the mirror gives for it, seconds since the epoch.
            payload: bytes of a file in it that cannot be compressed.
        """
        root = self.folder / f".build-{name}"
        (root / "DEBIAN").mkdir(parents=True)
        for path, content in (files or {}).items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            target.chmod(0o755 if content.startswith("#!") else 0o644)
        if payload:
            target = root / "usr/share" / name / "payload"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(os.urandom(payload))
        for script, commands in (scripts or {}).items():
            target = root / "DEBIAN" / script
            target.write_text(f"#!/bin/sh\nset -e\n{commands}\n")
            target.chmod(0o755)
        control = [
            f"Package: {name}",
            f"Version: {version}",
            "Architecture: all",
            "Maintainer: tests <t@e.st>",
        ]
        control += [f"Depends: {depends}"] if depends else []
        control += [f"Installed-Size: {payload // 1024 + 16}", "Description: made by a test", ""]
        (root / "DEBIAN/control").write_text("\n".join(control))
        built = self.folder / part / f"{name}_{version}_all.deb"
        # Uncompressed: a guest under emulation unpacks it faster.
        command = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(root), str(built)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(root)
        if published is not None:
            os.utime(built, (published, published))
        if part:
            self._index(part)
        return built

    def withdraw(self, name: str, part: str = "main") -> None:
        """Take every version of a package out of the lists; its files too."""
        for path in (self.folder / part).glob(f"{name}_*.deb"):
            path.unlink()
        self._index(part)

    def _index(self, part: str) -> None:
        is_security = part == "security"
        write_index(
            self.folder / part,
            "Debian-Security" if is_security else "Debian",
            "stable-security" if is_security else "stable",
        )

    def sources(self, url: str) -> str:
        """The lines of ``sources.list`` for a guest that reaches the folder at a URL."""
        return "".join(f"deb [trusted=yes] {url}/{part}/ ./\n" for part in ("main", "security"))


@contextmanager
def serving(folder: Path, address: str, *, inside: Sequence[str]) -> Iterator[str]:
    """Serve a folder over HTTP from a network namespace; yield its URL.

    Args:
        folder: what is served.
        address: where the server listens, in that namespace.
        inside: the command that runs another one in the namespace.
    """
    command = [
        *inside,
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "--bind",
        address,
        "--directory",
        str(folder),
        "0",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        said = server.stdout.readline()  # "Serving HTTP on 192.0.2.1 port 40123 (…)"
        found = re.search(r"port (\d+)", said)
        assert found, said
        yield f"http://{address}:{found[1]}"
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
