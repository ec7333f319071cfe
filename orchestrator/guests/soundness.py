"""Is a restored machine sound, and is it the machine that it should be? Asked through the guest agent alone.

What a guest says about itself is whatever somebody who is root there wants. So every answer has a size limit, names are
reduced to the characters that names have, and nothing else of an answer is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError
from orchestrator.guests.trust import NoHostKey, learn_host_keys
from orchestrator.proxmox import AgentNotRunning, ServerError, read_guest_file

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

_DISK = re.compile(r"(?P<device>/dev/\S+) (?P<where>\S+) (?P<type>ext[234]|xfs|btrfs) (?P<options>\S+)")
_DEVICE = re.compile(r"/dev/(?P<name>[A-Za-z0-9-]{1,32})")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]")
_NOT_IN_PATHS = re.compile(r"[^A-Za-z0-9/._-]")
_NAME_LENGTH = 64
"""Linux allows no longer host name."""
_MOUNTS_LENGTH = 256 * 1024
_PATH_LENGTH = 40
_NAMED = 8
"""So many file systems are named; of the others there is a number."""
_COUNTERS = 16
"""The counters of so many ext4 file systems are read: a call each."""


class Unsound(OrchestratorError):
    """The machine is not what it should be; the text says in what."""


def examine(
    cluster: Cluster,
    node: str,
    vmid: int,
    *,
    names: Callable[[], frozenset[str]],
    host_keys: tuple[str, ...],
    delivered: bool = True,
) -> str:
    """Look into a booted machine.

    Its name must be one that is known, its SSH host keys must be the ones that were learnt from the original, its root
    file system must be writable (a damaged ext4 falls back to read-only) and no ext4 may have counted an error.

    A machine whose first boot was never finished has no name of its own and no keys that anybody knows: what it is
    cannot be told from the inside, and the result says so.

    Args:
        cluster: the API.
        node, vmid: the machine, with its guest agent up.
        names: gives the host names that it may have.
        host_keys: the original's public keys; empty if they were never learnt.
        delivered: whether the original's first boot was finished.

    Returns:
        What was found, and what was not checked, human-readable.

    Raises:
        Unsound: something is not as it should be.
        ProxmoxError: the hypervisor could not be asked.
    """
    try:
        identity = _identity if delivered else _undelivered
        found = [identity(cluster, node, vmid, names, host_keys), _file_systems(cluster, node, vmid)]
    except AgentNotRunning as error:
        raise Unsound(f"its guest agent fell silent while it was inspected: {error.text}") from error
    except ServerError as error:
        raise Unsound(f"a file that every machine has could not be read in it: {error.text}") from error
    return "; ".join(found)


def own_name(cluster: Cluster, node: str, vmid: int) -> str:
    """The host name that a machine gives itself, in lower case, reduced to the characters of host names.

    Raises:
        Unsound: its file is too long for a name.
        ProxmoxError: the guest agent does not answer, or the hypervisor could not be asked.
    """
    text = read_guest_file(cluster, node, vmid, "/etc/hostname").strip()
    if len(text) > _NAME_LENGTH:
        raise Unsound(f"its /etc/hostname holds {len(text)} characters, which is not a valid host name")
    return _NOT_IN_NAMES.sub("?", text.lower())


def _identity(
    cluster: Cluster,
    node: str,
    vmid: int,
    names: Callable[[], frozenset[str]],
    host_keys: tuple[str, ...],
) -> str:
    name = own_name(cluster, node, vmid)
    known = {_short(one) for one in names()}
    if _short(name) not in known:
        raise Unsound(f"it calls itself {name or 'nothing'}, not {' or '.join(sorted(known))}")
    if not host_keys:
        return f"it is {_short(name)}"
    try:
        own_keys = learn_host_keys(cluster, node, vmid)
    except NoHostKey as error:
        raise Unsound(f"it has lost its SSH host keys: {error.text}") from error
    if not set(own_keys) & set(host_keys):
        raise Unsound("its SSH host keys are not those of the original")
    return f"it is {_short(name)}, with the host keys of the original"


def _undelivered(
    cluster: Cluster,
    node: str,
    vmid: int,
    names: Callable[[], frozenset[str]],
    host_keys: tuple[str, ...],
) -> str:
    """What a machine says of itself that was backed up before its first boot: an image's name, or none at all."""
    try:
        name = own_name(cluster, node, vmid)
    except AgentNotRunning:
        raise
    except ServerError:  # there is no /etc/hostname before the first boot of some images
        name = ""
    if _short(name) in {_short(one) for one in names()}:
        return f"it is {_short(name)}"
    return (
        f"it boots, and calls itself {name or 'nothing'}; its name and host keys were not checked, because it was "
        "backed up before its first boot"
    )


def _short(name: str) -> str:
    """A host name without its domain, as it is compared."""
    return _NOT_IN_NAMES.sub("?", name.lower()).partition(".")[0]


def _file_systems(cluster: Cluster, node: str, vmid: int) -> str:
    text = read_guest_file(cluster, node, vmid, "/proc/mounts")
    if len(text) > _MOUNTS_LENGTH:
        raise Unsound(f"its /proc/mounts holds {len(text)} characters: it cannot be what a kernel writes")
    mounted = [match for line in text.splitlines() if (match := _DISK.match(line))]
    roots = [match for match in mounted if match["where"] == "/"]
    if not roots:
        raise Unsound("no file system of a disk is mounted as /")
    if "rw" not in roots[0]["options"].split(","):
        raise Unsound(f"its root file system ({_path(roots[0]['device'])}) is read-only: it was damaged")
    devices = {match["device"]: None for match in mounted if match["type"].startswith("ext")}
    for device in list(devices)[:_COUNTERS]:
        if found := _DEVICE.fullmatch(device):
            _no_errors(cluster, node, vmid, found["name"])
    named = [f"{_path(match['where'])} ({match['type']})" for match in mounted[:_NAMED]]
    if rest := len(mounted) - len(named):
        named.append(f"{rest} more")
    return f"file systems sound: {', '.join(named)}"


def _path(text: str) -> str:
    """A path of a guest, reduced to the characters that paths usually have."""
    return _NOT_IN_PATHS.sub("?", text[:_PATH_LENGTH])


def _no_errors(cluster: Cluster, node: str, vmid: int, device: str) -> None:
    try:
        counted = read_guest_file(cluster, node, vmid, f"/sys/fs/ext4/{device}/errors_count").strip()
    except ServerError:
        return  # a mapped device has another name there, and old kernels no such file
    if counted != "0":
        number = counted if re.fullmatch(r"[0-9]{1,20}", counted) else "an unreadable number of"
        errors = "1 error" if number == "1" else f"{number} errors"
        raise Unsound(f"the ext4 file system on {device} has counted {errors}")
