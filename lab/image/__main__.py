"""`python -m lab.image`: build the guest image, or say where it is."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from lab.image import DEFAULT_CACHE, USUAL_TIME, ImageBuildError, ensure_image, recipe
from lab.patience import patience


def main() -> int:
    """Build or find the image; the last line of standard output is its path."""
    parser = argparse.ArgumentParser(prog="python -m lab.image", description=__doc__)
    parser.add_argument("--output", type=Path, help="also copy the image to this file")
    parser.add_argument("--suite", default=recipe.SUITE, help="Debian release (default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="folder to keep images in (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        with patience(None, USUAL_TIME, out=sys.stderr) as say:
            image = ensure_image(arguments.cache, say, suite=arguments.suite)
    except ImageBuildError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if arguments.output:
        shutil.copyfile(image, arguments.output)
        image = arguments.output
    print(image)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
