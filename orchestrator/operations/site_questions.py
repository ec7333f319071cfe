"""What has to be known of a site, question by question, with what its cluster has as proposals."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from orchestrator.operations.computer import home_path
from orchestrator.operations.questions import Ask, Question, value_of
from orchestrator.operations.site_look import Bridge, SiteLook
from orchestrator.sites.model import Image, Site, SiteNetwork
from orchestrator.sites.skeleton import SiteBeginning
from orchestrator.yaml_reader.values import DnsLabel

_LABEL: TypeAdapter[str] = TypeAdapter(DnsLabel)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_WORDS = "letters, digits and . _ -, as Proxmox has it"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a site's API is reached: the keys of ``api``."""

    token_id: str
    token_secret: tuple[str, str]
    ca_file: str = ""


def read_names(text: str) -> str:
    """A name as files have them: of a site, a network, an image.

    Raises:
        ValueError: it is none.
    """
    try:
        return _LABEL.validate_python(text.strip())
    except ValidationError:
        raise ValueError("lower-case letters, digits and '-', a letter first, 63 at most") from None


def token_secret(site: str, ask: Ask) -> tuple[str, str]:
    """Ask where the token's secret is: ``("env", NAME)`` or ``("file", PATH)``. Never for the secret itself."""
    variable = f"PVE_{site.upper().replace('-', '_')}_TOKEN"

    def read(text: str) -> tuple[str, str]:
        kind, sign, where = text.strip().partition(":")
        if not sign or kind not in ("env", "file") or not where:
            # What was typed may be the secret: it is not repeated.
            raise ValueError(
                "say where the secret is, env:NAME or file:PATH; the secret itself is never written down here"
            )
        if kind == "env":
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", where):
                raise ValueError("env: is followed by the name of an environment variable")
            return kind, where
        return kind, where if where.startswith("~") else str(home_path(where).absolute())

    return ask(
        Question(
            key="token-secret",
            site=site,
            text="Where its secret is or will be: env:NAME or file:PATH",
            default=f"env:{variable}",
            example="env:PVE_PARIS_TOKEN",
        ),
        read,
    )


def ask_site(
    name: str, url: str, reached: Reached, look: SiteLook | None, sites: Sequence[str], ask: Ask
) -> SiteBeginning:
    """Ask everything else about a site.

    Args:
        name, url, reached: of the site.
        look: what its cluster has; None: nobody knows.
        sites: all sites of the inventory.
        ask: gives the answers.
    """
    storages = dict(look.storages) if look else {}
    storage = ask(
        Question(
            key="storage",
            site=name,
            text="Storage for the machines' disks",
            default=next(iter(storages), None if look else "local-lvm"),
            known=tuple(storages),
            example="local-lvm",
        ),
        _proxmox_name,
    )
    network = _ask_network(name, look.bridges if look else (), ask)
    backups = _ask_backups(name, look, storage, sites, ask)
    found = {
        "storages": [other for other in storages if other != storage],
        "bridges": [bridge.name for bridge in look.bridges if bridge.name != network["bridge"]]
        if look
        else [],
        "unfit templates": list(look.unfit) if look else [],
        "backup storages": [other for other in look.backup_storages if other != storage] if look else [],
    }
    return SiteBeginning(
        name=name,
        url=url,
        token_id=reached.token_id,
        token_secret=reached.token_secret,
        ca_file=reached.ca_file,
        storage=storage,
        disk_format=_disk_format(name, storages.get(storage, ""), ask),
        data_centre=ask(
            Question(
                key="data-centre",
                site=name,
                text="The data centre, as clients are told where their machines are (empty: say nothing)",
                default="",
                example="DC Paris 3, Saint-Denis",
            ),
            lambda text: value_of(Site, "data_centre")(text) if text.strip() else "",
        ),
        images=_ask_images(name, look, ask),
        backup_storages=backups,
        found=found,
        nameservers=network["nameservers"].split(),
        **{key: network[key] for key in ("network", "bridge", "vlan", "subnet", "gateway", "range")},
    )


def _proxmox_name(text: str) -> str:
    if not _NAME.fullmatch(text.strip()):
        raise ValueError(_NAME_WORDS)
    return text.strip()


def _disk_format(site: str, proposed: str, ask: Ask) -> str:
    def read(text: str) -> str:
        if text.strip() not in ("", "raw", "qcow2"):
            raise ValueError("raw or qcow2")
        return text.strip()

    question = Question(
        key="disk-format", site=site, text="Format of disks", default=proposed, example="qcow2", asked=False
    )
    return ask(question, read)


