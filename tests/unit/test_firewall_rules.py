"""The basic firewall as data and as text: what a policy means, how it is stored, told and rendered."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests.rules import (
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
from orchestrator.subscriptions.openings import (
    IPAddress,
    IPNetwork,
    Opening,
    Protocol,
    Source,
    contains,
    merged_networks,
    merged_sources,
)
from tests.unit.firewall_policies import addresses, networks, openings, policies

PROVIDER = ip_network("192.0.2.10")
CLIENT = ip_network("198.51.100.0/24")


def lets_in(listed: tuple[Opening, ...], protocol: Protocol, port: int, address: IPAddress) -> bool:
    return any(
        o.protocol == protocol and o.first <= port <= o.last and contains(o.sources, address) for o in listed
    )


def opened(ports: str, *sources: str, protocol: Protocol = "tcp") -> Opening:
    first, _, last = ports.partition("-")
    listed: list[Source] = [ip_network(source) for source in sources]
    return Opening(int(first), int(last or first), protocol, tuple(listed) or ("any",))


# Laws


@given(st.lists(openings, max_size=6), st.sampled_from(("tcp", "udp")), st.integers(1, 40), addresses)
def test_merging_lets_in_exactly_what_was_listed(
    listed: list[Opening], protocol: Protocol, port: int, address: IPAddress
) -> None:
    merged = FirewallPolicy(open=tuple(listed)).open
    assert lets_in(merged, protocol, port, address) == lets_in(tuple(listed), protocol, port, address)


@given(st.lists(openings, max_size=6))
def test_merged_ports_of_a_protocol_never_overlap(listed: list[Opening]) -> None:
    merged = FirewallPolicy(open=tuple(listed)).open
    for one, other in pairwise(merged):
        assert one.protocol != other.protocol or one.last < other.first


@given(st.lists(networks, max_size=6), addresses)
def test_merged_networks_cover_the_same_and_never_overlap(
    listed: list[IPNetwork], address: IPAddress
) -> None:
    merged = merged_networks(listed)
    assert contains(merged, address) == contains(listed, address)
    assert sum(address in network for network in merged) <= 1


@given(policies, st.randoms(use_true_random=False))
def test_order_and_repetition_in_a_file_mean_nothing(policy: FirewallPolicy, chance: object) -> None:
    shuffled = list(policy.open) * 2
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    again = FirewallPolicy(
        tuple(shuffled),
        policy.allowed_from[::-1],
        policy.management * 2,
        policy.monitoring[::-1] * 2,
        ping=policy.ping[::-1] * 2,
        outgoing=policy.outgoing[::-1] * 2 if policy.outgoing is not None else None,
        nameservers=policy.nameservers[::-1] * 2,
    )
    assert again == policy
    assert render(again) == render(policy)
    assert describe_changes(policy, again) == []


@given(policies)
def test_a_policy_survives_the_notes_of_a_machine(policy: FirewallPolicy) -> None:
    assert policy_from_data(json.loads(json.dumps(policy_to_data(policy)))) == policy


@given(policies, policies)
def test_changes_are_told_exactly_when_policies_differ(one: FirewallPolicy, other: FirewallPolicy) -> None:
    assert (describe_changes(one, other) == []) == (one == other)
    assert (render(one) == render(other)) or one != other


@given(policies, policies)
def test_changes_back_are_the_changes_forth_with_the_signs_turned(
    one: FirewallPolicy, other: FirewallPolicy
) -> None:
    turned = {"+": "-", "-": "+"}
    forth = {turned[line[0]] + line[1:] for line in describe_changes(one, other)}
    assert set(describe_changes(other, one)) == forth


@given(policies, addresses)
def test_rules_admit_ssh_from_exactly_whom_the_policy_admits(
    policy: FirewallPolicy, address: IPAddress
) -> None:
    assert admits_ssh_from(policy, address) == any(
        _accepts(line, address)
        for line in render(policy).partition("chain output")[0].splitlines()
        if "tcp dport" in line and "accept" in line
    )


def _accepts(rule: str, address: IPAddress) -> bool:
    """Whether a rule of the rendered text lets a packet to port 22 in: read anew, from the text alone."""
    words = rule.replace("{", " ").replace("}", " ").replace(",", " ").split()
    ports = words[words.index("dport") + 1 : words.index("accept")]
    hit = any(int(p.split("-")[0]) <= 22 <= int(p.split("-")[-1]) for p in ports)
    if "saddr" not in words:
        return hit
    listed = words[words.index("saddr") + 1 : words.index("tcp")]
    return hit and any(address in ip_network(text) for text in listed)


def _of_file(**firewall: object) -> FirewallPolicy:
    machine = Machine.model_validate(
        {
            "name": "web-1",
            "image": "debian-12",
            "vcpus": 1,
            "memory": "1GiB",
            "disks": [{"name": "system", "size": "4GiB"}],
            "firewall": firewall,
        }
    )
    return policy_of(machine, allowed_from=[], management=[PROVIDER], nameservers=[ip_address("10.0.0.53")])


def test_a_file_that_lists_no_outgoing_traffic_gets_the_rules_that_it_had() -> None:
    assert "chain output" not in render(_of_file())
    assert policy_to_data(_of_file()).keys() == {"form", "open", "allowed_from", "management"}
    asked = [{"protocol": "icmp", "from": "any"}]
    assert _of_file(open=asked) == _of_file(), "who may ping is everybody, listed or not"


def test_changes_of_what_goes_out_and_of_other_protocols_are_told_one_rule_a_line() -> None:
    after = _of_file(
        open=[{"protocol": "esp", "from": ["203.0.113.9"]}, {"protocol": 132, "from": "any"},
              {"protocol": "icmp", "from": ["203.0.113.0/24"]}],
        outgoing=[{"ports": "8000-8010", "protocol": "tcp", "to": "any"}, {"protocol": "icmp", "to": ["10.0.0.0/8"]}],
    )  # fmt: skip
    assert describe_changes(_of_file(), after) == [
        "- ping from any",
        "+ ping from 203.0.113.0/24",
        "+ outgoing dns to 10.0.0.53",
        "+ esp from 203.0.113.9",
        "+ protocol 132 from any",
        "+ outgoing limited to what is listed, and what the machine needs",
        "+ outgoing tcp 8000-8010 to any",
        "+ outgoing icmp (ping) to 10.0.0.0/8",
    ]
    assert describe_changes(None, _of_file(outgoing=[]))[-1].startswith("+ outgoing limited")


# Rules


def test_a_machine_without_open_ports_lets_in_administration_only() -> None:
    machine = Machine.model_validate(
        {
            "name": "web-1",
            "image": "debian-12",
            "vcpus": 1,
            "memory": "1GiB",
            "disks": [{"name": "system", "size": "4GiB"}],
        }
    )
    policy = policy_of(machine, allowed_from=(CLIENT,), management=(PROVIDER,))
    assert policy == FirewallPolicy((), (CLIENT,), (PROVIDER,))
    accepted = [line.strip() for line in render(policy).splitlines() if "dport" in line and "accept" in line]
    assert accepted == ["ip saddr { 192.0.2.10, 198.51.100.0/24 } tcp dport 22 accept"]
    assert "policy drop" in render(policy)


def test_the_ports_of_a_file_become_the_policy() -> None:
    machine = Machine.model_validate(
        {
            "name": "web-1",
            "image": "debian-12",
            "vcpus": 1,
            "memory": "1GiB",
            "disks": [{"name": "system", "size": "4GiB"}],
            "firewall": {
                "open": [
                    {"port": 443, "protocol": "tcp", "from": "any"},
                    {"ports": "5000-5010", "protocol": "udp", "from": ["10.0.0.0/8", "2001:db8::/32"]},
                ]
            },
        }
    )
    policy = policy_of(machine, allowed_from=(), management=(PROVIDER,))
    assert policy.open == (
        opened("443"),
        Opening(5000, 5010, "udp", (IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/32"))),
    )
    text = render(policy)
    assert "\t\ttcp dport { 443 } accept\n" in text
    assert "\t\tip saddr { 10.0.0.0/8 } udp dport { 5000-5010 } accept\n" in text
    assert "\t\tip6 saddr { 2001:db8::/32 } udp dport { 5000-5010 } accept\n" in text


def test_the_providers_monitoring_reads_the_node_exporter_and_nothing_else() -> None:
    policy = FirewallPolicy((), (), (PROVIDER,), (ip_network("192.0.2.50"),))
    accepted = [line.strip() for line in render(policy).splitlines() if "dport" in line and "accept" in line]
    assert accepted == [
        "ip saddr { 192.0.2.10 } tcp dport 22 accept",
        "ip saddr { 192.0.2.50 } tcp dport 9100 accept",
    ]
    assert not admits_ssh_from(policy, ip_address("192.0.2.50"))
    assert policy_from_data(policy_to_data(policy)) == policy
    assert describe_changes(FirewallPolicy((), (), (PROVIDER,)), policy) == [
        "+ node exporter for the provider's monitoring from 192.0.2.50"
    ]
    assert "monitoring" not in policy_to_data(FirewallPolicy((), (), (PROVIDER,))), (
        "as it was recorded before"
    )


def test_only_our_own_table_is_named() -> None:
    text = render(FirewallPolicy((opened("80"),), (), (PROVIDER,)))
    tables = [line for line in text.splitlines() if "table " in line and not line.startswith("#")]
    assert tables == [
        "add table inet orchestrator",
        "delete table inet orchestrator",
        "table inet orchestrator {",
    ]
    assert "flush" not in text
    assert "hook forward" not in text


def test_both_whole_families_are_anywhere() -> None:
    assert merged_sources([ip_network("0.0.0.0/0"), ip_network("::/0")]) == ("any",)
    assert merged_sources([ip_network("0.0.0.0/0")]) == (ip_network("0.0.0.0/0"),)


def test_networks_that_together_make_up_everything_are_anywhere() -> None:
    halves = opened("80", "0.0.0.0/1", "128.0.0.0/1", "::/0")
    assert FirewallPolicy((halves,)) == FirewallPolicy((opened("80"),))


def test_without_any_source_nobody_gets_in_and_everything_else_is_dropped() -> None:
    rules = render(FirewallPolicy())
    assert "policy drop;" in rules
    assert not [line for line in rules.splitlines() if "dport" in line and "accept" in line]


def test_an_ipv4_address_in_ipv6_clothes_is_that_ipv4_address() -> None:
    policy = FirewallPolicy((), (), (PROVIDER,))
    assert admits_ssh_from(policy, ip_address("::ffff:192.0.2.10"))
    assert not admits_ssh_from(policy, ip_address("::ffff:192.0.2.11"))


def test_an_opened_port_22_admits_ssh() -> None:
    policy = FirewallPolicy((opened("20-30", "203.0.113.0/24"),), (), (PROVIDER,))
    assert admits_ssh_from(policy, ip_address("203.0.113.9"))
    assert not admits_ssh_from(FirewallPolicy((opened("22", protocol="udp"),)), ip_address("203.0.113.9"))


def test_a_change_is_told_as_what_comes_and_what_goes() -> None:
    old = FirewallPolicy((opened("443"), opened("5000-5010", protocol="udp")), (CLIENT,), (PROVIDER,))
    new = FirewallPolicy(
        (opened("443-444"), opened("5432", "10.0.0.0/24", "10.0.1.7")),
        (),
        (PROVIDER, ip_network("192.0.2.11")),
    )
    assert describe_changes(old, new) == [
        "- ssh for the client from 198.51.100.0/24",
        "- udp 5000-5010 from any",
        "+ ssh for the provider from 192.0.2.11",
        "+ tcp 444 from any",
        "+ tcp 5432 from 10.0.0.0/24, 10.0.1.7",
    ]


def test_a_change_of_one_source_names_only_that_source() -> None:
    before = FirewallPolicy((opened("5432", "10.0.0.0/24", "172.16.0.9"),))
    after = FirewallPolicy((opened("5432", "10.0.0.0/24", "172.16.0.7"),))
    assert describe_changes(before, after) == ["- tcp 5432 from 172.16.0.9", "+ tcp 5432 from 172.16.0.7"]


def test_what_stays_open_is_not_told_as_gone() -> None:
    wide, narrow = opened("80", "10.0.0.0/8"), opened("80", "10.0.0.0/9")
    assert describe_changes(FirewallPolicy((wide,)), FirewallPolicy((narrow,))) == [
        "- tcp 80 from 10.128.0.0/9"
    ]
    assert describe_changes(FirewallPolicy((narrow,)), FirewallPolicy((wide,))) == [
        "+ tcp 80 from 10.128.0.0/9"
    ]


def test_splinters_are_told_as_the_networks_they_come_from() -> None:
    everybody, office = opened("80"), opened("80", "10.1.2.3")
    assert describe_changes(FirewallPolicy((everybody,)), FirewallPolicy((office,))) == [
        "- tcp 80 from any",
        "+ tcp 80 from 10.1.2.3",
    ]
    wide = opened("80", "10.0.0.0/8")
    assert describe_changes(FirewallPolicy((wide,)), FirewallPolicy((office,))) == [
        "- tcp 80 from 10.0.0.0/8",
        "+ tcp 80 from 10.1.2.3",
    ]


def test_without_loaded_rules_everything_is_new() -> None:
    assert describe_changes(None, FirewallPolicy((opened("443"),), (CLIENT,), (PROVIDER,))) == [
        "+ ssh for the provider from 192.0.2.10",
        "+ ssh for the client from 198.51.100.0/24",
        "+ tcp 443 from any",
    ]


def test_a_new_form_of_the_rules_is_a_change_of_its_own() -> None:
    old = FirewallPolicy((opened("443"),), (), (PROVIDER,), form=0)
    new = FirewallPolicy((opened("443"),), (), (PROVIDER,))
    assert describe_changes(old, new) == [f"~ rules in form {new.form} instead of 0"]


def test_rules_recorded_before_anything_was_counted_are_brought_up_to_date() -> None:
    recorded = {"form": 1, "open": ["tcp 443 any"], "allowed_from": [], "management": ["192.0.2.10"]}
    wanted = FirewallPolicy((opened("443"),), (), (PROVIDER,))
    assert recorded != policy_to_data(wanted)
    assert describe_changes(policy_from_data(recorded), wanted) == ["~ rules in form 2 instead of 1"]


def test_the_digest_is_that_of_the_text() -> None:
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"form": 1, "open": ["tcp 443"], "allowed_from": [], "management": []},
        {"form": 1, "open": ["icmp 443 any"], "allowed_from": [], "management": []},
        {"form": 1, "open": ["tcp x any"], "allowed_from": [], "management": []},
        {"form": 1, "open": [], "allowed_from": ["everybody"], "management": []},
        {"form": 1, "open": None, "allowed_from": [], "management": []},
        {"form": 1, "open": "tcp", "allowed_from": [], "management": []},
        {"form": 1, "open": [], "allowed_from": None, "management": []},
    ],
)
def test_what_is_no_recorded_policy_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a firewall policy that was recorded"):
        policy_from_data(data)


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_no_data_makes_reading_a_policy_fail_otherwise(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a firewall policy that was recorded"):
        policy_from_data(data)
