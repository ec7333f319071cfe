"""Does a site's clock agree with this computer's? With a wrong one everything looks old enough to be removed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.errors import Reason
from orchestrator.proxmox import ProxmoxError

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

TOLERANCE = dt.timedelta(minutes=5)
"""By so much a site's clock may differ from this computer's."""


def clock_of(cluster: Cluster, clock: Callable[[], dt.datetime]) -> Callable[[], dt.datetime]:
    """The time at a site, whose clock dates its archives: one call now.

    Args:
        cluster: the API of the site.
        clock: this computer's time, aware.

    Raises:
        ProxmoxError: the site could not be asked, or did not say the time.
    """
    ahead = dt.timedelta(seconds=cluster.clock_offset(lambda: clock().timestamp()))
    return lambda: clock() + ahead


def clock_objection(cluster: Cluster, clock: Callable[[], dt.datetime]) -> Reason:
    """Why what looks expired at a site must not be removed now: one call.

    Args:
        cluster: the API of the site.
        clock: this computer's time, aware.

    Returns:
        The difference of the clocks, human-readable; empty if they agree to a few minutes.
    """
    try:
        ahead = cluster.clock_offset(lambda: clock().timestamp())
    except ProxmoxError as error:
        return f"the clock of {cluster.site} could not be read, so nothing that looks expired is removed: {error}"
    if abs(ahead) <= TOLERANCE.total_seconds():
        return ""
    way = "ahead of" if ahead > 0 else "behind"
    return (
        f"the clock of {cluster.site} is {abs(ahead) / 3600:.1f} hours {way} this computer's, so nothing that looks "
        "expired is removed: set the wrong clock (chronyc tracking, timedatectl)"
    )
