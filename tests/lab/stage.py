"""A lab with clients' files applied to it: real machines, for the tests of what the orchestrator does."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import testinfra
import yaml
from testinfra.host import Host

from lab.image import ensure_image
from lab.network import namespace_of
from tests.api.desk import Answer
from tests.lab.lab_handle import Lab

PARIS, LYON = "10.94.1", "10.94.2"
CLIENT = ".2"
"""Host part of the address on each bridge that tests connect from as the client."""


class Stage:
    """The lab, the files, the command, and ways to look into the guests and to send packets to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lab = Lab(folder / "lab", f"{PARIS}.0/24,{LYON}.0/24")
        self.files: dict[str, dict[str, Any]] = {}
        """The clients' files, by client."""

    def open(self) -> None:
        """Start the lab with the guest image."""
        (self.folder / "subscriptions").mkdir()
        self.start_lab()

    def start_lab(self) -> None:
        """Start the lab's server, or start it again."""
        ports = ",".join(map(str, self.lab.ports))
        self.lab.command(
            *("start", "--ports", ports, "--subnets", self.lab.subnets, "--image", str(ensure_image())),
        )

    def write(self) -> None:
        """Write ``self.files``."""
        for client, content in self.files.items():
            path = self.folder / "subscriptions" / f"{client}.yaml"
            plain = json.loads(json.dumps(content))  # what two machines share is written out twice
            path.write_text(yaml.safe_dump(plain, sort_keys=False))

    def environment(self) -> dict[str, str]:
        """What the command runs with."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ORCHESTRATOR_INVENTORY": str(self.folder / "lab" / "inventory"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
        }

    def run(self, *arguments: str, **more: str) -> Answer:
        """Run the orchestrator."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.folder, env={**self.environment(), **more}, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=600,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin the orchestrator."""
        command = [sys.executable, "-m", "orchestrator", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def plan(self) -> dict[str, Any]:
        """The plan as JSON."""
        document: dict[str, Any] = json.loads(self.run("plan", "--format", "json").out)
        return document

    def hostvars(self, name: str) -> dict[str, Any]:
        """Ansible's variables of a machine (``web-1.dupont``)."""
        answer = self.run("inventory", "--host", name)
        assert answer.code == 0, answer
        found: dict[str, Any] = json.loads(
            answer.out, object_hook=lambda value: value.get("__ansible_unsafe", value)
        )
        assert found, f"{name} is not in the inventory"
        return found

    def inside(self, name: str) -> Host:
        """The inside of a guest, through SSH with the host key that the hypervisor told of."""
        variables = self.hostvars(name)
        config = self.folder / f"ssh_config-{name}"
        arguments = shlex.split(variables["ansible_ssh_common_args"])
        options = [value for flag, value in itertools.pairwise(arguments) if flag == "-o"]
        lines = [f"  {option.replace('=', ' ', 1)}" for option in options]
        config.write_text("\n".join([f"Host {variables['ansible_host']}", *lines, ""]))
        return testinfra.get_host(
            f"ssh://{variables['ansible_user']}@{variables['ansible_host']}?controlpersist=120",
            ssh_config=str(config),
            ssh_identity_file=variables["ansible_ssh_private_key_file"],
        )

    def connects(self, source: str, address: str, port: int) -> bool:
        """Whether a TCP connection from an address of a bridge to a guest is established."""
        command = [
            "ip",
            "netns",
            "exec",
            namespace_of(self.lab.name),
            "nc",
            "-z",
            "-w",
            "4",
            "-s",
            source,
            address,
        ]
        return subprocess.run([*command, str(port)], check=False, capture_output=True).returncode == 0

    def close(self) -> None:
        """End the lab with all its traces."""
        self.lab.stop()
