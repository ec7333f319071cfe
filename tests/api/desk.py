"""An engineer's desk: an inventory and clients' files in a folder, and the ``orchestrator`` command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestrator.guests.keys import fingerprints
from orchestrator.guests.rules import FirewallPolicy, policy_to_data
from orchestrator.resources.desired import DesiredMachine, desired_machines
from orchestrator.resources.notes import read_mark, write_mark
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.fakepve_handle import FakePve
from tests.api.forked import ForkedRun

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKURtZCucXETzzcQIDs1+Vtfi1dn37SdGSoJus4g4ca3 provider@example"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFTP1ZDEgz7HLRz4vsWfDKY4OYJIcLZKYcWgMJwJwDKr"
"""What a guest's agent would have told."""

CLOSED = policy_to_data(FirewallPolicy())
"""A firewall that was loaded and lets nothing in."""

CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt/0c/A2mkpeBwnYhdfuXiHPCyxJ0Ng1AQweBcPRbpF admin@client"


def machine(name: str, **changes: Any) -> dict[str, Any]:
    """One machine of a subscription file."""
    return {
        "name": name,
        "image": "debian-12",
        "vcpus": 1,
        "memory": "1GiB",
        "disks": [{"name": "system", "size": "4GiB"}],
        **changes,
    }


