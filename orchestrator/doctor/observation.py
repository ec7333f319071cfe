"""What ``orchestrator watch`` may read at a site: observation works with less, and then knows less."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox.privileges import Held, Need, holds

_SAMPLES = Need(privilege="Sys.Audit", path="/", features=("Proxmox's samples",))
_LOGS = Need(privilege="Sys.Syslog", path="/nodes", features=("how guests ended",))


def judge_observation(place: Place, held: Held) -> Iterator[Finding]:
    """Say what observation may read.

    Args:
        place: the site.
        held: what the token may do.
    """
    if not holds(held, _SAMPLES):
        yield place.warning(
            "observation",
            "the token lacks Sys.Audit on /, so `orchestrator watch` cannot read Proxmox's samples: it reads the "
            "cluster's list, and the times of outages are as coarse as its rounds",
            "give the role on / and not only below it: `orchestrator bootstrap` prints the lines",
        )
    elif holds(held, _LOGS):
        yield place.ok("observation", "samples of all guests; the nodes' logs say how guests ended")
    else:
        yield place.ok(
            "observation",
            "samples of all guests; without Sys.Syslog a shutdown from inside and a killed process stay unknown "
            "(docs/observation.md)",
        )
