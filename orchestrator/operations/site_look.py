"""What a cluster has that an inventory names: looked at once, to propose answers. Nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface

from orchestrator.errors import OrchestratorError
from orchestrator.operations.connecting import connect_api
from orchestrator.proxmox import (
    Cluster,
    NotFound,
    Patience,
    ProxmoxError,
    StorageSummary,
    VmSummary,
    can_snapshot,
    read_cluster,
    read_vm,
    storage_type,
)
from orchestrator.resources.image import template_defects
from orchestrator.sites.model import Api

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names that an inventory proposes, or names in a comment; what else a cluster answers is left out."""

_QCOW2 = "qcow2"


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """A bridge that every node has.

    Attributes:
        subnet, gateway: of the nodes on it; empty if they have no address there.
    """

    name: str
    subnet: str = ""
    gateway: str = ""


@dataclass(frozen=True, kw_only=True)
class SiteLook:
    """What a cluster has.

    Attributes:
        version: of Proxmox VE.
        nodes: their names.
        storages: for disks, the most suitable first: each with the format that its disks need to be snapshotted.
        backup_storages: for archives, and not for disks as well unless shared.
        bridges: that every node has.
        templates: fit to be cloned from.
        unfit: templates that lack something.
    """

    version: str
    nodes: tuple[str, ...]
    storages: tuple[tuple[str, str], ...]
    backup_storages: tuple[str, ...]
    bridges: tuple[Bridge, ...]
    templates: tuple[str, ...]
    unfit: tuple[str, ...]


def look_at_site(name: str, api: Api, secret: str) -> SiteLook:
    """Look at a cluster, with few attempts: somebody waits.

    Args:
        name: the site's.
        api: how it is reached, and as whom.
        secret: the token's.

    Raises:
        OrchestratorError: it could not be looked at.
    """
    cluster = connect_api(name, api, secret, patience=Patience(attempts=1))
    try:
        version = str(cluster.get("/version")["version"])
        state = read_cluster(cluster)
        online = [node.name for node in state.nodes if not node.off]
        templates = [
            vm
            for vm in state.vms
            if vm.template and vm.named and _SAFE_NAME.fullmatch(vm.name) and vm.node in online
        ]
        unfit = {vm.name for vm in templates if not _fit(cluster, vm)}
        return SiteLook(
            version=version,
            nodes=tuple(sorted(online)),
            storages=_for_disks(state.storages, len(online)),
            backup_storages=_for_backups(state.storages),
            bridges=tuple(_bridges(cluster, online)),
            templates=tuple(sorted({vm.name for vm in templates} - unfit)),
            unfit=tuple(sorted(unfit)),
        )
    finally:
        cluster.close()


def certificate_authority(name: str, api: Api, secret: str) -> str:
    """The certificate of the cluster's own CA (PEM), as a node tells it; empty if it tells none.

    A node's own certificate is renewed every year or two, the CA's lasts ten.
    """
    cluster = connect_api(name, api, secret, patience=Patience(attempts=1))
    try:
        for node in cluster.get("/nodes"):
            if not _SAFE_NAME.fullmatch(str(node.get("node"))):
                continue
            listed = cluster.get(f"/nodes/{node['node']}/certificates/info")
            for entry in listed if isinstance(listed, list) else ():
                if isinstance(entry, dict) and entry.get("filename") == "pve-root-ca.pem":
                    return str(entry.get("pem") or "")
    except (OrchestratorError, KeyError, TypeError):
        return ""
    finally:
        cluster.close()
    return ""


def _fit(cluster: Cluster, vm: VmSummary) -> bool:
    try:
        return not template_defects(vm, read_vm(cluster, vm.node, vm.vmid, odd=True))
    except (NotFound, ProxmoxError):
        return False


def _named(
    storages: Iterable[StorageSummary], takes: Callable[[StorageSummary], bool]
) -> dict[str, list[StorageSummary]]:
    found: dict[str, list[StorageSummary]] = {}
    for storage in storages:
        if takes(storage) and _SAFE_NAME.fullmatch(storage.name):
            found.setdefault(storage.name, []).append(storage)
    return found


def _for_disks(storages: Sequence[StorageSummary], nodes: int) -> tuple[tuple[str, str], ...]:
    """Storages that disks can be made on: on all nodes, able to snapshot, shared and large ones first."""
    found = _named(storages, lambda item: "images" in item.content and bool(storage_type(item.kind).formats))

    def rank(name: str) -> tuple[bool, bool, bool, int]:
        entries = found[name]
        first = entries[0]
        able = can_snapshot(first.kind, _format(first.kind) or "raw")
        return (
            len(entries) < nodes,
            not able,
            not first.shared,
            -sum(item.maxdisk - item.disk for item in entries),
        )

    return tuple((name, _format(found[name][0].kind)) for name in sorted(found, key=rank))


def _format(kind: str) -> str:
    """The format that disks need for snapshots on a type of storage; empty: its own."""
    known = storage_type(kind)
    return _QCOW2 if known.snapshots is None and _QCOW2 in known.formats else ""


def _for_backups(storages: Sequence[StorageSummary]) -> tuple[str, ...]:
    found = _named(storages, lambda item: "backup" in item.content)
    return tuple(
        sorted(name for name, entries in found.items() if entries[0].shared or entries[0].kind == "pbs")
    )


def _bridges(cluster: Cluster, nodes: Iterable[str]) -> Iterable[Bridge]:
    """The bridges that every node has, those with addresses first; an address is proposed where all agree on it."""
    seen: dict[str, list[Bridge]] = {}
    count = 0
    for node in nodes:
        count += 1
        for entry in cluster.get(f"/nodes/{node}/network", type="any_bridge"):
            name = str(entry.get("iface") or "")
            if _SAFE_NAME.fullmatch(name):
                seen.setdefault(name, []).append(_bridge(name, entry))
    everywhere = [entries for entries in seen.values() if len(entries) == count]
    agreed = [
        entries[0] if len(set(entries)) == 1 else Bridge(name=entries[0].name) for entries in everywhere
    ]
    return sorted(agreed, key=lambda bridge: (not bridge.subnet, bridge.name))


def _bridge(name: str, entry: dict[str, object]) -> Bridge:
    try:
        network = IPv4Interface(str(entry["cidr"])).network
        gateway = str(IPv4Interface(str(entry["gateway"])).ip) if entry.get("gateway") else ""
    except (KeyError, ValueError):
        return Bridge(name=name)
    return Bridge(name=name, subnet=str(network), gateway=gateway)
