"""The way back: rules that nobody confirms over a new connection do not stay, whatever happens in between."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.guests import (
    FirewallPolicy,
    Guest,
    GuestUnreachable,
    InventoryHost,
    SshSettings,
    dynamic_inventory,
    render,
    set_clock,
    write_known_hosts,
)
from orchestrator.guests.playbooks import run_playbook
from orchestrator.shipped_files import playbook_folder
from tests.lab.namespace_guest import (
    CLIENT,
    GUEST,
    MANAGEMENT,
    STRANGER,
    NamespaceGuest,
    apply_firewalls,
    eventually,
    namespace_guest,
    opening,
    policy,
    unique_name,
)
from tests.lab.odd_guests import fast_clock, slow_login

PROGRAM = "/usr/local/sbin/orchestrator-firewall"
PENDING = "/run/orchestrator-firewall/pending"
PREVIOUS = policy(opening(443))
NEXT = policy(opening(5432))
SHUT_OUT = policy(opening(9999), management=STRANGER)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name()) as guest:
        yield guest


@pytest.fixture
def guest(running: NamespaceGuest) -> NamespaceGuest:
    """The guest with rules that were loaded and confirmed, as any machine in service has them."""
    assert apply_firewalls([running.target(PREVIOUS)], running.ssh())["dupont", "web-1"].status in (
        "changed",
        "unchanged",
    )
    return running


def by_hand(target: Guest, ssh: SshSettings, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook as an engineer does: ansible-playbook with the dynamic inventory."""
    write_known_hosts(folder / "known_hosts", [target])
    host = InventoryHost(guest=target, site="paris", offer="cloud-vm-advanced")
    listed = json.dumps(dynamic_inventory([host], ssh=ssh, known_hosts=folder / "known_hosts"))
    inventory = folder / "inventory"
    inventory.write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(listed)}\n")
    inventory.chmod(0o755)
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, "firewall.yml", *options],
        cwd=playbook_folder(),
        env={
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": "ansible.cfg",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "/tmp",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def start(guest: NamespaceGuest, wanted: FirewallPolicy, seconds: int) -> str:
    """Load rules in the guest as the playbook does, and leave them unconfirmed. Returns the token."""
    said = guest.inside(PROGRAM, "apply", str(seconds), text=render(wanted)).stdout
    assert re.fullmatch(r"loaded [0-9a-f]{16}\n", said)
    return said.split()[1]


def status(guest: NamespaceGuest) -> str:
    return guest.inside(PROGRAM, "status").stdout


def test_rules_that_shut_us_out_fail_and_the_guest_goes_back_by_itself(
    guest: NamespaceGuest, tmp_path: Path
) -> None:
    before = guest.rules()
    said = by_hand(guest.target(SHUT_OUT), guest.ssh(rollback_seconds=8), tmp_path)
    assert said.returncode == 2, said.stdout
    message = " ".join(said.stdout.split())
    assert "the new rules let no new SSH connection in" in message
    assert "the guest went back to its previous rules by itself" in message
    assert guest.rules() == before
    assert guest.probe(("tcp", STRANGER, 443), ("tcp", STRANGER, 9999), ("tcp", MANAGEMENT, 22)) == [
        "open",
        "dropped",
        "open",
    ]
    assert guest.inside("cat", "/etc/orchestrator/firewall.nft").stdout == render(PREVIOUS)


def test_the_same_within_a_run_of_ours_is_reported_as_rolled_back(
    guest: NamespaceGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between asking the guest where we come from and confirming, the way to it may change."""
    before = guest.rules()
    # The proxy takes another road once the rules are loaded: from then on we come from the stranger's address.
    script = (
        f"if nsenter --net=/run/netns/{guest.network} nft list table inet orchestrator | grep -q 9999; "
        f"then {guest.ssh(STRANGER).proxy_command}; else {guest.ssh().proxy_command}; fi"
    )
    ssh = replace(guest.ssh(rollback_seconds=8), proxy_command="sh -c " + shlex.quote(script))
    outcome = apply_firewalls([guest.target(policy(opening(9999)))], ssh)["dupont", "web-1"]
    assert outcome.status == "rolled-back", outcome.message
    assert "dupont/web-1: the new rules let no new SSH connection in" in outcome.message
    assert guest.rules() == before


def test_a_guest_whose_clock_runs_too_fast_is_told_from_a_policy_that_shuts_us_out(
    guest: NamespaceGuest,
) -> None:
    before = guest.rules()
    with fast_clock(guest, 20), slow_login(guest, "root", PENDING):
        outcome = apply_firewalls([guest.target(NEXT)], guest.ssh(rollback_seconds=60))["dupont", "web-1"]
    assert outcome.status == "rolled-back", outcome.message
    found = re.search(r"the guest's clock runs ([0-9.]+) times too fast", outcome.message)
    assert found is not None, outcome.message
    assert 5 < float(found[1]) < 30
    assert "The policy is not the cause" in outcome.message
    assert "management.addresses" not in outcome.message
    assert guest.rules() == before


def test_a_clock_that_runs_too_fast_cannot_be_set_and_sudo_is_not_blamed(guest: NamespaceGuest) -> None:
    with (
        fast_clock(guest, 200),
        pytest.raises(GuestUnreachable, match=r"its clock was set, but runs [0-9.]+ times too fast"),
    ):
        set_clock(guest.target(PREVIOUS), guest.ssh())


def test_a_slow_guest_is_told_from_a_policy_that_shuts_us_out(guest: NamespaceGuest, tmp_path: Path) -> None:
    before = guest.rules()
    with slow_login(guest, "root", PENDING):
        outcome = apply_firewalls([guest.target(NEXT)], guest.ssh(rollback_seconds=2))["dupont", "web-1"]
        assert outcome.status == "rolled-back", outcome.message
        assert re.search(r"the guest is slow: the confirmation arrived [0-9]+ s after", outcome.message)
        assert "management.addresses" not in outcome.message
        said = by_hand(guest.target(NEXT), guest.ssh(rollback_seconds=2), tmp_path)
    assert said.returncode == 2, said.stdout
    message = " ".join(said.stdout.split())
    assert "but when the rules were to be confirmed it was too late" in message
    assert "the guest is slow, or its clock runs too fast" in message
    assert "management.addresses" not in message
    assert guest.rules() == before


def test_a_guest_without_rules_goes_back_to_none(tmp_path: Path) -> None:
    (tmp_path / "guest").mkdir()
    with namespace_guest(tmp_path / "guest", unique_name()) as fresh:
        said = by_hand(fresh.target(SHUT_OUT), fresh.ssh(rollback_seconds=6), tmp_path)
        assert said.returncode == 2
        eventually(lambda: fresh.rules() == "", "the table is gone again")
        assert fresh.probe(("tcp", STRANGER, 5432)) == ["open"]
        assert fresh.inside("ls", "/etc/orchestrator", check=False).stdout == ""
        assert checked(fresh, PREVIOUS) == ["would-change", "~ no rules were confirmed here yet"]


def test_killed_between_loading_and_confirming_the_guest_goes_back(guest: NamespaceGuest) -> None:
    before = guest.rules()
    unverified = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    login = ["ssh", "-F", "/dev/null", "-i", str(guest.folder / "user_key"), *unverified, f"root@{GUEST}"]
    session = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{guest.outside}", "--", *login, f"{PROGRAM} apply 3; sleep 60"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(render(NEXT))
    session.stdin.close()
    assert session.stdout.readline().startswith("loaded ")
    session.send_signal(signal.SIGKILL)
    session.wait()
    session.stdout.close()
    eventually(lambda: "no confirmation within 3 s" in status(guest), "the guest went back")
    assert guest.rules() == before


def test_a_reboot_before_the_confirmation_comes_up_with_the_old_rules(guest: NamespaceGuest) -> None:
    before = guest.rules()
    start(guest, NEXT, 60)
    assert guest.rules() != before
    reboot(guest)
    assert guest.rules() == before
    assert apply_firewalls([guest.target(PREVIOUS)], guest.ssh())["dupont", "web-1"].status == "unchanged"


def test_confirmed_rules_are_kept_across_a_reboot(guest: NamespaceGuest) -> None:
    assert apply_firewalls([guest.target(NEXT)], guest.ssh())["dupont", "web-1"].status == "changed"
    loaded = guest.rules()
    reboot(guest)
    assert guest.rules() == loaded
    assert guest.probe(("tcp", STRANGER, 5432), ("tcp", STRANGER, 443)) == ["open", "dropped"]


def reboot(guest: NamespaceGuest) -> None:
    """Cut the power and boot; do what systemd does with the unit, as far as one service needs it."""
    guest.stop()
    guest.start()
    assert guest.rules() == ""
    units = Path("/etc/systemd/system")
    wanted = guest.inside(
        "readlink", "-f", str(units / "sysinit.target.wants/orchestrator-firewall.service")
    ).stdout
    unit = guest.inside("cat", wanted.strip()).stdout
    assert guest.inside("test", "-e", re.search(r"^ConditionPathExists=(.*)$", unit, re.MULTILINE)[1])  # type: ignore[index]
    guest.inside(*shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1]))  # type: ignore[index]


def test_systemd_accepts_the_unit(guest: NamespaceGuest) -> None:
    unit = guest.folder / "etc/systemd/system/orchestrator-firewall.service"
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_a_second_run_waits_for_its_turn(guest: NamespaceGuest) -> None:
    before = guest.rules()
    start(guest, NEXT, 60)
    outcome = apply_firewalls([guest.target(policy(opening(9999)))], guest.ssh())["dupont", "web-1"]
    assert outcome.status == "failed"
    assert "another run loaded wait for their confirmation" in outcome.message
    guest.inside(PROGRAM, "rollback")
    assert guest.rules() == before


def test_of_two_runs_at_once_one_loads_its_rules(guest: NamespaceGuest) -> None:
    before = guest.rules()
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(
            lambda wanted: guest.inside(PROGRAM, "apply", "3", text=render(wanted), check=False),
            (NEXT, policy(opening(9999))),
        )
        assert sorted(run.returncode for run in runs) == [0, 1]
    eventually(lambda: guest.rules() == before, "the winner's rules are gone, unconfirmed")


def test_a_confirmation_that_comes_too_late_is_refused(guest: NamespaceGuest) -> None:
    before = guest.rules()
    token = start(guest, NEXT, 1)
    eventually(lambda: guest.rules() == before, "the previous rules are back")
    late = guest.inside(PROGRAM, "confirm", token, check=False)
    assert late.returncode == 1
    assert late.stderr.startswith("too late: rolled-back ")
    assert guest.rules() == before


def test_somebody_elses_token_confirms_nothing(guest: NamespaceGuest) -> None:
    start(guest, NEXT, 60)
    assert guest.inside(PROGRAM, "confirm", "0123456789abcdef", check=False).returncode == 1
    assert status(guest).startswith("pending ")
    assert guest.inside(PROGRAM, "rollback").stdout == "rolled-back\n"


def test_rules_whose_watch_was_killed_are_settled_by_the_next_run(guest: NamespaceGuest) -> None:
    before = guest.rules()
    start(guest, NEXT, 60)
    guest.inside("sh", "-c", "read -r _ pid </run/orchestrator-firewall/watching; kill -9 $pid")
    assert apply_firewalls([guest.target(PREVIOUS)], guest.ssh())["dupont", "web-1"].status == "unchanged"
    assert guest.rules() == before


@pytest.mark.parametrize(
    ("rules", "reason"),
    [("table inet orchestrator { nonsense }", "syntax error"), ("", "no rules were sent")],
)
def test_rules_that_nft_does_not_take_are_never_loaded(
    guest: NamespaceGuest, rules: str, reason: str
) -> None:
    before = guest.rules()
    said = guest.inside(PROGRAM, "apply", "3", text=rules, check=False)
    assert said.returncode == 1
    assert reason in said.stderr
    assert (guest.rules(), status(guest).split()[0] != "pending") == (before, True)


@pytest.mark.parametrize("seconds", ["0", "61", "600", "x", ""])
def test_the_guest_waits_60_seconds_at_most(guest: NamespaceGuest, seconds: str) -> None:
    said = guest.inside(PROGRAM, "apply", seconds, text=render(NEXT), check=False)
    assert said.returncode == 1
    assert "seconds are 1 to 60" in said.stderr


def test_a_slow_machine_does_not_cost_the_others_their_confirmation(guest: NamespaceGuest) -> None:
    """With Ansible's usual strategy every machine waits for the slowest one between loading and confirming."""
    silent = replace(guest.target(NEXT), machine="web-2", address="192.0.2.200")
    road = guest.ssh().proxy_command
    slow = f"if test %h = {GUEST}; then {road}; else sleep 20; exit 1; fi"
    ssh = replace(guest.ssh(rollback_seconds=8), proxy_command="sh -c " + shlex.quote(slow))
    run = run_playbook("firewall.yml", [silent, guest.target(NEXT)], ssh)
    ended = [(r.host, r.task) for r in run.results if r.kind in ("ok", "unreachable", "failed")]
    assert ended == [
        ("web-1.dupont", "Load the rules, the way back armed"),
        ("web-1.dupont", "Confirm the firewall over a new connection"),
        ("web-2.dupont", "Load the rules, the way back armed"),
    ]
    assert status(guest).startswith("confirmed ")


def test_check_mode_says_what_would_change_and_changes_nothing(guest: NamespaceGuest, tmp_path: Path) -> None:
    before = guest.rules()
    same = by_hand(guest.target(PREVIOUS), guest.ssh(), tmp_path, "--check")
    assert "ok=1    changed=0    unreachable=0    failed=0" in same.stdout
    other = by_hand(guest.target(NEXT), guest.ssh(), tmp_path, "--check")
    assert "ok=1    changed=1    unreachable=0    failed=0" in other.stdout
    assert guest.rules() == before


def checked(guest: NamespaceGuest, wanted: FirewallPolicy) -> list[str]:
    return guest.inside(PROGRAM, "check", text=render(wanted)).stdout.splitlines()


def test_a_check_tells_what_was_changed_by_hand(guest: NamespaceGuest) -> None:
    table = ("inet", "orchestrator")
    handles = guest.inside("nft", "-a", "list", "table", *table).stdout

    def delete(rule: str) -> None:
        (handle,) = re.findall(rf"{rule} # handle ([0-9]+)", handles)
        guest.inside("nft", "delete", "rule", *table, "input", "handle", handle)

    assert checked(guest, PREVIOUS) == ["unchanged"]
    delete("ct state invalid drop")
    guest.inside("nft", "add", "rule", *table, "input", "ct", "state", "invalid", "drop")
    assert checked(guest, PREVIOUS) == ["would-change", "~ the rules stand in another order"]
    delete("tcp dport 443 accept")
    guest.inside("nft", "insert", "rule", *table, "input", "tcp", "dport", "3389", "accept")
    found = ["+ tcp dport 3389 accept", "- tcp dport 443 accept"]
    assert checked(guest, PREVIOUS) == ["would-change", *found]
    assert checked(guest, NEXT)[1:] == [*found, "~ other rules are wanted than those confirmed"]
    guest.inside("nft", "delete", "table", *table)
    assert checked(guest, PREVIOUS)[1:] == ["- table inet orchestrator: none of the rules is loaded"]


def test_a_check_tells_when_the_loaded_rules_are_not_all_that_is_missing(guest: NamespaceGuest) -> None:
    assert checked(guest, NEXT) == ["would-change", "~ other rules are wanted than those confirmed"]
    start(guest, NEXT, 60)
    assert checked(guest, PREVIOUS) == [
        "would-change",
        "~ rules that another run loaded wait for their confirmation",
    ]
    guest.inside(PROGRAM, "rollback")
    guest.inside("rm", "/etc/systemd/system/sysinit.target.wants/orchestrator-firewall.service")
    assert checked(guest, PREVIOUS)[1:] == [
        "- orchestrator-firewall.service: the rules are not loaded at boot"
    ]


def test_by_hand_it_loads_and_a_second_time_changes_nothing(guest: NamespaceGuest, tmp_path: Path) -> None:
    wanted = policy(opening(9999, CLIENT))
    first = by_hand(guest.target(wanted), guest.ssh(), tmp_path)
    assert "changed=1    unreachable=0    failed=0" in first.stdout
    assert guest.probe(("tcp", CLIENT, 9999), ("tcp", STRANGER, 9999)) == ["open", "dropped"]
    second = by_hand(guest.target(wanted), guest.ssh(), tmp_path)
    assert "ok=1    changed=0    unreachable=0    failed=0" in second.stdout
