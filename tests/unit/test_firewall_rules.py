"""The basic firewall's laws: what a policy means does not depend on how it was written."""

from __future__ import annotations

import ipaddress
import json
from ipaddress import ip_address, ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests.openings import IPAddress, IPNetwork, Opening, Protocol, contains
from orchestrator.guests.rules import (
    FORM,
    FirewallPolicy,
    admits_ssh_from,
    describe_changes,
    digest,
    policy_from_data,
    policy_of,
    policy_to_data,
    render,
)
from orchestrator.subscriptions.model import Machine

# Few addresses and ports, so that networks and ranges meet, touch and overlap often.
_NETWORKS = st.builds(
    lambda base, spare: ip_network((base, 32 - spare), strict=False),
    st.integers(min_value=int(ip_address("10.0.0.0")), max_value=int(ip_address("10.0.0.15"))),
    st.integers(0, 5),
) | st.builds(
    lambda base, spare: ip_network((base, 128 - spare), strict=False),
    st.integers(min_value=int(ip_address("fd00::")), max_value=int(ip_address("fd00::f"))),
    st.integers(0, 5),
)
_ADDRESSES = st.sampled_from(
    [ip_address(f"10.0.0.{n}") for n in range(0, 20, 3)]
    + [ip_address(f"fd00::{n:x}") for n in range(0, 20, 3)]
)
_EVERYWHERE = [ip_network("0.0.0.0/0"), ip_network("::/0")]
_SOURCES = st.lists(_NETWORKS | st.sampled_from(["any", *_EVERYWHERE]), min_size=1, max_size=4).map(tuple)
_PORTS = st.tuples(st.integers(18, 26), st.integers(18, 26)).map(lambda ends: (min(ends), max(ends)))
_OPENINGS = st.builds(
    lambda ports, protocol, sources: Opening(ports[0], ports[1], protocol, sources),
    _PORTS,
    st.sampled_from(["tcp", "udp"]),
    _SOURCES,
)
_LISTS = st.lists(_OPENINGS, max_size=5)
_POLICIES = st.builds(
    lambda openings, clients, management: FirewallPolicy(tuple(openings), tuple(clients), tuple(management)),
    _LISTS,
    st.lists(_NETWORKS, max_size=3),
    st.lists(_NETWORKS, max_size=3),
)


def _admits(openings: list[Opening], protocol: Protocol, port: int, address: IPAddress) -> bool:
    return any(
        opening.protocol == protocol
        and opening.first <= port <= opening.last
        and contains(opening.sources, address)
        for opening in openings
    )


@given(_LISTS, st.sampled_from(["tcp", "udp"]), st.integers(17, 27), _ADDRESSES)
def test_merging_lets_in_exactly_what_was_written(
    openings: list[Opening], protocol: Protocol, port: int, address: IPAddress
) -> None:
    merged = list(FirewallPolicy(tuple(openings)).open)
    assert _admits(merged, protocol, port, address) == _admits(openings, protocol, port, address)


@given(_LISTS)
def test_no_port_stands_in_two_merged_openings(openings: list[Opening]) -> None:
    merged = FirewallPolicy(tuple(openings)).open
    ports = [(o.protocol, port) for o in merged for port in range(o.first, o.last + 1)]
    assert len(ports) == len(set(ports))


@given(_LISTS, st.lists(_NETWORKS, max_size=4), st.randoms())
def test_order_and_repetition_do_not_matter(
    openings: list[Opening], networks: list[IPNetwork], random: Random
) -> None:
    written = FirewallPolicy(tuple(openings), tuple(networks), tuple(networks))
    random.shuffle(openings)
    random.shuffle(networks)
    again = FirewallPolicy((*openings, *openings), (*networks, *networks), tuple(networks))
    assert written == again
    assert digest(render(written)) == digest(render(again))
    assert describe_changes(written, again) == []


@given(_POLICIES)
def test_what_was_recorded_is_read_back_the_same(policy: FirewallPolicy) -> None:
    assert policy_from_data(json.loads(json.dumps(policy_to_data(policy)))) == policy


@given(_POLICIES, _POLICIES)
def test_a_plan_names_a_change_exactly_when_the_policies_differ(
    old: FirewallPolicy, new: FirewallPolicy
) -> None:
    assert bool(describe_changes(old, new)) == (old != new)


@given(_POLICIES, _POLICIES)
def test_changes_back_are_the_changes_forth_with_the_signs_turned(
    old: FirewallPolicy, new: FirewallPolicy
) -> None:
    turned = {"+": "-", "-": "+"}
    forth = {turned[line[0]] + line[1:] for line in describe_changes(old, new)}
    assert set(describe_changes(new, old)) == forth


