"""What a look into a machine shows: rules and keys changed by hand, what its firewall dropped. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from orchestrator.guests import SshSettings, configure_machines, look_into_machines
from orchestrator.guests.alerts import FirewallAlerts, parse_alerts, since_last
from orchestrator.guests.guest import Guest
from orchestrator.guests.inside import InsideReading
from tests.lab.namespace_guest import (
    CLIENT,
    MANAGEMENT,
    STRANGER,
    NamespaceGuest,
    make_key,
    namespace_guest,
    opening,
    policy,
    unique_name,
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name(), own_root=True) as running:
        running.inside(
            "sh", "-ec", "rm -rf /etc/apt/sources.list.d /etc/apt/sources.list; touch /etc/apt/sources.list"
        )
        yield running


@pytest.fixture(scope="module")
def target(guest: NamespaceGuest) -> Guest:
    """The guest, brought to what it is to be: one open port, a client's key, monitoring."""
    make_key(guest.folder / "alice")
    keys = tuple((guest.folder / name).read_text().strip() for name in ("user_key.pub", "alice.pub"))
    wanted = replace(policy(opening(443)), monitoring=(ip_network(CLIENT),))
    found = replace(guest.target(wanted), keys=keys)
    outcomes = configure_machines([found], guest.ssh())[found.key]
    assert {part: outcome.status for part, outcome in outcomes.items()} == {
        "firewall": "changed",
        "SSH keys": "changed",
    }
    return found


def look(guest: NamespaceGuest, target: Guest, ssh: SshSettings | None = None) -> InsideReading:
    return look_into_machines([target], ssh or guest.ssh())[target.key]


def alerts(guest: NamespaceGuest) -> FirewallAlerts:
    found = parse_alerts(guest.inside("/usr/local/sbin/orchestrator-firewall", "alerts").stdout.splitlines())
    assert found is not None
    return found


def test_a_right_machine_shows_nothing_and_a_second_run_changes_nothing(
    guest: NamespaceGuest, target: Guest
) -> None:
    reading = look(guest, target)
    assert (reading.problem, reading.differs, reading.foreign_keys) == ("", {}, ())
    assert reading.due is not None and not reading.due.interrupted
    again = configure_machines([target], guest.ssh())[target.key]
    assert {outcome.status for outcome in again.values()} == {"unchanged"}


def test_only_the_monitoring_reads_the_exporter(guest: NamespaceGuest, target: Guest) -> None:
    # Nothing listens there: what the firewall lets in is told so, what it drops is not answered.
    asked = [("tcp", CLIENT, 9100), ("tcp", STRANGER, 9100), ("tcp", MANAGEMENT, 9100)]
    assert guest.probe(*asked) == ["closed", "dropped", "dropped"]


def test_rules_and_keys_changed_by_hand_are_shown_and_brought_back(
    guest: NamespaceGuest, target: Guest
) -> None:
    table = ("inet", "orchestrator", "input")
    guest.inside("nft", "insert", "rule", *table, "tcp", "dport", "3389", "accept")
    make_key(guest.folder / "carol")
    keys = guest.folder / "homes/root/.ssh/authorized_keys"
    alice, carol = ((guest.folder / f"{name}.pub").read_text() for name in ("alice", "carol"))
    keys.write_text(keys.read_text().replace(alice, "") + carol)
    before = (guest.rules(), keys.read_text())
    reading = look(guest, target)
    assert reading.differs["firewall"] == ("+ tcp dport 3389 accept",)
    assert [line.split()[0] for line in reading.differs["SSH keys"]] == ["-"], "the file's own is missing"
    assert len(reading.foreign_keys) == 1 and reading.foreign_keys[0].startswith("? ssh-ed25519 SHA256:")
    assert (guest.rules(), keys.read_text()) == before, "a look changes nothing"
    outcomes = configure_machines([target], guest.ssh())[target.key]
    assert {outcome.status for outcome in outcomes.values()} == {"changed"}
    assert "3389" not in guest.rules()
    assert alice in keys.read_text() and carol in keys.read_text(), "that of somebody else stays"


def test_what_the_firewall_drops_is_counted_and_begins_anew_with_new_rules(
    guest: NamespaceGuest, target: Guest
) -> None:
    before = alerts(guest)
    assert (
        guest.probe(("tcp", STRANGER, 9999), ("tcp", STRANGER, 22), ("udp", STRANGER, 5432))
        == ["dropped"] * 3
    )
    now = alerts(guest)
    assert now.since == before.since
    new = since_last(now, before)
    assert new.dropped >= 3 and new.dropped_bytes > 0
    assert 1 <= new.refused_ssh < new.dropped
    assert guest.probe(("tcp", STRANGER, 443), ("tcp", MANAGEMENT, 22)) == ["open", "open"]
    assert since_last(alerts(guest), now).refused_ssh == 0, "what is let in is no alert"
    assert "firewall" not in look(guest, target).differs, "what was counted is no difference"

    other = replace(target, policy=replace(target.policy, open=()))
    configure_machines([other], guest.ssh())
    anew = alerts(guest)
    assert anew.since != now.since and since_last(anew, now) == anew
    configure_machines([target], guest.ssh())


