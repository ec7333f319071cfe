"""What a firewall lets in, in one canonical form: two lists that mean the same become equal.

nftables refuses a set whose intervals overlap, a plan must not show a change where only the order of a file
changed, and the text of the rules must be the same for the same meaning. So ports and networks are merged
here, before anything is compared or rendered.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Source = IPNetwork | Literal["any"]
Protocol = str
"""``tcp``, ``udp``, ``icmp`` (echo requests, of IPv6 as well), ``esp``, ``ah``, ``gre``, or a number as a text."""

_EVERYWHERE_4 = ipaddress.IPv4Network("0.0.0.0/0")
_EVERYWHERE_6 = ipaddress.IPv6Network("::/0")
ANYWHERE: tuple[Source, ...] = ("any",)
"""The sources of what is open to everybody, in both families."""

WITH_PORTS: tuple[Protocol, ...] = ("tcp", "udp")
"""The protocols that have ports; an opening of another one has port 0."""

_SPLINTERS = 4
"""More pieces of networks than this are no longer easier to read than the networks."""


class Opening(NamedTuple):
    """Ports ``first`` to ``last`` (1 to 65535; 0 where there are none) of one protocol, open to some sources.

    Of what goes out, the sources are the destinations.
    """

    first: int
    last: int
    protocol: Protocol
    sources: tuple[Source, ...]

    @property
    def ports(self) -> str:
        """The ports as a subscription file and nftables write them: ``443`` or ``5000-5010``."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def what(self) -> str:
        """Protocol and ports for people: ``tcp 443``, ``esp``, ``protocol 132``."""
        if self.protocol in WITH_PORTS:
            return f"{self.protocol} {self.ports}"
        name = "icmp (ping)" if self.protocol == "icmp" else self.protocol
        return f"protocol {name}" if name.isdecimal() else name


def merged_networks(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the fewest networks that cover the same addresses: IPv4 first, then by address."""
    return _merged(tuple(networks))


@lru_cache(maxsize=256)  # the machines of a client have most of theirs in common
def _merged(networks: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
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
    for protocol in _protocols(given):
        merged += _merged_of_protocol(protocol, [o for o in given if o.protocol == protocol])
    return tuple(merged)


def _protocols(*sides: Iterable[Opening]) -> list[Protocol]:
    """The protocols of openings: those with ports first, then by name, numbers last."""
    found = {opening.protocol for side in sides for opening in side}
    return sorted(
        found,
        key=lambda one: (one not in WITH_PORTS, one.isdecimal(), int(one) if one.isdecimal() else 0, one),
    )


def _merged_of_protocol(protocol: Protocol, openings: list[Opening]) -> list[Opening]:
    merged: list[Opening] = []
    for first, last, (sources,) in _stretches(openings):
        if not sources:
            continue
        if merged and merged[-1].last + 1 == first and merged[-1].sources == sources:
            merged[-1] = merged[-1]._replace(last=last)
        else:
            merged.append(Opening(first, last, protocol, sources))
    return merged


def _stretches(
    *sides: Iterable[Opening],
) -> Iterator[tuple[int, int, tuple[tuple[Source, ...], ...]]]:
    """Yield the stretches of ports within which nothing begins or ends, with the merged sources of each side there.

    One way over the ports: what is open is counted, not looked for again at each of them.
    """
    edges: dict[int, list[tuple[int, int, Opening]]] = defaultdict(list)
    for side, openings in enumerate(sides):
        for opening in openings:
            edges[opening.first].append((side, 1, opening))
            edges[opening.last + 1].append((side, -1, opening))
    counted: list[Counter[Source]] = [Counter() for _ in sides]
    merged: list[tuple[Source, ...]] = [() for _ in sides]
    ports = sorted(edges)
    for first, end in pairwise(ports):
        for side, step, opening in edges[first]:
            for source in opening.sources:
                counted[side][source] += step
                if not counted[side][source]:
                    del counted[side][source]
        for side in {side for side, *_ in edges[first]}:
            merged[side] = merged_sources(counted[side])
        yield first, end - 1, tuple(merged)


def sources_over_ports(openings: Iterable[Opening]) -> int:
    """How many sources are given, for each stretch of ports within which nothing begins or ends: what merging costs."""
    edges: Counter[tuple[Protocol, int]] = Counter()
    for opening in openings:
        edges[opening.protocol, opening.first] += len(opening.sources)
        edges[opening.protocol, opening.last + 1] -= len(opening.sources)
    return sum(accumulate(edges[edge] for edge in sorted(edges)))


def compare_sources(
    before: tuple[Source, ...], after: tuple[Source, ...]
) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Return the sources that are gone and those that are new, as a person would tell it.

    Both sides are merged already. What is on both sides is left out, also where it is part of a larger
    network, unless that would leave a list of splinters (all but 10.0.0.0/8): then the networks are named.
    """
    gone, new = _without(before, after), _without(after, before)
    if gone is None or new is None or len(gone) > _SPLINTERS or len(new) > _SPLINTERS:
        known, wanted = frozenset(before), frozenset(after)
        return tuple(s for s in before if s not in wanted), tuple(s for s in after if s not in known)
    return gone, new


def _without(sources: tuple[Source, ...], others: tuple[Source, ...]) -> tuple[IPNetwork, ...] | None:
    """The sources less the others; None where one side is ``any`` and the other is not."""
    if sources == others:
        return ()
    if ANYWHERE in (sources, others):
        return None
    rest: list[IPNetwork] = []
    for kind in (ipaddress.IPv4Network, ipaddress.IPv6Network):
        ours, theirs = ([n for n in side if isinstance(n, kind)] for side in (sources, others))
        for first, last in _remainders(ours, theirs):
            rest += ipaddress.summarize_address_range(first, last)
    return merged_networks(rest)


def _remainders(
    ours: Sequence[IPNetwork], theirs: Sequence[IPNetwork]
) -> Iterator[tuple[IPAddress, IPAddress]]:
    """Yield the ranges of addresses that are in the first networks only; both are disjoint and in order."""
    at = 0
    for network in ours:
        begin, end = int(network.network_address), int(network.broadcast_address)
        kind = type(network.network_address)
        while at < len(theirs) and int(theirs[at].broadcast_address) < begin:
            at += 1
        other = at
        while begin <= end and other < len(theirs) and int(theirs[other].network_address) <= end:
            if int(theirs[other].network_address) > begin:
                yield kind(begin), kind(int(theirs[other].network_address) - 1)
            begin = int(theirs[other].broadcast_address) + 1
            other += 1
        if begin <= end:
            yield kind(begin), kind(end)


def compare_openings(
    before: tuple[Opening, ...], after: tuple[Opening, ...]
) -> tuple[tuple[Opening, ...], tuple[Opening, ...]]:
    """Return what is no longer open and what is from now on, port by port, by the rule of the sources."""
    gone: list[Opening] = []
    new: list[Opening] = []
    for protocol in _protocols(before, after):
        old = [opening for opening in before if opening.protocol == protocol]
        wanted = [opening for opening in after if opening.protocol == protocol]
        for first, last, (there, coming) in _stretches(old, wanted):
            less, more = compare_sources(there, coming)
            gone.append(Opening(first, last, protocol, less))
            new.append(Opening(first, last, protocol, more))
    return merged_openings(gone), merged_openings(new)


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
