"""A guest that hangs, drips or prints without end costs its own turn, and neither the others' nor the memory here."""

from __future__ import annotations

import resource
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from orchestrator.guests import (
    Guest,
    GuestUnreachable,
    SshSettings,
    configure_machines,
    limits,
    look_into_machines,
    set_clock,
    source_address_seen,
    wait_for_ssh,
)
from orchestrator.guests.firewall import outcome
from orchestrator.guests.inventory import host_name
from orchestrator.guests.playbooks import PlaybookRun, run_playbook, taking_turns
from tests.lab.hostile_shell import give_shell
from tests.lab.namespace_guest import NamespaceGuest, add_user, namespace_guest, opening, policy, unique_name

SHELLS = {
    "sleeper": "exec sleep 1000",
    "dripper": "while :; do printf .; sleep 0.5; done",
    "printer": "exec yes some words that nobody asked for",
    "shouter": "exec yes some words that nobody asked for >&2",
    "starter": 'yes noise | head -c 400000 >&2; exec /bin/sh "$@"',
}
"""Login shells, by the user who has them."""

ROADS = {
    "192.0.2.201": "exec sleep 1000",
    "192.0.2.202": "while :; do printf x || exit; sleep 0.5; done",
    "192.0.2.203": "exec tr '\\\\0' x </dev/zero",
    "192.0.2.204": "exec yes no greeting",
    "192.0.2.205": "printf 'SSH-2.0-x\\\\r\\\\n'; exec cat /dev/zero",
    "192.0.2.206": "printf 'SSH-2.0-x\\\\r\\\\n'; exec tr '\\\\0' '\\\\377' </dev/zero",
}
"""What is at an address in place of an SSH server: says nothing, says little, never ends."""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name()) as running:
        for number, (user, shell) in enumerate(SHELLS.items(), 2000):
            add_user(running.folder, user, number)
            give_shell(running, user, shell)
        yield running


@pytest.fixture
def good(guest: NamespaceGuest) -> Guest:
    return guest.target(policy(opening(443)))


@pytest.fixture
def bad(good: Guest) -> list[Guest]:
    """Machines of another client, each of which hangs or floods in its own way."""
    shells = [replace(good, client="martin", machine=user, user=user) for user in SHELLS]
    numbered = enumerate(ROADS)
    return shells + [replace(good, client="martin", machine=f"road-{n}", address=a) for n, a in numbered]


@pytest.fixture
def ssh(guest: NamespaceGuest) -> SshSettings:
    ways = " ".join(f"{address}) {road} ;;" for address, road in ROADS.items())
    road = f"case %h in {ways} *) exec {guest.ssh().proxy_command} ;; esac"
    return replace(guest.ssh(), proxy_command=f"sh -c {shlex.quote(road)}", connect_timeout_seconds=8)


def test_each_is_told_with_its_reason_and_the_others_are_done(
    good: Guest, bad: list[Guest], ssh: SshSettings
) -> None:
    outcomes = configure_machines([*bad, good], ssh)
    found = outcomes.pop(good.key)["firewall"]
    assert found.good, found.message
    told = {key[1]: parts["firewall"] for key, parts in outcomes.items()}
    assert {part.status for part in told.values()} == {"unreachable"}
    for machine, part in told.items():
        assert part.message.startswith(f"martin/{machine}: ") and len(part.message) < 700, part.message
    assert "look at its console" in told["sleeper"].message


def test_so_does_ansible(
    good: Guest, bad: list[Guest], ssh: SshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMAND_SECONDS", 20)
    largest_before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of other tests, in kilobytes
    run = run_playbook("firewall.yml", [good, *bad], ssh)
    assert fared(run, good) in ("changed", "unchanged")
    assert {fared(run, target) for target in bad} == {"unreachable"}
    reasons = {target.machine: outcome(target, run.of(host_name(target)), "").message for target in bad}
    assert "did not finish in time" in reasons["sleeper"] and "did not finish in time" in reasons["dripper"]
    for machine in ("printer", "shouter", "starter"):
        assert "printed more than a command may print" in reasons[machine]
    assert max(map(len, reasons.values())) < 2 * limits.REASON_CHARACTERS
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest == largest_before or largest < 300_000, "no process grows with what a guest prints"


def fared(run: PlaybookRun, target: Guest) -> str:
    return outcome(target, run.of(host_name(target)), run.output).status


def test_a_run_has_an_end_and_what_was_reported_until_then_counts(
    good: Guest, bad: list[Guest], ssh: SshSettings
) -> None:
    sleeper = bad[0]
    run = run_playbook("firewall.yml", [sleeper, good], ssh, run_seconds=30)
    assert fared(run, good) in ("changed", "unchanged")
    found = outcome(sleeper, run.of(host_name(sleeper)), run.output)
    assert (found.status, "took longer than 30 s" in found.message) == ("unreachable", True)


def test_a_look_says_why_it_saw_nothing(
    bad: list[Guest], ssh: SshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMAND_SECONDS", 8)
    readings = look_into_machines(bad[:2], ssh)
    assert [key[1] for key, seen in readings.items() if "did not finish in time" in seen.problem] == [
        "sleeper",
        "dripper",
    ]


def test_nor_does_a_connection_of_our_own_wait_or_read_without_end(
    bad: list[Guest], ssh: SshSettings
) -> None:
    short = replace(ssh, connect_timeout_seconds=6)

    def attempt(target: Guest) -> str:
        with pytest.raises(GuestUnreachable) as told:
            source_address_seen(target, short)
        if target.user == "starter":  # it is only too loud for our taste
            return str(told.value)
        with pytest.raises(GuestUnreachable):
            set_clock(target, short)
        return str(told.value)

    with ThreadPoolExecutor(len(bad)) as pool:
        reasons = dict(zip([target.machine for target in bad], pool.map(attempt, bad), strict=True))
    assert "did not finish within" in reasons["sleeper"] or "hangs" in reasons["sleeper"]
    assert "did not finish within" in reasons["dripper"]
    assert "printed more than" in reasons["printer"]
    for machine in ("road-2", "road-3"):
        assert reasons[machine]
    with pytest.raises(GuestUnreachable):
        wait_for_ssh(bad[-1], short, timeout_seconds=0)


def test_the_machines_of_one_client_are_not_all_before_those_of_others(good: Guest) -> None:
    """Some twenty are worked on at once: so many that hang would hold up everybody behind them."""
    hanging = [replace(good, client="aaa", machine=f"web-{number}") for number in range(60)]
    others = [replace(good, client=client) for client in ("dupont", "martin")]
    order = taking_turns([*hanging, *others])
    assert [target.key for target in order[:3]] == [hanging[0].key, *(target.key for target in others)]
    assert sorted(target.key for target in order) == sorted(target.key for target in [*hanging, *others])
