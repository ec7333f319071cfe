"""What a node's shell has of Proxmox's ``pvesm``: where the file of a volume is, for `orchestrator export`.

python -m lab.pvesm STATE-DIR SITE path VOLUME
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lab.api.cluster import storages_of
from lab.api.errors import Refused
from lab.settings import load_settings


def main(arguments: Sequence[str]) -> int:
    """Print the path of a volume; returns the exit status."""
    state_dir, site_name, *asked = arguments
    settings = load_settings(Path(state_dir))
    if settings is None or len(asked) != 2 or asked[0] != "path":
        print("the lab's pvesm knows `pvesm path VOLUME` and nothing else", file=sys.stderr)  # noqa: T201
        return 255
    site = next(item for item in settings.sites if item.name == site_name)
    try:
        print(storages_of(settings, site).volume(asked[1]).path)  # noqa: T201
    except Refused as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 255
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
