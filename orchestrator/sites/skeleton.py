"""The first text of an inventory: what was answered, and what else can be said, explained beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.yaml_reader.writing import inline, inline_item


@dataclass(frozen=True, kw_only=True)
class SiteBeginning:
    """What the inventory says of a site. The names are those of the site file's keys.

    Attributes:
        token_secret: ``{ env: NAME }`` or ``{ file: PATH }``, as the two parts.
        vlan, gateway, disk_format, data_centre, ca_file: empty: it is not said.
        images: templates by the names that clients' files use.
        backup_storages: storages, each with the site where it stands.
        found: what else the cluster has, for comments: words, and names.
    """

    name: str
    url: str
    token_id: str
    token_secret: tuple[str, str]
    storage: str
    network: str
    bridge: str
    subnet: str
    range: str
    images: Mapping[str, str]
    nameservers: Sequence[str] = ()
    ca_file: str = ""
    vlan: str = ""
    gateway: str = ""
    disk_format: str = ""
    data_centre: str = ""
    backup_storages: Sequence[tuple[str, str]] = ()
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InventoryBeginning:
    """What an inventory says."""

    addresses: Sequence[str]
    user: str
    ssh_public_key: str
    ssh_private_key: str
    sites: Sequence[SiteBeginning]


def inventory_skeleton(beginning: InventoryBeginning) -> str:
    """Return the text of ``sites.yaml``."""
    lines = [
        "# The provider's side: how machines are reached, and the data centres, each with one Proxmox VE cluster.",
        "# All keys: docs/site-file.md in the project, or the JSON Schema that `orchestrator schema --sites` prints.",
        "management:",
        f"  addresses: {inline(list(beginning.addresses))}  # where this program and your engineers connect from; "
        "never blocked",
        f"  user: {inline(beginning.user)}",
        f"  ssh_public_key: {inline(beginning.ssh_public_key)}",
        f"  ssh_private_key: {inline(beginning.ssh_private_key)}  # a path; the key stays in its file",
        "  # ssh_proxy_command: ssh -W %h:%p jump.example.net  # if machines are not reached directly",
        "",
        "sites:",
    ]
    for number, site in enumerate(beginning.sites):
        lines += ["", *_site(site)] if number else _site(site)
    return "\n".join([*lines, ""])


def _site(site: SiteBeginning) -> Iterator[str]:
    yield f"  {site.name}:"
    if site.data_centre:
        yield f"    data_centre: {inline(site.data_centre)}"
    else:
        yield "    # data_centre: DC Paris 3, Saint-Denis  # what clients are told; one, in France (article 3.3)"
    yield from _api(site)
    yield f"    storage: {inline(site.storage)}{_others(site, 'storages')}"
    if site.disk_format:
        yield f"    disk_format: {site.disk_format}  # on directory storages raw disks have no snapshots"
    yield from _network(site)
    yield "    images:  # by the names that clients' files use"
    yield from (
        f"      {name}: {{ template: {inline_item(template)} }}" for name, template in site.images.items()
    )
    if site.found.get("unfit templates"):
        yield f"      # not fit for cloud-init yet: {', '.join(site.found['unfit templates'])}"
    yield from _backups(site)


def _api(site: SiteBeginning) -> Iterator[str]:
    source, where = site.token_secret
    yield "    api:"
    yield f"      url: {inline(site.url)}"
    yield f"      token_id: {inline(site.token_id)}"
    yield f"      token_secret: {{ {source}: {inline_item(where)} }}  # a reference; the secret stays out of this file"
    if site.ca_file:
        yield f"      ca_file: {inline(site.ca_file)}  # whom to trust, instead of the system's certificates"


def _network(site: SiteBeginning) -> Iterator[str]:
    yield "    networks:  # the first one is the default"
    yield f"      - name: {site.network}"
    yield f"        bridge: {inline(site.bridge)}{_others(site, 'bridges')}"
    yield f"        vlan: {site.vlan}" if site.vlan else "        # vlan: 100"
    yield f"        subnet: {site.subnet}"
    if site.gateway:
        yield f"        gateway: {site.gateway}"
    yield f"        range: {inline(site.range)}  # where 'auto' addresses are chosen: nothing else uses them"
    if site.nameservers:
        yield f"        nameservers: {inline(list(site.nameservers))}"
    else:
        yield "        # nameservers: [203.0.113.2]"


def _backups(site: SiteBeginning) -> Iterator[str]:
    if site.backup_storages:
        yield "    backup_storages:  # always in another data centre (article 3.5)"
        for storage, where in site.backup_storages:
            yield f"      - {{ name: {inline_item(storage)}, site: {where} }}"
        return
    known = ", ".join(site.found.get("backup storages", ()))
    yield "    # Until this is filled in, files that ask for backups are refused. In another data centre (article 3.5):"
    yield "    # backup_storages:"
    yield f"    #   - {{ name: backup-lyon, site: lyon }}{f'  # the cluster has {known}' if known else ''}"


def _others(site: SiteBeginning, what: str) -> str:
    names = site.found.get(what, ())
    return f"  # or {', '.join(names)}" if names else ""
