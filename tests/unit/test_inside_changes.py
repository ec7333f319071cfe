"""What plans say of the inside of a machine."""

from __future__ import annotations

import urllib.parse
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from orchestrator.contract.offers import Offer
from orchestrator.guests.inside import InsideReading
from orchestrator.guests.keys import fingerprint
from orchestrator.guests.packages import DuePackage, DueUpdates
from orchestrator.planning.inside import inside_changes
from orchestrator.planning.words import sides
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.desired import DesiredMachine, desired_machines
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.subscriptions.model import Subscription
from tests.unit.plan_worlds import PROVIDER, World

ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg1Bl/wH1SydQoVGPUVW0mIrhq6uCjSHOqPM3D1ETuc alice@dupont"


def _desired(*, level: str | None = "supervision") -> DesiredMachine:
    managed = {"managed_services": {"level": level}} if level else {}
    machine = {
        "name": "web-1",
        "image": "debian-12",
        "vcpus": 1,
        "memory": "1GiB",
        "disks": [{"name": "system", "size": "4GiB"}],
    }
    data = {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2026-01-01", "site": "paris"},
        "administration": {"ssh_keys": [ALICE]},
        **managed,
        "services": [{"offer": "cloud-vm-advanced", "machines": [machine]}],
    }
    return desired_machines([Subscription.model_validate(data)], PROVIDER)[0]


def _observed(desired: DesiredMachine, *keys: str) -> tuple[ObservedMachine, Mark]:
    """The machine in service, with everything as the file has it, and these keys in its configuration."""
    world = World.empty()
    world.clone(desired)
    world.make(desired, IPv4Address("203.0.113.10"))
    observed = world.machine(desired.key)
    quoted = urllib.parse.quote("\n".join(keys or desired.ssh_keys), safe="")
    config = replace(observed.config, current={**observed.config.current, "sshkeys": quoted})
    assert observed.mark is not None
    mark = observed.mark.with_(keys=None)  # as machines are that were applied before keys were noted
    return replace(observed, config=config, mark=mark), mark


def _changes(desired: DesiredMachine, reading: InsideReading | None = None, *keys: str) -> list[Change]:
    observed, mark = _observed(desired, *keys)
    return inside_changes(desired, observed, mark, reading, reachable=True)


def test_a_machine_that_is_right_has_no_changes() -> None:
    assert _changes(_desired()) == []
    assert _changes(_desired(), InsideReading(due=DueUpdates())) == []


def test_a_new_key_is_a_change_inside_and_a_stopped_machine_gets_it_at_its_start() -> None:
    desired = _desired()
    observed, mark = _observed(desired, desired.ssh_keys[0])
    (change,) = inside_changes(desired, observed, mark, None, reachable=True)
    assert (change.effect, change.what) == (Effect.GUEST, "SSH keys")
    assert "alice@dupont" in str(sides(change)[1])
    (waiting,) = inside_changes(desired, observed, mark, None, reachable=False)
    assert waiting.effect is Effect.WAITING and waiting.why == "done when the machine has started"


def test_full_managed_service_says_before_it_takes_the_clients_keys() -> None:
    desired = _desired(level="full")
    (change,) = _changes(desired, None, *desired.ssh_keys, ALICE)
    assert change.why is not None
    assert "no direct access (art. 3.8.2), so alice@dupont goes from the machine" in change.why


def test_keys_of_an_essential_machine_are_left_alone() -> None:
    desired = replace(_desired(level=None), offer=Offer.ESSENTIAL, ssh_keys=_desired().ssh_keys[:1])
    assert _changes(desired, None, *desired.ssh_keys, ALICE) == []


def test_a_line_that_is_no_plain_key_in_proxmox_stops_no_plan() -> None:
    desired = _desired()
    assert (
        _changes(desired, None, *desired.ssh_keys, 'command="x" ssh-ed25519 AAAA', "ssh-ed25519 AAAA") == []
    )


def test_what_the_mark_knows_counts_more_than_the_configuration() -> None:
    desired = _desired()
    observed, mark = _observed(desired)
    half_done = mark.with_(keys=(fingerprint(desired.ssh_keys[0]),))
    (change,) = inside_changes(desired, observed, half_done, None, reachable=True)
    assert change.what == "SSH keys", "the configuration was written, the guest was not reached"


def test_managed_services_that_end_switch_the_supervision_off() -> None:
    desired = _desired(level=None)
    observed, mark = _observed(desired)
    (change,) = inside_changes(desired, observed, mark.with_(supervised=True), None, reachable=True)
    assert (change.what, sides(change)[1]) == (
        "supervision",
        "none: it is no longer part of the subscription",
    )


@pytest.mark.parametrize(
    ("reading", "what", "effect"),
    [
        (InsideReading(differs={"firewall": ("+ tcp dport 1 accept",)}), "firewall", Effect.FIREWALL),
        (InsideReading(differs={"SSH keys": ("- ssh-ed25519 SHA256:x alice",)}), "SSH keys", Effect.GUEST),
        (InsideReading(differs={"supervision": ("- x.service running",)}), "supervision", Effect.GUEST),
        (InsideReading(problem="other", other_host_key=True), "SSH host key", Effect.GUEST),
    ],
)
def test_what_was_changed_by_hand_is_drift(reading: InsideReading, what: str, effect: Effect) -> None:
    (change,) = _changes(_desired(), reading)
    assert (change.what, change.effect, change.drift, change.effective) == (what, effect, True, True)


def test_what_nobody_undoes_is_told() -> None:
    package = DuePackage(name="openssl", old="1", new="2", security=True, state="ready")
    reading = InsideReading(
        foreign_keys=("? ssh-ed25519 SHA256:x carol@home",),
        due=DueUpdates(packages=(package,), interrupted=True, reboot="kernel 2 is installed, 1 runs"),
    )
    told = {change.what: change for change in _changes(_desired(), reading)}
    assert {change.effect for change in told.values()} == {Effect.NOTICE}
    assert told["SSH keys"].after == "SHA256:x carol@home"
    assert sides(told["updates"])[1] == "1 security, 0 other due"
    assert set(told) == {"SSH keys", "updates", "packages", "restart"}
    (silent,) = _changes(_desired(), InsideReading(problem="SSH failed"))
    assert (silent.effect, silent.why) == (Effect.NOTICE, "SSH failed")
