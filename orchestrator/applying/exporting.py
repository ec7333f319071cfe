"""Copying a machine's disks from its node, as qcow2 files with checksums (article 10).

Proxmox's API hands out no disk, so this goes to the node by SSH, with the host key that the site file names. The node
finds the volume (``pvesm path``), writes a qcow2 file of it into /var/tmp, sums it and sends it; the sum is computed
anew here. An interrupted copy leaves nothing that the next one does not replace.

The node is told what format the volume has, as Proxmox itself names it. Left to find out, qemu-img would believe what
is written on the disk: whoever is root in the machine could write a header there that names any file of the node, or
another client's disk, as what lies behind it, and get that in the copy.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from orchestrator.applying.stopped import Stopped
from orchestrator.resources.adoption import disk_slots

if TYPE_CHECKING:
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.sites.model import NodeAccess

_PIECE = 1024 * 1024
_LINE = 256
_SAID = 4096
SUMS = "SHA256SUMS"

_SCRIPT = """\
set -eu
path=$(pvesm path "$1")
copy=$(mktemp /var/tmp/orchestrator-export.XXXXXX)
trap 'rm -f "$copy"' EXIT
trap 'exit 1' HUP INT TERM PIPE
case $path in *.qcow2) format=qcow2 ;; *.vmdk) format=vmdk ;; *) format=raw ;; esac
qemu-img convert -f "$format" -O qcow2 "$path" "$copy" >&2
sha256sum "$copy" | cut -c1-64
stat -c %s "$copy"
cat "$copy"
"""


@dataclass(frozen=True, kw_only=True)
class ExportedDisk:
    """One disk that was copied.

    Attributes:
        size: bytes of the file.
        sha256: of the file.
    """

    file: Path
    size: int
    sha256: str


def disks_of(machine: ObservedMachine) -> dict[str, str]:
    """The volumes of a machine by the names of its disks: the file's where the mark knows them, else their slots."""
    slots = {slot: name for name, slot in machine.mark.slots.items()} if machine.mark else {}
    return {slots.get(slot.name, slot.name): slot.disk.volume for slot in disk_slots(machine.config)}


def export_disk(
    access: NodeAccess,
    node: str,
    volume: str,
    file: Path,
    told: Callable[[float], None] = lambda _share: None,
) -> ExportedDisk:
    """Copy one disk of a machine that does not run.

    Args:
        access: how the site's nodes are reached.
        node: where the machine is.
        volume: Proxmox's name of the disk: ``local:105/vm-105-disk-0.qcow2``.
        file: where it goes; what is there is replaced once the whole copy is right.
        told: of how much of the file has come: 0 to 1.

    Raises:
        Stopped: the node cannot be reached, or could not copy; or what came is not what was sent.
    """
    partial = file.with_name(f".{file.name}.part")
    command = [*ssh_command(access, node), f"sh -s -- '{_safe(volume)}'"]
    try:
        with (
            partial.open("wb") as copy,
            TemporaryFile() as said,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as process,
        ):
            assert process.stdin and process.stdout  # noqa: S101  (they are pipes)
            process.stdin.write(_SCRIPT.encode())
            process.stdin.close()
            sha256 = process.stdout.readline(_LINE).decode(errors="replace").strip()
            size = process.stdout.readline(_LINE).strip()
            found = _receive(process.stdout, copy, _share_of(size, told))
            code = process.wait()
            reason = _end_of(said)
        if code != 0 or not size.isdigit():
            raise Stopped(
                f"{node} did not hand out {volume}: {reason.splitlines()[-1] if reason else f'exit code {code}'}"
            )
        if found != (sha256, int(size)):
            raise Stopped(f"{volume} did not arrive as {node} sent it: export it again")
        partial.replace(file)
    except OSError as error:
        raise Stopped(f"{file} cannot be written, or ssh not be run: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return ExportedDisk(file=file, size=int(size), sha256=sha256)


def _end_of(said: IO[bytes]) -> str:
    """The last of what a node said on standard error."""
    said.seek(max(said.seek(0, os.SEEK_END) - _SAID, 0))
    return said.read(_SAID).decode(errors="replace").strip()


def write_sums(folder: Path, disks: list[ExportedDisk]) -> Path:
    """Write the checksums of a folder's disks, for ``sha256sum --check``; those of others that stand there stay.

    Raises:
        OSError: they cannot be written.
    """
    path = folder / SUMS
    known = {}
    if path.exists():
        known = {line[66:]: line[:64] for line in path.read_text().splitlines() if line[64:66] == "  "}
    known |= {disk.file.name: disk.sha256 for disk in disks}
    path.write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(known.items())))
    return path


def _share_of(size: bytes, told: Callable[[float], None]) -> Callable[[int], None]:
    """What tells of bytes that have come, as a share of all."""
    whole = int(size) if size.isdigit() else 0
    return lambda came: told(min(came / whole, 1.0)) if whole else None


def _receive(stream: IO[bytes], copy: IO[bytes], told: Callable[[int], None]) -> tuple[str, int]:
    digest, came = hashlib.sha256(), 0
    while piece := stream.read(_PIECE):
        digest.update(piece)
        copy.write(piece)
        came += len(piece)
        told(came)
    return digest.hexdigest(), came


def _safe(volume: str) -> str:
    if "'" in volume or "\n" in volume:
        raise Stopped(f"the volume is called {volume!r}, which no shell may see: rename it in Proxmox")
    return volume


def ssh_command(access: NodeAccess, node: str) -> list[str]:
    """How a node is reached: the host key has to be the one that the site file names.

    Raises:
        Stopped: the site file does not say where the node is.
    """
    where = access.addresses.get(node)
    if where is None:
        known = ", ".join(sorted(access.addresses)) or "none"
        raise Stopped(
            f"the site file does not say where {node} is reached: node_access.addresses has {known}"
        )
    host, _, port = where.partition(":")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": access.ssh_known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    return ["ssh", *flags, "-i", str(access.ssh_private_key), "-p", port or "22", f"{access.user}@{host}"]
