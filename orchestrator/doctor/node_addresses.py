"""The API addresses of single nodes: that each answers, and belongs to a node that is there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.doctor import certificate
from orchestrator.doctor.certificate import Handshake
from orchestrator.doctor.findings import Finding, Place

if TYPE_CHECKING:
    from orchestrator.sites.model import Api

_AT_ONCE = 8


def shake_all(api: Api, *, timeout_seconds: float) -> dict[str, Handshake]:
    """Look at the certificate of each node's own address, several at once; by node."""
    if not api.nodes:
        return {}

    def shake(url: str) -> Handshake:
        return certificate.shake_hands(url, api.ca_file, timeout_seconds=timeout_seconds)

    with ThreadPoolExecutor(min(_AT_ONCE, len(api.nodes)), thread_name_prefix="address") as pool:
        return dict(zip(api.nodes, pool.map(shake, api.nodes.values()), strict=True))


def judge_addresses(
    place: Place,
    api: Api,
    shaken: Mapping[str, Handshake],
    known: Collection[str],
    foreign: Mapping[str, str],
    now: dt.datetime,
) -> Iterator[Finding]:
    """Say what is wrong with ``api.nodes``. What an address that is off would be asked, the others are asked.

    Args:
        place: the site.
        api: as the site file has it.
        shaken: how each handshake ended, by node.
        known: the nodes of the cluster; empty if they could not be read.
        foreign: addresses at which another cluster answers, and what tells it.
        now: the time, aware.
    """
    fine = []
    for node, ended in shaken.items():
        subject = f"API of {node}"
        if known and node not in known:
            yield place.error(
                subject,
                f"the cluster has no node {node}; it has {', '.join(sorted(known))}",
                "correct api.nodes in the site file",
            )
        elif ended.expires is None and ended.refused is None:
            yield place.warning(
                subject,
                f"no connection to {api.nodes[node]}: {ended.reason}; the other addresses are used instead",
                "see that the node is up, that pveproxy runs there (systemctl status pveproxy), and that no firewall "
                "is in between; the address is api.nodes of the site file",
            )
        elif why := foreign.get(api.nodes[node]):
            yield place.error(
                subject,
                f"{api.nodes[node]} is not used: {why}",
                "correct api.nodes in the site file; a node that was taken out of the cluster is to be wiped, for it "
                "still has the cluster's keys",
            )
        else:
            judged = list(certificate.judge(place, api.nodes[node], api.ca_file, ended, now, subject=subject))
            if all(finding.remedy for finding in judged):
                yield from judged
            else:
                fine.append(node)
    if fine:
        yield place.ok("API of nodes", f"{', '.join(fine)}: each at its own address")
