"""Firewall policies made up by hypothesis, crowded on few ports and networks so that they overlap often."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st

from orchestrator.guests.rules import FirewallPolicy
from orchestrator.subscriptions.openings import IPAddress, IPNetwork, Opening, Source

_FOUR = int(IPv4Address("192.0.2.0"))
_SIX = int(IPv6Address("2001:db8::"))

networks: st.SearchStrategy[IPNetwork] = st.one_of(
    st.builds(
        lambda low, prefix: IPv4Network((_FOUR + low, prefix), strict=False),
        st.integers(0, 255),
        st.sampled_from((0, 1, 24, 25, 28, 31, 32)),
    ),
    st.builds(
        lambda low, prefix: IPv6Network((_SIX + low, prefix), strict=False),
        st.integers(0, 255),
        st.sampled_from((0, 1, 120, 121, 126, 128)),
    ),
)
addresses: st.SearchStrategy[IPAddress] = st.one_of(
    st.integers(0, 300).map(lambda low: IPv4Address(_FOUR + low)),
    st.integers(0, 300).map(lambda low: IPv6Address(_SIX + low)),
)
_anybody: st.SearchStrategy[Source] = st.just("any")
_sources = st.lists(st.one_of(networks, _anybody), min_size=1, max_size=4)


def _opening(ports: tuple[int, int], protocol: str, sources: list[Source]) -> Opening:
    return Opening(min(ports), max(ports), protocol, tuple(sources))


_ports = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 65535), st.just(65535))
)
openings = st.builds(_opening, _ports, st.sampled_from(("tcp", "udp")), _sources)
_others = st.builds(
    Opening, st.just(0), st.just(0), st.sampled_from(("esp", "ah", "gre", "132")), _sources.map(tuple)
)
_pings = st.builds(Opening, st.just(0), st.just(0), st.just("icmp"), _sources.map(tuple))
policies = st.builds(
    FirewallPolicy,
    st.lists(openings | _others, max_size=5).map(tuple),
    st.lists(networks, max_size=3).map(tuple),
    st.lists(networks, max_size=3).map(tuple),
    st.lists(networks, max_size=3).map(tuple),
    ping=_sources.map(tuple),
    outgoing=st.none() | st.lists(openings | _others | _pings, max_size=4).map(tuple),
    nameservers=st.lists(networks, min_size=1, max_size=2).map(tuple),
)
