"""Gaps of an existing machine against good practice (article 4.2): the client puts them right, or has it done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.proxmox import PropertyString
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.machine import is_cloud_init, is_drive

if TYPE_CHECKING:
    from orchestrator.resources.observed import ObservedMachine


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One gap; its words are in the reports.

    Attributes:
        code: names it.
        names: the disks, drives, devices or snapshots that have it.
    """

    code: str
    names: tuple[str, ...] = ()


def _agent(machine: ObservedMachine) -> Iterator[Gap]:
    agent = PropertyString.parse(machine.config.effective("agent") or "", default_key="enabled")
    if not agent.is_on("enabled"):
        yield Gap(code="no-guest-agent")


def _cloud_init(machine: ObservedMachine) -> Iterator[Gap]:
    if not any(is_drive(key) and is_cloud_init(value) for key, value in machine.config.current.items()):
        yield Gap(code="no-cloud-init")


def _media(machine: ObservedMachine) -> Iterator[Gap]:
    for key, value in sorted(machine.config.current.items()):
        drive = PropertyString.parse(value, default_key="file")
        inserted = is_drive(key) and drive.get("media") == "cdrom" and drive.get("file") != "none"
        if inserted and not is_cloud_init(value):
            yield Gap(code="media-inserted", names=(key,))


def _unused(machine: ObservedMachine) -> Iterator[Gap]:
    unused = sorted(key for key in machine.config.current if re.fullmatch(r"unused\d+", key))
    if unused:
        yield Gap(code="unused-disks", names=tuple(unused))


def _start(machine: ObservedMachine) -> Iterator[Gap]:
    if machine.config.effective("onboot") != "1":
        yield Gap(code="not-on-boot")
    if machine.config.effective("protection") != "1":
        yield Gap(code="not-protected")


def _cpu(machine: ObservedMachine) -> Iterator[Gap]:
    cpu = PropertyString.parse(machine.config.effective("cpu") or "kvm64", default_key="cputype")
    kind = cpu.get("cputype")
    if kind in ("kvm64", "qemu64", "kvm32", "qemu32"):
        yield Gap(code="old-cpu-type", names=(kind,))


def _disks(machine: ObservedMachine) -> Iterator[Gap]:
    values = machine.config.current
    slots = disk_slots(machine.config)
    ide = [slot.name for slot in slots if slot.name.startswith(("ide", "sata"))]
    if ide:
        yield Gap(code="slow-disk-bus", names=tuple(ide))
    plain = [slot.name for slot in slots if slot.disk.options.get("discard") != "on"]
    if plain:
        yield Gap(code="no-discard", names=tuple(plain))
    drives = {slot.name: PropertyString.parse(values[slot.name], default_key="file") for slot in slots}
    excluded = [name for name, drive in drives.items() if drive.get("backup") and not drive.is_on("backup")]
    if excluded:
        yield Gap(code="disk-not-backed-up", names=tuple(excluded))
    fractions = [slot.name for slot in slots if slot.disk.size_bytes % 1024**3]
    if fractions:
        yield Gap(code="fraction-of-gib", names=tuple(fractions))


def _network(machine: ObservedMachine) -> Iterator[Gap]:
    devices = sorted(key for key in machine.config.current if re.fullmatch(r"net\d+", key))
    if len(devices) > 1:
        yield Gap(code="several-networks", names=tuple(devices))


def _snapshots(machine: ObservedMachine) -> Iterator[Gap]:
    if machine.snapshots:
        yield Gap(code="old-snapshots", names=tuple(snapshot.name for snapshot in machine.snapshots))


_CHECKS: tuple[Callable[[ObservedMachine], Iterator[Gap]], ...] = (
    _agent,
    _cloud_init,
    _start,
    _cpu,
    _disks,
    _network,
    _media,
    _unused,
    _snapshots,
)


def find_gaps(machine: ObservedMachine) -> list[Gap]:
    """Every gap of a machine that its configuration shows."""
    return [gap for check in _CHECKS for gap in check(machine)]
