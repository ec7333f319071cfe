"""The basic firewall of a machine (article 3.6): what it lets in, as data, in words, and as nftables rules.

Pure: no network, no clock, no environment. Default is closed: only what the subscription lists comes in, and
SSH from the client's and from the provider's own addresses.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadValue
from orchestrator.shipped_files import template_folder
from orchestrator.subscriptions.openings import (
    ANYWHERE,
    IPAddress,
    IPNetwork,
    Opening,
    Protocol,
    Source,
    compare_openings,
    compare_sources,
    contains,
    merged_networks,
    merged_openings,
    written,
)

if TYPE_CHECKING:
    from jinja2 import Template

    from orchestrator.subscriptions.model import Machine

SSH_PORT = 22
"""Where a guest's SSH server listens."""

_HIGHEST_PORT, _HIGHEST_FORM = 65535, 1_000_000
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

EXPORTER_PORT = 9100
"""Where Prometheus' node exporter listens."""

FORM = 2
"""Number of the form of the rules. Raise it with every change of the template that existing machines must
get: the plan then shows a firewall change on each of them."""


@dataclass(frozen=True)
class FirewallPolicy:
    """What a machine's firewall lets in. Two policies that mean the same are equal.

    Attributes:
        open: ports with their sources; disjoint and ordered once the policy is made.
        allowed_from: where the client administers the machine from; may be empty.
        management: where the provider administers it from. Empty means that the provider is shut out:
            such a policy can be described but is refused before it is sent.
        monitoring: where the provider's monitoring reads the node exporter from; may be empty.
        form: the form of the rules that carry it out, see :data:`FORM`.
    """

    open: tuple[Opening, ...] = ()
    allowed_from: tuple[IPNetwork, ...] = ()
    management: tuple[IPNetwork, ...] = ()
    monitoring: tuple[IPNetwork, ...] = ()
    form: int = FORM

    def __post_init__(self) -> None:
        object.__setattr__(self, "open", merged_openings(self.open))
        object.__setattr__(self, "allowed_from", merged_networks(self.allowed_from))
        object.__setattr__(self, "management", merged_networks(self.management))
        object.__setattr__(self, "monitoring", merged_networks(self.monitoring))


def policy_of(
    machine: Machine,
    *,
    allowed_from: Iterable[IPNetwork],
    management: Iterable[IPNetwork],
    monitoring: Iterable[IPNetwork] = (),
) -> FirewallPolicy:
    """Return the policy that a machine of a subscription file asks for.

    Args:
        machine: the machine with its ``firewall`` section.
        allowed_from: the addresses that the client administers the machine from.
        management: the addresses that the provider administers it from.
        monitoring: the addresses that the provider supervises it from.
    """
    openings = (Opening(*port.first_last, port.protocol, port.sources) for port in machine.firewall.open)
    return FirewallPolicy(tuple(openings), tuple(allowed_from), tuple(management), tuple(monitoring))


def admits_ssh_from(policy: FirewallPolicy, address: IPAddress) -> bool:
    """Whether a new SSH connection from an address would be let in."""
    return contains((*policy.allowed_from, *policy.management), address) or any(
        opening.protocol == "tcp"
        and opening.first <= SSH_PORT <= opening.last
        and contains(opening.sources, address)
        for opening in policy.open
    )


def render(policy: FirewallPolicy) -> str:
    """Return the rules as ``nft -f`` reads them: one transaction that replaces our own table, and only it.

    The same policy always gives the same text.
    """
    groups: dict[tuple[Protocol, tuple[Source, ...]], list[str]] = defaultdict(list)
    for opening in policy.open:
        groups[opening.protocol, opening.sources].append(opening.ports)
    rules = [
        {"match": match, "protocol": protocol, "ports": ", ".join(ports)}
        for (protocol, sources), ports in groups.items()
        for match in _source_matches(sources)
    ]
    administration = merged_networks((*policy.allowed_from, *policy.management))
    return _template().render(
        rules=rules,
        administration=_source_matches(administration),
        monitoring=_source_matches(policy.monitoring),
        ssh_port=SSH_PORT,
        exporter_port=EXPORTER_PORT,
    )


