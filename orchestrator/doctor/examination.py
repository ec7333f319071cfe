"""Looking at one site, and at this computer: everything is read first, then judged."""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.doctor import certificate, guests, local_tools
from orchestrator.doctor.access import judge_privileges
from orchestrator.doctor.bulk_reading import judge_bulk_reading
from orchestrator.doctor.cluster import (
    Quorum,
    judge_bridges,
    judge_clocks,
    judge_freeze,
    judge_quorum,
    judge_reports,
    judge_version,
)
from orchestrator.doctor.findings import Finding, Place
from orchestrator.doctor.images import judge_images
from orchestrator.doctor.machines import judge_files, judge_machines
from orchestrator.doctor.node_addresses import judge_addresses, shake_all
from orchestrator.doctor.observation import judge_observation
from orchestrator.doctor.storages import judge_storages
from orchestrator.proxmox import NotFound, ProxmoxError, TlsRefused, Unreachable, read_cluster, read_vm
from orchestrator.proxmox.privileges import Need, major, read_held
from orchestrator.resources.observing import observe
from orchestrator.resources.privileges import missing
from orchestrator.resources.redundancy import HARDWARE_NEEDS
from orchestrator.sites.secrets import SecretUnavailable, resolve

if TYPE_CHECKING:
    from orchestrator.guests import SshSettings
    from orchestrator.proxmox import Cluster, ClusterState, VmConfig
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Management, Provider, Site

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class ClientFiles:
    """The clients' files that were read.

    Attributes:
        desired: all machines of all files.
        others: further clients that have a file: it could not be used.
        everybody: whether the files are meant to be all there are.
    """

    desired: tuple[DesiredMachine, ...] = ()
    others: frozenset[str] = frozenset()
    everybody: bool = False


NO_FILES = ClientFiles()
"""No files were read: nothing is said of clients."""


def examine_here(provider: Provider) -> list[Finding]:
    """Look at this computer: Ansible and the keys. No network."""
    found = local_tools.judge_ansible(local_tools.ansible_version(), local_tools.ansible_program())
    return [*found, *local_tools.judge_keys(provider)]


def examine_site(
    name: str,
    site: Site,
    management: Management,
    *,
    connect: Callable[[str], Cluster],
    extra: Collection[Need] = (),
    ssh: SshSettings | None = None,
    clients: ClientFiles = NO_FILES,
) -> list[Finding]:
    """Look at a site. Nothing is changed there.

    Args:
        name: of the site.
        site: what the site file says of it.
        management: how machines are reached.
        connect: makes a client of the API, given the token's secret.
        extra: privileges that are needed besides, for what files ask there.
        ssh: how guests are entered; None: they are left alone.
        clients: whose files were read.
    """
    place = Place(name)
    findings: list[Finding] = []
    if not site.api.verify_tls:
        findings.append(
            place.warning(
                "certificate",
                "it is not looked at (verify_tls: false): whoever answers gets the token",
                "take verify_tls out, and name the cluster's CA as ca_file; for test nodes only",
            )
        )
    else:
        seconds = min(_CONNECT_SECONDS, site.api.timeout_seconds)
        shaken = certificate.shake_hands(site.api.url, site.api.ca_file, timeout_seconds=seconds)
        now = dt.datetime.now(dt.UTC)
        findings += certificate.judge(place, site.api.url, site.api.ca_file, shaken, now)
        if shaken.expires is None and (shaken.refused is not None or not site.api.nodes):
            return findings
    try:
        secret = resolve(site.api.token_secret)
    except SecretUnavailable as error:
        findings.append(
            place.error(
                "token", f"its secret could not be read: {error}", "see token_secret in docs/site-file.md"
            )
        )
        return findings
    cluster = connect(secret)
    try:
        findings += _examine(place, site, management, cluster, extra, ssh, clients)
    except ProxmoxError as error:
        findings.append(
            place.error(_subject(error), str(error), error.remedy or "see the error, and run this again")
        )
    finally:
        cluster.close()
    return findings


def _subject(error: ProxmoxError) -> str:
    return "certificate" if isinstance(error, TlsRefused) else "API"


