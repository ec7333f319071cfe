"""No change of any plan has two sides that read the same, whatever stands in Proxmox and in the file."""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guests.keys import fingerprint
from orchestrator.planning.gaps import find_gaps
from orchestrator.planning.machine import machine_changes
from orchestrator.planning.words import sides
from orchestrator.resources.change import Change
from orchestrator.resources.key_names import NamedKey, key_names, key_words
from orchestrator.resources.machine import size_words
from tests.unit.plan_worlds import World, desired, subscriptions
from tests.unit.test_plan_laws import NOW

_COMMENTS = (
    "",
    "admin@client",
    "admin@client, alice@home",
    "alice@home",
    "admin@client (SHA256:xxxxxxxxxxxx)",
)


def _line(number: int, comment: str) -> str:
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + number.to_bytes(32, "big")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".rstrip()


lines = st.builds(_line, st.integers(0, 3), st.sampled_from(_COMMENTS))

# What a machine's settings can be in Proxmox: by other tools, by hand, in part.
settings_of_proxmox = st.fixed_dictionaries(
    {},
    optional={
        "cores": st.sampled_from(["1", "2", "3"]),
        "sockets": st.sampled_from(["1", "2"]),
        "memory": st.sampled_from(["512", "1000", "1024", "current=1024", "current=4096", "4097"]),
        "name": st.sampled_from(["web-1", "db-1", "other"]),
        "net0": st.sampled_from(
            ["virtio", "virtio=BC:24:11:44:91:79", "virtio=BC:24:11:44:91:79,bridge=vmbr0,tag=7,queues=2",
             "e1000=BC:24:11:44:91:79,tag=7,bridge=vmbr1", "model=virtio,bridge=vmbr1,firewall=1"]
        ),
        "ipconfig0": st.sampled_from(
            ["ip=dhcp", "ip=203.0.113.10/24", "ip=203.0.113.10/24,gw=203.0.113.1", "ip6=auto",
             "ip=203.0.113.10/25,gw=203.0.113.1", "gw=203.0.113.2,ip=203.0.113.10/24,ip6=2001:db8::1/64",
             "ip=203.0.113.11/24,gw=203.0.113.1", "ip=203.0.113.10/24,gw=203.0.113.254"]
        ),
        "nameserver": st.sampled_from(["192.0.2.53", "192.0.2.53, 192.0.2.54"]),
        "ciuser": st.sampled_from(["root", "admin"]),
        "agent": st.sampled_from(["0", "1", "off", "enabled=0,fstrim_cloned_disks=1", "fstrim_cloned_disks=1"]),
        "tags": st.sampled_from(["", "a", "a;orchestrator", "client-dupont,orchestrator"]),
        "sshkeys": st.lists(lines, max_size=3).map(lambda found: urllib.parse.quote("\n".join(found), safe="")),
        "scsi0": st.builds(
            "local:1/vm-1-disk-0.qcow2,size={}".format,
            st.sampled_from(["4G", "4096M", "4194303K", "4194305K", "4294967295", "3G", "4.5G", "5T", "1048576G"]),
        ),
        "onboot": st.just("0"),
    },
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    subscriptions(),
    st.lists(lines, max_size=3, unique_by=lambda line: line.split()[1]),
    settings_of_proxmox,
    st.none() | st.lists(st.integers(0, 3), max_size=3),
    st.booleans(),
)
def test_the_two_sides_of_a_change_never_read_the_same(
    file: dict[str, Any], keys: list[str], found: dict[str, str], known: list[int] | None, ready: bool
) -> None:
    file["administration"]["ssh_keys"] = keys
    machine = desired([file])[0]
    address = IPv4Address("203.0.113.10" if machine.network.name == "public" else "10.1.0.10")
    world = World.empty()
    world.clone(machine)
    world.make(machine, address)
    observed = world.machine(machine.key)
    assert observed.mark is not None
    mark = observed.mark.with_(
        ready=ready, keys=None if known is None else tuple(fingerprint(_line(item, "x")) for item in known)
    )
    config = replace(observed.config, current={**observed.config.current, **found})
    changed = replace(observed, config=config, mark=mark)
    assert _alike(machine_changes(machine, changed, address, NOW)) == []


def _alike(changes: tuple[Change, ...]) -> list[Change]:
    return [change for change in changes if sides(change)[0] is not None and len(set(sides(change))) == 1]


@given(st.lists(lines), st.lists(lines))
def test_keys_are_told_apart_by_their_fingerprints_where_comments_do_not(
    before: list[str], after: list[str]
) -> None:
    sides = [{NamedKey.of(line) for line in side} for side in (before, after)]
    names = key_names([*sides[0], *sides[1]])
    assert len(set(names.values())) == len(names)
    words = key_words(*sides)
    assert (words[0] == words[1]) is (sides[0] == sides[1])


def test_a_comment_is_enough_where_it_tells_keys_apart() -> None:
    old, new, other = (
        NamedKey.of(_line(1, "admin@client")),
        NamedKey.of(_line(2, "admin@client")),
        NamedKey.of(_line(3, "alice")),
    )
    assert key_words([old, other], [other]) == ("admin@client, alice", "alice")
    before, after = key_words([old, other], [new, other])
    assert before == f"admin@client ({old.fingerprint[:19]}), alice"
    assert after == f"admin@client ({new.fingerprint[:19]}), alice"


@given(st.integers(0, 2**45), st.integers(0, 2**45))
def test_two_sizes_of_disks_read_the_same_only_if_they_are(one: int, other: int) -> None:
    assert (size_words(one) == size_words(other)) is (one == other)


def test_switches_are_read_in_every_way_that_proxmox_takes_them() -> None:
    """``backup=off`` leaves a disk out as ``backup=0`` does, and ``agent: yes`` is an agent that is on."""
    world = World.empty()
    (machine,) = desired([_FILE])
    world.clone(machine)
    world.make(machine, IPv4Address("203.0.113.10"))
    found = world.machine(machine.key)

    def gaps(**config: str) -> set[str]:
        changed = replace(found.config, current={**found.config.current, **config})
        return {gap.code for gap in find_gaps(replace(found, config=changed))}

    disk = "local:1/vm-1-disk-0.qcow2"
    assert "disk-not-backed-up" in gaps(scsi0=f"{disk},backup=off") & gaps(scsi0=f"{disk},backup=0")
    assert not {"disk-not-backed-up", "no-discard"} & gaps(scsi0=f"backup=yes,discard=on,file={disk}")
    assert "no-guest-agent" not in gaps(agent="yes,type=virtio") | gaps(agent="type=virtio,enabled=1")
    assert "no-guest-agent" in gaps(agent="enabled=off") & gaps(agent="0")
    assert "old-cpu-type" in gaps(cpu="flags=+aes,cputype=kvm64") and "old-cpu-type" not in gaps(cpu="host")
    # Notes that speak of cloud-init are no drive of it.
    assert "no-cloud-init" in gaps(description="cloudinit,media=cdrom", scsi1="none,media=cdrom")
    assert "media-inserted" not in gaps(description="media=cdrom")


_FILE = {
    "client": "dupont",
    "contract": {"reference": "C-1", "starts": "2026-03-01", "site": "paris"},
    "services": [
        {
            "offer": "cloud-vm-advanced",
            "machines": [
                {
                    "name": "web-1",
                    "image": "debian-12",
                    "vcpus": 1,
                    "memory": "1GiB",
                    "disks": [{"name": "system", "size": "4GiB"}],
                }
            ],
        }
    ],
}
