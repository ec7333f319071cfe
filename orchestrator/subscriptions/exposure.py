"""Firewalls that do what the file says, and not what its client means (articles 3.6, 3.8.2 and 3.8.3).

SSH that is open to everybody, and outgoing traffic without the mirrors that updates come from. Such a file is carried
out, because the client chooses what is open; the finding says what it means.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from orchestrator.counting import counted
from orchestrator.subscriptions.model import AllowedOut, OpenPort, Subscription
from orchestrator.subscriptions.openings import IPNetwork, Source, merged_sources, written
from orchestrator.yaml_reader.checking import Finding
from orchestrator.yaml_reader.places import YamlPath

SSH_PORT = 22
"""Where a guest's SSH server listens."""

_NARROWEST_4, _NARROWEST_6 = 8, 16
"""No organisation has a network that is wider than these: such a prefix stands for everybody."""

_LOCAL_6 = ipaddress.IPv6Network("fc00::/7")


def wide_sources(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Those of the sources, once merged, that stand for everybody: ``any``, ``0.0.0.0/0``, ``2000::/3``."""
    return tuple(source for source in merged_sources(sources) if source == "any" or _is_wide(source))


def _is_wide(network: IPNetwork) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < _NARROWEST_4
    return network.prefixlen < _NARROWEST_6 and not network.subnet_of(_LOCAL_6)


def opens_ssh(entry: OpenPort) -> bool:
    """Whether an entry of a file opens the SSH server's port."""
    first, last = entry.first_last
    return entry.protocol == "tcp" and first <= SSH_PORT <= last


def ssh_is_not_open_to_everybody(subscription: Subscription) -> Iterator[Finding]:
    """3.6: the client names the addresses that administer a machine; firewall.open must not go round them."""
    for number, service in enumerate(subscription.services):
        for index, machine in enumerate(service.machines):
            path: YamlPath = ("services", number, "machines", index, "firewall", "open")
            for place, entry in enumerate(machine.firewall.open):
                if opens_ssh(entry) and (wide := wide_sources(entry.sources)):
                    yield Finding(
                        (*path, place),
                        f"SSH (tcp {SSH_PORT}) is open to {_everybody(wide)}: anybody may try to log in",
                        "take the port out of firewall.open, and name the addresses that administer the machines in "
                        "administration.allowed_from",
                        "3.6",
                        severity="warning",
                    )


def _everybody(wide: tuple[Source, ...]) -> str:
    return "any address" if wide == ("any",) else f"everybody ({', '.join(map(written, wide))})"


def administration_is_not_from_everywhere(subscription: Subscription) -> Iterator[Finding]:
    """3.6: addresses that are allowed to administer are some, not all; halves of all addresses are all."""
    allowed = subscription.administration.allowed_from
    if wide := wide_sources(allowed):
        yield Finding(
            ("administration", "allowed_from"),
            f"SSH is open to {_everybody(wide)} on every machine: anybody may try to log in",
            "name the addresses that administer the machines, such as 198.51.100.0/24",
            "3.6",
            severity="warning",
        )


def fully_managed_servers_open_no_ssh(subscription: Subscription) -> Iterator[Finding]:
    """3.8.2: the client has no direct access to a fully managed server, so nothing but the provider needs its SSH."""
    managed = subscription.managed_services
    if managed is None or managed.level != "full":
        return
    for number, service in enumerate(subscription.services):
        for index, machine in enumerate(service.machines):
            for place, entry in enumerate(machine.firewall.open):
                if opens_ssh(entry):
                    yield Finding(
                        ("services", number, "machines", index, "firewall", "open", place),
                        f"with managed services at level full the client has no direct access, and SSH "
                        f"(tcp {SSH_PORT}) is open to {counted(len(entry.sources), 'source')}",
                        "take the port out of firewall.open: the provider's addresses are let in anyway",
                        "3.8.2",
                        severity="warning",
                        relies_on=(("managed_services", "level"),),
                    )


def updates_can_be_fetched(subscription: Subscription) -> Iterator[Finding]:
    """3.8.3: updates come from mirrors, by HTTP or HTTPS: what limits outgoing traffic must let them in."""
    if subscription.managed_services is None:
        return
    for number, service in enumerate(subscription.services):
        for index, machine in enumerate(service.machines):
            outgoing = machine.firewall.outgoing
            if outgoing is None or any(_opens_web(entry) for entry in outgoing):
                continue
            yield Finding(
                ("services", number, "machines", index, "firewall", "outgoing"),
                "no entry lets HTTP or HTTPS (tcp 80, 443) out, by which updates are fetched",
                "add the mirrors' addresses, such as { port: 443, protocol: tcp, to: any }; it is right as it is if "
                "the mirrors are among the provider's management.addresses",
                "3.8.3",
                severity="warning",
                relies_on=(("managed_services",),),
                key=True,
            )


def _opens_web(entry: AllowedOut) -> bool:
    first, last = entry.first_last
    return entry.protocol == "tcp" and any(first <= port <= last for port in (80, 443))
