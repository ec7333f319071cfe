"""Addresses that come with a request: only those of this program are followed."""

from __future__ import annotations

import re

_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
_LONGEST = 2000


def local_address(text: str) -> str:
    r"""Return a path of ours with its query; ``/`` of anything else.

    Browsers read ``//host`` and ``/\\host`` as other hosts, and drop tabs and line ends before they look.
    """
    return text if len(text) <= _LONGEST and _LOCAL.fullmatch(text) else "/"
