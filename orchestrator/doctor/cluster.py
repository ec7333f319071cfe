"""The cluster as a whole: version, quorum, nodes, clocks, a freeze."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.counting import counted
from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox import NodeSummary
from orchestrator.proxmox.privileges import major

KNOWN = (8, 9)
"""Major versions of Proxmox VE that the program was written for."""

MOST_SKEW = 5.0
"""Seconds that clocks may differ: snapshots and archives are judged by the node's, plans by ours."""

_ENOUGH = 3
"""Members of a cluster that keeps its quorum when one fails."""


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """What ``/cluster/status`` says.

    Attributes:
        cluster: its name; empty for a node that is in none.
        quorate: whether it can write.
        offline: nodes that are away.
        nodes: how many there are.
    """

    cluster: str
    quorate: bool
    offline: tuple[str, ...]
    nodes: int


def judge_version(place: Place, version: str) -> Iterator[Finding]:
    """Whether the program knows this version."""
    release = major(version)
    if release in KNOWN:
        yield place.ok("version", f"Proxmox VE {version}")
    elif release < min(KNOWN):
        yield place.error(
            "version", f"Proxmox VE {version} is too old", f"upgrade to {' or '.join(map(str, KNOWN))}"
        )
    else:
        yield place.warning(
            "version",
            f"Proxmox VE {version} is newer than the program knows: it is treated as {max(KNOWN)}",
            "try with a test site first (make acceptance), and look for a newer orchestrator",
        )


def judge_reports(place: Place, nodes: Sequence[NodeSummary]) -> Iterator[Finding]:
    """Whether every node's statistics daemon reports: without it the cluster knows no state of its machines."""
    for node in nodes:
        if node.mute:
            yield place.error(
                f"node {node.name}",
                "it answers but has not reported for five minutes: Proxmox shows its machines without name and state, "
                "and how full its storages are is not known",
                f"see `systemctl status pvestatd` on {node.name}: a storage that cannot be reached (NFS) often holds "
                "it up",
            )


def judge_quorum(place: Place, quorum: Quorum, *, high_availability: bool) -> Iterator[Finding]:
    """Whether it can write, and whether all its nodes are there."""
    if not quorum.quorate:
        yield place.error(
            "quorum",
            f"the cluster {quorum.cluster} has none: it is read-only, nothing can be changed",
            "bring its nodes back (pvecm status on each says which are missing)",
        )
    elif quorum.cluster:
        yield place.ok("quorum", f"cluster {quorum.cluster}, {counted(quorum.nodes, 'node')}")
    else:
        yield place.ok("quorum", "a single node, in no cluster")
    for node in quorum.offline:
        yield place.error(
            f"node {node}",
            "it is offline: its machines cannot be changed, backed up or seen to be running",
            "bring it back, or remove it from the cluster if it is gone for good (pvecm delnode)",
        )
    if high_availability and quorum.nodes < _ENOUGH:
        yield place.error(
            "high availability",
            f"{counted(quorum.nodes, 'node loses its', 'nodes lose their')} quorum when one fails, so nothing would "
            "restart (redundancy.hardware)",
            "add a third node, or an external vote (pvecm qdevice setup)",
        )


def judge_clocks(place: Place, ahead: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the nodes' clocks are ours.

    Args:
        place: the site.
        ahead: seconds by which each node's clock is ahead of ours.
    """
    wrong = {node: seconds for node, seconds in ahead.items() if abs(seconds) > MOST_SKEW}
    for node, seconds in sorted(wrong.items()):
        yield place.error(
            f"clock of {node}",
            f"it is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}",
            "let both computers follow the same time servers (chronyc tracking there and here)",
        )
    if ahead and not wrong:
        yield place.ok("clocks", f"within {MOST_SKEW:g} s of this computer's: {', '.join(sorted(ahead))}")


def judge_freeze(place: Place, frozen: str) -> Iterator[Finding]:
    """Whether somebody stopped every change."""
    if frozen:
        yield place.warning(
            "freeze", f"every change is stopped: {frozen}", "orchestrator thaw, when its reason is gone"
        )


def judge_bridges(
    place: Place, wanted: Mapping[str, Sequence[str]], bridges: Mapping[str, frozenset[str]]
) -> Iterator[Finding]:
    """Whether the networks' bridges are on every node where machines are made.

    Args:
        place: the site.
        wanted: the networks that need a bridge, by its name.
        bridges: the bridges that the token may use, by node.
    """
    for bridge, networks in sorted(wanted.items()):
        without = sorted(node for node, there in bridges.items() if bridge not in there)
        subject = f"bridge {bridge}"
        if without:
            yield place.error(
                subject,
                f"{', '.join(without)} has none that the token may use; the network {', '.join(networks)} needs it",
                "make it there (Node > System > Network), give the token SDN.Use on it, or correct `bridge` in the "
                "site file",
            )
        elif bridges:
            yield place.ok(subject, f"on {', '.join(sorted(bridges))}")
