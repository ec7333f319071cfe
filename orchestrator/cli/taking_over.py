"""``orchestrator import``: describe existing machines as a subscription file, and say what is not good practice."""

from __future__ import annotations

import datetime as dt
import json
import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.local_errors import reason
from orchestrator.cli.nightly import Language

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.planning.gaps import Gap
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.observed import ObservedMachine, ObservedSite
    from orchestrator.sites.model import Provider, Site, SiteNetwork

_TEXTS = {
    "fr": ("Écarts avec les bonnes pratiques", "aucun écart visible dans la configuration", "à faire"),
    "en": ("Gaps against good practice", "no gap that the configuration shows", "to do"),
}


def import_(
    machines: Annotated[list[str], typer.Argument(metavar="NODE/VMID...", help="The machines to take over.")],
    client: Annotated[str, typer.Option(help="Whose they are.")],
    contract: Annotated[str, typer.Option(metavar="REFERENCE", help="The contract's number.")],
    starts: Annotated[str, typer.Option(metavar="DATE", help="The contract's first day.")],
    site: Annotated[
        str | None, typer.Option(help="Where they are.  [default: the inventory's only site]")
    ] = None,
    offer: Annotated[str, typer.Option(help="The offer that they run under.")] = "cloud-vm-advanced",
    image: Annotated[
        str | None,
        typer.Option(help="The site's image that is closest to what they run.  [default: its first]"),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of the one machine, where neither Proxmox nor its agent knows it.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the file goes.  [default: subscriptions/CLIENT.yaml]"),
    ] = None,
    language: Annotated[Language, typer.Option(help="Of the report of gaps.")] = Language.FR,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Write the file that describes existing machines, and report their gaps (article 4.2). Changes nothing in Proxmox.

    `plan` then shows that they would be taken over as they are, `apply` does it, and the plan after that is empty.
    """
    from orchestrator.planning.gaps import find_gaps

    provider = session.open_provider(inventory)
    name, place = _site(provider, site)
    path = out or session.DEFAULT_FOLDER / f"{client}.yaml"
    if path.exists():
        session.fail(f"{path} exists already: name another file with --out, and join the two by hand")
    wanted = [_parse(text) for text in machines]
    if address is not None and len(wanted) > 1:
        session.fail("--address is for one machine: import the others by themselves")
    with session.open_clusters(provider, only=[name]) as clusters:
        observed = _observe(clusters, name, {vmid for _, vmid in wanted})
        found = [_found(observed, node, vmid) for node, vmid in wanted]
        described = [
            _describe(machine, clusters[name], place, image or next(iter(place.images)), address)
            for machine in found
        ]
    _unique([item["name"] for item in described])
    text = _text(client, contract, starts, name, offer, described)
    gaps = {item["name"]: find_gaps(machine) for item, machine in zip(described, found, strict=True)}
    _check(path, text, provider)
    with session.open_history(history) as opened:
        for item, machine in zip(described, found, strict=True):
            opened.append(
                who=session.operator(),
                why=f"taking over (art. 4.2), contract {contract}",
                client=client,
                machine=item["name"],
                site=name,
                action="import",
                result="ok",
                run=session.run_name(dt.datetime.now(dt.UTC)),
                details={
                    "vm": machine.summary.vmid,
                    "node": machine.summary.node,
                    "gaps": [gap.code for gap in gaps[item["name"]]],
                    "probation_until": _probation(),
                },
            )
    _report(path, gaps, language.value, format)


def _site(provider: Provider, site: str | None) -> tuple[str, Site]:
    name = site or next(iter(provider.sites))
    if site is None and len(provider.sites) > 1:
        session.fail(f"at which site? --site is one of {', '.join(provider.sites)}")
    if name not in provider.sites:
        session.fail(f"there is no site {name}: the inventory has {', '.join(provider.sites)}")
    return name, provider.sites[name]


def _parse(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([A-Za-z0-9.-]+)/(\d{3,9})", text)
    if match is None:
        session.fail(f"{text} names no machine: say NODE/VMID, such as pve1/105")
    return match[1], int(match[2])


def _observe(clusters: Mapping[str, Cluster], site: str, vmids: set[int]) -> ObservedSite:
    from orchestrator.resources.survey import Asked, observe_sites

    read = observe_sites(clusters, Asked(everybody=True, adopting=vmids, snapshots=True))
    if site in read.failures:
        session.fail(f"site {site}: {read.failures[site]}")
    return read.observed[site]


def _found(observed: ObservedSite, node: str, vmid: int) -> ObservedMachine:
    for machine in observed.machines:
        if machine.summary.vmid == vmid and machine.mark:
            session.fail(f"VM {vmid} is {machine.mark.client}/{machine.mark.machine} of ours already")
    for vm in observed.state.vms:
        if vm.vmid == vmid and vm.template:
            session.fail(f"VM {vmid} is a template: templates are named in the sites' file, not taken over")
    unread = next((item for item in observed.unreadable if item.vmid == vmid), None)
    if unread is not None:
        session.fail(f"VM {vmid} on {unread.node} could not be read: {unread.reason}")
    machine_found = observed.adoptable.get(vmid)
    if machine_found is None or machine_found.summary.node != node:
        where = f": VM {vmid} is on {machine_found.summary.node}" if machine_found else ""
        session.fail(f"there is no machine {node}/{vmid}{where}")
    if machine_found.summary.lock:
        session.fail(f"VM {vmid} is locked ({machine_found.summary.lock}): import it when its task has ended")
    return machine_found


def _describe(
    machine: ObservedMachine, cluster: Cluster, site: Site, image: str, given: str | None
) -> dict[str, Any]:
    from orchestrator.resources.adoption import disk_slots
    from orchestrator.resources.attributes import ATTRIBUTES

    config, summary = machine.config, machine.summary
    if image not in site.images:
        session.fail(f"the site has no image {image}: it has {', '.join(site.images)}")
    slots = disk_slots(config)
    if not slots:
        session.fail(f"VM {summary.vmid} has no disk")
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
        {"name": "system" if index == 0 else f"data-{index}", "size": f"{slot.gibibytes}GiB"}
        for index, slot in enumerate(slots)
    ]
    described["network"] = network.name
    described["address"] = str(address)
    if not machine.running:
        described["power"] = "stopped"
    return described


def _network(machine: ObservedMachine, site: Site) -> SiteNetwork:
    from orchestrator.resources.attributes import network_of

    bridge, vlan = network_of(machine.config) or (None, None)
    found = next((item for item in site.networks if (item.bridge, item.vlan) == (bridge, vlan)), None)
    if found is None:
        words = (
            f"bridge {bridge}" + (f", VLAN {vlan}" if vlan else "") if bridge else "no network device net0"
        )
        session.fail(
            f"VM {machine.summary.vmid} is on {words}, which is no network of the site: describe it in the sites' file"
        )
    return found


def _address(
    machine: ObservedMachine, cluster: Cluster, network: SiteNetwork, given: str | None
) -> IPv4Address:
    from orchestrator.proxmox import ProxmoxError, guest_interfaces

    vmid, found = machine.summary.vmid, machine.address
    if found is None and given is not None:
        try:
            found = IPv4Address(given)
        except ValueError:
            session.fail(f"--address {given} is no IPv4 address")
    if found is None and machine.running:
        try:
            seen = guest_interfaces(cluster, machine.summary.node, vmid)
        except ProxmoxError:
            seen = ()
        told = (_ipv4(text.partition("/")[0]) for item in seen for text in item.addresses)
        found = next((address for address in told if address and address in network.subnet), None)
    if found is None:
        session.fail(
            f"the address of VM {vmid} is not known: neither cloud-init nor a guest agent tells one in "
            f"{network.subnet}; give it with --address"
        )
    if given is not None and str(found) != given:
        session.fail(f"VM {vmid} has {found}, not {given}: leave --address out")
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
            session.fail(f"two machines would be called {name}: import them into two files, and rename one")


def _text(
    client: str, contract: str, starts: str, site: str, offer: str, machines: list[dict[str, Any]]
) -> str:
    import yaml

    from orchestrator.contract.calendar import day_in_paris

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


def _check(path: Path, text: str, provider: Provider) -> None:
    """Write the file if it reads back without an error; else leave nothing and say what is wrong."""
    import tempfile

    from orchestrator.subscriptions import load

    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        loaded = load([trial], provider)
        errors = [problem for problem in loaded.problems if problem.severity == "error"]
        session.tell_problems(errors)
        if errors:
            session.fail("the machines cannot be described by a file, nothing was written")
    try:
        session.replace_file(path, text)
    except OSError as error:
        session.fail(f"the file cannot be written: {reason(error)}")


def _probation() -> str:
    from orchestrator.contract.calendar import day_in_paris
    from orchestrator.contract.probation import probation_ends

    return str(probation_ends(day_in_paris(dt.datetime.now(dt.UTC))))


def _report(path: Path, gaps: dict[str, list[Gap]], language: str, format: session.OutputFormat) -> None:
    chosen: Literal["fr", "en"] = "fr" if language == "fr" else "en"
    if format is session.OutputFormat.JSON:
        found = {
            name: [
                {"code": gap.code, "found": gap.found[chosen], "remedy": gap.remedy[chosen]} for gap in items
            ]
            for name, items in gaps.items()
        }
        session.echo_json(json.dumps({"file": str(path), "gaps": found}, indent=2, ensure_ascii=False))
        return
    title, none, to_do = _TEXTS[chosen]
    out = session.console()
    out.print(f"{path} written: review it, then `orchestrator plan` and `apply`")
    out.print(title, style="bold")
    for name, items in gaps.items():
        out.print(f"  {name}" + ("" if items else f"   {none}"))
        for gap in items:
            out.print(f"    - {gap.found[chosen]}; {to_do} : {gap.remedy[chosen]}")
