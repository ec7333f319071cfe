"""Which files are meant by the paths that a person gives, and their text.

What stands below a folder may come from somebody else, by a merge request: a link there could lead to any file that
this program can read, and its content into a message. So nothing below a given folder is ever reached over a link, not
even one that is put there while we look; and whatever looks like a file of ours and is not read is a problem.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.shown import visible
from orchestrator.yaml_reader.places import position
from orchestrator.yaml_reader.problems import Problem

LARGEST_BYTES = 1024 * 1024
"""A client with a thousand machines has some 400 KiB; a disk image named by mistake has more."""

DEEPEST_FOLDER = 16
"""Levels of folders below the one that is given."""

_ENDINGS = (".yaml", ".yml")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a pipe must not block us
_NO_LINK = "a link is not followed here: put the file itself in its place"


@dataclass(frozen=True)
class YamlFile:
    """A file that is to be read.

    Attributes:
        path: as messages name it.
        folder: what is given by the person who runs the program; below it no link is followed.
    """

    path: Path
    folder: Path

    @property
    def shown(self) -> str:
        """The path on one line, as problems name it."""
        return _printable(self.path)


def yaml_files(paths: Sequence[Path]) -> Iterator[YamlFile | Problem]:
    """Yield every file that the paths name, each once, those of a folder sorted by name.

    A folder stands for all files below it that end in ``.yaml`` or ``.yml``, but for what begins with a dot.
    What is left out although it looks like one of them is a problem, and so is a path without any file: nothing must
    look like a provider without clients by accident.
    """
    seen: set[Path] = set()
    for path in paths:
        found: list[YamlFile | Problem]
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError):
            is_folder = False  # reading it says why
        if is_folder:
            found = list(_below(path))
            if not found:
                found = [
                    _no_line(
                        path, "no subscription file in this folder", "name a folder that holds *.yaml files"
                    )
                ]
        else:
            found = [YamlFile(path, path.parent)]
        for file in found:
            if isinstance(file, Problem):
                yield file
            elif (place := _place(file)) not in seen:
                seen.add(place)
                yield file


def read_text(file: YamlFile) -> str | Problem:
    """Return the text of a file that is no link and is reached over none below its folder, or why it cannot be had."""
    try:
        with _folder_of(file) as folder:
            name = file.path.name
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                return _no_line(file.path, "a link", _NO_LINK)
            descriptor = os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=folder)
        return _text(file.path, descriptor)
    except (OSError, ValueError) as error:
        return _unreadable(file.path, error)


def read_trusted_text(path: Path) -> str | Problem:
    """Return the text of a file whose path the provider alone chooses (it may be a link), or why it cannot be had."""
    try:
        return _text(path, os.open(path, _FILE))
    except (OSError, ValueError) as error:
        return _unreadable(path, error)


def _text(path: Path, descriptor: int) -> str | Problem:
    """Read what was opened, and judge that: the name may lead elsewhere a moment later."""
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _no_line(path, "not a file", "name a file or a folder")
        content = stream.read(LARGEST_BYTES + 1)
    if content is None:  # a file of the kernel's that has nothing to say yet
        return _no_line(path, "not a file", "name a file or a folder")
    if len(content) > LARGEST_BYTES:
        return _no_line(
            path, f"the file has more than {LARGEST_BYTES // 1024**2} MiB", "one client's file is small"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()  # without the mark that some editors begin a file with
        line, column = position(before, len(before))
        message = f"the file is not UTF-8 text (byte 0x{error.object[error.start]:02x})"
        return Problem(
            _printable(path),
            line + 1,
            column + 1,
            column + 2,
            "error",
            message,
            "save it in the encoding UTF-8",
        )


@contextmanager
def _folder_of(file: YamlFile) -> Iterator[int]:
    """Open the folder that holds a file, step by step from the one that was given, over no link."""
    descriptor = os.open(file.folder, _FOLDER)
    try:
        for name in file.path.relative_to(file.folder).parts[:-1]:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _below(folder: Path) -> Iterator[YamlFile | Problem]:
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError as error:
        yield _unreadable(folder, error, "the folder")
        return
    yield from _in_folder(folder, folder, descriptor, DEEPEST_FOLDER)


def _in_folder(top: Path, path: Path, descriptor: int, levels: int) -> Iterator[YamlFile | Problem]:
    """Yield the files of one folder and of those in it, by name; closes the descriptor."""
    try:
        with os.scandir(descriptor) as entries:
            listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=_by_name)
        for entry in listed:
            yield from _entry(top, path / entry.name, entry, descriptor, levels)
    except OSError as error:
        yield _unreadable(path, error, "the folder")
    finally:
        os.close(descriptor)


def _entry(
    top: Path, path: Path, entry: os.DirEntry[str], descriptor: int, levels: int
) -> Iterator[YamlFile | Problem]:
    visible = "".join(character for character in entry.name if character.isprintable())
    looks_like_ours = visible.strip().lower().endswith(_ENDINGS)
    if entry.is_symlink():
        if looks_like_ours or _leads_to_folder(entry.name, descriptor):
            yield _no_line(path, "a link", _NO_LINK)
    elif entry.is_dir(follow_symlinks=False):
        yield from _folder_in(top, path, descriptor, levels, looks_like_ours)
    elif looks_like_ours:
        if not entry.is_file(follow_symlinks=False):
            yield _no_line(path, "not a file", "take it out of this folder")
        elif not entry.name.isprintable():
            yield _no_line(path, "a file's name with characters that cannot be printed", "rename it")
        elif not entry.name.endswith(_ENDINGS):
            yield _no_line(
                path,
                "this file is not read: its name does not end in .yaml or .yml",
                "rename it (small letters, no blank at the end), or take it out of this folder",
            )
        else:
            yield YamlFile(path, top)


def _folder_in(
    top: Path, path: Path, descriptor: int, levels: int, looks_like_ours: bool
) -> Iterator[YamlFile | Problem]:
    if looks_like_ours:
        yield _no_line(path, "a folder whose name ends as a file's", "rename it: what it holds is read then")
    elif not path.name.isprintable():
        yield _no_line(path, "a folder's name with characters that cannot be printed", "rename it")
    elif not levels:
        yield _no_line(path, f"more than {DEEPEST_FOLDER} folders in each other", "put the files further up")
    else:
        try:
            inner = os.open(path.name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
        except OSError as error:
            yield _unreadable(path, error, "the folder")
        else:
            yield from _in_folder(top, path, inner, levels - 1)


def _leads_to_folder(name: str, descriptor: int) -> bool:
    """Whether a link leads to a folder, or to what we must not see: it may be one."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=descriptor).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _by_name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _place(file: YamlFile) -> Path:
    """Where a file is, however its folder is named. Two names of one file (hard links) are two files."""
    try:
        return Path(os.path.realpath(file.folder)) / file.path.relative_to(file.folder)
    except (OSError, ValueError):
        return file.path


def _unreadable(path: Path, error: OSError | ValueError, thing: str = "the file") -> Problem:
    if isinstance(error, FileNotFoundError):
        return _no_line(path, "no such file or folder", "check the path")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _no_line(path, f"{thing} cannot be read: {reason}", "check who may read it")


def _no_line(path: Path, message: str, allowed: str) -> Problem:
    return Problem(_printable(path), 1, 1, 2, "error", message, allowed)


def _printable(path: Path) -> str:
    """A path as a message shows it: a file's name is somebody else's, and may hold anything but a slash."""
    return visible(str(path))
