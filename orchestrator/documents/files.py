"""Which files are meant by the paths that a person gives, and their text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.documents.places import position
from orchestrator.documents.problems import Problem

LARGEST_BYTES = 8 * 1024 * 1024
"""A file of this kind written by people has a few thousand bytes; a disk image named by mistake has more."""

_ENDINGS = (".yaml", ".yml")


def yaml_files(paths: Sequence[Path]) -> Iterator[Path | Problem]:
    """Yield every file that the paths name, each once, those of a folder sorted by name.

    A folder stands for all files below it that end in ``.yaml`` or ``.yml``, but for what begins with a dot.
    A path without any file is a problem: nothing must look like a provider without clients by accident.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found = sorted(_below(path))
            if not found:
                yield _no_line(
                    path, "no subscription file in this folder", "name a folder that holds *.yaml files"
                )
        else:
            found = [path]
        for file in found:
            if (resolved := file.resolve()) not in seen:
                seen.add(resolved)
                yield file


def read_text(path: Path) -> str | Problem:
    """Return the text of a file, or why it cannot be had."""
    try:
        if path.exists() and not path.is_file():
            return _no_line(path, "not a file", "name a file or a folder")
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        return _no_line(path, "no such file or folder", "check the path")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return _no_line(path, f"the file cannot be read: {reason}", "check who may read it")
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
            str(path), line + 1, column + 1, column + 2, "error", message, "save it in the encoding UTF-8"
        )


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            Path(parent, name) for name in names if name.endswith(_ENDINGS) and not name.startswith(".")
        )


def _no_line(path: Path, message: str, allowed: str) -> Problem:
    return Problem(str(path), 1, 1, 2, "error", message, allowed)
