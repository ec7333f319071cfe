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

from orchestrator.proxmox.snapshots import VmSnapshot
from orchestrator.proxmox.vm_configuration import VmConfig, vm_config

_SECTION = re.compile(r"\[(PENDING|special:(?:cloudinit|fleecing)|[A-Za-z][A-Za-z0-9_-]+)\]")
_SNAPSHOT = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
_SETTING = re.compile(r"([a-z][a-z_-]*[0-9]*): (\S(?:.*\S)?)")
_REWRITTEN = re.compile(r"on|yes|true|off|no|false|0[0-9]+|\".*\"", re.IGNORECASE)
"""Values that the API answers otherwise than they stand in the file."""
_SWITCHES = frozenset(
    {
        "acpi",
        "allow-ksm",
        "autostart",
        "ciupgrade",
        "freeze",
        "keephugepages",
        "kvm",
        "localtime",
        "numa",
        "onboot",
        "protection",
        "reboot",
        "tablet",
        "tdf",
        "template",
    }
)
_WHOLE_NUMBERS = frozenset(
    {"balloon", "cores", "cpuunits", "migrate_speed", "shares", "snaptime", "sockets", "vcpus"}
)
_NUMBERS = frozenset({"cpulimit", "migrate_downtime"})
_TEXTS = frozenset(
    {
        "affinity",
        "agent",
        "amd-sev",
        "arch",
        "args",
        "audio0",
        "bios",
        "boot",
        "bootdisk",
        "cicustom",
        "cipassword",
        "citype",
        "ciuser",
        "cpu",
        "efidisk0",
        "hookscript",
        "hotplug",
        "hugepages",
        "ivshmem",
        "keyboard",
        "lock",
        "machine",
        "memory",
        "meta",
        "name",
        "nameserver",
        "ostype",
        "parent",
        "rng0",
        "running-nets-host-mtu",
        "runningcpu",
        "runningmachine",
        "scsihw",
        "searchdomain",
        "smbios1",
        "spice_enhancements",
        "sshkeys",
        "startdate",
        "startup",
        "tags",
        "tpmstate0",
        "vga",
        "vmgenid",
        "vmstate",
        "vmstatestorage",
        "watchdog",
    }
)
_NUMBERED = {"hostpci": 16, "ide": 4, "ipconfig": 32, "net": 32, "numa": 8, "parallel": 3, "sata": 6, "scsi": 31,
             "serial": 4, "unused": 256, "usb": 14, "virtio": 16, "virtiofs": 10}  # fmt: skip
"""Keys with a number after them, and the first number that there is not."""
_NUMBERED_KEY = re.compile(r"([a-z]+)(0|[1-9][0-9]{0,2})")
_SNAPSTATE = re.compile(r"snapstate:\s*(?:prepare|delete)\s*$")
_BLANKS_AT_THE_END = re.compile(r"[ \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+\Z")
"""As Perl has them: Python counts \\x1c to \\x1f as well."""
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
    config = vm_config(node, vmid, current, waiting, deleted - waiting.keys(), digest)
    if config.wrong:  # Proxmox leaves out what it does not understand
        return None
    return ConfigurationFile(
        config=config,
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
            values["description"] = _BLANKS_AT_THE_END.sub("", "\n".join(self.comments))
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
    if "\r" in line or line.lstrip().startswith("["):
        raise _Odd(line)
    if special:
        return
    if found is None or found[1] in section.settings or _REWRITTEN.fullmatch(found[2]):
        raise _Odd(line)
    if _SNAPSTATE.search(line):  # wherever it stands in a line, Proxmox takes the line for this
        if not snapshot or found[1] != "snapstate" or found[2] not in ("prepare", "delete"):
            raise _Odd(line)
    elif not _is_known(found[1], found[2]):
        raise _Odd(line)
    section.settings[found[1]] = found[2]


def _is_known(key: str, value: str) -> bool:
    """Whether Proxmox takes a setting as it stands: unknown keys, and values of another type, it leaves out."""
    if key in _SWITCHES:
        return value in ("0", "1")
    if key in _WHOLE_NUMBERS:
        return re.fullmatch(r"[0-9]{1,15}", value) is not None
    if key in _NUMBERS:
        return re.fullmatch(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", value) is not None
    numbered = _NUMBERED_KEY.fullmatch(key)
    return (
        key in _TEXTS
        or key == "delete"
        or (numbered is not None and int(numbered[2]) < _NUMBERED.get(numbered[1], 0))
    )


def _decoded(line: str) -> str:
    """A line of the description: Proxmox writes ``%`` and everything but printable ASCII as ``%XX`` of UTF-8."""
    try:
        return unquote_to_bytes(line).decode()
    except UnicodeDecodeError:
        raise _Odd(line) from None


def _snapshot(name: str, section: _Section) -> VmSnapshot | None:
    values = section.values()
    time, parent = values.get("snaptime", "0"), values.get("parent")
    if not re.fullmatch(r"[0-9]{1,11}", time) or not (parent is None or _SNAPSHOT.fullmatch(parent)):
        return None
    return VmSnapshot(
        name=name,
        taken_at=dt.datetime.fromtimestamp(int(time), dt.UTC),
        description=values.get("description", ""),
        parent=parent,
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
