"""Describing existing machines as a subscription file, with what is not good practice (article 4.2).

Nothing in Proxmox is changed: ``apply`` takes them over.
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.probation import probation_ends
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.history.taking_over import IMPORTED
from orchestrator.operations.computer import operator, replace_file
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history, run_name
from orchestrator.planning.gaps import Gap, find_gaps
from orchestrator.proxmox import Cluster, ProxmoxError, guest_interfaces
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.attributes import ATTRIBUTES, network_of
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.sites.model import Provider, Site, SiteNetwork
from orchestrator.subscriptions.loading import load


@dataclass(frozen=True, kw_only=True)
class TakeOverRequest:
    """Which machines are to be described.

    Attributes:
        machines: ``NODE/VMID`` each.
        client, contract, starts: whose they are, the contract's number, its first day.
        inventory: where the site file is.
        site: where they are; None: the only site.
        offer: that they run under.
        image: the site's image that is closest to what they run; None: its first.
        address: of the one machine, where neither Proxmox nor its agent knows it.
        output: where the file goes; None: into ./subscriptions.
        history: a file or URL; None: the usual one.
    """

    machines: tuple[str, ...]
    client: str
    contract: str
    starts: str
    inventory: str | None
    site: str | None = None
    offer: str = "cloud-vm-advanced"
    image: str | None = None
    address: str | None = None
    output: Path | None = None
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """The file that was written, and the gaps of each machine by its name."""

    file: Path
    gaps: Mapping[str, list[Gap]]


def take_over(request: TakeOverRequest, events: Events = SILENT) -> TakenOver:
    """Write the file that describes the machines.

    Raises:
        OrchestratorError: no file was written.
    """
    provider = open_provider(request.inventory)
    name, place = _site(provider, request.site)
    path = request.output or DEFAULT_FOLDER / f"{request.client}.yaml"
    if path.exists():
        raise RequestRefused(f"{path} exists already: name another file with --out, and join the two by hand")
    wanted = [_parse(text) for text in request.machines]
    if request.address is not None and len(wanted) > 1:
        raise RequestRefused("--address is for one machine: import the others by themselves")
    image = request.image or next(iter(place.images))
    with open_clusters(provider, only=[name], notice=events.notice) as clusters:
        observed = _observe(clusters, name, {vmid for _, vmid in wanted})
        found = [_found(observed, node, vmid) for node, vmid in wanted]
        described = [_describe(machine, clusters[name], place, image, request.address) for machine in found]
    _unique([item["name"] for item in described])
    text = _text(request.client, request.contract, request.starts, name, request.offer, described)
    gaps = {item["name"]: find_gaps(machine) for item, machine in zip(described, found, strict=True)}
    _check(path, text, provider, events)
    try:
        replace_file(path, text)
    except OSError as error:
        raise RequestRefused(f"the file cannot be written: {local_reason(error)}") from error
    try:
        _record(
            request,
            name,
            {item["name"]: machine for item, machine in zip(described, found, strict=True)},
            gaps,
        )
    except BaseException:
        path.unlink(missing_ok=True)  # else the next run would be told that it is there already
        raise
    return TakenOver(file=path, gaps=gaps)


def _record(
    request: TakeOverRequest,
    site: str,
    machines: Mapping[str, ObservedMachine],
    gaps: Mapping[str, list[Gap]],
) -> None:
    with open_history(request.history) as opened:
        for name, machine in machines.items():
            opened.append(
                who=operator(),
                why=f"taking over (art. 4.2), contract {request.contract}",
                client=request.client,
                machine=name,
                site=site,
                action=IMPORTED,
                result="ok",
                run=run_name(dt.datetime.now(dt.UTC)),
                details={
                    "vm": machine.summary.vmid,
                    "node": machine.summary.node,
                    "gaps": [gap.code for gap in gaps[name]],
                    "probation_until": _probation(),
                },
            )


def _site(provider: Provider, site: str | None) -> tuple[str, Site]:
    name = site or next(iter(provider.sites))
    if site is None and len(provider.sites) > 1:
        raise RequestRefused(f"at which site? --site is one of {', '.join(provider.sites)}")
    if name not in provider.sites:
        raise RequestRefused(f"there is no site {name}: the inventory has {', '.join(provider.sites)}")
    return name, provider.sites[name]


def _parse(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([A-Za-z0-9.-]+)/(\d{3,9})", text)
    if match is None:
        raise RequestRefused(f"{text} names no machine: say NODE/VMID, such as pve1/105")
    return match[1], int(match[2])


def _observe(clusters: Mapping[str, Cluster], site: str, vmids: set[int]) -> ObservedSite:
    read = observe_sites(clusters, Asked(everybody=True, adopting=vmids, snapshots=True))
    if site in read.failures:
        raise RequestRefused(f"site {site}: {read.failures[site]}")
    return read.observed[site]


def _found(observed: ObservedSite, node: str, vmid: int) -> ObservedMachine:
    for machine in observed.machines:
        if machine.summary.vmid == vmid and machine.mark:
            raise RequestRefused(f"VM {vmid} is {machine.mark.client}/{machine.mark.machine} of ours already")
    for vm in observed.state.vms:
        if vm.vmid == vmid and vm.template:
            raise RequestRefused(
                f"VM {vmid} is a template: templates are named in the site file, not taken over"
            )
    unread = next((item for item in observed.unreadable if item.vmid == vmid), None)
    if unread is not None:
        raise RequestRefused(f"VM {vmid} on {unread.node} could not be read: {unread.reason}")
    machine_found = observed.adoptable.get(vmid)
    if machine_found is None or machine_found.summary.node != node:
        where = f": VM {vmid} is on {machine_found.summary.node}" if machine_found else ""
        raise RequestRefused(f"there is no machine {node}/{vmid}{where}")
    if machine_found.summary.lock:
        raise RequestRefused(
            f"VM {vmid} is locked ({machine_found.summary.lock}): import it when its task has ended"
        )
    return machine_found


def _describe(
    machine: ObservedMachine, cluster: Cluster, site: Site, image: str, given: str | None
) -> dict[str, Any]:
    config, summary = machine.config, machine.summary
    if image not in site.images:
        raise RequestRefused(f"the site has no image {image}: it has {', '.join(site.images)}")
    slots = disk_slots(config)
    if not slots:
        raise RequestRefused(f"VM {summary.vmid} has no disk")
    network = _network(machine, site)
    address = _address(machine, cluster, network, given)
    described: dict[str, Any] = {
        "name": _label(summary.name, summary.vmid),
        "adopt": summary.vmid,
        "image": image,
    }
    for row in ATTRIBUTES:
        if row.imported and (value := row.read(config)) is not None:
            described[row.imported[0]] = row.imported[1](value)
    described["disks"] = [
        {
            "name": "system" if index == 0 else f"data-{index}",
            "size": f"{slot.gibibytes}GiB",
            **({"backup": False} if slot.disk.left_out and index > 0 else {}),
        }
        for index, slot in enumerate(slots)
    ]
    described["network"] = network.name
    described["address"] = str(address)
    if not machine.running:
        described["power"] = "stopped"
    return described


def _network(machine: ObservedMachine, site: Site) -> SiteNetwork:
    bridge, vlan = network_of(machine.config) or (None, None)
    found = next((item for item in site.networks if (item.bridge, item.vlan) == (bridge, vlan)), None)
    if found is None:
        words = (
            f"bridge {bridge}" + (f", VLAN {vlan}" if vlan else "") if bridge else "no network device net0"
        )
        raise RequestRefused(
            f"VM {machine.summary.vmid} is on {words}, which is not a network of the site: describe it in the site file"
        )
    return found


def _address(
    machine: ObservedMachine, cluster: Cluster, network: SiteNetwork, given: str | None
) -> IPv4Address:
    vmid, found = machine.summary.vmid, machine.address
    if found is None and given is not None:
        try:
            found = IPv4Address(given)
        except ValueError:
            raise RequestRefused(f"--address {given} is not a valid IPv4 address") from None
    if found is None and machine.running:
        try:
            seen = guest_interfaces(cluster, machine.summary.node, vmid)
        except ProxmoxError:
            seen = ()
        told = (_ipv4(text.partition("/")[0]) for item in seen for text in item.addresses)
        found = next((address for address in told if address and address in network.subnet), None)
    if found is None:
        raise RequestRefused(
            f"the address of VM {vmid} is not known: neither cloud-init nor a guest agent tells one in "
            f"{network.subnet}; give it with --address"
        )
    if given is not None and str(found) != given:
        raise RequestRefused(f"VM {vmid} has {found}, not {given}: leave --address out")
    return found


def _ipv4(text: str) -> IPv4Address | None:
    """An address that a guest tells; None for IPv6, and for anything else that a guest may say."""
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _label(name: str, vmid: int) -> str:
    label = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return label if re.match(r"[a-z]", label) else f"vm-{vmid}"


def _unique(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RequestRefused(
                f"two machines would be called {name}: import them into two files, and rename one"
            )


def _text(
    client: str, contract: str, starts: str, site: str, offer: str, machines: list[dict[str, Any]]
) -> str:
    today = day_in_paris(dt.datetime.now(dt.UTC))
    head = {"reference": contract, "starts": starts, "site": site, "taken_over": str(today)}
    data = {"client": client, "contract": head, "services": [{"offer": offer, "machines": machines}]}
    comment = (
        "# Written by `orchestrator import`: existing machines as they are. To be decided: administration (who may\n"
        "# log in, from where), managed_services, backup and firewall of each machine. Until `apply --guests` the\n"
        "# guests are left alone.\n"
    )
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    # Dates are written bare: the reader takes texts and dates alike, people read dates.
    return comment + re.sub(r"'(\d{4}-\d\d-\d\d)'", r"\1", body)


def _check(path: Path, text: str, provider: Provider, events: Events) -> None:
    """Make sure that the file reads back without an error.

    Raises:
        RequestRefused: it does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        errors = [problem for problem in load([trial], provider).problems if problem.severity == "error"]
        events.problems(errors)
        if errors:
            raise RequestRefused("the machines cannot be described by a file, nothing was written")


def _probation() -> str:
    return str(probation_ends(day_in_paris(dt.datetime.now(dt.UTC))))
