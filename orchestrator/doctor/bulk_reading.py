"""Whether all configurations can be read at once, where the site file asks for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox.bulk_reader import FilesUnusable

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, VmSummary


def judge_bulk_reading(place: Place, cluster: Cluster, vms: Collection[VmSummary]) -> Iterator[Finding]:
    """Read the files from each address that is named, and compare a few with the API.

    Args:
        place: the site.
        cluster: its API.
        vms: the machines of nodes that are online.
    """
    reader = cluster.bulk_reader
    for address in reader.addresses if reader else ():
        assert reader  # noqa: S101  (it has addresses)
        subject = f"bulk reading {address}"
        try:
            found = replace(reader, addresses=(address,)).confirmed(cluster, vms)
        except FilesUnusable as error:
            yield place.warning(
                subject,
                f"the configurations cannot be read, so plans ask the API for every machine: {error}",
                "set it up as docs/bulk-reading.md says, or take bulk_reading out of the site file",
            )
        else:
            yield place.ok(
                subject,
                f"the configurations of {len(found)} of {counted(len(vms), 'machine')}, as the API tells them",
            )
