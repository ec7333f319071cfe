# SPDX-License-Identifier: AGPL-3.0-or-later
"""A fakepve cluster in a process of its own, steered by JSON lines on standard input.

    python -m tests.api.fakepve_process --directory DIR [--state FILE]

Writes its CA's certificate into DIR, listens on a free loopback port with a certificate of that CA, and prints
one line of JSON: ``pid``, ``url``, ``ca_file``, ``token_id``, ``token_secret``. Then it carries out the requests on
standard input, ``{"op": NAME, …}`` a line, and answers each with ``{"ok": true, "result": …}`` or
``{"ok": false, "error": TEXT}``. FILE is a JSON list of such requests to begin with. It ends when its standard
input does. Licensed as fakepve, which it imports.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import ipaddress
import json
import os
import secrets
import select
import sys
import traceback
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.api.fakepve_access import AccountOps
from tests.api.fakepve_addresses import AddressOps
from tests.api.fakepve_allocation import AllocationOps
from tests.api.fakepve_backup_ops import BackupOps
from tests.api.fakepve_console import ConsoleOps
from tests.api.fakepve_faults import Fault, TroubledNode
from tests.api.fakepve_file_restore import FileRestoreOps
from tests.api.fakepve_files import FileOps
from tests.api.fakepve_graphs import GraphOps
from tests.api.fakepve_metrics import MetricsOps
from tests.api.fakepve_redundancy import RedundancyOps
from tests.api.fakepve_saving import SavingOps
from tests.api.fakepve_statistics import StatisticsOps

HOST = "127.0.0.1"
_TOKEN = "orchestrator@pve!apply"
_LINE_BYTES = 64 * 1024**2


class Control(
    BackupOps,
    ConsoleOps,
    FileOps,
    FileRestoreOps,
    SavingOps,
    RedundancyOps,
    AccountOps,
    AddressOps,
    AllocationOps,
    GraphOps,
    MetricsOps,
    StatisticsOps,
):
    """What the process can be told. Every method ``op_NAME`` is a request."""

    def __init__(self, node: TroubledNode, certificate: tuple[str, str]) -> None:
        super().__init__()
        self.node = node
        self.certificate = certificate

    async def handle(self, request: dict[str, Any]) -> Any:
        """Carry out one request."""
        if self.node.generations:  # somebody reads samples: what was until now was measured before
            self.node.measure()
        operation = getattr(self, "op_" + request.pop("op"))
        result = operation(**request)
        return await result if asyncio.iscoroutine(result) else result

    def op_add_nodes(self, names: list[str]) -> None:
        """Add nodes to the cluster."""
        for name in names:
            self.node.add_node(name)

    def op_add_vms(self, vms: list[dict[str, Any]]) -> None:
        """Add VMs: ``vmid``, ``name`` and, if wanted, node, status, config, pending, template, lock, pool, agent."""
        for entry in vms:
            agent = entry.pop("agent", None)
            vm = self.node.add_vm(**entry)
            vm.agent = agent
            if vm.lock:
                vm.config["lock"] = vm.lock
            if vm.template:
                vm.config["template"] = 1
            self.node.report([vm.vmid])

    def op_add_template(
        self, vmid: int, name: str, gib: int = 2, storage: str = "local", node: str = "pve1"
    ) -> None:
        """Add an image to clone from: one core, 512 MiB, one disk, a card, the agent enabled."""
        volume = f"{vmid}/base-{vmid}-disk-0.qcow2"
        volumes = self.node.storages[storage].setdefault("volumes", {})
        volumes[volume] = {"content": "images", "format": "qcow2", "size": gib * 1024**3, "vmid": vmid}
        config = {
            "agent": "enabled=1",
            "boot": "order=scsi0",
            "cores": 1,
            "memory": "512",
            "net0": "virtio=BC:24:11:44:91:79,bridge=vmbr0",
            "ostype": "l26",
            "scsi0": f"{storage}:{volume},size={gib}G",
            "scsihw": "virtio-scsi-pci",
            "serial0": "socket",
            "smbios1": "uuid=03d89260-0c6d-4b1c-8f0a-af660efc139d",
            "tags": "image",
        }
        self.op_add_vms([{"vmid": vmid, "name": name, "node": node, "config": config, "template": True}])

    def op_set_vm(self, vmid: int, **attributes: Any) -> None:
        """Change attributes of a VM: ``status``, ``lock``, ``agent``, ``pool``, ``start_error``, …"""
        vm = self.node.vm(vmid)
        self.node.cloning.discard(vmid)
        for name, value in attributes.items():
            setattr(vm, name, value)
        if "lock" in attributes:
            vm.config.pop("lock", None)
            if vm.lock:
                vm.config["lock"] = vm.lock
        self.node.report([vmid])

    def op_set_config(self, vmid: int, **options: Any) -> None:
        """Change a VM's configuration behind everybody's back; None removes a key."""
        vm = self.node.vm(vmid)
        for key, value in options.items():
            if value is None:
                vm.config.pop(key, None)
            else:
                vm.config[key] = value
        vm.name = vm.config.get("name", vm.name)
        self.node.report([vmid])

    def op_unpluggable(self, **texts: str) -> None:
        """Let running VMs refuse these settings, with these words."""
        self.node.unpluggable = texts

    def op_settle_pending(self, vmid: int) -> None:
        """Make a running VM's pending settings current, as Proxmox does at once with those of cloud-init."""
        vm = self.node.vm(vmid)
        vm.config.update(vm.pending)
        vm.pending.clear()

    def op_remove_vm(self, vmid: int) -> None:
        """Remove a VM behind everybody's back."""
        self.node.vms.remove(self.node.vm(vmid))

    def op_release(self, release: str) -> None:
        """Answer as Proxmox VE ``8`` or ``9``."""
        self.node.use_release(release)

    def op_pace(self, time_scale: float = 0.0, clone_seconds: float = 0.0) -> None:
        """Real seconds per second of Proxmox (0: tasks end at once), and how long a clone takes then (real).

        Clones that are at work end at once.
        """
        self.node.time_scale = time_scale
        self.node.clone_seconds = clone_seconds
        self.node.hurried.set()
        self.node.hurried = asyncio.Event()

    def op_fault(self, **options: Any) -> None:
        """Cause trouble: see :class:`Fault`."""
        self.node.faults.append(Fault(**options))

    def op_date_header(self, text: str | None) -> None:
        """Let every answer say this of the time; None: what the clock shows."""
        self.node.date_header = text

    def op_named_fault(self, method: str, path: str, error: str, times: int = 1) -> None:
        """Answer with one of fakepve's catalogue of Proxmox's own errors."""
        self.node.fail(method, path, error=error, times=times)

    async def op_clear_faults(self) -> int:
        """End all trouble. Return how many faults met no request."""
        unmet = sum(not fault.met for fault in self.node.faults)
        self.node.faults.clear()
        self.node.failures.clear()
        self.node.recover()
        await self.node.end_endless_tasks()
        return unmet

    def op_trace(self, on: bool) -> list[dict[str, Any]]:
        """Begin to write down every request, or end it. Return what was written down."""
        traced = self.node.traced()
        self.node.trace = [] if on else None
        return traced

    def op_take_ids(self, times: int) -> None:
        """Let somebody faster take the id that ``nextid`` names, so many times."""
        self.node.take_ids = times

    def op_grant(self, grants: dict[str, list[str]], token: str = _TOKEN) -> None:
        """Give a token privileges by path. The first grant takes away everything else from everybody."""
        for path, privileges in grants.items():
            self.node.grant(token, path, *privileges)

    def op_regrant(self, grants: dict[str, list[str]], token: str = _TOKEN) -> None:
        """As ``grant``, and take away what the token had before."""
        self.node.acl = {token: []}
        self.op_grant(grants, token)

    def op_add_container(self, vmid: int, name: str, config: dict[str, Any], node: str = "pve1") -> None:
        """Add a container."""
        self.node.add_ct(vmid, name, node=node, config=config)

    def op_revoke_token(self, token: str = _TOKEN) -> None:
        """Let a token's secret be another one."""
        self.node.apitokens[token] = secrets.token_hex(16)

    async def op_listen(self, listening: bool) -> None:
        """Stop listening (as if the hypervisor were down), or begin again on the same port. The state stays."""
        if not listening:
            await self.node.stop()
        elif self.node.runner is None:
            await self.node.start(*self.certificate)

    async def op_show_certificate(self, certificate: str | None = None, key: str | None = None) -> None:
        """Listen with another certificate, on the same port; without one, with the own again."""
        shown = (certificate, key) if certificate and key else self.certificate
        await self.node.stop()
        await self.node.start(*shown)

    def op_calls(self) -> dict[str, int]:
        """How many requests came in, by "METHOD path"."""
        return dict(self.node.calls)

    def op_connections(self) -> int:
        """How many connections brought them."""
        return len(self.node.connections)

    async def op_drop_connections(self) -> None:
        """Close the connections that clients keep open."""
        await self.node.drop_connections()

    def op_reset_calls(self) -> None:
        """Count from zero."""
        self.node.calls.clear()
        self.node.calls_at.clear()
        self.node.connections.clear()

    def op_dump(self) -> dict[str, Any]:
        """Everything that is: VMs, pools, storages' volumes, tasks."""
        return {
            "vms": {
                str(vm.vmid): {
                    "vmid": vm.vmid,
                    "name": vm.name,
                    "node": vm.node,
                    "status": vm.status,
                    "template": bool(vm.template),
                    "lock": vm.lock,
                    "pool": vm.pool,
                    "config": vm.config,
                    "pending": vm.pending,
                    "digest": vm.digest(),
                    "snapshots": sorted(vm.snapshots),
                }
                for vm in self.node.vms
            },
            "pools": {
                name: {"comment": self.node.pool_info.get(name, {}).get("comment"), "vms": sorted(members)}
                for name, members in self.node.pools.items()
            },
            "volumes": {name: sorted(self.node._volumes(name)) for name in self.node.storages},
            "tasks": [
                {key: value for key, value in task.items() if key != "log"} for task in self.node.tasklog
            ],
        }


