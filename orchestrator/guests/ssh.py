"""Plain SSH to a guest, strictly verified: only host keys that the hypervisor told of are accepted.

paramiko is imported when a connection is made: it is slow to import, and most commands make none.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from orchestrator.guests.openings import IPAddress
from orchestrator.guests.rules import SSH_PORT
from orchestrator.guests.target import GuestTarget, SshSettings

if TYPE_CHECKING:
    import paramiko

_LOG = "orchestrator.guests.ssh"
_RETRY_SECONDS = 1.0

# paramiko logs what it also raises; without a handler Python would print it to the terminal.
logging.getLogger(_LOG).addHandler(logging.NullHandler())


class GuestUnreachable(Exception):
    """No SSH connection to a guest; the message says which, why, and what to do."""


class HostKeyMismatch(GuestUnreachable):
    """Somebody answered with a host key that the hypervisor did not tell of."""


class LoginRefused(GuestUnreachable):
    """The guest is there and does not accept the provider's key."""


def source_address_seen(target: GuestTarget, ssh: SshSettings) -> IPAddress:
    """Return the address that the guest sees our connections come from (a proxy or NAT may be between).

    Raises:
        HostKeyMismatch: the host key is not one of ``target.host_keys``. Nothing was sent.
        LoginRefused: the guest does not accept the key.
        GuestUnreachable: no connection within ``ssh.connect_timeout_seconds``.
    """
    with connected(target, ssh) as client:
        answer = run_command(client, "echo $SSH_CONNECTION", ssh.connect_timeout_seconds)
    fields = answer.split()
    try:
        return ipaddress.ip_address(fields[0].partition("%")[0])
    except (IndexError, ValueError):
        raise GuestUnreachable(
            f"{target.name}: the guest does not say where we come from (SSH_CONNECTION is {answer.strip()[:60]!r}): "
            f"see that the shell of {target.user} prints nothing of its own"
        ) from None


def wait_for_ssh(
    target: GuestTarget,
    ssh: SshSettings,
    timeout_seconds: float,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the provider can log in. A booting guest may refuse connections and, for a while, the key.

    Args:
        target: the guest.
        ssh: how it is reached.
        timeout_seconds: how long to try.
        pause: waits that many seconds between two tries.

    Raises:
        HostKeyMismatch: at once: waiting does not make a stranger the right machine.
        GuestUnreachable: not within the time; the message is that of the last attempt.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            with connected(target, ssh):
                return
        except HostKeyMismatch:
            raise
        except GuestUnreachable:
            if time.monotonic() + _RETRY_SECONDS > deadline:
                raise
        pause(_RETRY_SECONDS)


@contextmanager
def connected(target: GuestTarget, ssh: SshSettings) -> Iterator[paramiko.SSHClient]:
    """Hold a connection to a guest.

    Raises:
        HostKeyMismatch, LoginRefused, GuestUnreachable: as :func:`source_address_seen`.
    """
    import paramiko

    seconds = ssh.connect_timeout_seconds
    where = f"{target.name}: SSH to {target.address} as {target.user}"
    client = paramiko.SSHClient()
    client.set_log_channel(_LOG)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    for key in target.host_keys:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{target.address} {key}")
        if entry is not None and entry.key is not None:
            client.get_host_keys().add(target.address, entry.key.get_name(), entry.key)
    with _socket_to(target, ssh, where) as sock, client:  # the client says goodbye before the socket goes
        try:
            client.connect(
                target.address,
                username=target.user,
                key_filename=str(ssh.private_key),
                sock=sock,
                allow_agent=False,
                look_for_keys=False,
                timeout=seconds,
                banner_timeout=seconds,
                auth_timeout=seconds,
                channel_timeout=seconds,
            )
        except paramiko.BadHostKeyException as error:
            raise _mismatch(where, error.key.fingerprint) from None
        except paramiko.AuthenticationException:
            raise LoginRefused(
                f"{where}: the guest does not accept the key {ssh.private_key}: see that management.ssh_public_key "
                "is its public half and stands in the guest's authorized_keys"
            ) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            if "not found in known_hosts" in str(error):
                raise _mismatch(where, "of a kind that was not expected") from None
            raise _unreachable(where, error) from None
        yield client


def _mismatch(where: str, found: str) -> HostKeyMismatch:
    return HostKeyMismatch(
        f"{where}: the host key ({found}) is not the one that the hypervisor told of: if the guest made new keys, "
        "orchestrator apply --guests learns them again; if not, another machine has its address. Nothing was sent"
    )


def _unreachable(where: str, error: Exception) -> GuestUnreachable:
    reason = str(error) or type(error).__name__
    return GuestUnreachable(
        f"{where}: no connection ({reason}): see that the machine runs, that its firewall lets the provider's "
        "addresses in, and that management.ssh_proxy_command fits"
    )


@contextmanager
def _socket_to(target: GuestTarget, ssh: SshSettings, where: str) -> Iterator[socket.socket]:
    """A connection to the guest's SSH server, direct or through the proxy command.

    paramiko has a ProxyCommand of its own; it spins when the command ends early. A pair of sockets does not.
    """
    if ssh.proxy_command is None:
        try:
            direct = socket.create_connection((target.address, SSH_PORT), ssh.connect_timeout_seconds)
        except OSError as error:
            raise _unreachable(where, error) from None
        with closing(direct):
            yield direct
        return
    command = _expanded(ssh.proxy_command, target)
    ours, theirs = socket.socketpair()
    with closing(ours):
        # Like OpenSSH, which gives the line to the user's shell. It is the provider's own configuration.
        with closing(theirs):
            proxy = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
            )
        try:
            yield ours
        finally:
            ours.close()
            proxy.terminate()
            proxy.wait()


def _expanded(command: str, target: GuestTarget) -> str:
    values = {"%%": "%", "%h": target.address, "%n": target.address, "%p": str(SSH_PORT), "%r": target.user}
    return re.sub("%[%hnpr]", lambda match: values[match[0]], command)


def run_command(client: paramiko.SSHClient, command: str, timeout_seconds: float) -> str:
    """Run a command over a connection and return what it prints.

    Raises:
        GuestUnreachable: the connection broke, or it did not end in time.
    """
    import paramiko

    try:
        # The callers' commands are constants, or constants and numbers: nothing in them comes from outside.
        _, output, _ = client.exec_command(command, timeout=timeout_seconds)
        return output.read().decode(errors="replace")
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise GuestUnreachable(f"the connection broke while running {command!r}: {error}") from error
