"""The basic firewall of a machine (article 3.6): what it lets in and out, as data, in words, and as nftables rules.

Pure: no network, no clock, no environment. Default is closed: only what the subscription lists comes in, and
SSH from the client's and from the provider's own addresses. Everything goes out, unless the subscription lists what
may.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.errors import BadValue
from orchestrator.shipped_files import template_folder
from orchestrator.subscriptions.openings import (
    ANYWHERE,
    WITH_PORTS,
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
    merged_sources,
    written,
)
from orchestrator.yaml_reader.values import PROTOCOL_NUMBERS, parse_protocol

if TYPE_CHECKING:
    from jinja2 import Template

    from orchestrator.subscriptions.model import Machine

Side = Literal["saddr", "daddr"]

SSH_PORT = 22
"""Where a guest's SSH server listens."""

_HIGHEST_PORT, _HIGHEST_FORM = 65535, 1_000_000
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

EXPORTER_PORT = 9100
"""Where Prometheus' node exporter listens."""

PING = "icmp"
"""The protocol under which files list who may ping: of all ICMP that alone is a matter of choice."""

FORM = 2
"""Number of the form of the rules. Raise it with every change of the template that existing machines must
get: the plan then shows a firewall change on each of them."""


@dataclass(frozen=True)
class FirewallPolicy:
    """What a machine's firewall lets in and out. Two policies that mean the same are equal.

    Attributes:
        open: ports and protocols with their sources; disjoint and ordered once the policy is made.
        allowed_from: where the client administers the machine from; may be empty.
        management: where the provider administers it from. Empty means that the provider is shut out:
            such a policy can be described but is refused before it is sent.
        monitoring: where the provider's monitoring reads the node exporter from; may be empty.
        form: the form of the rules that carry it out, see :data:`FORM`.
        ping: the sources whose echo requests are answered, a limited number a second.
        outgoing: ports and protocols with their destinations; None: everything goes out. What the machine itself needs
            goes out anyway.
        nameservers: which it asks for names; kept only where ``outgoing`` is.
    """

    open: tuple[Opening, ...] = ()
    allowed_from: tuple[IPNetwork, ...] = ()
    management: tuple[IPNetwork, ...] = ()
    monitoring: tuple[IPNetwork, ...] = ()
    form: int = FORM
    ping: tuple[Source, ...] = ANYWHERE
    outgoing: tuple[Opening, ...] | None = None
    nameservers: tuple[Source, ...] = ANYWHERE

    def __post_init__(self) -> None:
        object.__setattr__(self, "open", merged_openings(self.open))
        object.__setattr__(self, "ping", merged_sources(self.ping))
        if self.outgoing is not None:
            object.__setattr__(self, "outgoing", merged_openings(self.outgoing))
        limited = self.outgoing is not None
        object.__setattr__(self, "nameservers", merged_sources(self.nameservers) if limited else ANYWHERE)
        object.__setattr__(self, "allowed_from", merged_networks(self.allowed_from))
        object.__setattr__(self, "management", merged_networks(self.management))
        object.__setattr__(self, "monitoring", merged_networks(self.monitoring))


