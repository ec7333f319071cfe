"""Whose SSH host keys are whose: what two clients' machines have identifies neither of them.

A guest tells its own host keys, and whoever is root in it may tell another machine's, which are public. If it then
passes connections on to that machine, the provider's key opens it, and what is meant for the one is done to the other:
the rules and the keys of its client's file. So nothing is sent to a machine with a host key of another client's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.observing import observe

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


@dataclass(frozen=True)
class KeyHolder:
    """A machine that is known by a host key.

    Attributes:
        where: the machine in Proxmox, human-readable; whose it is, is not said.
    """

    client: str
    where: str


Holders = Mapping[str, tuple[KeyHolder, ...]]
"""The machines that are known by each host key."""


def key_holders(sites: Iterable[ObservedSite]) -> dict[str, tuple[KeyHolder, ...]]:
    """Return which machines are known by which host keys, as their marks have it."""
    found: dict[str, tuple[KeyHolder, ...]] = {}
    for site in sites:
        for machine in site.machines:
            for key in machine.mark.host_keys if machine.mark else ():
                assert machine.mark is not None  # noqa: S101  (it has keys)
                holder = KeyHolder(machine.mark.client, f"VM {machine.summary.vmid} at {machine.site}")
                found[key] = (*found.get(key, ()), holder)
    return found


class EveryHolder:
    """Everybody's host keys, read when they are first asked for: most commands send nothing to a guest.

    Args:
        clusters: by site.
        observed: the sites as they were read. One of which only some machines were is then read whole.
    """

    def __init__(self, clusters: Mapping[str, Cluster], observed: Mapping[str, ObservedSite]) -> None:
        self._clusters = clusters
        self._observed = observed
        self._guard = threading.Lock()
        self._known: Holders | None = None

    def __call__(self) -> Holders:
        """Return the machines that are known by each host key.

        Raises:
            ProxmoxError: a site could not be read; without it nobody's keys are surely its own.
        """
        with self._guard:
            if self._known is None:
                self._known = key_holders(self._whole(name) for name in self._observed)
            return self._known

    def _whole(self, name: str) -> ObservedSite:
        site = self._observed[name]
        return observe(self._clusters[name], name) if site.others else site


def key_objection(client: str, host_keys: Iterable[str], holders: Holders) -> str:
    """Say why a machine's host keys do not identify it; empty if they do.

    Args:
        client: whose machine it is.
        host_keys: its keys.
        holders: who else is known by them.
    """
    others = {holder.where for key in host_keys for holder in holders.get(key, ()) if holder.client != client}
    if not others:
        return ""
    return (
        f"its SSH host key is also that of {', '.join(sorted(others))}, which belongs to another client, so nothing is "
        "sent: one of them may pass connections on to the other; make new keys in the one that copied them "
        "(rm /etc/ssh/ssh_host_*, ssh-keygen -A, restart ssh), then orchestrator apply --guests"
    )