def make_certificates(directory: Path) -> tuple[Path, tuple[str, str]]:
    """Make a CA and a server certificate; return the CA's file, and the server's certificate and key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Cluster CA")])
    now = dt.datetime.now(dt.UTC)

    def builder(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=60))
        )

    ca = builder(ca_name, ca_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), True
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    server = builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pve1")]), key.public_key())
    files = {name: directory / name for name in ("ca.pem", "server.pem", "server.key")}
    files["ca.pem"].write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    signed = server.add_extension(names, False).sign(ca_key, hashes.SHA256())
    files["server.pem"].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files["server.key"].touch(mode=0o600)
    files["server.key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files["ca.pem"], (str(files["server.pem"]), str(files["server.key"]))


def _say(message: dict[str, Any]) -> None:
    """Print a message whole, however long: whoever asked reads it.

    Standard output may be the same socket as standard input, which asyncio lets nobody wait for.
    """
    left = memoryview((json.dumps(message) + "\n").encode())
    while left:
        try:
            left = left[os.write(sys.stdout.fileno(), left) :]
        except BlockingIOError:
            select.select([], [sys.stdout], [])


async def serve(directory: Path, state: Path | None = None) -> None:
    """Play a cluster until standard input ends."""
    ca_file, certificate = make_certificates(directory)
    node = TroubledNode(host=HOST, port=0)
    secret = secrets.token_hex(16)
    node.apitokens[_TOKEN] = secret
    node.authority = ca_file.read_text()
    control = Control(node, certificate)
    for request in json.loads(state.read_text()) if state else []:
        await control.handle(request)
    await node.start(*certificate)
    reached = {"url": node.url, "ca_file": str(ca_file), "token_id": _TOKEN, "token_secret": secret}
    _say({"pid": os.getpid(), **reached})
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        try:
            answer = {"ok": True, "result": await control.handle(json.loads(line))}
        except Exception:
            answer = {"ok": False, "error": traceback.format_exc()}
        _say(answer)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, required=True, help="where the certificates go")
    parser.add_argument("--state", type=Path, help="a JSON list of requests to begin with")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.directory, arguments.state))


if __name__ == "__main__":
    main()
