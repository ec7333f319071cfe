"""A handle on a fakepve process: start it, steer it, connect to it."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from orchestrator.proxmox import Cluster, Patience

_REPOSITORY = Path(__file__).resolve().parents[2]

_END_SECONDS = 10.0

IMPATIENT = Patience(first_wait=0.001, longest_wait=0.002, jitter=0.0, first_poll=0.001, longest_poll=0.01)
"""Asks as often as in real life, without the waits."""


@functools.cache
def _forks() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The process that clusters are forked from (``tests.api.fakepve_forks``) and the way to it: it ends with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.api.fakepve_forks", "--socket", str(theirs.fileno())]
        process = subprocess.Popen(
            command, cwd=_REPOSITORY, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )
    return ours, process


class FakePve:
    """A cluster that fakepve plays, in a process of its own. Use as a context manager.

    Attributes:
        pid: the process.
        url, ca_file, token_id, token_secret: how to reach its API.
    """

    def __init__(self, *, site: str = "paris") -> None:
        self.site = site
        self._guard = threading.Lock()
        self._directory = tempfile.TemporaryDirectory(prefix="fakepve-")
        self._clusters: list[Cluster] = []
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_forks()[0], [os.fsencode(self._directory.name)], [theirs.fileno()])
        self._socket, self._said = ours, ours.makefile("r", encoding="utf-8")
        about = self._read()
        self.pid: int = about["pid"]
        self.url: str = about["url"]
        self.ca_file = Path(about["ca_file"])
        self.token_id: str = about["token_id"]
        self.token_secret: str = about["token_secret"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> Any:
        line = self._said.readline()
        if not line:
            raise RuntimeError("the fakepve process ended: what it said is on standard error")
        return json.loads(line)

    def control(self, op: str, **arguments: Any) -> Any:
        """Tell the process something: ``op_NAME`` of ``fakepve_process.Control``. Return its answer."""
        with self._guard:
            self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            answer = self._read()
        if not answer["ok"]:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def cluster(self, **options: Any) -> Cluster:
        """Return a client that trusts this cluster and has its token. ``options`` replace the usual ones."""
        usual: dict[str, Any] = {
            "site": self.site,
            "url": self.url,
            "token_id": self.token_id,
            "token_secret": self.token_secret,
            "ca_file": self.ca_file,
            "patience": IMPATIENT,
        }
        cluster = Cluster(**{**usual, **options})
        self._clusters.append(cluster)
        return cluster

    def add_vms(self, count: int, *, first: int = 1000, **options: Any) -> None:
        """Add ``count`` alike VMs in one go; ``options`` as for ``op_add_vms``, ``config`` on top of a usual one."""
        usual = {
            "cores": 1,
            "memory": "512",
            "scsihw": "virtio-scsi-pci",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        }
        config = {**usual, **options.pop("config", {})}
        vms = [
            {
                "vmid": vmid,
                "name": f"vm-{vmid}",
                "config": {**config, "scsi0": f"local:{vmid}/vm-{vmid}-disk-0.qcow2,size=4G"},
                **options,
            }
            for vmid in range(first, first + count)
        ]
        self.control("add_vms", vms=vms)

    def fault(self, method: str, path: str, kind: str, **options: Any) -> None:
        """Cause trouble: see ``fakepve_faults.Fault``."""
        self.control("fault", method=method, path=path, kind=kind, **options)

    def save(self) -> None:
        """Put the cluster's whole state aside."""
        self.control("save")

    def bring_back(self) -> None:
        """Let the cluster be again what it was when its state was put aside; faults are gone."""
        self.control("bring_back")

    def calls(self, method: str | None = None, *, locks: bool = False) -> dict[str, int]:
        """Return how many requests came in, by "METHOD path"; of one method if it is given.

        Args:
            method: of this one only.
            locks: also those that take, renew and give back runs' locks.
        """
        counted: dict[str, int] = self.control("calls")
        return {
            call: n
            for call, n in counted.items()
            if (method is None or call.startswith(f"{method} "))
            and (locks or not call.partition(" ")[2].startswith("/pools/orchestrator-lock-"))
        }

    def dump(self) -> Any:
        """Return everything the cluster holds: ``vms``, ``pools``, ``volumes``, ``tasks``."""
        return self.control("dump")

    # Time

    def clock(self, start: float | None = None, speed: float = 1.0) -> None:
        """Set the cluster's clock (None: leave the time), and how many of its seconds pass in a real one.

        Everything that takes time there takes the clock's seconds from then on.
        """
        self.control("clock", start=start, speed=speed)

    def set_clock(self, now: float) -> None:
        """Jump to a time. What was to end until then ends at once."""
        self.control("set_clock", now=now)

    def now(self) -> float:
        """Return the time on the cluster's clock."""
        return float(self.control("now"))

    # Storages

    def add_storage(
        self,
        name: str,
        *,
        type: str = "dir",
        content: str = "backup",
        shared: bool = False,
        total: int = 10 * 1024**4,
        used: int = 0,
        nodes: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """Add a storage of ``total`` bytes, on all nodes or on some. ``options`` are keys of storage.cfg."""
        if nodes:
            options["nodes"] = ",".join(nodes)
        self.control(
            "add_storage",
            name=name,
            type=type,
            content=content,
            shared=shared,
            total=total,
            used=used,
            **options,
        )

    def set_storage(self, name: str, **options: Any) -> None:
        """Change a storage: ``active`` and ``readonly`` (bool), ``total`` and ``used`` (bytes), keys of storage.cfg."""
        self.control("set_storage", name=name, **options)

    # Backups

    def backup_behaviour(
        self,
        *,
        default_seconds: float | None = None,
        seconds: Mapping[int, float] | None = None,
        default_size: int | None = None,
        sizes: Mapping[int, int] | None = None,
        fail: Mapping[int, str | int] | None = None,
    ) -> None:
        """Arrange how long backups take, how large they are and which fail, by machine; what is not given stays.

        Args:
            default_seconds: of the cluster's clock; 0 at first.
            default_size: in bytes; 1 GiB at first.
            fail: the reason for which a machine's backups fail, or how many of them fail from now on.
        """
        self.control(
            "backup_behaviour",
            default_seconds=default_seconds,
            seconds=seconds,
            default_size=default_size,
            sizes=sizes,
            fail=fail,
        )

    def restore_behaviour(
        self, *, default_seconds: float | None = None, seconds: Mapping[int, float] | None = None
    ) -> None:
        """Arrange how long restores take, by the machine that was backed up; what is not given stays."""
        self.control("restore_behaviour", default_seconds=default_seconds, seconds=seconds)

    def backup_runs(self) -> list[dict[str, Any]]:
        """Return every machine's backup, in the order of their beginnings.

        ``vmid``, ``node``, ``storage``, ``user``, ``upid``, ``started``, ``ended`` and ``ok`` (None while it runs).
        """
        runs: list[dict[str, Any]] = self.control("backup_record")["runs"]
        return runs

    def backup_peaks(self) -> dict[str, dict[str, int]]:
        """Return how many backups were at work at once, by ``nodes``, ``storages`` and ``cluster`` (``all``)."""
        peaks: dict[str, dict[str, int]] = self.control("backup_record")["peaks"]
        return peaks

    def run_foreign_backup(self, vmid: int, seconds: float, *, storage: str | None = None) -> str:
        """Let root back up a machine for so long, to a directory if no storage is named. Return the UPID."""
        return str(self.control("run_foreign_backup", vmid=vmid, seconds=seconds, storage=storage))

    def add_archives(self, archives: Sequence[Mapping[str, Any]]) -> None:
        """Put archives on storages: each a ``storage``, ``vmid``, ``ctime`` and, if wanted, ``size``, ``notes``,
        ``protected``, ``broken``, ``config``, ``name`` (``backup/…``).
        """
        self.control("add_archives", archives=archives)

    def archives(self, storage: str, *, vmid: int | None = None) -> list[dict[str, Any]]:
        """Return the archives on a storage: ``volid``, ``vmid``, ``ctime``, ``size``, ``notes``, ``protected``,
        ``broken``, ``format``.
        """
        found: list[dict[str, Any]] = self.control("archives", storage=storage, vmid=vmid)
        return found

    def break_archive(self, volid: str, *, broken: bool = True) -> None:
        """Let an archive be one that cannot be unpacked."""
        self.control("break_archive", volid=volid, broken=broken)

    def remove_archive(self, volid: str) -> None:
        """Remove an archive behind everybody's back, protected or not."""
        self.control("remove_archive", volid=volid)

    # Machines and nodes

    def set_lock(self, vmid: int, lock: str | None) -> None:
        """Put a lock's mark into a machine's configuration, or lift it as ``qm unlock`` does."""
        self.control("set_lock", vmid=vmid, lock=lock)

    def add_snapshot(
        self,
        vmid: int,
        name: str,
        *,
        snaptime: int,
        description: str = "",
        parent: str | None = None,
        current: bool = True,
    ) -> None:
        """Give a machine a snapshot; its parent is the one that the machine stands on, unless told.

        Args:
            current: the machine stands on this one now.
        """
        self.control(
            "add_snapshot",
            vmid=vmid,
            name=name,
            snaptime=snaptime,
            description=description,
            parent=parent,
            current=current,
        )

    def guest_agent(self, answers: Mapping[str, Any] | None, *, vmid: int | None = None) -> None:
        """Arrange what agents answer: one machine's and its restored copies', or those of all that have none.

        By command (``get-host-name``, ``get-osinfo``, ``get-fsinfo``, ``network-get-interfaces``, …), ``files`` by
        path, ``exec`` with the ends of a program's runs by its last argument, ``ping`` False for a silent one; None:
        silent.
        """
        self.control("guest_agent", answers=answers, vmid=vmid)

    def node_online(self, name: str, online: bool) -> None:
        """Take a node away, with the tasks that run on it; or bring it back."""
        self.control("node_online", name=name, online=online)

    def close(self) -> None:
        """End the process and close the connections to it."""
        for cluster in self._clusters:
            cluster.close()
        with self._socket, self._said:
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(_END_SECONDS)
            try:
                self._said.read()
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
        self._directory.cleanup()
