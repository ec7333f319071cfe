"""What the firewall lets through, shown with packets: a real nft, a real sshd, both families."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.guests import FirewallPolicy, PartOutcome, SshSettings, digest, render
from tests.lab.namespace_guest import (
    CLIENT,
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


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(policies)
def test_nft_takes_the_rules_of_any_policy(guest: NamespaceGuest, wanted: FirewallPolicy) -> None:
    said = guest.inside("nft", "-c", "-f", "-", text=render(wanted), check=False)
    assert (said.returncode, said.stderr) == (0, "")
