"""Errors that are meant for people: what happened, what to do about it, and a code that programs can tell it by.

Everything that somebody who runs the program can do something about is an :class:`OrchestratorError`. Each face (the
command line, a page) has one place that shows it. Any other exception is a defect of the program, and told as one.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar

from orchestrator.redaction import without_secrets

_LOG = logging.getLogger("orchestrator.defects")
_LONGEST = 500
"""Characters of a defect's own text that are shown."""


Reason = Annotated[str, "why something cannot be, for people"]
"""What a function returns that says why something cannot be. Its texts are messages: they stand in docs/messages.md."""


class OrchestratorError(Exception):
    """Something that people can do something about. The class says what kind, its first line what it means.

    Attributes:
        code: the kind, for programs: the class's name in lower case, such as ``history-unavailable``.
        text: what happened, with the values that it is about.
        remedy: what to do, where ``text`` does not say it already; may be empty.
        exit_code: how a command that ends by it ends.
        advice: what else helps, for the page of messages.
        about: the machine that it is about, where ``text`` does not name it; see :func:`about`.
    """

    code: ClassVar[str] = "error"
    default_remedy: ClassVar[str] = ""
    advice: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.lstrip("_")).lower()

    def __init__(self, text: str, *, remedy: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.remedy = remedy or self.default_remedy
        self.exit_code = 1
        self.about = ""

    def said(self) -> str:
        """What happened and what to do."""
        return f"{self.text}: {self.remedy}" if self.remedy and self.remedy not in self.text else self.text

    def __str__(self) -> str:
        said = self.said()
        return f"{self.about}: {said}" if self.about and self.about not in said else said


@contextmanager
def about(what: str) -> Iterator[None]:
    """Let an error that leaves the context say what it is about: ``CLIENT/MACHINE``, if its text does not."""
    try:
        yield
    except OrchestratorError as error:
        error.about = error.about or what
        raise


class RequestRefused(OrchestratorError):
    """What was asked for cannot be done, and nothing was begun."""


class BadValue(OrchestratorError, ValueError):
    """A value that was read is not what Proxmox, or this program, writes there; nothing was done with it."""

    advice = (
        "Look at the machine in Proxmox (`qm config VMID`, its notes): correct what the message quotes, or shorten the "
        "notes beside the mark, then run the same command again."
    )


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


def local_reason(error: OSError) -> str:
    """An error of this computer (a full disk, a folder of somebody else): the place, what is wrong, what to do."""
    named = isinstance(error.filename, (str, bytes, os.PathLike))
    where = os.fsdecode(error.filename) if named else "a file of this computer"
    remedy = f": {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
    return f"{where}: {error.strerror or type(error).__name__}{remedy}"


def is_meant_for_people(error: BaseException) -> bool:
    """Whether an error is no defect of the program."""
    return isinstance(error, OrchestratorError) or (isinstance(error, OSError) and error.errno in REMEDIES)


def told(error: BaseException) -> str:
    """An error as people are told it, where the work goes on without the part that failed.

    A defect of the program is told as one; ``--verbose`` shows its traceback.
    """
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return local_reason(error)
    if is_meant_for_people(error):
        return str(error)
    trace = without_secrets("".join(traceback.format_exception(error)))
    _LOG.debug("internal error", extra={"fields": {"traceback": trace}})
    return (
        f"internal error ({type(error).__name__}), please report it: {without_secrets(str(error))[:_LONGEST]}"
    )