def policy_of(
    machine: Machine,
    *,
    allowed_from: Iterable[IPNetwork],
    management: Iterable[IPNetwork],
    monitoring: Iterable[IPNetwork] = (),
    nameservers: Iterable[IPAddress] = (),
) -> FirewallPolicy:
    """Return the policy that a machine of a subscription file asks for.

    Args:
        machine: the machine with its ``firewall`` section.
        allowed_from: the addresses that the client administers the machine from.
        management: the addresses that the provider administers it from.
        monitoring: the addresses that the provider supervises it from.
        nameservers: which the machine asks; where none are known, it may ask any.
    """
    firewall = machine.firewall
    openings = [Opening(*one.first_last, one.protocol, one.sources) for one in firewall.open]
    pings = [source for one in openings if one.protocol == PING for source in one.sources]
    return FirewallPolicy(
        open=tuple(one for one in openings if one.protocol != PING),
        allowed_from=tuple(allowed_from),
        management=tuple(management),
        monitoring=tuple(monitoring),
        ping=tuple(pings) or ANYWHERE,
        outgoing=None
        if firewall.outgoing is None
        else tuple(Opening(*one.first_last, one.protocol, one.destinations) for one in firewall.outgoing),
        nameservers=tuple(map(ipaddress.ip_network, nameservers)) or ANYWHERE,
    )


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
    administration = merged_networks((*policy.allowed_from, *policy.management))
    return _template().render(
        rules=_rules(policy.open, "saddr"),
        administration=_matches(administration, "saddr"),
        monitoring=_matches(policy.monitoring, "saddr"),
        pings=_pings(policy.ping, "saddr"),
        limited=policy.outgoing is not None,
        nameservers=_matches(policy.nameservers, "daddr"),
        provider=_matches(merged_networks((*policy.management, *policy.monitoring)), "daddr"),
        outgoing=[
            *_pings(
                [to for one in policy.outgoing or () if one.protocol == PING for to in one.sources], "daddr"
            ),
            *_rules([one for one in policy.outgoing or () if one.protocol != PING], "daddr"),
        ],
        ssh_port=SSH_PORT,
        exporter_port=EXPORTER_PORT,
    )


def _rules(openings: Iterable[Opening], side: Side) -> list[str]:
    """What nftables matches for openings: those with ports of one protocol and sources in one rule each."""
    groups: dict[tuple[Protocol, tuple[Source, ...]], list[str]] = defaultdict(list)
    for opening in openings:
        groups[opening.protocol, opening.sources].append(opening.ports)
    return [
        f"{match}{protocol} dport {{ {', '.join(ports)} }}"
        if protocol in WITH_PORTS
        else f"{match}{_protocol(protocol, match)}"
        for (protocol, sources), ports in groups.items()
        for match in _by_family(protocol, sources, side)
    ]


def _by_family(protocol: Protocol, sources: tuple[Source, ...], side: Side) -> list[str]:
    """The matches of sources; AH is found in another way in each family, so there is one for each."""
    if protocol == "ah" and sources == ANYWHERE:
        return ["meta nfproto ipv4 ", "meta nfproto ipv6 "]
    return _matches(sources, side)


def _protocol(protocol: Protocol, match: str) -> str:
    """The match for a protocol without ports.

    To the kernel AH is one more header of IPv6, before the protocol that it carries, which is what ``l4proto`` means.
    """
    number = int(protocol) if protocol.isdecimal() else PROTOCOL_NUMBERS[protocol]
    ipv6 = match.startswith(("ip6 ", "meta nfproto ipv6 "))
    return f"ip6 nexthdr {number}" if protocol == "ah" and ipv6 else f"meta l4proto {number}"


def _pings(sources: Iterable[Source], side: Side) -> list[str]:
    """What matches echo requests, of both families."""
    given = merged_sources(sources)
    if given == ANYWHERE:
        return ["icmp type echo-request", "icmpv6 type echo-request"]
    return [
        f"{match}{'icmp' if match.startswith('ip ') else 'icmpv6'} type echo-request"
        for match in _matches(given, side)
    ]


