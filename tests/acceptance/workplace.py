"""A folder with the run's files, the ``orchestrator`` command as a user gives it, and the inside of machines by SSH."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.settings import INVENTORY, RUN, Run

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND_SECONDS = 1800
_SSH_SECONDS = 120

OTHER_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt/0c/A2mkpeBwnYhdfuXiHPCyxJ0Ng1AQweBcPRbpF second@acceptance"
)
FIRST_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJeMzuMQop/UkZfknr0ieShjMUI2yeEX4WLdZ4l1AKa first@acceptance"
)
NOBODY = "198.51.100.7/32"
"""An address of documentation: nobody comes from there."""


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Workplace:
    """One run's files and machines."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.settings_of_run = run
        self.folder = folder
        self.client = run.client
        short = run.client.rpartition("-")[2]
        self.web, self.probe = f"acc-{short}-web", f"acc-{short}-probe"
        (folder / "subscriptions").mkdir()
        (folder / "inventory").mkdir()
        (folder / "inventory" / "sites.yaml").write_text(yaml.safe_dump(run.inventory(), sort_keys=False))
        self.file: dict[str, Any] = {
            "client": run.client,
            "contract": {
                "reference": "ACCEPTANCE",
                "starts": "2026-01-01",
                "site": run.site,
                "quotes": [{"reference": "ACCEPTANCE", "valid_until": "2099-12-31"}],
            },
            "administration": {"ssh_keys": [FIRST_KEY], "allowed_from": [NOBODY]},
            "services": [
                {
                    "offer": "cloud-vm-advanced",
                    "machines": [self._machine(self.web), self._machine(self.probe)],
                }
            ],
        }
        self.of(self.web)["disks"].append({"name": "data", "size": run.settings.data_disk})
        self.guard = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.cleaning", "--guard"],
            cwd=_ROOT,
            env={**os.environ, INVENTORY: os.environ[INVENTORY], RUN: run.client.partition("-")[2]},
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def _machine(self, name: str) -> dict[str, Any]:
        settings = self.settings_of_run.settings
        return {
            "name": name,
            "image": self.settings_of_run.image,
            "vcpus": 1,
            "memory": settings.memory,
            "disks": [{"name": "system", "size": settings.system_disk}],
        }

    def of(self, name: str) -> dict[str, Any]:
        """A machine of the file, to be edited."""
        machines: list[dict[str, Any]] = self.file["services"][0]["machines"]
        return next(machine for machine in machines if machine["name"] == name)

    def write(self) -> None:
        """Write the file."""
        path = self.folder / "subscriptions" / f"{self.client}.yaml"
        path.write_text(yaml.safe_dump(json.loads(json.dumps(self.file)), sort_keys=False))

    def tell_guard(self, line: str) -> None:
        """Let the guard know."""
        assert self.guard.stdin is not None
        self.guard.stdin.write(line + "\n")
        self.guard.stdin.flush()

    def release_guard(self) -> None:
        """All is clean: the guard may go."""
        self.tell_guard("clean")
        self.guard.communicate()

    def run(self, *arguments: str) -> Answer:
        """Run the command, as a user does."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "ORCHESTRATOR_INVENTORY": str(self.folder / "inventory"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "orchestrator", *arguments]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            self.tell_guard(f"+{process.pid}")
            try:
                out, err = process.communicate(timeout=_COMMAND_SECONDS)
            except BaseException:
                process.kill()
                raise
            self.tell_guard(f"-{process.pid}")
        return Answer(process.returncode, out, err)

    def plan(self) -> dict[str, Any]:
        """The plan as JSON."""
        document: dict[str, Any] = json.loads(self.run("plan", "--format", "json").out)
        return document

    def apply(self, *arguments: str) -> Answer:
        """Apply; it must succeed, and nothing may be left to do."""
        seconds = str(self.settings_of_run.settings.boot_seconds)
        answer = self.run("apply", "--yes", "--boot-timeout", seconds, *arguments)
        assert answer.code == 0, answer
        again = self.run("plan", "--detailed-exitcode")
        assert again.code == 0, again
        return answer

    def address(self, name: str) -> str:
        """A machine's address."""
        return str(next(item for item in self.plan()["machines"] if item["machine"] == name)["address"])

    def free_address(self) -> str:
        """An address of the site's range that nobody has: what a plan gives to one machine more."""
        machines = self.file["services"][0]["machines"]
        machines.append(self._machine(f"{self.web}-2"))
        self.write()
        try:
            return self.address(f"{self.web}-2")
        finally:
            machines.pop()
            self.write()

    def inside(self, name: str, script: str) -> Answer:
        """Run a script in a machine, by SSH with the host key that the hypervisor told of."""
        answer = self.run("inventory", "--host", f"{name}.{self.client}")
        assert answer.code == 0, answer
        # Ansible's JSON writes a text that is no template as an object of its own.
        values = json.loads(answer.out, object_hook=lambda value: value.get("__ansible_unsafe", value))
        command = [
            "ssh",
            *("-i", values["ansible_ssh_private_key_file"]),
            *shlex.split(values["ansible_ssh_common_args"]),
            *("-o", "BatchMode=yes"),
            f"{values['ansible_user']}@{values['ansible_host']}",
            script,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SSH_SECONDS)
        return Answer(done.returncode, done.stdout, done.stderr)

    def reached(self, address: str, *ports: int) -> set[int]:
        """The ports of an address to which the probe machine can open a TCP connection."""
        one = f"timeout 5 bash -c ': < /dev/tcp/{address}/'$port && echo $port"
        asked = f"for port in {' '.join(map(str, ports))}; do ({one}) 2>/dev/null & done; wait"
        done = self.inside(self.probe, asked)
        assert done.code == 0, done
        return {int(port) for port in done.out.split()}

    def serve(self, name: str, *ports: int) -> None:
        """Let something listen in a machine until its next boot: cloud images have Python and nothing else."""
        listens = (
            f"import signal, socket; kept = [socket.create_server(('', p)) for p in {ports}]; signal.pause()"
        )
        start = f"sudo systemd-run --quiet --unit acceptance-{ports[0]} python3 -c {shlex.quote(listens)}"
        waits = f"timeout 60 sh -c \"until ss -Hltn 'sport = :{ports[-1]}' | grep -q .; do sleep 0.2; done\""
        done = self.inside(name, f"{start} && {waits}")
        assert done.code == 0, done
