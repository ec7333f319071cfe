"""A lab that a test starts by its command, and calls as a client does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.free_ports import free_port

ROOT = Path(__file__).parent.parent.parent
NODES = ("pve1", "pve2")
TASK_SECONDS = 60.0
TINY = {
    "name": "tiny",
    "memory": 32,
    "kvm": 0,
    "agent": "enabled=1",
    "scsihw": "virtio-scsi-pci",
    "scsi0": "local:0.01,format=qcow2",
    "net0": "virtio,bridge=vmbr0",
}
"""A machine with an empty disk: it starts at once and never boots."""


@dataclass(frozen=True)
class Answer:
    """What a call was answered."""

    status: int
    reason: str
    body: Any

    @property
    def data(self) -> Any:
        """What a success holds."""
        assert self.status == 200, (self.status, self.reason, self.body)
        return self.body["data"]


class Client:
    """One site's API, called by one user."""

    def __init__(self, url: str, ca: Path, headers: Mapping[str, str]) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(ca)
        self.session.headers.update(headers)

    def call(self, method: str, path: str, params: Mapping[str, object] | None = None) -> Answer:
        """Make one call."""
        sent = dict(params or {})
        place = {"params": sent} if method in ("GET", "DELETE") else {"data": sent}
        answer = self.session.request(method, f"{self.url}/api2/json{path}", timeout=60, **place)  # type: ignore[arg-type]
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return Answer(answer.status_code, answer.reason, answer.json() if is_json else answer.text)

    def get(self, path: str, **params: object) -> Any:
        """Read; a refusal fails the test."""
        return self.call("GET", path, params).data

    def machines(self) -> list[dict[str, Any]]:
        """The VMs as their nodes list them: the cluster's list is up to ten seconds old."""
        return [
            {"template": 0, **vm, "node": entry["node"]}
            for entry in self.get("/nodes")
            for vm in self.get(f"/nodes/{entry['node']}/qemu")
        ]

    def put(self, path: str, **params: object) -> Any:
        """Write; a refusal fails the test."""
        return self.call("PUT", path, params).data

    def end_of(self, upid: str) -> str:
        """Wait for a task's end and return its exit status."""
        deadline = time.monotonic() + TASK_SECONDS
        node = upid.split(":")[1]
        while (status := self.get(f"/nodes/{node}/tasks/{upid}/status"))["status"] != "stopped":
            assert time.monotonic() < deadline, f"{upid} does not end"
            time.sleep(0.02)
        return str(status["exitstatus"])

    def run(self, method: str, path: str, **params: object) -> None:
        """Run a task to its good end."""
        upid = self.call(method, path, params).data
        assert self.end_of(upid) == "OK", (method, path, params)


class Lab:
    """A lab of its own name, ports and folder."""

    def __init__(self, state: Path, subnets: str = "10.98.1.0/24,10.98.2.0/24") -> None:
        self.name = f"test-{uuid.uuid4().hex[:10]}"
        self.state = state
        self.subnets = subnets
        self.ports = tuple(free_port() for _ in NODES)

    def start(self) -> subprocess.CompletedProcess[str]:
        """Start it, or start it again."""
        ports = ",".join(str(port) for port in self.ports)
        return self.command(
            *("start", "--ports", ports, "--subnets", self.subnets, "--nodes", ",".join(NODES))
        )

    def command(self, what: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the lab's commands; it must succeed."""
        command = [sys.executable, "-m", "lab", what, "--name", self.name, "--state-dir", str(self.state)]
        done = subprocess.run([*command, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    def stop(self) -> None:
        """End it with all its traces."""
        self.command("stop")

    def kill(self) -> None:
        """Kill the server, without a word of warning."""
        pid = int((self.state / "server.pid").read_text())
        watched, ours = os.pidfd_open(pid), _is_child(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PIDFD, watched, os.WEXITED) if ours else _wait(watched)
        os.close(watched)

    @property
    def sites(self) -> Mapping[str, Any]:
        """The sites of the inventory it hands out."""
        sites: Mapping[str, Any] = yaml.safe_load((self.state / "inventory" / "sites.yaml").read_text())[
            "sites"
        ]
        return sites

    def client(self, site: str = "paris", user: str = "orchestrator") -> Client:
        """A client with the orchestrator's token, root's token, or (`root@pam`) root's own ticket."""
        api = self.sites[site]["api"]
        ca = Path(api["ca_file"])
        if user == "root@pam":
            return self._logged_in(api["url"], ca)
        name, secret = api["token_id"], Path(api["token_secret"]["file"])
        if user == "root":
            name, secret = "root@pam!lab", self.state / "root-token.secret"
        return Client(api["url"], ca, {"Authorization": f"PVEAPIToken={name}={secret.read_text()}"})

    def _logged_in(self, url: str, ca: Path) -> Client:
        password = (self.state / "root-password.secret").read_text()
        ticket = Client(url, ca, {}).call(
            "POST", "/access/ticket", {"username": "root@pam", "password": password}
        )
        cookie = f"PVEAuthCookie={ticket.data['ticket']}"
        return Client(url, ca, {"Cookie": cookie, "CSRFPreventionToken": ticket.data["CSRFPreventionToken"]})


def _is_child(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(status[1]) == os.getpid()


def _wait(descriptor: int) -> None:
    import select

    assert select.select([descriptor], [], [], 60.0)[0]