def _matches(sources: Iterable[Source], side: Side) -> list[str]:
    """The nftables matches for sources or destinations, one a family; for ``any`` one that matches both."""
    given = tuple(sources)
    if given == ANYWHERE:
        return [""]
    families = (("ip", ipaddress.IPv4Network), ("ip6", ipaddress.IPv6Network))
    return [
        f"{keyword} {side} {{ {', '.join(members)} }} "
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


POLICY_KEYS = frozenset(
    {"form", "open", "allowed_from", "management", "monitoring", "ping", "outgoing", "nameservers"}
)
"""What :func:`policy_to_data` says; what is at its default is left out, so that earlier versions read such marks."""


def policy_to_data(policy: FirewallPolicy) -> dict[str, Any]:
    """Return a policy as a small JSON object: it is kept in the machine's notes, where room is scarce."""
    data: dict[str, Any] = {}
    if policy.monitoring:
        data["monitoring"] = [written(network) for network in policy.monitoring]
    if policy.ping != ANYWHERE:
        data["ping"] = [written(source) for source in policy.ping]
    if policy.outgoing is not None:
        data["outgoing"] = [_line_of(opening) for opening in policy.outgoing]
    if policy.nameservers != ANYWHERE:
        data["nameservers"] = [written(source) for source in policy.nameservers]
    return {
        **data,
        "form": policy.form,
        "open": [_line_of(opening) for opening in policy.open],
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
        openings = tuple(_opening_from(line) for line in _texts(data["open"]))
        if any(one.protocol == PING for one in openings):
            raise ValueError("who may ping is said elsewhere")
        return FirewallPolicy(
            open=openings,
            allowed_from=_networks(tuple(_texts(data["allowed_from"]))),
            management=_networks(tuple(_texts(data["management"]))),
            monitoring=_networks(tuple(_texts(data.get("monitoring", [])))),
            form=form,
            ping=_sources(_texts(data.get("ping", ["any"]))),
            outgoing=tuple(_opening_from(line) for line in _texts(data["outgoing"]))
            if "outgoing" in data
            else None,
            nameservers=_sources(_texts(data.get("nameservers", ["any"]))),
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


def _line_of(opening: Opening) -> str:
    ports = opening.ports if opening.protocol in WITH_PORTS else "-"
    return f"{opening.protocol} {ports} {','.join(map(written, opening.sources))}"


def _opening_from(line: str) -> Opening:
    protocol, ports, sources = line.split(" ")
    if parse_protocol(protocol) not in WITH_PORTS:
        if ports != "-":
            raise ValueError(f"no protocol and ports: {protocol[:20]} {ports[:20]}")
        return Opening(0, 0, protocol, _sources(sources.split(",")))
    found = _PORTS.fullmatch(ports)
    if found is None:
        raise ValueError(f"no protocol and ports: {protocol[:20]} {ports[:20]}")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= _HIGHEST_PORT:
        raise ValueError(f"no range of ports: {ports}")
    return Opening(first, last, protocol, _sources(sources.split(",")))


def _sources(texts: Iterable[str]) -> tuple[Source, ...]:
    return tuple("any" if text == "any" else ipaddress.ip_network(text) for text in texts)


def describe_changes(old: FirewallPolicy | None, new: FirewallPolicy) -> list[str]:
    """Say in a line each what is no longer let in or out, and what is from now on.

    Args:
        old: the policy that is loaded; None if there is none, and all of ``new`` is new.
        new: the policy to come.

    Returns:
        Lines such as ``- udp 5000-5010 from any`` and ``+ tcp 5432 from 10.0.0.0/24``; none for equal policies.
    """
    before = old or FirewallPolicy(form=new.form, ping=ANYWHERE if new.ping == ANYWHERE else ())
    out_before, out_after = before.outgoing is not None, new.outgoing is not None
    differences = [
        (what, compare_sources(one, other))
        for what, one, other in (
            ("ssh for the provider from", before.management, new.management),
            ("ssh for the client from", before.allowed_from, new.allowed_from),
            ("node exporter for the provider's monitoring from", before.monitoring, new.monitoring),
            ("ping from", before.ping, new.ping),
            (
                "outgoing dns to",
                before.nameservers if out_before else (),
                new.nameservers if out_after else (),
            ),
        )
    ]
    openings = compare_openings(before.open, new.open)
    outgoing = compare_openings(before.outgoing or (), new.outgoing or ())
    lines: list[str] = []
    for side, sign in enumerate("-+"):
        lines += [f"{sign} {what} {_list(both[side])}" for what, both in differences if both[side]]
        lines += [f"{sign} {o.what} from {_list(o.sources)}" for o in openings[side]]
        if (out_before, out_after) == ((True, False), (False, True))[side]:
            lines.append(f"{sign} outgoing limited to what is listed, and what the machine needs")
        lines += [f"{sign} outgoing {o.what} to {_list(o.sources)}" for o in outgoing[side]]
    if before.form != new.form:
        lines.append(f"~ rules in form {new.form} instead of {before.form}")
    return lines


def _list(sources: Iterable[Source]) -> str:
    return ", ".join(map(written, sources))