def test_the_log_of_the_kernel_is_summed() -> None:
    lines = [
        "dropped 12 720",
        "refused_ssh 2 120",
        "since 4d6f6e-12",
        "top 7 203.0.113.9 tcp 3389",
        "top 2 2001:db8::9 udp 53",
    ]
    found = parse_alerts(lines)
    assert found == FirewallAlerts(
        dropped=12,
        dropped_bytes=720,
        refused_ssh=2,
        since="4d6f6e-12",
        top=((7, "203.0.113.9 tcp 3389"), (2, "2001:db8::9 udp 53")),
    )
    assert FirewallAlerts.from_details(json.dumps(found.to_data())) == found
    assert parse_alerts(["no such command: alerts"]) is None


# As Linux 6.18 wrote them for packets to a guest with our rules.
_FROM_HERE = "orchestrator-drop IN=e0 OUT= MAC=c6:ab:24:1b:69:9e:6a:50:5d:ae:e9:89:08:00 SRC=198.51.100.77 "
_TCP = (
    _FROM_HERE
    + "DST=198.51.100.10 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=59006 DF PROTO=TCP SPT=55944 DPT=3389 "
    "WINDOW=64240 RES=0x00 SYN URGP=0 "
)
_UDP = (
    _FROM_HERE
    + "DST=198.51.100.10 LEN=29 TOS=0x00 PREC=0x00 TTL=64 ID=47888 DF PROTO=UDP SPT=40296 DPT=53 LEN=9 "
)
_ICMP = (
    _FROM_HERE + "DST=198.51.100.10 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=14459 DF PROTO=ICMP TYPE=13 CODE=0 "
)
_GRE = _FROM_HERE + "DST=198.51.100.10 LEN=44 TOS=0x00 PREC=0x00 TTL=64 ID=49649 DF PROTO=47 "
_SIX = (
    "orchestrator-drop IN=e0 OUT= MAC=c6:ab:24:1b:69:9e:6a:50:5d:ae:e9:89:86:dd "
    "SRC=2001:0db8:0005:0000:0000:0000:0000:0077 DST=2001:0db8:0005:0000:0000:0000:0000:0010 LEN=80 TC=0 HOPLIMIT=64 "
    "FLOWLBL=333495 PROTO=TCP SPT=54718 DPT=3389 WINDOW=64800 RES=0x00 SYN URGP=0 "
)
_OTHER = "e0: entered promiscuous mode"


def says(guest: NamespaceGuest, program: str, *lines: str) -> None:
    """Let a program in the guest print what was recorded: the kernel's log is the host's there."""
    text = "\n".join(("#!/bin/sh", "cat <<'LOG'", *lines, "LOG", ""))
    path = f"/usr/local/sbin/{program}"
    guest.inside("sh", "-c", f"cat >{path}; chmod 755 {path}", text=text)


def test_what_was_dropped_most_in_the_last_day_is_named(guest: NamespaceGuest, target: Guest) -> None:
    counted = [_TCP] * 6 + [_SIX] * 5 + [_UDP] * 4 + [_ICMP] * 3 + [_GRE] * 2 + [_TCP.replace("3389", "25")]
    says(guest, "journalctl", _OTHER, *counted)
    assert alerts(guest).top == (
        (6, "198.51.100.77 tcp 3389"),
        (5, "2001:db8:5::77 tcp 3389"),
        (4, "198.51.100.77 udp 53"),
        (3, "198.51.100.77 icmp -"),
        (2, "198.51.100.77 47 -"),
    )


# As Linux 6.18 wrote it for a packet that a guest was not to send.
_OUT = (
    "orchestrator-out IN= OUT=e0 SRC=198.51.100.10 DST=203.0.113.25 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF "
    "PROTO=TCP SPT=40000 DPT=25 WINDOW=64240 RES=0x00 SYN URGP=0 "
)


def test_what_was_refused_on_its_way_out_is_told_apart(guest: NamespaceGuest, target: Guest) -> None:
    says(guest, "journalctl", _OUT, _TCP, _OUT)
    assert (alerts(guest).refused_out, alerts(guest).top_out) == (None, ()), "everything may go out"
    limited = replace(target, policy=replace(target.policy, outgoing=(opening(443),)))
    configure_machines([limited], guest.ssh())
    found = alerts(guest)
    assert found.refused_out is not None
    assert found.top == ((1, "198.51.100.77 tcp 3389"),) and found.top_out == ((2, "203.0.113.25 tcp 25"),)
    configure_machines([target], guest.ssh())


def test_without_a_journal_of_the_kernel_its_own_buffer_is_read(guest: NamespaceGuest, target: Guest) -> None:
    says(guest, "journalctl")
    uptime = float(guest.inside("cat", "/proc/uptime").stdout.split()[0])
    now, yesterday = f"[{uptime:12.6f}] ", f"[{uptime - 90_000:12.6f}] "
    says(guest, "dmesg", yesterday + _UDP, now + _OTHER, now + _TCP, now + _SIX, now + _TCP)
    assert alerts(guest).top == ((2, "198.51.100.77 tcp 3389"), (1, "2001:db8:5::77 tcp 3389"))
