"""Errors of this computer (a full disk, a folder that is not ours) for people: the place, what is wrong, what to do."""

from __future__ import annotations

import errno
import os

import typer

from orchestrator.operations import computer

REMEDIES = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there, then run the same command again"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "run this as a user who may do that, or name another place (--history, XDG_STATE_HOME)",
    ),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        "something else is in its place: move that away, or name another place",
    ),
    errno.ENOENT: "it is not there: make it, or name another place",
    errno.EIO: "the disk, or the network behind it, is failing: see the system's log",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many files are open: raise the limit (ulimit -n)"),
}
"""What to do about an error of this computer, by its number."""


def reason(error: OSError) -> str:
    """The place, what is wrong with it, and what to do."""
    named = isinstance(error.filename, (str, bytes, os.PathLike))
    where = os.fsdecode(error.filename) if named else _somewhere()
    remedy = f": {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
    return f"{where}: {error.strerror or type(error).__name__}{remedy}"


def _somewhere() -> str:
    """Where something could not be written, if the system does not say it: when a disk is full, for one."""
    try:
        return f"the state directory {computer.state_directory()}, or a file that was named"
    except typer.Exit:
        return "a file of this computer"