def _examine(
    place: Place,
    site: Site,
    management: Management,
    cluster: Cluster,
    extra: Collection[Need],
    ssh: SshSettings | None,
    clients: ClientFiles,
) -> Iterator[Finding]:
    version = str(cluster.get("/version")["version"])
    yield place.ok("API", f"{site.api.url} as {site.api.token_id}")
    yield from judge_version(place, version)
    held = read_held(cluster)
    release = major(version)
    yield from judge_privileges(
        place, held, release, extra, token_id=site.api.token_id, consoles=site.consoles
    )
    absent = {need.privilege for need in missing(held, release, extra)}
    if not absent:
        yield from judge_observation(place, held)
    quorum = _quorum(cluster)
    yield from judge_quorum(place, quorum, high_availability=set(HARDWARE_NEEDS) <= set(extra))
    if absent & {"VM.Audit", "Pool.Audit", "Datastore.Audit", "Sys.Audit"}:
        return  # what cannot be seen must not be judged
    state = read_cluster(cluster)
    yield from judge_freeze(place, state.frozen)
    elsewhere = {node for second in site.second_sites.values() for node in second.nodes}
    yield from judge_reports(place, state.nodes)
    # One that keeps its figures to itself answers.
    online = sorted(node.name for node in state.nodes if not node.off)
    home = [node for node in online if node not in elsewhere]
    yield from _second_sites(place, site, state)
    if site.api.verify_tls:
        seconds = min(_CONNECT_SECONDS, site.api.timeout_seconds)
        shaken = shake_all(site.api, timeout_seconds=seconds)
        known = {node.name for node in state.nodes}
        foreign = cluster.foreign(frozenset(site.api.nodes.values()))
        yield from judge_addresses(place, site.api, shaken, known, foreign, dt.datetime.now(dt.UTC))
    yield from judge_clocks(place, dict(_clocks(cluster, online)))
    settings = {str(entry["storage"]): entry for entry in cluster.get("/storage")}
    yield from judge_storages(place, site, state.storages, home, settings)
    yield from _bridges(place, site, cluster, home)
    yield from judge_images(place, site, state.vms, _templates(site, cluster, state))
    yield from judge_bulk_reading(place, cluster, [vm for vm in state.vms if vm.node in online])
    if not absent and quorum.quorate:
        yield from _guest(place, management, cluster, state, ssh)
    observed = observe(cluster, place.name)
    yield from judge_machines(place, observed)
    yield from judge_files(place, observed, clients.desired, clients.others, everybody=clients.everybody)


def _quorum(cluster: Cluster) -> Quorum:
    entries: list[Mapping[str, Any]] = cluster.get("/cluster/status")
    nodes = [entry for entry in entries if entry["type"] == "node"]
    about = next((entry for entry in entries if entry["type"] == "cluster"), None)
    return Quorum(
        cluster=str(about["name"]) if about else "",
        quorate=bool(int(about.get("quorate") or 0)) if about else True,
        offline=tuple(sorted(str(node["name"]) for node in nodes if not int(node.get("online") or 0))),
        nodes=len(nodes),
    )


def _second_sites(place: Place, site: Site, state: ClusterState) -> Iterator[Finding]:
    known = {node.name for node in state.nodes}
    for second, nodes in site.second_sites.items():
        strange = sorted(set(nodes.nodes) - known)
        if strange:
            yield place.error(
                f"second site {second}",
                f"the cluster has no node {', '.join(strange)}; it has {', '.join(sorted(known))}",
                "correct second_sites in the site file",
            )
        else:
            yield place.ok(f"second site {second}", ", ".join(nodes.nodes))


def _clocks(cluster: Cluster, nodes: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Each node's clock against ours, in the middle of the call. A node that does not answer is told of elsewhere."""
    for node in nodes:
        before = time.time()
        try:
            theirs = float(cluster.get(f"/nodes/{node}/time")["time"])
        except Unreachable:
            continue
        # Proxmox tells whole seconds: half a second more is as likely as none.
        yield node, theirs + 0.5 - (before + time.time()) / 2


def _bridges(place: Place, site: Site, cluster: Cluster, home: Iterable[str]) -> Iterator[Finding]:
    wanted: dict[str, list[str]] = defaultdict(list)
    for network in site.networks:
        wanted[network.bridge].append(network.name)
    there = {
        node: frozenset(
            str(entry["iface"]) for entry in cluster.get(f"/nodes/{node}/network", type="any_bridge")
        )
        for node in home
    }
    yield from judge_bridges(place, wanted, there)


def _templates(site: Site, cluster: Cluster, state: ClusterState) -> dict[int, VmConfig | ProxmoxError]:
    names = {image.template for image in site.images.values()}
    configs: dict[int, VmConfig | ProxmoxError] = {}
    for vm in state.vms:
        if vm.template and vm.name in names and vm.node not in state.nodes_off:
            try:
                configs[vm.vmid] = read_vm(cluster, vm.node, vm.vmid, odd=True)
            except NotFound:  # removed since the list was read
                continue
            except ProxmoxError as error:  # one template's: the others are looked at
                configs[vm.vmid] = error
    return configs


def _guest(
    place: Place, management: Management, cluster: Cluster, state: ClusterState, ssh: SshSettings | None
) -> Iterator[Finding]:
    if ssh is None:
        return
    target = guests.choose(cluster, state, management.user)
    if target is None:
        yield place.ok("SSH to machines", "not tried: no machine of ours runs and was delivered")
    else:
        yield from guests.enter(place, target, management, ssh)