def subscription(client: str, machines: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """One client's file."""
    offer = changes.pop("offer", "cloud-vm-advanced")
    site = changes.pop("site", "paris")
    return {
        "client": client,
        "contract": {
            "reference": f"C-{client}",
            "starts": "2026-03-01",
            "site": site,
            "quotes": [{"reference": "D-1", "valid_until": "2099-12-31"}],
        },
        "administration": {"ssh_keys": [CLIENT_KEY], "allowed_from": ["198.51.100.0/24"]},
        "services": [{"offer": offer, "machines": machines}],
        **changes,
    }


class Desk:
    """Files in a folder, and the command that reads them."""

    def __init__(self, folder: Path, fakes: dict[str, FakePve]) -> None:
        self.folder = folder
        self.erasure = False
        self.fakes = fakes
        (folder / "subscriptions").mkdir()
        (folder / "id").write_text("not used: the guests are left alone")
        self.sites: dict[str, Any] = {name: self._site(name, fake) for name, fake in fakes.items()}
        self.write_sites()

    def _site(self, name: str, fake: FakePve) -> dict[str, Any]:
        secret = self.folder / f"{name}.token"
        secret.write_text(fake.token_secret)
        secret.chmod(0o600)
        return {
            "api": {
                "url": fake.url,
                "token_id": fake.token_id,
                "token_secret": {"file": str(secret)},
                "ca_file": str(fake.ca_file),
            },
            "storage": "local",
            "disk_format": "qcow2",
            "networks": [
                {
                    "name": "public",
                    "bridge": "vmbr0",
                    "subnet": "203.0.113.0/24",
                    "gateway": "203.0.113.1",
                    "range": "203.0.113.10-203.0.113.200",
                }
            ],
            "images": {"debian-12": {"template": "debian-12"}, "debian-13": {"template": "debian-13"}},
        }

    def write_sites(self) -> None:
        """Write the inventory as ``self.sites`` has it."""
        management = {
            "addresses": ["192.0.2.10/32"],
            "ssh_public_key": _KEY,
            "ssh_private_key": str(self.folder / "id"),
        }
        provider = {"management": management, "erasure": self.erasure, "sites": self.sites}
        text = yaml.safe_dump(provider, sort_keys=False)
        (self.folder / "sites.yaml").write_text(text)

    def write(self, *subscriptions: dict[str, Any]) -> None:
        """Write clients' files; those that were there are gone."""
        for path in (self.folder / "subscriptions").iterdir():
            path.unlink()
        for item in subscriptions:
            path = self.folder / "subscriptions" / f"{item['client']}.yaml"
            path.write_text(yaml.safe_dump(item, sort_keys=False))

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            "ORCHESTRATOR_INVENTORY": str(self.folder / "sites.yaml"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "COLUMNS": "200",
            **more,
        }

    def start(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.folder,
            env=self._environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Answer:
        """Run the command to its end; with an environment of its own it is started truly (``tests.api.forked``)."""
        if environment is None:
            return Answer(*self._forked(*arguments).communicate())
        process = self.start(*arguments, environment=environment)
        out, err = process.communicate(timeout=300)
        return Answer(process.returncode, out, err)

    def _forked(self, *arguments: str) -> ForkedRun:
        return ForkedRun(arguments, self.folder, self._environment({}))

    def kill_at(self, method: str, path: str, *arguments: str) -> bool:
        """Run the command; it is killed when a call has taken effect, before it hears of that. Whether it was."""
        run = self._forked(*arguments)
        for fake in self.fakes.values():
            fake.fault(method, path, "kill", pid=run.pid, after=True)
        answer = Answer(*run.communicate())
        for fake in self.fakes.values():
            fake.control("clear_faults")
        return answer.killed

    def run_killed(self, call: int, *arguments: str, method: str = "*") -> Answer:
        """Run the command; it is killed when its API call number ``call`` (from 0; of a method) has taken effect.

        The process waits until the fake knows whom to kill. The answer to that call is lost.
        """
        run = self._forked(*arguments)
        for fake in self.fakes.values():
            fake.fault(method, ".*", "kill", pid=run.pid, skip=call, after=True)
        answer = Answer(*run.communicate())
        for fake in self.fakes.values():
            fake.control("clear_faults")
        return answer

    def plan(self, *arguments: str) -> dict[str, Any]:
        """The plan as JSON, whatever the exit code."""
        answer = self.run("plan", "--format", "json", *arguments)
        assert answer.out, answer
        document: dict[str, Any] = json.loads(answer.out)
        return document

    def apply(self, *arguments: str) -> Answer:
        """Apply without asking, the guests left alone."""
        return self.run("apply", "--yes", "--no-guests", *arguments)

    def machines(self, site: str = "paris") -> dict[str, dict[str, Any]]:
        """What the cluster holds besides templates, by name: the VM's record with its config."""
        vms = self.fakes[site].dump()["vms"].values()
        found = [vm for vm in vms if not vm["template"]]
        assert len({vm["name"] for vm in found}) == len(found), "two machines of one name"
        return {vm["name"]: vm for vm in found}

    def desired(self) -> tuple[DesiredMachine, ...]:
        """What the files ask for."""
        loaded = load([self.folder / "subscriptions"]).subscriptions
        provider = load_provider(self.folder / "sites.yaml")
        return desired_machines([item.subscription for item in loaded], provider)

    def put_in_service(
        self, *names: str, site: str = "paris", firewall: bool = False, host_keys: tuple[str, ...] = ()
    ) -> None:
        """Note in machines what a first boot would have noted: their guests were left alone in these tests.

        Args:
            names: which; all if there are none.
            site: where.
            firewall: note what is brought into a guest as well, as the files have it.
            host_keys: the guests' SSH host keys.
        """
        cluster = self.fakes[site].cluster()
        wanted = {machine.key: machine for machine in self.desired()} if firewall else {}
        self.fakes[site].control("report")  # a first boot takes longer than the cluster's list is behind
        for name, vm in self.machines(site).items():
            notes = vm["config"].get("description", "")
            mark = read_mark(notes)
            if mark is not None and (not names or name in names):
                mark = mark.with_(ready=True, host_keys=host_keys)
                if found := wanted.get((mark.client, mark.machine)):
                    mark = mark.with_(
                        firewall=policy_to_data(found.policy),
                        keys=fingerprints(found.ssh_keys),
                        supervised=found.supervised,
                    )
                text = write_mark(mark, notes)
                cluster.put(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config", description=text)


class Answer:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def killed(self) -> bool:
        """Whether it was killed, rather than ended."""
        return self.code == -signal.SIGKILL

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"
