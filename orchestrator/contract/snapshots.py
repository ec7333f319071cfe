"""How many snapshots a machine has at a time, and how long each lives (articles 3.2 and 3.3)."""

from __future__ import annotations

import datetime as dt

SNAPSHOTS_AT_A_TIME = 2
"""Articles 3.2 and 3.3: at most two snapshots of a machine at a time."""

SNAPSHOT_DAYS = 7
"""Articles 3.2 and 3.3: a snapshot is kept seven days."""

SNAPSHOT_LIFE = dt.timedelta(days=SNAPSHOT_DAYS)
