"""Secrets from where they are kept: the environment, a file that only its owner reads, or a command.

No message of this module contains a secret, nor what a command printed: both end up in logs.
"""

from __future__ import annotations

import os
import select
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.sites.access import SecretReference

COMMAND_SECONDS = 60
"""How long a command may take (seconds); a password store may have to ask somebody."""

_LARGEST_BYTES = 64 * 1024


class SecretUnavailable(OrchestratorError):
    """A secret could not be read, or not safely. The text says where, why, and what to do."""


def resolve(reference: SecretReference) -> str:
    """Return the secret that the reference leads to, without the line break at its end.

    Raises:
        SecretUnavailable: there is none, or it is kept where others could read or replace it.
    """
    if reference.env is not None:
        return _from_environment(reference.env)
    if reference.file is not None:
        return _from_file(reference.file)
    return _from_command(reference.command or ())


def _from_environment(name: str) -> str:
    secret = os.environ.get(name, "").strip()
    if not secret:
        state = "empty" if name in os.environ else "not set"
        raise SecretUnavailable(
            f"the environment variable {name} is {state}: export {name}=… before the command"
        )
    return secret


def _from_file(path: Path) -> str:
    try:
        _refuse_replaceable(path)
        # What was opened is judged, not what the name may lead to a moment later; a pipe must not block us.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:  # noqa: PTH123  (a descriptor)
            _refuse_readable_by_others(path, os.fstat(stream.fileno()))
            content = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise SecretUnavailable(f"the secret's file {path} cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST_BYTES:
        raise SecretUnavailable(f"the secret's file {path} has more than 64 KiB: it is not a secret's file")
    return _text(content, f"the secret's file {path}")


def _refuse_readable_by_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretUnavailable(f"{path} is not a file: name a file that holds the secret and nothing else")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretUnavailable(f"{path} is open to others (mode {mode:04o}): chmod 600 {path}")
    if status.st_uid not in (os.geteuid(), 0):
        raise SecretUnavailable(
            f"{path} belongs to user {status.st_uid}: it must be yours or root's, chown it"
        )


def _refuse_replaceable(path: Path) -> None:
    """Refuse a file that somebody else could swap: every link on the way, and every folder that holds one."""
    here = path.absolute()
    for _ in range(40):  # the kernel gives up after as many links
        _refuse_writable_folder(path, here.parent)
        if not here.is_symlink():
            return
        if here.lstat().st_uid not in (os.geteuid(), 0):
            raise SecretUnavailable(f"{here} is a link made by another user: name the file itself")
        here = here.parent / here.readlink()
    raise SecretUnavailable(f"{path} is a circle of links: name the file itself")


def _refuse_writable_folder(path: Path, folder: Path) -> None:
    status = folder.resolve().stat()
    others_write = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    if others_write or status.st_uid not in (os.geteuid(), 0):
        raise SecretUnavailable(
            f"others could replace {path}: the folder {folder} is open to them; chmod go-w {folder}, "
            "or keep the secret elsewhere"
        )


def _from_command(command: tuple[str, ...]) -> str:
    name = f"the command {command[0]} for the secret"
    try:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its arguments are not valid"
        raise SecretUnavailable(f"{name} cannot be run: {reason}") from None
    deadline = time.monotonic() + COMMAND_SECONDS
    try:
        printed = _printed(process, deadline)
        if len(printed) > _LARGEST_BYTES:
            raise SecretUnavailable(
                f"{name} prints more than 64 KiB: it must print the secret and nothing else"
            )
        status = process.wait(max(deadline - time.monotonic(), 0))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise SecretUnavailable(
            f"{name} took more than {COMMAND_SECONDS} s: run it by hand to see why"
        ) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if status != 0:
        raise SecretUnavailable(f"{name} ended with status {status}: run it by hand to see why")
    return _text(printed, f"what {name} printed")


def _printed(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return what a command prints: to its end, or a little more than a secret may have.

    Raises:
        TimeoutError: it goes on after the deadline (of the monotonic clock), or what it started does.
    """
    assert process.stdout is not None  # noqa: S101  (it was asked for)
    waiting = select.poll()
    waiting.register(process.stdout, select.POLLIN)
    printed = b""
    while len(printed) <= _LARGEST_BYTES:
        if not waiting.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError
        piece = os.read(process.stdout.fileno(), _LARGEST_BYTES)
        if not piece:
            break
        printed += piece
    return printed


def _text(content: bytes, name: str) -> str:
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{name} is not UTF-8 text") from None
    if not secret:
        raise SecretUnavailable(f"{name} is empty")
    if "\n" in secret or not secret.isprintable():
        raise SecretUnavailable(f"{name} is not one line of text: it must hold the secret and nothing else")
    return secret
