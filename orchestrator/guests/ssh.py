"""Plain SSH to a guest, strictly verified: only host keys that the hypervisor told of are accepted.

A guest may take so long and send so much in all, and no more: paramiko's own limits begin anew with every byte.

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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.limits import ANSWER_BYTES, CONNECTION_BYTES
from orchestrator.guests.rules import SSH_PORT
from orchestrator.guests.trust import is_host_key
from orchestrator.subscriptions.openings import IPAddress

if TYPE_CHECKING:
    import paramiko

_LOG = "orchestrator.guests.ssh"
_RETRY_SECONDS = 1.0
_PROXY_SECONDS = 2.0
"""How long a proxy command may take to end when it is told to."""

# paramiko logs what it also raises; without a handler Python would print it to the terminal.
logging.getLogger(_LOG).addHandler(logging.NullHandler())


class GuestUnreachable(OrchestratorError):
    """No SSH connection to a guest; the message says which, why, and what to do."""


class HostKeyMismatch(GuestUnreachable):
    """Somebody answered with a host key that the hypervisor did not tell of."""


class LoginRefused(GuestUnreachable):
    """The guest is there and does not accept the provider's key."""


def source_address_seen(guest: Guest, ssh: SshSettings) -> IPAddress:
    """Return the address that the guest sees our connections come from (a proxy or NAT may be between).

    Raises:
        HostKeyMismatch: the host key is not one of ``guest.host_keys``. Nothing was sent.
        LoginRefused: the guest does not accept the key.
        GuestUnreachable: no connection within ``ssh.connect_timeout_seconds``.
    """
    with connected(guest, ssh) as connection:
        answer = connection.run("echo $SSH_CONNECTION", ssh.connect_timeout_seconds)
    fields = answer.split()
    try:
        return ipaddress.ip_address(fields[0].partition("%")[0])
    except (IndexError, ValueError):
        raise GuestUnreachable(
            f"{guest.name}: the guest does not say where we come from (SSH_CONNECTION is {answer.strip()[:100]!r}): "
            f"see that the shell of {guest.user} prints nothing of its own"
        ) from None


