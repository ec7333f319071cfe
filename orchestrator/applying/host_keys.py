"""Whose SSH host keys are whose: what two clients' machines have identifies neither of them.

A guest tells its own host keys, and whoever is root in it may tell another machine's, which are public. If it then
passes connections on to that machine, the provider's key opens it, and what is meant for the one is done to the other:
the rules and the keys of its client's file. So nothing is sent to a machine with a host key of another client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.resources.observed import ObservedSite


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
