"""What a firewall lets in, in one canonical form: two lists that mean the same become equal.

nftables refuses a set whose intervals overlap, a plan must not show a change where only the order of a file
changed, and the text of the rules must be the same for the same meaning. So ports and networks are merged
here, before anything is compared or rendered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Source = IPNetwork | Literal["any"]
Protocol = Literal["tcp", "udp"]

_EVERYWHERE_4 = ipaddress.IPv4Network("0.0.0.0/0")
_EVERYWHERE_6 = ipaddress.IPv6Network("::/0")
ANYWHERE: tuple[Source, ...] = ("any",)
"""The sources of what is open to everybody, in both families."""


class Opening(NamedTuple):
    """Ports ``first`` to ``last`` (1 to 65535) of one protocol, open to some sources."""

    first: int
    last: int
    protocol: Protocol
    sources: tuple[Source, ...]

    @property
    def ports(self) -> str:
        """The ports as a subscription file and nftables write them: ``443`` or ``5000-5010``."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def merged_networks(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the fewest networks that cover the same addresses: IPv4 first, then by address."""
    given = set(networks)
    version_4 = ipaddress.collapse_addresses(n for n in given if isinstance(n, ipaddress.IPv4Network))
    version_6 = ipaddress.collapse_addresses(n for n in given if isinstance(n, ipaddress.IPv6Network))
    return (*version_4, *version_6)


def merged_sources(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the fewest sources that mean the same; ``any`` swallows all others."""
    given = tuple(sources)
    networks = merged_networks(source for source in given if source != "any")
    if "any" in given or {_EVERYWHERE_4, _EVERYWHERE_6} <= set(networks):
        return ANYWHERE
    return networks


def merged_openings(openings: Iterable[Opening]) -> tuple[Opening, ...]:
    """Return openings with disjoint ports that let in exactly the same, ordered by protocol and port."""
    given = [opening for opening in openings if opening.sources]
    merged: list[Opening] = []
    for protocol in ("tcp", "udp"):
        merged += _merged_of_protocol(protocol, [o for o in given if o.protocol == protocol])
    return tuple(merged)


def _merged_of_protocol(protocol: Protocol, openings: list[Opening]) -> list[Opening]:
    merged: list[Opening] = []
    edges = sorted({edge for opening in openings for edge in (opening.first, opening.last + 1)})
    for first, end in pairwise(edges):
        sources = merged_sources(
            source
            for opening in openings
            if opening.first <= first and end - 1 <= opening.last
            for source in opening.sources
        )
        if not sources:
            continue
        if merged and merged[-1].last + 1 == first and merged[-1].sources == sources:
            merged[-1] = merged[-1]._replace(last=end - 1)
        else:
            merged.append(Opening(first, end - 1, protocol, sources))
    return merged


def contains(sources: Iterable[Source], address: IPAddress) -> bool:
    """Whether an address is among the sources. An IPv4 address in IPv6's clothes counts as IPv4."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(source == "any" or address in source for source in sources)


def written(source: Source) -> str:
    """Write a source the way people do: a single address without its prefix length."""
    if source == "any":
        return "any"
    return str(source.network_address) if source.prefixlen == source.max_prefixlen else str(source)
