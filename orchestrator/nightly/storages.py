"""Health of the storages in the morning: are they there, and will tonight and the next seven nights fit?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

_NEARLY_FULL = 0.9
"""Share of a storage of machines from which on it is reported: snapshots and thin disks grow without asking."""
