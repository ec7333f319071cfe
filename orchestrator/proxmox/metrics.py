"""Proxmox's own samples of a whole cluster, in one call (8.2.5 and newer).

Each node's statistics daemon measures its guests every ten seconds and keeps the last half hour. ``uptime`` is there of
every guest, 0 while it is stopped; it is the age of the guest's process, so it falls when that begins anew, be it by a
live migration. A node that is off, or does not answer the one that is asked, is silently left out: nothing follows from
an absence (PVE::API2::Cluster::MetricServer, PVE::PullMetric).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

EVERY_SECONDS = 10
"""Between two samples of a guest."""

_GUEST = re.compile(r"(?:qemu|lxc)/([1-9][0-9]{2,8})", re.ASCII)
_LATEST = 32_503_680_000


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a cluster's daemons measured.

    Attributes:
        uptimes: (time, uptime) of each guest by its number, in seconds, in the order of time.
        answered_at: the time by the node that answered; None if it did not say.
    """

    uptimes: Mapping[int, tuple[tuple[int, int], ...]]
    answered_at: float | None

    @property
    def guests(self) -> int:
        """How many guests there are samples of."""
        return len(self.uptimes)


def read_samples(cluster: Calls, since: int) -> Samples:
    """The samples of all guests after a time: one call.

    Args:
        cluster: the API.
        since: seconds since the epoch, by the cluster's clock; in the past.

    Raises:
        NotImplementedByServer: this Proxmox VE is older.
        PermissionDenied: the token lacks Sys.Audit on /.
        ProxmoxError: it could not be read.
    """
    answer = cluster.get("/cluster/metrics/export", params={"history": True, "start-time": since})
    found: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for entry in _uptimes(answer["data"]):
        guest = _GUEST.fullmatch(str(entry.get("id")))
        if guest is None:
            continue
        at, value = entry.get("timestamp"), entry.get("value")
        if not isinstance(at, int) or not isinstance(value, int | float) or not 0 < at < _LATEST > abs(value):
            continue  # one guest's: it is as one that there are no samples of
        found[int(guest[1])].add((at, max(0, int(value))))  # less than 0 while a clock is being set
    return Samples(
        uptimes={vmid: tuple(sorted(samples)) for vmid, samples in found.items()},
        answered_at=cluster.answered_at(),
    )


def _uptimes(entries: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (entry for entry in entries if entry.get("metric") == "uptime")
