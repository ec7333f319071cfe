"""Gaps of an existing machine against good practice (article 4.2): the client puts them right, or has it done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestrator.proxmox import PropertyString
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.machine import is_cloud_init, is_drive

if TYPE_CHECKING:
    from orchestrator.resources.observed import ObservedMachine

Language = Literal["fr", "en"]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One gap.

    Attributes:
        code: names it for programs.
        found: what was found, by language.
        remedy: what to do, by language.
    """

    code: str
    found: dict[Language, str]
    remedy: dict[Language, str]


def _gap(code: str, fr: tuple[str, str], en: tuple[str, str]) -> Gap:
    return Gap(code=code, found={"fr": fr[0], "en": en[0]}, remedy={"fr": fr[1], "en": en[1]})


def _agent(machine: ObservedMachine) -> Iterator[Gap]:
    agent = PropertyString.parse(machine.config.effective("agent") or "", default_key="enabled")
    if not agent.is_on("enabled"):
        yield _gap(
            "no-guest-agent",
            (
                "l’agent invité n’est pas activé : les sauvegardes ne figent pas les systèmes de fichiers",
                "installer qemu-guest-agent dans la machine, puis l’activer dans Proxmox",
            ),
            (
                "the guest agent is off: backups do not freeze the file systems",
                "install qemu-guest-agent in the machine, then switch it on in Proxmox",
            ),
        )


def _cloud_init(machine: ObservedMachine) -> Iterator[Gap]:
    if not any(is_drive(key) and is_cloud_init(value) for key, value in machine.config.current.items()):
        yield _gap(
            "no-cloud-init",
            (
                "pas de lecteur cloud-init : adresse et clés ne se règlent que dans la machine",
                "garder l’adresse notée dans le fichier du client, ou ajouter un lecteur cloud-init",
            ),
            (
                "no cloud-init drive: address and keys are set in the machine alone",
                "keep the address in the client's file right, or add a cloud-init drive",
            ),
        )


def _media(machine: ObservedMachine) -> Iterator[Gap]:
    for key, value in sorted(machine.config.current.items()):
        drive = PropertyString.parse(value, default_key="file")
        inserted = is_drive(key) and drive.get("media") == "cdrom" and drive.get("file") != "none"
        if inserted and not is_cloud_init(value):
            yield _gap(
                "media-inserted",
                (f"un support est resté dans le lecteur {key}", "l’éjecter dans Proxmox"),
                (f"a medium was left in drive {key}", "eject it in Proxmox"),
            )


def _unused(machine: ObservedMachine) -> Iterator[Gap]:
    unused = sorted(key for key in machine.config.current if re.fullmatch(r"unused\d+", key))
    if unused:
        yield _gap(
            "unused-disks",
            (
                f"disques détachés conservés : {', '.join(unused)}",
                "vérifier s’ils servent encore, puis les rattacher ou les supprimer",
            ),
            (
                f"detached disks are kept: {', '.join(unused)}",
                "find out whether they are needed, then attach or remove them",
            ),
        )


def _start(machine: ObservedMachine) -> Iterator[Gap]:
    if machine.config.effective("onboot") != "1":
        yield _gap(
            "not-on-boot",
            ("la machine ne redémarre pas avec son hôte", "activer « Start at boot » dans Proxmox"),
            ("the machine does not start with its node", "switch “Start at boot” on in Proxmox"),
        )
    if machine.config.effective("protection") != "1":
        yield _gap(
            "not-protected",
            ("la machine n’est pas protégée contre la suppression", "activer la protection dans Proxmox"),
            ("the machine is not protected against removal", "switch its protection on in Proxmox"),
        )


def _cpu(machine: ObservedMachine) -> Iterator[Gap]:
    cpu = PropertyString.parse(machine.config.effective("cpu") or "kvm64", default_key="cputype")
    kind = cpu.get("cputype")
    if kind in ("kvm64", "qemu64", "kvm32", "qemu32"):
        yield _gap(
            "old-cpu-type",
            (
                f"type de processeur {kind} : sans AES ni jeux d’instructions récents",
                "choisir x86-64-v2-AES ou plus récent, au prochain arrêt",
            ),
            (
                f"processor type {kind}: without AES and newer instructions",
                "choose x86-64-v2-AES or newer, at the next stop",
            ),
        )


def _disks(machine: ObservedMachine) -> Iterator[Gap]:
    values = machine.config.current
    slots = disk_slots(machine.config)
    ide = [slot.name for slot in slots if slot.name.startswith(("ide", "sata"))]
    if ide:
        yield _gap(
            "slow-disk-bus",
            (f"disques sur un bus émulé lent : {', '.join(ide)}", "passer à VirtIO SCSI, au prochain arrêt"),
            (f"disks on a slow emulated bus: {', '.join(ide)}", "move them to VirtIO SCSI, at the next stop"),
        )
    plain = [slot.name for slot in slots if slot.disk.options.get("discard") != "on"]
    if plain:
        yield _gap(
            "no-discard",
            (
                f"l’espace libéré n’est pas rendu au stockage : {', '.join(plain)}",
                "activer « Discard » dans Proxmox",
            ),
            (
                f"freed space is not given back to the storage: {', '.join(plain)}",
                "switch “Discard” on in Proxmox",
            ),
        )
    drives = {slot.name: PropertyString.parse(values[slot.name], default_key="file") for slot in slots}
    excluded = [name for name, drive in drives.items() if drive.get("backup") and not drive.is_on("backup")]
    if excluded:
        yield _gap(
            "disk-not-backed-up",
            (f"disques exclus des sauvegardes : {', '.join(excluded)}", "les y inclure dans Proxmox"),
            (f"disks that no backup contains: {', '.join(excluded)}", "include them in Proxmox"),
        )
    fractions = [slot.name for slot in slots if slot.disk.size_bytes % 1024**3]
    if fractions:
        yield _gap(
            "fraction-of-gib",
            (
                f"taille non entière en Gio : {', '.join(fractions)} ; le fichier note le Gio inférieur",
                "agrandir au Gio entier",
            ),
            (
                f"size is not a whole number of GiB: {', '.join(fractions)}; the file has the lower one",
                "grow it to a whole GiB",
            ),
        )


def _network(machine: ObservedMachine) -> Iterator[Gap]:
    devices = sorted(key for key in machine.config.current if re.fullmatch(r"net\d+", key))
    if len(devices) > 1:
        yield _gap(
            "several-networks",
            (
                f"plusieurs cartes réseau ({', '.join(devices)}) : seule net0 est décrite par le fichier",
                "documenter les autres ; elles ne sont pas modifiées",
            ),
            (
                f"several network devices ({', '.join(devices)}): the file describes net0 alone",
                "document the others; they are left alone",
            ),
        )


def _snapshots(machine: ObservedMachine) -> Iterator[Gap]:
    if machine.snapshots:
        names = ", ".join(snapshot.name for snapshot in machine.snapshots)
        yield _gap(
            "old-snapshots",
            (f"instantanés présents : {names}", "supprimer ceux qui ne servent plus ; deux sont permis"),
            (f"snapshots are there: {names}", "remove those that nobody needs; two are allowed"),
        )


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
