"""A handle on a fakepve process: start it, steer it, connect to it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from orchestrator.proxmox import Cluster, Patience

_REPOSITORY = Path(__file__).resolve().parents[2]

IMPATIENT = Patience(first_wait=0.001, longest_wait=0.002, jitter=0.0, first_poll=0.001, longest_poll=0.01)
"""Asks as often as in real life, without the waits."""


class FakePve:
    """A cluster that fakepve plays, in a process of its own. Use as a context manager.

    Attributes:
        url, ca_file, token_id, token_secret: how to reach its API.
    """

    def __init__(self, *, site: str = "paris") -> None:
        self.site = site
        self._guard = threading.Lock()
        self._directory = tempfile.TemporaryDirectory(prefix="fakepve-")
        self._clusters: list[Cluster] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.api.fakepve_process", "--directory", self._directory.name],
            cwd=_REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        about = self._read()
        self.url: str = about["url"]
        self.ca_file = Path(about["ca_file"])
        self.token_id: str = about["token_id"]
        self.token_secret: str = about["token_secret"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fakepve process ended with status {self._process.wait()}")
        return json.loads(line)

    def control(self, op: str, **arguments: Any) -> Any:
        """Tell the process something: ``op_NAME`` of ``fakepve_process.Control``. Return its answer."""
        with self._guard:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self._process.stdin.flush()
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

    def calls(self, method: str | None = None) -> dict[str, int]:
        """Return how many requests came in, by "METHOD path"; of one method if it is given."""
        counted: dict[str, int] = self.control("calls")
        return {call: n for call, n in counted.items() if method is None or call.startswith(f"{method} ")}

    def dump(self) -> Any:
        """Return everything the cluster holds: ``vms``, ``pools``, ``volumes``, ``tasks``."""
        return self.control("dump")

    def close(self) -> None:
        """End the process and close the connections to it."""
        for cluster in self._clusters:
            cluster.close()
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._directory.cleanup()
