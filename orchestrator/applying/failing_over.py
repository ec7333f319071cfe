"""What a fail-over asks of a node by SSH, because no call of the API does it.

A VM is where its configuration file is: moving that file away from a node that is lost, on one that is left, is how
Proxmox brings a replica into service ("Guest stolen" of pve-guest-common; the replication job turns round by itself).
The scripts are fixed, and what they are told is checked first. The node that moves the file looks itself whether the
other one is off: it sees more of the cluster than the orchestrator does.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from orchestrator.applying.exporting import ssh_command
from orchestrator.applying.stopped import Stopped
from orchestrator.errors import local_reason
from orchestrator.proxmox.configuration_file import parse_configuration_file
from orchestrator.proxmox.errors import tidy

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig
    from orchestrator.sites.model import NodeAccess

_SECONDS = 60.0
_MOST = 4 * 1024**2
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")

_READ = """\
set -eu
cat "/etc/pve/nodes/$1/qemu-server/$2.conf"
"""
_SYNCED = """\
set -eu
for volume; do
  path=$(pvesm path "$volume")
  case $path in /dev/zvol/*) ;; *) echo "$volume is not on ZFS" >&2; exit 3;; esac
  echo "volume $volume"
  zfs list -H -d 1 -t snapshot -o name "${path#/dev/zvol/}"
done
"""
_MOVE = """\
set -eu
file="/etc/pve/nodes/$1/qemu-server/$3.conf"
members=$(cat /etc/pve/.members | tr -d ' \\n\\t')
case $members in *'"quorate":1'*) ;; *) echo "the cluster has no quorum" >&2; exit 4;; esac
echo "$members" | grep -Eq "\\"$1\\":[{][^}]*\\"online\\":0" || { echo "$2 does not say that $1 is off" >&2; exit 5; }
sum=$(cat "$file" | sha256sum | cut -c1-64)
[ "$sum" = "$4" ] || { echo "the configuration changed meanwhile: run this again" >&2; exit 6; }
mv "$file" "/etc/pve/nodes/$2/qemu-server/$3.conf"
"""


@dataclass(frozen=True, kw_only=True)
class LostConfiguration:
    """The configuration of a VM on a node that is lost, as the other nodes keep it.

    Attributes:
        digest: SHA-256 of its file.
    """

    config: VmConfig
    digest: str


def read_lost(access: NodeAccess, node: str, lost: str, vmid: int) -> LostConfiguration:
    """Read the configuration of a VM whose node is lost.

    Args:
        access: how the site's nodes are reached.
        node: one that is left.
        lost: where the VM was.
        vmid: its number.

    Raises:
        Stopped: the node could not be asked, or what it has cannot be read.
    """
    content = _run(access, node, _READ, [lost, str(vmid)])
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    parsed = parse_configuration_file(lost, vmid, digest, content)
    if parsed is None:
        raise Stopped(f"the configuration file of VM {vmid} was edited by hand and cannot be read")
    return LostConfiguration(config=parsed.config, digest=hashlib.sha256(content).hexdigest())


def last_sync(access: NodeAccess, node: str, job: str, volumes: Sequence[str]) -> dt.datetime:
    """When the copies of a VM's disks on a node were last brought up to date, by the snapshots that replication keeps.

    Args:
        access: how the site's nodes are reached.
        node: that has the copies.
        job: the replication job: ``100-0``.
        volumes: all disks of the VM.

    Raises:
        Stopped: a disk has no whole copy there, or the copies are not of one moment.
    """
    said = _run(access, node, _SYNCED, volumes).decode(errors="replace")
    mark = re.compile(rf"__replicate_{re.escape(job)}_([0-9]{{9,11}})__")
    found: dict[str, set[int]] = {}
    volume = ""
    for line in said.splitlines():
        if line.startswith("volume "):
            volume = line.removeprefix("volume ")
            found[volume] = set()
        elif match := mark.fullmatch(line.rpartition("@")[2]):
            found.setdefault(volume, set()).add(int(match[1]))
    bare = [name for name in volumes if not found.get(name)]
    if bare:
        raise Stopped(f"{node} has no copy of {', '.join(bare)} by the replication job {job}")
    moments = set.intersection(*(found[name] for name in volumes))
    if not moments:
        raise Stopped(f"the copies on {node} are not of one moment: look at the replication job {job}")
    return dt.datetime.fromtimestamp(max(moments), dt.UTC)


def move_configuration(access: NodeAccess, node: str, lost: str, vmid: int, digest: str) -> None:
    """Move the configuration of a VM from a node that is lost to one that is left: it is the VM's node then.

    Raises:
        Stopped: the node does not say that the other one is off, has no quorum, or could not do it.
    """
    _run(access, node, _MOVE, [lost, node, str(vmid), digest])


def _run(access: NodeAccess, node: str, script: str, words: Sequence[str]) -> bytes:
    if wrong := [word for word in words if not _WORD.fullmatch(word)]:
        raise Stopped(f"{wrong[0]!r} is not a name that a node is told")
    command = [*ssh_command(access, node), f"sh -s -- {' '.join(words)}"]
    try:
        with TemporaryFile() as out, TemporaryFile() as said:
            ended = subprocess.run(
                command, input=script.encode(), stdout=out, stderr=said, timeout=_SECONDS, check=False
            )
            size = out.tell()
            out.seek(0)
            said.seek(0)
            content, reason = out.read(_MOST), said.read(4096).decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        raise Stopped(f"{node} did not answer within {_SECONDS:.0f} s") from None
    except OSError as error:
        raise Stopped(f"ssh could not be run: {local_reason(error)}") from error
    if ended.returncode != 0 or size > _MOST:
        why = tidy(reason.splitlines()[-1]) if reason else f"exit code {ended.returncode}"
        raise Stopped(f"{node}: {why}")
    return content
