"""Is a restored machine sound, and is it the machine that it should be? Asked through the guest agent alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.guests.answers import shortened
from orchestrator.guests.trust import NoHostKey, learn_host_keys
from orchestrator.proxmox import AgentNotRunning, ServerError, read_guest_file

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

_DISK = re.compile(r"^(?P<device>/dev/\S+) (?P<where>\S+) (?P<type>ext[234]|xfs|btrfs) (?P<options>\S+)")


class Unsound(Exception):
    """The machine is not what it should be; the text says in what."""


def examine(cluster: Cluster, node: str, vmid: int, *, name: str, host_keys: tuple[str, ...]) -> str:
    """Look into a booted machine.

    Its name must be the one known, its SSH host keys must be the ones that were learnt from the original, its root file
    system must be writable (a damaged ext4 falls back to read-only) and no ext4 may have counted an error.

    Args:
        cluster: the API.
        node, vmid: the machine, with its guest agent up.
        name: the host name that it should have.
        host_keys: the original's public keys; empty if they were never learnt.

    Returns:
        What was found, in words.

    Raises:
        Unsound: something is not as it should be.
        ProxmoxError: the hypervisor could not be asked.
    """
    try:
        found = [_identity(cluster, node, vmid, name, host_keys), _file_systems(cluster, node, vmid)]
    except AgentNotRunning as error:
        raise Unsound(f"its guest agent fell silent while it was looked at: {error.text}") from error
    except ServerError as error:
        raise Unsound(f"a file that every machine has could not be read in it: {error.text}") from error
    return "; ".join(found)


def _identity(cluster: Cluster, node: str, vmid: int, name: str, host_keys: tuple[str, ...]) -> str:
    own_name = read_guest_file(cluster, node, vmid, "/etc/hostname").strip()
    if own_name.partition(".")[0] != name:
        raise Unsound(f"it calls itself {shortened(own_name, 80) or 'nothing'}, not {name}")
    if not host_keys:
        return f"it is {name}"
    try:
        own_keys = learn_host_keys(cluster, node, vmid)
    except NoHostKey as error:
        raise Unsound(f"it has lost its SSH host keys: {error.text}") from error
    if not set(own_keys) & set(host_keys):
        raise Unsound("its SSH host keys are not those of the original")
    return f"it is {name}, with the host keys of the original"


def _file_systems(cluster: Cluster, node: str, vmid: int) -> str:
    mounted = [
        match
        for line in read_guest_file(cluster, node, vmid, "/proc/mounts").splitlines()
        if (match := _DISK.match(line))
    ]
    roots = [match for match in mounted if match["where"] == "/"]
    if not roots:
        raise Unsound("no file system of a disk is mounted as /")
    if "rw" not in roots[0]["options"].split(","):
        raise Unsound(f"its root file system ({roots[0]['device']}) is read-only: it was damaged")
    for match in mounted:
        if match["type"].startswith("ext"):
            _no_errors(cluster, node, vmid, match["device"].removeprefix("/dev/"))
    names = ", ".join(f"{match['where']} ({match['type']})" for match in mounted)
    return f"file systems sound: {shortened(names)}"


def _no_errors(cluster: Cluster, node: str, vmid: int, device: str) -> None:
    try:
        counted = read_guest_file(cluster, node, vmid, f"/sys/fs/ext4/{device}/errors_count").strip()
    except ServerError:
        return  # a mapped device has another name there, and old kernels no such file
    if counted != "0":
        raise Unsound(f"the ext4 file system on {device} has counted {shortened(counted, 20)} errors")
