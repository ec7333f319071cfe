"""The guest image: Debian from Debian's packages, made once a recipe and kept.

    python -m lab.image [--output PATH] [--suite bookworm]

The image's name has a hash of everything in this folder, so that a changed recipe makes a new image
and an unchanged one is used again. It is built under another name and renamed when it is complete:
a build that was killed leaves nothing that counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.image import recipe
from lab.image.disk import build_disk, to_qcow2
from lab.image.rootfs import ImageBuildError, build_root

__all__ = ["DEFAULT_CACHE", "USUAL_TIME", "ImageBuildError", "ensure_image", "recipe_hash"]

DEFAULT_CACHE = Path("/var/cache/orchestrator-lab")
"""Where images are kept between runs."""

USUAL_TIME = "one to three minutes for all of the image"
"""For people who wait."""


def ensure_image(
    cache_dir: Path = DEFAULT_CACHE,
    report: Callable[[str], None] = lambda line: None,
    *,
    suite: str = recipe.SUITE,
) -> Path:
    """Return the guest image (qcow2), built first where the cache does not have it (one to three minutes).

    Never write to the file: every guest's disk is a copy of it. Two processes that ask at the same
    time build once.

    Args:
        cache_dir: folder to keep images in; made where it is missing. Needs about 3 GB while building.
        report: gets a line for each step, for people.
        suite: Debian release.

    Raises:
        ImageBuildError: not root, a tool or the packages are missing, or a step failed.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    image = cache_dir / f"debian-{suite}-{recipe_hash(suite)}.qcow2"
    if image.exists():
        return image
    with (cache_dir / ".building").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not image.exists():
            _build(image, suite, report)
    return image


def recipe_hash(suite: str = recipe.SUITE) -> str:
    """Twelve hexadecimal digits that change with the recipe, the files put into the guest and the suite."""
    digest = hashlib.sha256(suite.encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"\0{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build(image: Path, suite: str, report: Callable[[str], None]) -> None:
    began = time.monotonic()
    for leftover in image.parent.glob("build-*"):  # of a build that was killed: we hold the lock
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix="build-", dir=image.parent) as scratch, _usual_modes():
        root, disk, finished = (Path(scratch) / name for name in ("root", "disk.raw", "disk.qcow2"))
        build_root(root, suite, report)
        report("writing the disk")
        build_disk(root, disk)
        to_qcow2(disk, finished)
        finished.replace(image)
    report(f"guest image ready after {time.monotonic() - began:.0f} s: {image}")


@contextmanager
def _usual_modes() -> Iterator[None]:
    """Let files of the guest be readable in it, whatever the umask of whoever builds the image."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)