def wait_for_ssh(
    guest: Guest,
    ssh: SshSettings,
    timeout_seconds: float,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the provider can log in. A booting guest may refuse connections and, for a while, the key.

    Args:
        guest: the guest.
        ssh: how it is reached.
        timeout_seconds: how long to try.
        pause: waits that many seconds between two tries.

    Raises:
        HostKeyMismatch: at once: waiting does not make a stranger the right machine.
        GuestUnreachable: not within the time; the message is that of the last attempt. An attempt that has begun may
            take ``ssh.connect_timeout_seconds`` beyond it.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            with connected(guest, ssh):
                return
        except HostKeyMismatch:
            raise
        except GuestUnreachable:
            if time.monotonic() + _RETRY_SECONDS > deadline:
                raise
        pause(_RETRY_SECONDS)


class BoundedSocket:
    """A socket that comes to its end when its time is over, or when too much was read from it.

    Attributes:
        ended_because: why it came to its end; empty as long as it has not.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self.ended_because = ""
        self._sock = sock
        self._left = CONNECTION_BYTES
        self.give(seconds)

    def give(self, seconds: float) -> None:
        """From now on there are so many seconds."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def recv(self, size: int) -> bytes:
        """As a socket's; its end (nothing) when a limit is reached. paramiko asks ten times a second."""
        if time.monotonic() > self._deadline:
            self.ended_because = self.ended_because or f"it did not finish within {self._seconds:.0f} s"
        if self._left <= 0:
            self.ended_because = self.ended_because or f"it sent more than {CONNECTION_BYTES} bytes"
        if self.ended_because:
            return b""
        data = self._sock.recv(size)
        self._left -= len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@dataclass(frozen=True)
class Connection:
    """A connection to a guest, logged in."""

    _where: str
    _client: paramiko.SSHClient
    _sock: BoundedSocket

    def run(self, command: str, timeout_seconds: float) -> str:
        """Run a command and return what it prints.

        Args:
            command: a constant, or constants and numbers: nothing in it comes from outside.
            timeout_seconds: how long it may take in all.

        Raises:
            GuestUnreachable: the connection broke, it did not end in time, or it printed more than an answer.
        """
        import paramiko

        self._sock.give(timeout_seconds)
        answer = b""
        try:
            _, output, _ = self._client.exec_command(command, timeout=timeout_seconds)
            while len(answer) <= ANSWER_BYTES and (data := output.channel.recv(ANSWER_BYTES)):
                answer += data
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._broken(command, self._sock.ended_because or str(error) or "it hangs") from error
        if len(answer) > ANSWER_BYTES:
            raise self._broken(command, f"it printed more than {ANSWER_BYTES} bytes")
        if self._sock.ended_because:
            raise self._broken(command, self._sock.ended_because)
        return answer.decode(errors="replace")

    def _broken(self, command: str, why: str) -> GuestUnreachable:
        return GuestUnreachable(
            f"{self._where}: the guest let us in and did not answer {command!r} ({why}): look at its console, and at "
            "what the login shell and its start-up files do there"
        )


@contextmanager
def connected(guest: Guest, ssh: SshSettings) -> Iterator[Connection]:
    """Hold a connection to a guest.

    Raises:
        HostKeyMismatch, LoginRefused, GuestUnreachable: as :func:`source_address_seen`.
    """
    import paramiko

    seconds = ssh.connect_timeout_seconds
    where = f"{guest.name}: SSH to {guest.address} as {guest.user}"
    client = paramiko.SSHClient()
    client.set_log_channel(_LOG)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    for key in guest.host_keys:
        entry = _host_key_entry(guest.address, key)
        if entry is not None and entry.key is not None:
            client.get_host_keys().add(guest.address, entry.key.get_name(), entry.key)
    # The client says goodbye before the socket goes.
    with _socket_to(guest, ssh, where) as plain, client:
        sock = BoundedSocket(plain, seconds)
        try:
            client.connect(
                guest.address,
                username=guest.user,
                key_filename=str(ssh.private_key),
                sock=sock,  # type: ignore[arg-type]
                allow_agent=False,
                look_for_keys=False,
                timeout=seconds,
                banner_timeout=seconds,
                auth_timeout=seconds,
                channel_timeout=seconds,
            )
        except paramiko.BadHostKeyException as error:
            raise _mismatch(where, error.key.fingerprint) from None
        except paramiko.AuthenticationException as error:
            if sock.ended_because or "timeout" in str(error):
                raise _unreachable(where, sock.ended_because or str(error)) from None
            raise LoginRefused(
                f"{where}: the guest does not accept the key {ssh.private_key}: see that management.ssh_public_key "
                "is its public half and is in the guest's authorized_keys"
            ) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            if "not found in known_hosts" in str(error):
                raise _mismatch(where, "of a kind that was not expected") from None
            raise _unreachable(where, sock.ended_because or str(error) or type(error).__name__) from None
        yield Connection(where, client, sock)


def _host_key_entry(address: str, key: str) -> paramiko.hostkeys.HostKeyEntry | None:
    """A known host key as paramiko holds it; None if it is none: it comes from a mark, and before that from a guest."""
    import paramiko

    if not is_host_key(key):
        return None
    try:
        return paramiko.hostkeys.HostKeyEntry.from_line(f"{address} {key}")
    except Exception:  # whatever its parsers make of a damaged key
        return None


def _mismatch(where: str, found: str) -> HostKeyMismatch:
    return HostKeyMismatch(
        f"{where}: the host key ({found}) is not the one that the hypervisor told of: if the guest made new keys, "
        "orchestrator apply --guests learns them again; if not, another machine has its address. Nothing was sent"
    )


def _unreachable(where: str, reason: str) -> GuestUnreachable:
    return GuestUnreachable(
        f"{where}: no connection ({reason}): see that the machine runs, that its firewall lets the provider's "
        "addresses in, and that management.ssh_proxy_command fits"
    )


@contextmanager
def _socket_to(guest: Guest, ssh: SshSettings, where: str) -> Iterator[socket.socket]:
    """A connection to the guest's SSH server, direct or through the proxy command.

    paramiko has a ProxyCommand of its own; it spins when the command ends early. A pair of sockets does not.
    """
    if ssh.proxy_command is None:
        try:
            direct = socket.create_connection((guest.address, SSH_PORT), ssh.connect_timeout_seconds)
        except OSError as error:
            raise _unreachable(where, str(error) or type(error).__name__) from None
        with closing(direct):
            yield direct
        return
    command = _expanded(ssh.proxy_command, guest)
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
            try:
                proxy.wait(_PROXY_SECONDS)
            except subprocess.TimeoutExpired:
                proxy.kill()
                proxy.wait()


def _expanded(command: str, guest: Guest) -> str:
    values = {"%%": "%", "%h": guest.address, "%n": guest.address, "%p": str(SSH_PORT), "%r": guest.user}
    return re.sub("%[%hnpr]", lambda match: values[match[0]], command)
