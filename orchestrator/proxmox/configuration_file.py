"""A VM's configuration as it stands in its file on the nodes (``/etc/pve/nodes/NODE/qemu-server/VMID.conf``).

Proxmox keeps three things in it: what the VM runs with, what waits for its next start (``[PENDING]``), and each of its
snapshots. The API reads the same file for each answer that it gives; whoever has the files of a whole cluster has what
a call for each machine would have told.

Only what Proxmox itself writes is read here (``write_vm_config`` of qemu-server). A file that was edited by hand may
hold more, and how Proxmox understands that is Proxmox's business: such a file is left to the API.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from orchestrator.proxmox.reading import VmConfig, vm_config
from orchestrator.proxmox.snapshots import VmSnapshot

_SECTION = re.compile(r"\[(PENDING|special:(?:cloudinit|fleecing)|[A-Za-z][A-Za-z0-9_-]+)\]")
_SETTING = re.compile(r"([a-z][a-z_-]*[0-9]*): (\S(?:.*\S)?)")
_REWRITTEN = re.compile(r"on|yes|true|off|no|false|0[0-9]+|\".*\"", re.IGNORECASE)
"""Values that the API answers otherwise than they stand in the file."""
_OLD_KEYS = frozenset({"cdrom", "smp", "description", "snapstate"})
_MASKED = frozenset({"cipassword"})


@dataclass(frozen=True, kw_only=True)
class ConfigurationFile:
    """What one file tells.

    Attributes:
        config: as :func:`orchestrator.proxmox.read_vm` returns it.
        snapshots: as :func:`orchestrator.proxmox.read_snapshots` returns them.
    """

    config: VmConfig
    snapshots: tuple[VmSnapshot, ...]


def parse_configuration_file(node: str, vmid: int, digest: str, content: bytes) -> ConfigurationFile | None:
    """Read the file of a VM.

    Args:
        node: where the VM is.
        vmid: its number.
        digest: SHA-1 of the file as it stands on the node, in hexadecimal.
        content: the file.

    Returns:
        None if there is anything in it that Proxmox does not write: then the API is to be asked.
    """
    try:
        sections = dict(_sections(content.decode("ascii")))
    except (_Odd, UnicodeDecodeError):
        return None
    main = sections.pop("", _Section())
    pending = sections.pop("PENDING", _Section())
    if "delete" in main.settings:
        return None
    deleted = {key.lstrip("!") for key in re.split(r"[\s,;]+", pending.settings.pop("delete", "")) if key}
    snapshots = [
        _snapshot(name, section) for name, section in sections.items() if not name.startswith("special:")
    ]
    if None in snapshots:
        return None
    current, waiting = main.values(), pending.values()
    return ConfigurationFile(
        config=vm_config(node, vmid, current, waiting, deleted - waiting.keys(), digest),
        snapshots=tuple(
            sorted(
                (item for item in snapshots if item is not None), key=lambda item: (item.taken_at, item.name)
            )
        ),
    )


class _Odd(Exception):
    """A line that Proxmox does not write."""


@dataclass(frozen=True)
class _Section:
    settings: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    def values(self) -> dict[str, str]:
        """The settings with the description, which stands in the file as comments."""
        values = dict(self.settings)
        if self.comments:
            values["description"] = "\n".join(self.comments).rstrip()
        return values


def _sections(text: str) -> Iterator[tuple[str, _Section]]:
    name, section, seen = "", _Section(), {""}
    for line in text.split("\n"):
        if not line.strip():
            continue
        if found := _SECTION.fullmatch(line):
            yield name, section
            name, section = found[1], _Section()
            if name in seen or (name.upper() == "PENDING" and name != "PENDING"):
                raise _Odd(line)
            seen.add(name)
        elif line.startswith("#"):
            section.comments.append(_decoded(line[1:]))
        else:
            _add(section, line, special=name.startswith("special:"), snapshot=name not in ("", "PENDING"))
    yield name, section


def _add(section: _Section, line: str, *, special: bool, snapshot: bool) -> None:
    found = _SETTING.fullmatch(line)
    if special:
        return
    if found is None or found[1] in section.settings or _REWRITTEN.fullmatch(found[2]):
        raise _Odd(line)
    if found[1] in _OLD_KEYS and not (snapshot and found[1] == "snapstate"):
        raise _Odd(line)
    section.settings[found[1]] = found[2]


def _decoded(line: str) -> str:
    """A line of the description: Proxmox writes ``%`` and everything but printable ASCII as ``%XX`` of UTF-8."""
    try:
        return unquote_to_bytes(line).decode()
    except UnicodeDecodeError:
        raise _Odd(line) from None


def _snapshot(name: str, section: _Section) -> VmSnapshot | None:
    values = section.values()
    time = values.get("snaptime", "0")
    if not re.fullmatch(r"[0-9]{1,11}", time):
        return None
    return VmSnapshot(
        name=name,
        taken_at=dt.datetime.fromtimestamp(int(time), dt.UTC),
        description=values.get("description", ""),
        parent=values.get("parent"),
        unfinished=values.get("snapstate"),
    )


def same_configuration(one: VmConfig, other: VmConfig) -> bool:
    """Whether two readings of a VM say the same, passwords aside: nobody is told those."""
    return (
        one.digest == other.digest
        and one.deleted == other.deleted
        and _without_passwords(one.current) == _without_passwords(other.current)
        and _without_passwords(one.pending) == _without_passwords(other.pending)
    )


def _without_passwords(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in _MASKED}
