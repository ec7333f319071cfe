"""Generated subscriptions, and a small model of what Proxmox makes of edits: for the laws of plans."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from hypothesis import strategies as st

from orchestrator.guests.keys import fingerprints
from orchestrator.guests.rules import policy_to_data
from orchestrator.proxmox import ClusterState, NodeSummary, VmConfig, VmSummary
from orchestrator.resources.desired import DesiredMachine, desired_machines, pool_of
from orchestrator.resources.machine import applied, edits, new_mark
from orchestrator.resources.notes import read_mark, write_mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.sites.model import Provider
from orchestrator.subscriptions.model import Subscription

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKURtZCucXETzzcQIDs1+Vtfi1dn37SdGSoJus4g4ca3 provider@example"
_TEMPLATE = {"cores": "1", "memory": "512", "net0": "virtio=BC:24:11:44:91:79,bridge=vmbr0", "tags": "image",
             "agent": "enabled=1", "scsi0": "local:9000/base-9000-disk-0.qcow2,size=2G"}  # fmt: skip

PROVIDER = Provider.model_validate(
    {
        "management": {"addresses": ["192.0.2.10/32"], "ssh_public_key": _KEY, "ssh_private_key": "/nowhere"},
        "sites": {
            "paris": {
                "api": {"url": "https://h:8006", "token_id": "u@pve!t", "token_secret": {"env": "T"}},
                "storage": "local",
                "disk_format": "qcow2",
                "networks": [
                    {"name": "public", "bridge": "vmbr0", "subnet": "203.0.113.0/24", "gateway": "203.0.113.1",
                     "range": "203.0.113.10-203.0.113.200"},
                    {"name": "private", "bridge": "vmbr1", "vlan": 7, "subnet": "10.1.0.0/24",
                     "range": "10.1.0.10-10.1.0.200"},
                ],
                "images": {name: {"template": name} for name in ("debian-12", "debian-13")},
            }
        },
    }
)  # fmt: skip

_disks = st.lists(
    st.tuples(st.sampled_from(["data", "logs", "backup"]), st.integers(1, 5)),
    max_size=3,
    unique_by=lambda d: d[0],
)
_opens = st.lists(
    st.fixed_dictionaries(
        {
            "port": st.integers(1, 65535),
            "protocol": st.sampled_from(["tcp", "udp"]),
            "from": st.sampled_from(["any", ["10.0.0.0/8"], ["2001:db8::/32", "198.51.100.7"]]),
        }
    ),
    max_size=3,
)


@st.composite
def machines(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One machine of a file."""
    disks: list[dict[str, Any]] = [{"name": "system", "size": f"{draw(st.integers(2, 6))}GiB"}]
    disks += [
        {"name": disk, "size": f"{size}GiB", "backup": draw(st.booleans())} for disk, size in draw(_disks)
    ]
    return {
        "name": name,
        "image": draw(st.sampled_from(["debian-12", "debian-12", "debian-13"])),
        "vcpus": draw(st.integers(1, 4)),
        "memory": draw(st.sampled_from(["512MiB", "1GiB", "4GiB"])),
        "disks": disks,
        "network": draw(st.sampled_from(["public", "public", "private"])),
        "firewall": {"open": draw(_opens)},
    }


@st.composite
def subscriptions(draw: st.DrawFn, client: str = "dupont") -> dict[str, Any]:
    """One client's file: the same client and a few names, so that two files differ in every way."""
    names = draw(st.lists(st.sampled_from(["web-1", "db-1", "app-1"]), min_size=1, unique=True))
    return {
        "client": client,
        "contract": {
            "reference": draw(st.sampled_from(["C-1", "C-2"])),
            "starts": "2026-03-01",
            "site": "paris",
        },
        "administration": {"ssh_keys": [_KEY], "allowed_from": ["198.51.100.0/24"]},
        "services": [
            {
                "offer": draw(st.sampled_from(["cloud-vm-advanced", "cloud-vm-essential"])),
                "machines": [draw(machines(name)) for name in names],
            }
        ],
    }


