"""What ends soon, told before it ends (article 3.8.1): certificates, licences, quotes, contracts. Pure.

Disks that fill up are Prometheus' affair (``DiskFullWithinWeek``): of a VM's disks the hypervisor knows the size, never
what the file systems in them hold.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ENDS_WITHIN_DAYS = 30
"""A certificate, licence, quote or contract is told so many calendar days before its last day."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Something that has a last day.

    Attributes:
        kind: what it is.
        name: its reference; of a certificate: the site.
        client: whose; empty for the provider's own.
        last_day: the last calendar day in Paris on which it is good.
    """

    kind: Literal["certificate", "licence", "quote", "contract"]
    name: str
    client: str
    last_day: dt.date


def ends_soon(endings: Iterable[Ending], today: dt.date) -> tuple[Ending, ...]:
    """Those whose last day is today or within thirty days, the next one first. What has ended is past telling."""
    latest = today + dt.timedelta(days=ENDS_WITHIN_DAYS)
    found = (item for item in endings if today <= item.last_day <= latest)
    return tuple(sorted(found, key=lambda item: (item.last_day, item.client, item.kind, item.name)))
