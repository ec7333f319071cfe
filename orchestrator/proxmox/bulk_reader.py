"""All configurations of a cluster in one reading of its files, over SSH; for sites with many machines.

The API tells one configuration a call. A key that may only read (``read-configurations.pl``, a forced command)
gets those of the whole cluster at once. What it brings is never believed unseen: a few machines are asked of the API as
well, each time, and if one of them is told otherwise, nothing of the files is used. The API is asked for whatever the
files do not tell, too. So the files make a plan faster, and change nothing in it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import selectors
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from orchestrator.errors import OrchestratorError
from orchestrator.proxmox.cluster_state import VmSummary
from orchestrator.proxmox.configuration_file import (
    ConfigurationFile,
    parse_configuration_file,
    same_configuration,
)
from orchestrator.proxmox.errors import ProxmoxError, tidy
from orchestrator.proxmox.vm_configuration import read_vm

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

FEWEST_MACHINES = 50
"""For fewer than these the files are not read: so many calls take no longer than a connection by SSH."""

SAMPLE = 5
"""So many machines are asked of the API as well, by lot."""

_LONGEST_LINE = 200
_PIECE = 1024 * 1024
_HEAD = re.compile(rb"([A-Za-z0-9-]{1,63}) ([1-9][0-9]{2,8}) ([0-9a-f]{40}) ([0-9]{1,7})")
_PASSWORD = re.compile(rb"^cipassword: ", re.MULTILINE)
_LOG = logging.getLogger("orchestrator.calls")


class FilesUnusable(OrchestratorError):
    """The files could not be read, or are not to be believed; the message says why."""


@dataclass(frozen=True, kw_only=True)
class BulkReader:
    """How the files of a cluster are read.

    Attributes:
        user: the account on the nodes.
        private_key, known_hosts: files; a node with another host key is refused.
        addresses: ``HOST`` or ``HOST:PORT`` of nodes; the first that answers is read.
        seconds: how long a reading may take in all, from each of them.
        most_bytes: how much may come.
    """

    user: str
    private_key: Path
    known_hosts: Path
    addresses: Sequence[str]
    seconds: float = 60.0
    most_bytes: int = 256 * 1024**2
    notices: list[str] = field(default_factory=list, compare=False)
    """Why the files were not used, for people; empty while they are."""

    def for_machines(self, cluster: Calls, vms: Collection[VmSummary]) -> Mapping[int, ConfigurationFile]:
        """The configurations of machines, as far as the files tell them and the API confirms it.

        Args:
            cluster: the API.
            vms: the machines, where the cluster's list has them.

        Returns:
            By VM id. Empty if there are too few machines for it, or the files cannot be used: then
            :attr:`notices` says why.
        """
        if len(vms) < FEWEST_MACHINES:
            return {}
        try:
            return self.confirmed(cluster, vms)
        except FilesUnusable as error:
            self.notices.append(
                f"{cluster.site}: the nodes' files are not used, every machine is asked of the API: {error}"
            )
            return {}

    def confirmed(self, cluster: Calls, vms: Collection[VmSummary]) -> Mapping[int, ConfigurationFile]:
        """As :meth:`for_machines`, for any number of them.

        Raises:
            FilesUnusable: the files could not be read, or disagree with the API.
        """
        files = self.read()
        found = {vm.vmid: told for vm in vms if (told := files.get((vm.node, vm.vmid)))}
        self._confirm(cluster, [vm for vm in vms if vm.vmid in found], found)
        return found

    def _confirm(
        self, cluster: Calls, vms: Sequence[VmSummary], files: Mapping[int, ConfigurationFile]
    ) -> None:
        """Ask the API for a few machines.

        Raises:
            FilesUnusable: it disagrees with the API, or says nothing.
        """
        confirmed = 0
        for vm in random.sample(vms, min(SAMPLE, len(vms))):
            try:
                told = read_vm(cluster, vm.node, vm.vmid, odd=True)
            except ProxmoxError:  # gone, or its node is: that is found out where it is read
                continue
            if not same_configuration(told, files[vm.vmid].config):
                raise FilesUnusable(
                    f"they disagree with the API about VM {vm.vmid} (was it changed at this moment, or has the "
                    "node that was read lost the cluster?)"
                )
            confirmed += 1
        if vms and not confirmed:
            raise FilesUnusable("the API confirms none of the machines that it was asked for")

    def read(self) -> dict[tuple[str, int], ConfigurationFile]:
        """Read every file: one SSH connection.

        Returns:
            By node and VM id; what Proxmox did not write itself is left out.

        Raises:
            FilesUnusable: no address gave them.
        """
        reasons = []
        for address in self.addresses:
            began = time.monotonic()
            try:
                content = self._fetch(address)
                files = parse_stream(content)
            except (FilesUnusable, OSError) as error:
                reasons.append(f"{address}: {error}")
            else:
                fields = {
                    "path": f"ssh {address}",
                    "files": len(files),
                    "ms": round((time.monotonic() - began) * 1000),
                }
                _LOG.debug("configurations", extra={"fields": fields})
                return files
        raise FilesUnusable("; ".join(reasons))

    def _fetch(self, address: str) -> bytes:
        process = subprocess.Popen(
            self._command(address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")},
        )
        try:
            assert process.stdout and process.stderr  # noqa: S101  (they are pipes)
            content, said = self._take_in(process.stdout, process.stderr)
            status = process.wait(max(0.1, self.seconds))
        except subprocess.TimeoutExpired:
            raise FilesUnusable("ssh does not end") from None
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        if status != 0:
            last = tidy(said.decode(errors="replace").strip().rpartition("\n")[2], 200)
            raise FilesUnusable(last or f"ssh ended with {status}")
        return content

    def _take_in(self, out: IO[bytes], err: IO[bytes]) -> tuple[bytes, bytes]:
        """Read both streams to their ends, within the limits."""
        ends = time.monotonic() + self.seconds
        content, said = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ, content)
            selector.register(err, selectors.EVENT_READ, said)
            while selector.get_map():
                ready = selector.select(max(0.0, ends - time.monotonic()))
                if not ready:
                    raise FilesUnusable(f"not read within {self.seconds:g} s")
                for key, _ in ready:
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        selector.unregister(key.fileobj)
                    key.data.extend(piece)
                if len(content) > self.most_bytes or len(said) > _PIECE:
                    raise FilesUnusable("more came than any cluster has")
        return bytes(content), bytes(said)

    def _command(self, address: str) -> list[str]:
        host, _, port = address.partition(":")
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "3",
            "LogLevel": "ERROR",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "/dev/null", "-T", *flags, "-i", str(self.private_key), "-p", port or "22",
                f"{self.user}@{host}", "configurations"]  # fmt: skip


def parse_stream(content: bytes) -> dict[tuple[str, int], ConfigurationFile]:
    """Take apart what ``read-configurations.pl`` prints.

    Returns:
        By node and VM id; files that are to be asked of the API are left out.

    Raises:
        FilesUnusable: it is something else, or truncated.
    """
    line, place = _line(content, 0)
    if line != b"configurations 1":
        raise FilesUnusable(
            f"what came is not what read-configurations.pl prints, it begins {tidy(repr(line[:60]))}: see that the "
            "key's line in authorized_keys has the forced command, and that no start-up file prints anything"
        )
    files: dict[tuple[str, int], ConfigurationFile] = {}
    count = 0
    while True:
        line, place = _line(content, place)
        if line == b"end %d" % count:
            return files
        if not (found := _HEAD.fullmatch(line)):
            raise FilesUnusable("the output is truncated, or mixed with something else")
        node, vmid, digest, length = (part.decode() for part in found.groups())
        text = content[place : place + int(length)]
        place += int(length)
        count += 1
        # Proxmox's own digest is over the file with its password, which is not told.
        if not _PASSWORD.search(text) and hashlib.sha1(text, usedforsecurity=False).hexdigest() != digest:
            raise FilesUnusable(f"the file of VM {vmid} did not arrive as it was sent")
        if told := parse_configuration_file(node, int(vmid), digest, text):
            files[node, int(vmid)] = told


def _line(content: bytes, place: int) -> tuple[bytes, int]:
    end = content.find(b"\n", place, place + _LONGEST_LINE)
    if end < 0:
        raise FilesUnusable("the output is truncated")
    return content[place:end], end + 1
