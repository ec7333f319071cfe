"""Which addresses of a network are free to give to a machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.sites.model import SiteNetwork


def free_addresses(network: SiteNetwork, taken: Collection[IPv4Address]) -> Iterator[IPv4Address]:
    """Yield the addresses of the network's range that nobody has, lowest first.

    Never the gateway, a name server, or the subnet's first and last address (its own name and broadcast).

    Args:
        network: the network of a site.
        taken: the addresses that machines already have; pass a set where there are many.
    """
    subnet = network.subnet
    reserved = {network.gateway, *network.nameservers}
    if subnet.prefixlen < 31:  # RFC 3021: a /31 has neither
        reserved |= {subnet.network_address, subnet.broadcast_address}
    first, last = network.range
    for number in range(int(first), int(last) + 1):
        address = IPv4Address(number)
        if address not in reserved and address not in taken:
            yield address