def desired(files: list[dict[str, Any]]) -> tuple[DesiredMachine, ...]:
    """What files ask for."""
    return desired_machines([Subscription.model_validate(item) for item in files], PROVIDER)


@dataclass
class World:
    """A cluster as our edits leave it."""

    configs: dict[tuple[str, str], dict[str, str]]
    running: set[tuple[str, str]]

    @classmethod
    def empty(cls) -> World:
        """A cluster with the templates alone."""
        return cls(configs={}, running=set())

    def clone(self, machine: DesiredMachine) -> None:
        """What a clone of the template is."""
        notes = write_mark(new_mark(machine))
        self.configs[machine.key] = {**_TEMPLATE, "name": machine.name, "description": notes}

    def make(self, machine: DesiredMachine, address: IPv4Address) -> None:
        """Make every edit once, and load the firewall."""
        observed = self.machine(machine.key)
        assert observed.mark is not None
        found = edits(machine, observed, observed.mark, address)
        config = self.configs[machine.key]
        for edit in found:
            for key, value in edit.params.items():
                stored = _as_stored(str(value))
                if re.fullmatch(r"scsi\d+", key) and key in config:
                    assert stored.partition(",")[0] == config[key].partition(",")[0], "a disk was overwritten"
                config[key] = stored
            if edit.resize:
                slot, size = edit.resize
                config[slot] = re.sub(r"size=\d+G", f"size={size}G", config[slot])
        slots = {**observed.mark.slots, **dict(edit.slot for edit in found if edit.slot)}
        mark = observed.mark.with_(
            contract=machine.contract, offer=str(machine.offer), slots=slots, ready=True, retired=None,
            applied=applied(machine, address), firewall=policy_to_data(machine.policy),
            keys=fingerprints(machine.ssh_keys), supervised=machine.supervised,
        )  # fmt: skip
        config["description"] = write_mark(mark, config["description"])
        self.running.add(machine.key)

    def machine(self, key: tuple[str, str]) -> ObservedMachine:
        """One machine, as it is observed."""
        config = self.configs[key]
        digest = hashlib.sha1(json.dumps(config, sort_keys=True).encode()).hexdigest()
        summary = VmSummary(
            vmid=100 + sorted(self.configs).index(key), name=config["name"], node="pve1",
            status="running" if key in self.running else "stopped", template=False,
            tags=frozenset(config["tags"].split(";")), pool=pool_of(key[0]), lock=None, maxmem=0, maxcpu=1,
        )  # fmt: skip
        read = VmConfig(
            node="pve1",
            vmid=summary.vmid,
            current=dict(config),
            pending={},
            deleted=frozenset(),
            digest=digest,
        )
        return ObservedMachine(
            site="paris", summary=summary, config=read, mark=read_mark(config["description"])
        )

    def observed(self) -> dict[str, ObservedSite]:
        """The whole cluster."""
        template = VmSummary(
            vmid=9000, name="debian-12", node="pve1", status="stopped", template=True, tags=frozenset({"image"}),
            pool=None, lock=None, maxmem=0, maxcpu=1,
        )  # fmt: skip
        state = ClusterState(
            site="paris", version="8.4.1", vms=(template, replace(template, vmid=9001, name="debian-13")),
            nodes=(NodeSummary(name="pve1", online=True, maxmem=1, mem=0, maxcpu=1),), storages=(), pools=frozenset(),
        )  # fmt: skip
        ours = tuple(self.machine(key) for key in sorted(self.configs))
        site = ObservedSite(site="paris", state=state, machines=ours, strangers=(), register={})
        return {"paris": site}


def _as_stored(value: str) -> str:
    """``local:10,format=qcow2`` becomes a volume of that size, as Proxmox stores it."""
    if match := re.fullmatch(r"local:(\d+),format=qcow2(,backup=0)?", value):
        return f"local:1/vm-1-disk-9.qcow2,size={match[1]}G{match[2] or ''}"
    return "local:1/vm-1-cloudinit.qcow2,media=cdrom" if value == "local:cloudinit" else value
