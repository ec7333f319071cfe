"""SSH to a lab's nodes, as `orchestrator export` needs it: a shell in which `pvesm path` answers.

Each connection is served by an sshd of its own, which ends with it: a killed lab leaves no listener behind. Where
openssh-server is not installed the nodes have no SSH, and the inventory says nothing of it.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.certificates import ensure_ssh_key
from lab.settings import LabSettings, SiteSettings

_HERE = Path(__file__).parent.parent


@dataclass(frozen=True)
class NodeShell:
    """How one node is entered.

    Attributes:
        address: `HOST:PORT`.
        private_key, known_hosts: files for whoever enters.
        serving: what accepts connections; cancel it to stop.
    """

    address: str
    private_key: Path
    known_hosts: Path
    serving: asyncio.Task[None]


async def open_shell(settings: LabSettings, site: SiteSettings) -> NodeShell | None:
    """Let a site's node be entered over SSH, on a free port; None where there is no sshd."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or shutil.which("sshd")
    if sshd is None:
        return None
    host_key, host_public = ensure_ssh_key(settings.state_dir, "node_host_key")
    user_key, user_public = ensure_ssh_key(settings.state_dir, "node_access_key")
    folder = settings.node_dir(site)
    listener = socket.create_server((settings.address, 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[{settings.address}]:{port} {host_public}\n")
    authorized = folder / "authorized_keys"
    authorized.write_text(f"restrict {user_public}\n")
    command = [sshd, *_options(host_key, authorized, _programs(settings, site))]
    serving = asyncio.create_task(_serve(listener, command, folder / "sshd.log"))
    return NodeShell(f"{settings.address}:{port}", user_key, known_hosts, serving)


def _programs(settings: LabSettings, site: SiteSettings) -> Path:
    """A folder with a `pvesm` that knows this site's storages."""
    folder = settings.node_dir(site) / "bin"
    folder.mkdir(exist_ok=True)
    program = shlex.join([sys.executable, "-m", "lab.pvesm", str(settings.state_dir), site.name])
    pvesm = folder / "pvesm"
    pvesm.write_text(f'#!/bin/sh\ncd {shlex.quote(str(_HERE))} && exec {program} "$@"\n')
    pvesm.chmod(0o755)
    return folder


def _options(host_key: Path, authorized: Path, programs: Path) -> list[str]:
    settings = [
        f"HostKey={host_key}",
        f"AuthorizedKeysFile={authorized}",
        "AuthenticationMethods=publickey",
        "PermitRootLogin=prohibit-password",
        "StrictModes=no",  # the state's folder may lie where others write, as /tmp
        f"UsePAM={'yes' if _root_is_locked() else 'no'}",
        f"SetEnv=PATH={programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    return ["-i", "-e", "-f", "/dev/null", *(part for setting in settings for part in ("-o", setting))]


def _root_is_locked() -> bool:
    """Whether root has a password that nobody can type; without PAM, sshd then lets root in by no key either."""
    shadow = Path("/etc/shadow")
    lines = shadow.read_text().splitlines() if shadow.exists() else []
    return any(line.startswith("root:!") for line in lines)


async def _serve(listener: socket.socket, command: list[str], log: Path) -> None:
    Path("/run/sshd").mkdir(exist_ok=True)
    loop = asyncio.get_running_loop()
    ending: set[asyncio.Task[int]] = set()
    with listener, log.open("ab") as said:
        while True:
            connection, _ = await loop.sock_accept(listener)
            with connection:
                connection.setblocking(True)
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=connection.fileno(), stdout=connection.fileno(), stderr=said
                )
            waiting = asyncio.create_task(process.wait())
            ending.add(waiting)
            waiting.add_done_callback(ending.discard)
