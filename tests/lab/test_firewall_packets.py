"""What the firewall lets through, shown with packets: a real nft, a real sshd, both families."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.guests import FirewallPolicy, PartOutcome, SshSettings, digest, render
from orchestrator.guests.alerts import parse_alerts
from orchestrator.subscriptions.openings import Opening
from tests.lab.namespace_guest import (
    CLIENT,
    GUEST,
    GUEST_SIX,
    MANAGEMENT,
    SIX,
    STRANGER,
    NamespaceGuest,
    apply_firewalls,
    echoed,
    namespace_guest,
    opening,
    policy,
    unique_name,
)
from tests.unit.firewall_policies import policies

CLIENT_ONLY = opening(5432, CLIENT, SIX[CLIENT])


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name()) as running:
        yield running


def load(guest: NamespaceGuest, wanted: FirewallPolicy, ssh: SshSettings | None = None) -> PartOutcome:
    return apply_firewalls([guest.target(wanted)], ssh or guest.ssh())["dupont", "web-1"]


def test_before_anything_is_loaded_the_guest_is_open(guest: NamespaceGuest) -> None:
    """The rest of this file would prove nothing if packets did not arrive in the first place."""
    questions = [
        (kind, source, port)
        for kind in ("tcp", "udp")
        for source in (STRANGER, SIX[STRANGER])
        for port in (443, 9999)
    ]
    assert guest.rules() == ""
    assert guest.probe(*questions, ("ping", STRANGER, 0), ("tcp", STRANGER, 22)) == ["open"] * 10


def test_only_what_is_listed_comes_in(guest: NamespaceGuest) -> None:
    wanted = policy(opening(443), CLIENT_ONLY, opening(9999, STRANGER, SIX[STRANGER], protocol="udp"))
    assert load(guest, wanted).status == "changed"
    expected = {
        ("tcp", MANAGEMENT, 22): "open",
        ("tcp", CLIENT, 22): "open",
        ("tcp", STRANGER, 22): "dropped",
        ("tcp", STRANGER, 443): "open",
        ("udp", STRANGER, 443): "dropped",
        ("tcp", CLIENT, 5432): "open",
        ("tcp", MANAGEMENT, 5432): "dropped",
        ("tcp", STRANGER, 5432): "dropped",
        ("udp", STRANGER, 9999): "open",
        ("udp", CLIENT, 9999): "dropped",
        ("tcp", STRANGER, 9999): "dropped",
        ("ping", STRANGER, 0): "open",
    }
    both = {
        (kind, party, port): answer
        for (kind, source, port), answer in expected.items()
        for party in (source, SIX[source])
    }
    assert dict(zip(both, guest.probe(*both), strict=True)) == both


def test_the_same_rules_again_load_nothing(guest: NamespaceGuest) -> None:
    wanted = policy(opening(443))
    load(guest, wanted)
    handles = guest.inside("nft", "-a", "list", "table", "inet", "orchestrator").stdout
    again = load(guest, wanted)
    assert (again.status, again.message) == ("unchanged", "")
    # A table that is loaded anew gets new handles, even if its rules are the same.
    assert guest.inside("nft", "-a", "list", "table", "inet", "orchestrator").stdout == handles


def test_open_connections_survive_rules_that_close_their_port(guest: NamespaceGuest) -> None:
    load(guest, policy(opening(5432)))
    connection = guest.connection(STRANGER, 5432)
    try:
        assert echoed(connection, b"before") == b"before"
        assert load(guest, policy()).status == "changed"
        assert guest.probe(("tcp", STRANGER, 5432)) == ["dropped"]
        assert echoed(connection, b"after") == b"after"
    finally:
        connection.kill()
        connection.communicate()


def test_tables_of_others_are_left_alone(guest: NamespaceGuest) -> None:
    guest.inside("nft", "add table ip theirs; add chain ip theirs c; add rule ip theirs c tcp dport 1 drop")
    before = guest.inside("nft", "-a", "list", "table", "ip", "theirs").stdout
    assert load(guest, policy(opening(9999))).status == "changed"
    assert guest.inside("nft", "-a", "list", "table", "ip", "theirs").stdout == before


@pytest.mark.parametrize(
    "tampering", ["flush ruleset", "insert rule inet orchestrator input tcp dport 9999 accept"]
)
def test_rules_that_somebody_changed_in_the_guest_are_loaded_again(
    guest: NamespaceGuest, tampering: str
) -> None:
    wanted = policy(opening(443))
    load(guest, wanted)
    loaded = guest.rules()
    guest.inside("nft", tampering)
    assert guest.probe(("tcp", STRANGER, 9999)) == ["open"]
    assert load(guest, wanted).status == "changed"
    assert guest.rules() == loaded
    assert guest.probe(("tcp", STRANGER, 9999)) == ["dropped"]


def test_what_is_kept_in_the_guest_is_what_was_rendered(guest: NamespaceGuest) -> None:
    wanted = policy(opening(443), CLIENT_ONLY)
    load(guest, wanted)
    kept = guest.inside("sha256sum", "/etc/orchestrator/firewall.nft").stdout
    assert kept.split()[0] == digest(render(wanted))


def test_it_works_over_ipv6_too(guest: NamespaceGuest) -> None:
    target = guest.target(policy(opening(9999)), address=GUEST_SIX)
    outcome = apply_firewalls([target], guest.ssh(SIX[MANAGEMENT]))["dupont", "web-1"]
    assert (outcome.status, outcome.message) == ("changed", "")
    assert guest.probe(("tcp", SIX[STRANGER], 9999)) == ["open"]


def networks(*parties: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(address) for party in parties for address in (party, SIX[party]))


def test_3_6_only_listed_sources_may_ping_once_any_are_listed(guest: NamespaceGuest) -> None:
    load(guest, replace(policy(), ping=networks(CLIENT)))
    questions = {("ping", party, 0): "open" for party in (CLIENT, SIX[CLIENT])}
    questions |= {("ping", party, 0): "dropped" for party in (STRANGER, SIX[STRANGER])}
    assert dict(zip(questions, guest.probe(*questions), strict=True)) == questions


def test_3_6_everything_goes_out_unless_the_file_lists_what_may(guest: NamespaceGuest) -> None:
    ports = (53, 80, 123, 443, 9999)
    with guest.services_outside(*ports):
        load(guest, policy())
        everything = [
            (kind, party, port)
            for kind in ("tcp", "udp")
            for party in (STRANGER, SIX[STRANGER])
            for port in ports
        ]
        assert set(guest.probe_outside(*everything, ("ping", STRANGER, 0))) == {"open"}

        wanted = replace(
            policy(opening(9999)),
            outgoing=(opening(443), opening(80, CLIENT)),
            nameservers=networks(STRANGER),
        )
        assert load(guest, wanted).status == "changed"
        expected = {
            ("tcp", STRANGER, 443): "open",
            ("udp", STRANGER, 443): "kept",
            ("tcp", CLIENT, 80): "open",
            ("tcp", STRANGER, 80): "kept",
            ("tcp", STRANGER, 9999): "kept",
            ("udp", STRANGER, 53): "open",
            ("tcp", STRANGER, 53): "open",
            ("udp", CLIENT, 53): "kept",
            ("udp", CLIENT, 123): "open",
            ("tcp", MANAGEMENT, 9999): "open",
            ("ping", CLIENT, 0): "kept",  # not the one that was pinged: that flow may still be known
        }
        six = {(kind, SIX[party], port): answer for (kind, party, port), answer in expected.items()}
        six["tcp", SIX[CLIENT], 80] = "kept"  # its IPv4 address alone is listed
        both = expected | six
        assert dict(zip(both, guest.probe_outside(*both), strict=True)) == both
    assert guest.probe(("tcp", STRANGER, 9999), ("ping", STRANGER, 0)) == ["open", "open"], "replies go out"
    assert "packets 0 " not in guest.inside(
        "nft", "list", "counter", "inet", "orchestrator", "refused_out"
    ).stdout.replace("\n", " "), "what was refused is counted"
    counted = parse_alerts(
        guest.inside("/usr/local/sbin/orchestrator-firewall", "alerts").stdout.splitlines()
    )
    assert counted is not None and counted.refused_out, "and told to the night"
    assert load(guest, wanted).status == "unchanged"
    guest.inside("nft", "insert rule inet orchestrator output tcp dport 9999 accept")
    assert load(guest, wanted).status == "changed", "drift is seen and mended"


RAW = """
import socket, sys, select
own, peer, send = sys.argv[1], sys.argv[2], sys.argv[3] == "send"
end, protocols = 254, [47, 50, 51, 103, 253]
if send:
    for number in [*protocols, end]:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, number) as sock:
            sock.bind((own, 0))
            sock.sendto(b"x" * 32, (peer, 0))
