"""This computer and the account that the program runs under: who it is, where its files go."""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from orchestrator.errors import RequestRefused
from orchestrator.shown import visible

_LONGEST_NAME = 100
"""Characters of an account's name: whoever is stopped by a freeze or a lock reads it in one line."""


_ACTING: ContextVar[str] = ContextVar("acting", default="")


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Let :func:`operator` be somebody else: whoever asked for what is carried out here, in this thread."""
    before = _ACTING.set(visible(name, longest=_LONGEST_NAME))
    try:
        yield
    finally:
        _ACTING.reset(before)


def operator() -> str:
    """Who runs this: whoever it is done for, the person behind sudo, or the account; its number if it has no name."""
    if acting := _ACTING.get():
        return acting
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's account that /etc/passwd does not have
        name = f"uid {os.getuid()}"
    return visible(name, longest=_LONGEST_NAME)


def state_directory() -> Path:
    """Where the history and reports live: ``$XDG_STATE_HOME/orchestrator`` or ``~/.local/state/orchestrator``.

    Raises:
        RequestRefused: the account has no home.
    """
    home = os.environ.get("XDG_STATE_HOME")
    if home:
        return Path(home) / "orchestrator"
    try:
        return Path.home() / ".local" / "state" / "orchestrator"
    except RuntimeError:
        raise RequestRefused(
            "the folder for the history and the locks is unknown, for this account has no home: set XDG_STATE_HOME to "
            "a folder of its own"
        ) from None


def home_path(path: str | Path) -> Path:
    """A path whose ``~`` is the account's home.

    Raises:
        RequestRefused: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RequestRefused(f"{path}: this computer has no home folder for ~: write the full path") from None


def _is_special(path: Path) -> bool:
    if path.is_symlink() and str(path.readlink()).startswith("/proc/"):  # /dev/stdout
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def replace_file(path: Path, text: str | bytes, *, mode: int | None = None) -> None:
    """Write a file whole or not at all: somebody may be reading the earlier one.

    A device, a pipe or a link to the program's own output is left alone: the file would stand in its place.

    Args:
        path: where; its folder is made.
        text: what; a text as UTF-8.
        mode: who may read it; by default as the account's umask has it.

    Raises:
        OSError: it could not be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    if _is_special(path):
        raise OSError(errno.EEXIST, "not a file", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(text.encode() if isinstance(text, str) else text)
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        # A full disk is noticed where no name is known any more.
        raise OSError(error.errno, error.strerror, str(error.filename or path)) from error


def create_file(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file that is not there yet, whole or not at all, even if another run writes it at the same time.

    Args:
        path: where; its folder is made.
        text: what, as UTF-8.
        mode: who may read it; by default as the account's umask has it.

    Raises:
        FileExistsError: something of that name is there.
        OSError: it could not be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fresh.write_bytes(text.encode())
        if mode is not None:
            fresh.chmod(mode)
        os.link(fresh, path)  # unlike a renaming, never over something else
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