def _ask_network(site: str, bridges: Sequence[Bridge], ask: Ask) -> dict[str, str]:
    """The first network of the site: the later ones are written by hand, after its example."""
    said: dict[str, str] = {}
    said["network"] = ask(
        Question(
            key="network",
            site=site,
            text="Name of the network",
            default="public",
            example="public",
            asked=False,
        ),
        read_names,
    )
    said["bridge"] = ask(
        Question(
            key="bridge",
            site=site,
            text="Bridge that machines are attached to",
            default=bridges[0].name if bridges else "vmbr0",
            known=tuple(bridge.name for bridge in bridges),
            example="vmbr0",
        ),
        value_of(SiteNetwork, "bridge"),
    )
    seen = next((bridge for bridge in bridges if bridge.name == said["bridge"]), Bridge(name=said["bridge"]))
    said["vlan"] = ask(
        Question(key="vlan", site=site, text="VLAN tag", default="", example="100", asked=False), _vlan
    )
    untagged = not said["vlan"]
    said["subnet"] = ask(
        Question(
            key="subnet",
            site=site,
            text="Subnet of the machines",
            default=(seen.subnet or None) if untagged else None,
            example="203.0.113.0/24",
        ),
        value_of(SiteNetwork, "subnet"),
    )

    def inside(text: str) -> str:
        """The range or the gateway, which is judged with the subnet."""
        return _in_subnet(said["subnet"], text)

    said["gateway"] = ask(
        Question(
            key="gateway",
            site=site,
            text="Its gateway (empty: none)",
            default=seen.gateway if untagged and seen.subnet == said["subnet"] else "",
            example="203.0.113.1",
        ),
        lambda text: inside(value_of(SiteNetwork, "gateway")(text)) if text.strip() else "",
    )
    said["range"] = ask(
        Question(
            key="range",
            site=site,
            text="Addresses for machines, which nothing else uses (FIRST-LAST)",
            example="203.0.113.10-203.0.113.200",
        ),
        lambda text: inside(value_of(SiteNetwork, "range")(text)),
    )
    said["nameservers"] = ask(
        Question(
            key="nameservers",
            site=site,
            text="Name servers of the machines (empty: say nothing)",
            default="",
            example="203.0.113.2",
        ),
        _addresses,
    )
    return said


def _vlan(text: str) -> str:
    if text.strip() and not (text.strip().isascii() and text.strip().isdigit() and 1 <= int(text) <= 4094):
        raise ValueError("a VLAN tag is a number from 1 to 4094")
    return text.strip()


def _in_subnet(subnet: str, text: str) -> str:
    network = ipaddress.ip_network(subnet)
    for part in text.split("-"):
        if ipaddress.ip_address(part.strip()) not in network:
            raise ValueError(f"{part.strip()} is not in the subnet {subnet}")
    return text


def _addresses(text: str) -> str:
    parts = text.replace(",", " ").split()
    for part in parts:
        ipaddress.IPv4Address(part)
    return " ".join(parts)


def _ask_images(site: str, look: SiteLook | None, ask: Ask) -> dict[str, str]:
    def read(text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in text.replace(",", " ").split():
            name, sign, template = part.partition(":")
            found[read_names(name)] = value_of(Image, "template")(template if sign else name)
        if not found:
            raise ValueError("name at least one image")
        return found

    templates = look.templates if look else ()
    proposed = " ".join(_image(template) for template in templates) or ("debian-12" if look is None else None)
    return ask(
        Question(
            key="images",
            site=site,
            text="Images that machines are cloned from: NAME, or NAME:TEMPLATE where the template has another name",
            default=proposed,
            known=templates,
            example="debian-12",
        ),
        read,
    )


def _image(template: str) -> str:
    """How an image is written whose template has this name."""
    label = re.sub(r"[^a-z0-9-]+", "-", template.lower()).strip("-")[:63].rstrip("-")
    label = label if re.match(r"[a-z]", label) else f"image-{label}"[:63].rstrip("-")
    return template if label == template else f"{label}:{template}"


def _ask_backups(
    site: str, look: SiteLook | None, storage: str, sites: Sequence[str], ask: Ask
) -> tuple[tuple[str, str], ...]:
    def read(text: str) -> tuple[tuple[str, str], ...]:
        found = []
        for part in text.replace(",", " ").split():
            name, sign, where = part.rpartition("@")
            if not sign:
                raise ValueError(
                    "write STORAGE@SITE, the site being the data centre where the storage stands"
                )
            if where == site:
                raise ValueError(
                    f"{name} would be at {site}, beside the machines: another data centre (article 3.5)"
                )
            found.append((_proxmox_name(name), read_names(where)))
        return tuple(found)

    known = tuple(other for other in look.backup_storages if other != storage) if look else ()
    others = [other for other in sites if other != site]
    return ask(
        Question(
            key="backup-storage",
            site=site,
            text="Storage for backups and the data centre where it stands, STORAGE@SITE (empty: none yet)",
            default="",
            known=known,
            example=f"backup-{others[0]}@{others[0]}" if others else "backup-lyon@lyon",
        ),
        read,
    )