else:
    socks = {socket.socket(socket.AF_INET, socket.SOCK_RAW, n): n for n in [*protocols, end]}
    print("ready", flush=True)
    seen = []
    while end not in seen:
        for sock in select.select(list(socks), [], [])[0]:
            sock.recv(1024)
            seen.append(socks[sock])
    print(*sorted(seen), flush=True)
"""


def test_3_6_other_protocols_come_in_from_their_sources_alone(guest: NamespaceGuest) -> None:
    """The last packet of each party is of a protocol open to all: when it is there, the others had their time."""
    wanted = policy(
        Opening(0, 0, "254", ("any",)),
        Opening(0, 0, "esp", networks(CLIENT)),
        Opening(0, 0, "ah", networks(CLIENT)),
        Opening(0, 0, "gre", ("any",)),
        Opening(0, 0, "103", networks(STRANGER)),
    )
    load(guest, wanted)
    for party, arrived in ((CLIENT, "47 50 51 254"), (STRANGER, "47 103 254")):
        command = guest.command_inside(sys.executable, "-c", RAW, GUEST, party, "receive")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
            try:
                assert receiver.stdout is not None
                assert receiver.stdout.readline() == "ready\n"
                sender = [*guest.command_outside(), sys.executable, "-c", RAW, party, GUEST, "send"]
                subprocess.run(sender, check=True)
                assert receiver.stdout.readline() == f"{arrived}\n"
            finally:
                receiver.kill()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(policies)
def test_nft_takes_the_rules_of_any_policy(guest: NamespaceGuest, wanted: FirewallPolicy) -> None:
    said = guest.inside("nft", "-c", "-f", "-", text=render(wanted), check=False)
    assert (said.returncode, said.stderr) == (0, "")
