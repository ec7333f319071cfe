"""A real sshd on loopback, for what goes to nodes by SSH."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_ports import free_port


@dataclass
class SshServer:
    """It runs, and lets in whoever ``authorized_keys`` says.

    Attributes:
        folder: its files: ``user`` (a private key), ``known_hosts`` with its host key, ``wrong_hosts`` with another,
            ``authorized_keys``, and ``bin``, which comes first in the path of what it runs.
    """

    folder: Path
    port: int

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def authorize(self, line: str) -> None:
        """Let in by this line alone."""
        (self.folder / "authorized_keys").write_text(line + "\n")


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Run one, with keys of its own; the key ``user`` may do anything at first."""
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    port = free_port()
    for name, key in (("known_hosts", "host"), ("wrong_hosts", "other")):
        public = (folder / f"{key}.pub").read_text()
        (folder / name).write_text(f"[127.0.0.1]:{port} {public}")
    settings = [f"Port={port}", "ListenAddress=127.0.0.1", f"HostKey={folder}/host",
                f"PidFile={folder}/pid", "UsePAM=no",
                f"AuthorizedKeysFile={folder}/authorized_keys", "StrictModes=no", "PermitRootLogin=yes",
                f"SetEnv=PATH={folder}/bin:/usr/bin:/bin"]  # fmt: skip
    Path("/run/sshd").mkdir(exist_ok=True)
    flags = [part for setting in settings for part in ("-o", setting)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *flags], stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while (
            subprocess.run(
                ["ssh-keyscan", "-p", str(port), "127.0.0.1"], capture_output=True, check=False
            ).stdout
            == b""
        ):
            assert time.monotonic() < deadline and server.poll() is None, (folder / "log").read_text()
        yield SshServer(folder=folder, port=port)
    finally:
        server.terminate()
        server.wait()