@given(_POLICIES, _ADDRESSES)
def test_ssh_is_admitted_for_the_provider_the_client_and_whoever_port_22_is_open_to(
    policy: FirewallPolicy, address: IPAddress
) -> None:
    by_list = any(address in network for network in (*policy.management, *policy.allowed_from))
    assert admits_ssh_from(policy, address) == (by_list or _admits(list(policy.open), "tcp", 22, address))


def test_an_ipv4_address_in_ipv6_form_is_admitted_like_itself() -> None:
    policy = FirewallPolicy(management=(ip_network("192.0.2.0/24"),))
    assert admits_ssh_from(policy, ip_address("::ffff:192.0.2.7"))
    assert not admits_ssh_from(policy, ip_address("::ffff:198.51.100.7"))


def test_udp_on_port_22_is_not_ssh() -> None:
    assert not admits_ssh_from(FirewallPolicy((Opening(22, 22, "udp", ("any",)),)), ip_address("192.0.2.7"))


def test_the_policy_of_a_machine_of_a_file() -> None:
    machine = Machine.model_validate(
        {
            "name": "web-1",
            "image": "debian-12",
            "vcpus": 1,
            "memory": "1GiB",
            "disks": [{"name": "system", "size": "20GiB"}],
            "firewall": {
                "open": [
                    {"port": 443, "protocol": "tcp", "from": "any"},
                    {"ports": "5000-5010", "protocol": "udp", "from": ["10.0.0.0/8", "fd00::/8"]},
                ]
            },
        }
    )
    policy = policy_of(
        machine, allowed_from=[ip_network("198.51.100.0/24")], management=[ip_network("192.0.2.10/32")]
    )
    assert describe_changes(None, policy) == [
        "+ ssh for the provider from 192.0.2.10",
        "+ ssh for the client from 198.51.100.0/24",
        "+ tcp 443 from any",
        "+ udp 5000-5010 from 10.0.0.0/8, fd00::/8",
    ]
    rules = [line.strip() for line in render(policy).splitlines()]
    assert "ip saddr { 192.0.2.10, 198.51.100.0/24 } tcp dport 22 accept" in rules
    assert "tcp dport { 443 } accept" in rules
    assert "ip saddr { 10.0.0.0/8 } udp dport { 5000-5010 } accept" in rules
    assert "ip6 saddr { fd00::/8 } udp dport { 5000-5010 } accept" in rules


def test_a_change_of_one_source_names_only_that_source() -> None:
    def policy(*sources: str) -> FirewallPolicy:
        return FirewallPolicy((Opening(5432, 5432, "tcp", tuple(ip_network(text) for text in sources)),))

    assert describe_changes(policy("10.0.0.0/24", "172.16.0.9"), policy("10.0.0.0/24", "172.16.0.7")) == [
        "- tcp 5432 from 172.16.0.9",
        "+ tcp 5432 from 172.16.0.7",
    ]


def test_rules_in_an_older_form_are_a_change_by_themselves() -> None:
    older = FirewallPolicy(form=FORM - 1)
    assert describe_changes(older, FirewallPolicy()) == [f"~ rules in form {FORM} instead of {FORM - 1}"]


def test_without_any_source_nobody_gets_in_and_everything_else_is_dropped() -> None:
    rules = render(FirewallPolicy())
    assert "policy drop;" in rules
    assert "dport" not in rules


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"form": 1, "open": "tcp", "allowed_from": [], "management": []},
        {"form": 1, "open": ["icmp 1 any"], "allowed_from": [], "management": []},
        {"form": 1, "open": ["tcp x any"], "allowed_from": [], "management": []},
        {"form": 1, "open": [], "allowed_from": ["nowhere"], "management": []},
        {"form": 1, "open": [], "allowed_from": None, "management": []},
    ],
)
def test_data_that_is_no_policy_is_refused_by_name(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a firewall policy that was recorded"):
        policy_from_data(data)


def test_two_networks_that_make_up_everything_are_any() -> None:
    halves = (ipaddress.IPv4Network("0.0.0.0/1"), ipaddress.IPv4Network("128.0.0.0/1"))
    written = FirewallPolicy((Opening(80, 80, "tcp", (*halves, ipaddress.IPv6Network("::/0"))),))
    assert written == FirewallPolicy((Opening(80, 80, "tcp", ("any",)),))
