"""The lab's own tests are skipped where nothing that they depend on has changed since they passed.

The files of :data:`OWN` test the lab: they run no command of the orchestrator and import nothing of it, directly or
not. So it is known what they depend on: the file, what it imports, all of ``lab/``, the pinned Python packages, and
the versions of QEMU, of the other Debian packages, of Python and of the kernel. A digest of all that, kept outside
the clone when the whole file has passed, lets the file be skipped for a week. ``make lab`` says where it is kept
(``LAB_TESTED``); without that, or where nothing is kept, every test runs.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = frozenset(
    f"test_{name}"
    for name in (
        *(
            "api_conformance",
            "clock",
            "lab_backup_jobs",
            "lab_backups",
            "lab_cables",
            "lab_disks",
            "lab_restore",
        ),
        *("monitor", "runtime", "vma"),
    )
)
"""The files that test the lab and nothing else. Any other file always runs."""

KEPT_SECONDS = 7 * 86400
_FOLDER = "LAB_TESTED"
_PACKAGES = (
    "qemu-system-x86 qemu-utils mmdebstrap iproute2 procps openssh-client openssh-server fdisk e2fsprogs zstd"
)
_ALWAYS = ("constraints.txt", "pyproject.toml", "tests/conftest.py", "tests/lab/conftest.py")


def _imports(path: Path) -> Iterator[Path]:
    """The files of this repository that a Python file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = ROOT.joinpath(*name.split("."))
            yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def looked_at(test: Path) -> set[Path] | None:
    """All files that a test file of the lab's own looks at; None for one that is not its own.

    Raises:
        ValueError: it is said to be, and imports something of the orchestrator.
    """
    if test.stem not in OWN:
        return None
    found: set[Path] = set()
    waiting = [test]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if path.is_relative_to(ROOT / "orchestrator"):
            raise ValueError(f"{test} is not the lab's own: it imports {path}")
        found.add(path)
        waiting += _imports(path)
    found |= {path for path in (ROOT / "lab").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return found | set((ROOT / "tests" / "lab").glob("*.jsonl")) | {ROOT / name for name in _ALWAYS}


@cache
def _versions() -> str:
    asked = ["dpkg-query", "--show", *_PACKAGES.split()]
    packages = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return f"{packages}\n{sys.version}\n{platform.release()}\n{platform.machine()}"


def digest(test: Path) -> str | None:
    """A digest of what a test file looks at; None if it is not the lab's own."""
    files = looked_at(test)
    if files is None:
        return None
    made = hashlib.sha256(_versions().encode())
    for path in sorted(files):
        content = path.read_bytes()
        made.update(f"\n{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return made.hexdigest()


def _kept(test: Path) -> Path | None:
    folder = os.environ.get(_FOLDER)
    known = digest(test) if folder else None
    return Path(folder, f"{test.stem}-{known[:24]}") if folder and known else None


def passed_days_ago(test: Path) -> float | None:
    """How many days ago a test file of the lab's own passed, unchanged; None if it has to run."""
    kept = _kept(test)
    if kept is None or not kept.is_file():
        return None
    age = time.time() - kept.stat().st_mtime
    return age / 86400 if 0 <= age < KEPT_SECONDS else None


def keep(test: Path) -> None:
    """Note that all of a test file has passed."""
    kept = _kept(test)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        for older in kept.parent.glob(f"{test.stem}-*"):
            older.unlink(missing_ok=True)
        kept.touch()