def _source_matches(sources: Iterable[Source]) -> list[str]:
    """The nftables matches for sources, one a family; for ``any`` one that matches both."""
    given = tuple(sources)
    if given == ANYWHERE:
        return [""]
    families = (("ip", ipaddress.IPv4Network), ("ip6", ipaddress.IPv6Network))
    return [
        f"{keyword} saddr {{ {', '.join(members)} }} "
        for keyword, kind in families
        if (members := [written(source) for source in given if isinstance(source, kind)])
    ]


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template_folder()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (nftables rules, no HTML; every value is a number or a network)
    )
    return environment.get_template("firewall.nft.j2")


def digest(rules: str) -> str:
    """Return the SHA-256 of rules as :func:`render` gives them, in hexadecimal."""
    return hashlib.sha256(rules.encode()).hexdigest()


def policy_to_data(policy: FirewallPolicy) -> dict[str, Any]:
    """Return a policy as a small JSON object: it is kept in the machine's notes, where room is scarce."""
    monitoring = {"monitoring": [written(network) for network in policy.monitoring]}
    return {
        **(monitoring if policy.monitoring else {}),
        "form": policy.form,
        "open": [
            f"{opening.protocol} {opening.ports} {','.join(map(written, opening.sources))}"
            for opening in policy.open
        ],
        "allowed_from": [written(network) for network in policy.allowed_from],
        "management": [written(network) for network in policy.management],
    }


def policy_from_data(data: Mapping[str, Any]) -> FirewallPolicy:
    """Return the policy that :func:`policy_to_data` gave.

    Raises:
        ValueError: the data is something else.
    """
    try:
        form = data["form"]
        if type(form) is not int or not 1 <= form <= _HIGHEST_FORM:
            raise ValueError("its form is none")
        return FirewallPolicy(
            open=tuple(_opening_from(line) for line in _texts(data["open"])),
            allowed_from=_networks(tuple(_texts(data["allowed_from"]))),
            management=_networks(tuple(_texts(data["management"]))),
            monitoring=_networks(tuple(_texts(data.get("monitoring", [])))),
            form=form,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadValue(
            f"this is not a firewall policy that was recorded by this program: {str(error)[:200]}"
        ) from error


@lru_cache(maxsize=256)  # the machines of a client have most of theirs in common
def _networks(texts: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def _texts(value: object) -> list[str]:
    """A list of texts: a number would be an address, too, to what reads addresses."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts is none")
    return value


def _opening_from(line: str) -> Opening:
    protocol, ports, sources = line.split(" ")
    found = _PORTS.fullmatch(ports)
    if found is None or protocol not in ("tcp", "udp"):
        raise ValueError(f"no protocol and ports: {protocol[:20]} {ports[:20]}")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= _HIGHEST_PORT:
        raise ValueError(f"no range of ports: {ports}")
    networks: list[Source] = [
        "any" if text == "any" else ipaddress.ip_network(text) for text in sources.split(",")
    ]
    return Opening(first, last, "tcp" if protocol == "tcp" else "udp", tuple(networks))


def describe_changes(old: FirewallPolicy | None, new: FirewallPolicy) -> list[str]:
    """Say in a line each what is no longer let in, and what is from now on.

    Args:
        old: the policy that is loaded; None if there is none, and all of ``new`` is new.
        new: the policy to come.

    Returns:
        Lines such as ``- udp 5000-5010 from any`` and ``+ tcp 5432 from 10.0.0.0/24``; none for equal policies.
    """
    before = old or FirewallPolicy(form=new.form)
    differences = [
        (what, compare_sources(one, other))
        for what, one, other in (
            ("ssh for the provider", before.management, new.management),
            ("ssh for the client", before.allowed_from, new.allowed_from),
            ("node exporter for the provider's monitoring", before.monitoring, new.monitoring),
        )
    ]
    openings = compare_openings(before.open, new.open)
    lines: list[str] = []
    for side, sign in enumerate("-+"):
        lines += [f"{sign} {what} from {_list(both[side])}" for what, both in differences if both[side]]
        lines += [f"{sign} {o.protocol} {o.ports} from {_list(o.sources)}" for o in openings[side]]
    if before.form != new.form:
        lines.append(f"~ rules in form {new.form} instead of {before.form}")
    return lines


def _list(sources: Iterable[Source]) -> str:
    return ", ".join(map(written, sources))
