"""Who is trusted, and what is refused before anything is sent."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from orchestrator.guests import (
    FirewallPolicy,
    GuestUnreachable,
    HostKeyMismatch,
    LoginRefused,
    source_address_seen,
    wait_for_ssh,
)
from orchestrator.guests.playbooks import run_playbook
from tests.lab.namespace_guest import (
    CLIENT,
    GUEST_SIX,
    MANAGEMENT,
    SIX,
    STRANGER,
    NamespaceGuest,
    apply_firewalls,
    make_key,
    namespace_guest,
    opening,
    policy,
    unique_name,
)

KEY = ("dupont", "web-1")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name()) as running:
        yield running


@pytest.fixture
def other_key(tmp_path: Path) -> Path:
    make_key(tmp_path / "other")
    return tmp_path / "other"


@pytest.mark.parametrize("source", [MANAGEMENT, CLIENT, SIX[STRANGER]])
def test_the_guest_says_where_it_sees_us_come_from(guest: NamespaceGuest, source: str) -> None:
    target = guest.target(policy(), address=GUEST_SIX if ":" in source else "192.0.2.10")
    assert source_address_seen(target, guest.ssh(source)) == ip_address(source)


def test_a_policy_without_management_addresses_is_refused(guest: NamespaceGuest) -> None:
    shut = FirewallPolicy((opening(22),), (), ())
    outcome = apply_firewalls([guest.target(shut)], guest.ssh())[KEY]
    assert outcome.status == "refused"
    assert "management.addresses" in outcome.message
    assert guest.rules() == ""


def test_a_policy_that_would_shut_us_out_is_refused_and_names_our_address(guest: NamespaceGuest) -> None:
    outcome = apply_firewalls([guest.target(policy(opening(443)))], guest.ssh(STRANGER))[KEY]
    assert outcome.status == "refused"
    assert f"dupont/web-1: the guest sees us come from {STRANGER}" in outcome.message
    assert f"add {STRANGER} to management.addresses" in outcome.message
    assert guest.rules() == ""


def test_another_host_key_is_refused(guest: NamespaceGuest, other_key: Path) -> None:
    target = guest.target(policy(), host_key=other_key.with_suffix(".pub").read_text())
    with pytest.raises(HostKeyMismatch, match="not the one that the hypervisor told of"):
        source_address_seen(target, guest.ssh())
    with pytest.raises(HostKeyMismatch):
        wait_for_ssh(target, guest.ssh(), timeout_seconds=60)
    outcome = apply_firewalls([target], guest.ssh())[KEY]
    assert outcome.status == "refused"
    assert guest.rules() == ""


def test_ansible_itself_refuses_another_host_key(guest: NamespaceGuest, other_key: Path) -> None:
    target = guest.target(policy(), host_key=other_key.with_suffix(".pub").read_text())
    run = run_playbook("firewall.yml", [target], guest.ssh())
    (result,) = [result for result in run.results if result.kind == "unreachable"]
    assert "Host key verification failed" in result.result["msg"]
    assert guest.rules() == ""


def test_a_machine_without_known_host_keys_is_refused(guest: NamespaceGuest) -> None:
    target = dataclasses.replace(guest.target(policy()), host_keys=())
    outcome = apply_firewalls([target], guest.ssh())[KEY]
    assert outcome.status == "refused"
    assert "no key is trusted on first use" in outcome.message


def test_a_key_that_the_guest_does_not_know_is_told_as_such(guest: NamespaceGuest, other_key: Path) -> None:
    ssh = dataclasses.replace(guest.ssh(), private_key=other_key)
    with pytest.raises(LoginRefused, match="authorized_keys"):
        source_address_seen(guest.target(policy()), ssh)
    assert apply_firewalls([guest.target(policy())], ssh)[KEY].status == "unreachable"


def test_a_proxy_command_that_fails_is_told_at_once(guest: NamespaceGuest) -> None:
    ssh = dataclasses.replace(guest.ssh(), proxy_command="exit 1", connect_timeout_seconds=300)
    with pytest.raises(GuestUnreachable, match="ssh_proxy_command"):
        source_address_seen(guest.target(policy()), ssh)


def test_waiting_for_ssh_gives_up_with_the_last_reason(guest: NamespaceGuest) -> None:
    ssh = dataclasses.replace(guest.ssh(), proxy_command="exit 1")
    with pytest.raises(GuestUnreachable, match="no connection"):
        wait_for_ssh(guest.target(policy()), ssh, timeout_seconds=0)
    wait_for_ssh(guest.target(policy()), guest.ssh(), timeout_seconds=0)


def test_one_bad_machine_does_not_stop_the_others(guest: NamespaceGuest, other_key: Path) -> None:
    good = guest.target(policy(opening(443)))
    stranger = dataclasses.replace(
        guest.target(policy(), host_key=other_key.with_suffix(".pub").read_text()), machine="web-2"
    )
    silent = dataclasses.replace(good, machine="web-3", address="192.0.2.200")
    said: list[tuple[tuple[str, str], str]] = []
    ssh = dataclasses.replace(guest.ssh(), connect_timeout_seconds=5)
    outcomes = apply_firewalls(
        [silent, stranger, good], ssh, on_event=lambda key, step: said.append((key, step))
    )
    assert {key[1]: outcome.status for key, outcome in outcomes.items()} == {
        "web-3": "unreachable",
        "web-2": "refused",
        "web-1": "changed",
    }
    assert [step for key, step in said if key == KEY] == [
        "see where the guest sees us come from",
        "firewall",
        "confirm the firewall over a new connection",
    ]


def test_no_secret_stays_anywhere(guest: NamespaceGuest) -> None:
    private_key = (guest.folder / "user_key").read_text().splitlines()[2]
    own: list[Path] = []

    def look_around(key: tuple[str, str], step: str) -> None:
        if step == "firewall":
            found = [
                path
                for path in Path("/tmp").glob("orchestrator-run-*/inventory.json")
                if guest.outside in path.read_text()
            ]
            own.extend(path.parent for path in found)
            for path in own[0].rglob("*"):
                assert not path.is_file() or private_key not in path.read_text(errors="replace"), path
            assert own[0].stat().st_mode & 0o077 == 0

    apply_firewalls([guest.target(policy(opening(5432)))], guest.ssh(), on_event=look_around)
    assert own
    assert not any(folder.exists() for folder in own)


def test_no_connection_is_left_behind(guest: NamespaceGuest) -> None:
    apply_firewalls([guest.target(policy(opening(443)))], guest.ssh())
    # Every connection goes through a relay in the namespace outside; a shared one that lingers would hold its own
    # for ControlPersist's 60 seconds. One that was told to end needs a moment for it.
    command = ["ip", "netns", "pids", guest.outside]
    deadline = time.monotonic() + 20
    while subprocess.run(command, capture_output=True, text=True, check=True).stdout:
        assert time.monotonic() < deadline, "a connection lingers"
        time.sleep(0.1)
