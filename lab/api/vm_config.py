"""A VM's configuration: one text file in Proxmox's format.

    #description, percent-encoded where needed
    cores: 2
    memory: 2048

    [PENDING]
    delete: scsi5
    memory: 4096

    [before-upgrade]
    snaptime: 1795412768

The digest that clients send back is the SHA-1 of the file, so that it changes with everything in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from lab.api.drives import DISK_SLOTS, Drive, parse_drive
from lab.api.errors import Refused
from lab.api.options import OPTIONS, STORED_ONLY, parse_memory

MASKED = "**********"
Values = dict[str, str]

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in "%:")
_NUMERIC = frozenset(name for name, kind in (OPTIONS | STORED_ONLY).items() if kind.kind != "string")


@dataclass
class VmConfig:
    """What the file of one VM says.

    Attributes:
        values: the configuration in force.
        pending: changes that wait for a restart, by option.
        pending_delete: options that go at a restart; True where their disk goes with them.
        snapshots: the configuration at each snapshot's time, with `snaptime`, `parent` and `description`.
        digest: SHA-1 of the file as it was read.
    """

    values: Values = field(default_factory=dict)
    pending: Values = field(default_factory=dict)
    pending_delete: dict[str, bool] = field(default_factory=dict)
    snapshots: dict[str, Values] = field(default_factory=dict)
    digest: str = ""

    @property
    def template(self) -> bool:
        """Whether it is a template."""
        return self.values.get("template") == "1"

    @property
    def lock(self) -> str | None:
        """The mark that a running (or crashed) task has left."""
        return self.values.get("lock")

    @property
    def memory_mib(self) -> int:
        """Memory in MiB; 512 unless the file says otherwise."""
        return parse_memory(self.values.get("memory", "512"))

    @property
    def vcpus(self) -> int:
        """Virtual processors."""
        return int(self.values.get("sockets", "1")) * int(self.values.get("cores", "1"))

    @property
    def with_pending(self) -> Values:
        """The values as they will be after a restart."""
        kept = {key: value for key, value in self.values.items() if key not in self.pending_delete}
        return kept | self.pending

    def drives(self) -> dict[str, Drive]:
        """The drives in force, by slot, in the order of their numbers."""
        return {slot: parse_drive(self.values[slot], slot) for slot in DISK_SLOTS if slot in self.values}

    def boot_disk(self) -> Drive | None:
        """The disk that the machine boots from: the first one of the boot order that is no CD."""
        drives = self.drives()
        order = re.findall(r"scsi\d+", self.values.get("boot", ""))
        found = (drives[slot] for slot in [*order, *drives] if slot in drives and not drives[slot].cdrom)
        return next(found, None)

    def check_lock(self) -> None:
        """Demand that no task has marked the configuration.

        Raises:
            Refused: `VM is locked (…)`.
        """
        if self.lock:
            raise Refused(f"VM is locked ({self.lock})")

    def check_protection(self, what: str) -> None:
        """Demand that `protection` is off, before `what` is done.

        Raises:
            Refused: it is on.
        """
        if self.values.get("protection") == "1":
            raise Refused(f"{what} - protection mode enabled")

    def free_unused_key(self) -> str:
        """The first `unusedN` that is free."""
        return next(key for index in range(256) if (key := f"unused{index}") not in self.values)


def shown(values: Mapping[str, str]) -> dict[str, Any]:
    """Values as the API shows them: numbers as numbers, the password masked."""
    typed: dict[str, Any] = {
        key: int(value) if key in _NUMERIC else value for key, value in sorted(values.items())
    }
    if "cipassword" in typed:
        typed["cipassword"] = MASKED
    return typed


class Configurations:
    """The configuration files of one cluster's VMs."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder = folder
        self._node = node
        folder.mkdir(parents=True, exist_ok=True)

    def vmids(self) -> list[int]:
        """The numbers of all VMs, sorted."""
        return sorted(int(path.stem) for path in self._folder.glob("*.conf"))

    def exists(self, vmid: int) -> bool:
        """Whether there is such a VM."""
        return self._path(vmid).exists()

    def load(self, vmid: int) -> VmConfig:
        """Read a VM's file.

        Raises:
            Refused: there is no such VM.
        """
        try:
            return parse(self._path(vmid).read_text())
        except FileNotFoundError:
            text = f"Configuration file 'nodes/{self._node}/qemu-server/{vmid}.conf' does not exist"
            raise Refused(text) from None

    def save(self, vmid: int, config: VmConfig) -> None:
        """Write a VM's file, wholly or not at all, and take over its new digest."""
        text = render(config)
        scratch = self._folder / f".{vmid}.new"
        scratch.write_text(text)
        scratch.replace(self._path(vmid))
        config.digest = _digest(text)

    def create(self, vmid: int, lock: str) -> None:
        """Take a number: an empty configuration with a lock.

        Raises:
            FileExistsError: it is taken.
        """
        with self._path(vmid).open("x") as file:
            file.write(f"lock: {lock}\n")

    def remove(self, vmid: int) -> None:
        """Give a number back."""
        self._path(vmid).unlink(missing_ok=True)

    def _path(self, vmid: int) -> Path:
        return self._folder / f"{vmid}.conf"


def parse(text: str) -> VmConfig:
    """Read the text of a configuration file."""
    config = VmConfig(digest=_digest(text))
    section, description = config.values, list[str]()

    def finish_description() -> None:
        if description:
            section["description"] = "\n".join(description)
            description.clear()

    for line in text.splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            finish_description()
            section = _section(config, header[1])
        elif line.startswith("#"):
            description.append(unquote(line[1:]))
        elif ": " in line:
            key, _, value = line.partition(": ")
            section[key] = value
    finish_description()
    _split_off_lists(config)
    return config


def render(config: VmConfig) -> str:
    """The text of a configuration file."""
    parts = [_lines(config.values)]
    pending = dict(config.pending)
    if config.pending_delete:
        marks = (f"!{key}" if force else key for key, force in sorted(config.pending_delete.items()))
        pending["delete"] = ",".join(marks)
    if pending:
        parts.append("\n[PENDING]\n" + _lines(pending))
    parts += [f"\n[{name}]\n" + _lines(values) for name, values in sorted(config.snapshots.items())]
    return "".join(parts)


def _section(config: VmConfig, name: str) -> Values:
    if name == "PENDING":
        return config.pending
    return config.snapshots.setdefault(name, {})


def _split_off_lists(config: VmConfig) -> None:
    """Move what two sections keep as a comma-separated list to where it belongs."""
    for mark in filter(None, config.pending.pop("delete", "").split(",")):
        config.pending_delete[mark.removeprefix("!")] = mark.startswith("!")


def _lines(values: Mapping[str, str]) -> str:
    # A trailing newline is not kept, an empty description is none: so does Proxmox.
    description = values.get("description", "").rstrip()
    lines = [f"#{quote(line, safe=_PRINTABLE)}" for line in description.split("\n")] if description else []
    lines += [f"{key}: {value}" for key, value in sorted(values.items()) if key != "description"]
    return "".join(f"{line}\n" for line in lines)


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
