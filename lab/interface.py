"""The demo's Interface: `orchestrator serve` in the background, with a certificate and two accounts of its own."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.api.access import write_secret
from lab.certificates import ensure_certificates
from lab.daemon import holder_of

ADDRESS = "127.0.0.1"
_START_SECONDS, _STOP_SECONDS = 120.0, 30.0
_ACCOUNTS: Mapping[str, Sequence[str]] = {
    "operator": ("--role", "operator"),
    "dupont": ("--role", "client", "--client", "dupont"),
}


class InterfaceFailed(Exception):
    """The Interface did not start; the text says why."""


@dataclass(frozen=True)
class Interface:
    """What somebody needs to look at it.

    Attributes:
        url: where it is.
        authority: the PEM file of the authority that a browser does not know.
        passwords: by the name of the account.
    """

    url: str
    authority: Path
    passwords: Mapping[str, str]


def start(folder: Path, port: int, environment: Mapping[str, str], files: str) -> Interface:
    """Make what is missing, and have it serve; one that serves already is left.

    Args:
        folder: gets the certificate, the passwords, the log and the number of the process.
        port: where it listens, on 127.0.0.1.
        environment: of the program: the demo's inventory and history.
        files: the clients' files.

    Raises:
        InterfaceFailed: an account could not be made, or it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    certificate, key = ensure_certificates(folder, "demo", ADDRESS)
    found = Interface(f"https://{ADDRESS}:{port}", folder / "ca.pem", _passwords(folder, environment))
    if running(folder) is not None:
        return found
    log = folder / "serve.log"
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "serve",
        "--files",
        files,
        "--listen",
        f"{ADDRESS}:{port}",
    ]
    command += ["--certificate", str(certificate), "--key", str(key)]
    with (folder / "serve.pid").open("w") as held, log.open("ab") as output:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the process has it until it ends
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[held.fileno()],
            start_new_session=True,
        )
        held.write(str(process.pid))
    _await(process, port, log)
    return found


def stop(folder: Path) -> None:
    """End it, if it runs."""
    pid = running(folder)
    if pid is None:
        return
    with suppress(ProcessLookupError):
        watched = os.pidfd_open(pid)
        try:
            for told in (signal.SIGTERM, signal.SIGKILL):
                os.kill(pid, told)
                if select.select([watched], [], [], _STOP_SECONDS)[0]:
                    return
        finally:
            os.close(watched)


def running(folder: Path) -> int | None:
    """The number of its process; None if it does not run."""
    return holder_of(folder / "serve.pid")


def _passwords(folder: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The accounts' passwords; the accounts are made where they are missing."""
    path = folder / "accounts.secret"
    if path.exists():
        known: dict[str, str] = json.loads(path.read_text())
        return known
    made = {name: secrets.token_urlsafe(12) for name in _ACCOUNTS}
    for name, options in _ACCOUNTS.items():
        command = [sys.executable, "-m", "orchestrator", "user", "add", name, *options, "--password-stdin"]
        done = subprocess.run(
            command,
            env=dict(environment),
            input=made[name] + "\n",
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise InterfaceFailed(f"the account {name} could not be made: {done.stderr.strip()}")
    write_secret(path, json.dumps(made))
    return made


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError):
            socket.create_connection((ADDRESS, port), timeout=1).close()
            return
        time.sleep(0.1)
    process.kill()
    said = log.read_text(errors="replace").strip().splitlines()
    raise InterfaceFailed(f"{said[-1] if said else 'it ended without a word'} (log: {log})")
