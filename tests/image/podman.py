"""Podman with a store of its own: what it builds and runs here, the machine's own images and containers never meet."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class Podman:
    """A store in a folder that is removed at the end. Use as a context manager, as root.

    ``runc`` and given limits: the usual runtime and its limits want more than a container may do that itself is
    where these tests run.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="orchestrator-image-", dir="/var/tmp"))
        places = ("--root", str(self._folder / "root"), "--runroot", str(self._folder / "run"))
        self._podman = ("podman", *places, "--runtime", "runc", "--cgroup-manager", "cgroupfs")
        self._environment = {**os.environ, "STORAGE_DRIVER": "vfs"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self("rm", "--all", "--force")
        self("rmi", "--all", "--force")
        shutil.rmtree(self._folder)

    def __call__(
        self, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run podman to its end, with variables on top of this process' own."""
        return subprocess.run(
            [*self._podman, *arguments],
            cwd=cwd,
            env={**self._environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def debian(self, release: str) -> str:
        """Make the smallest Debian of its packages, that trusts the certificate authorities of this machine."""
        archive = self._folder / f"{release}.tar"
        trust = f"--customize-hook=upload {_AUTHORITIES} {_AUTHORITIES}"
        options = ("--quiet", "--variant=minbase", "--include=ca-certificates", trust)
        subprocess.run(["mmdebstrap", *options, release, str(archive)], check=True)
        name = f"localhost/debian-{release}"
        done = self("import", "--quiet", "--change", f"ENV PIP_CERT={_AUTHORITIES}", str(archive), name)
        assert done.returncode == 0, done.stderr
        archive.unlink()
        return name

    def build(self, base: str, tag: str) -> None:
        """Build this repository's Containerfile."""
        done = self("build", "--isolation", "chroot", "--build-arg", f"BASE={base}", "--tag", tag, ".")
        assert done.returncode == 0, done.stdout + done.stderr

    def run(
        self,
        options: Sequence[str],
        image: str,
        *command: str,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end, on this machine's loopback."""
        files, processes = (min(resource.getrlimit(kind)[0], 1024) for kind in _LIMITED)
        limits = ("--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}")
        started = ("run", "--rm", "--network", "host", *limits, *options, image, *command)
        return self(*started, cwd=cwd, environment=environment)


_LIMITED = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
