"""What the tests of the lab's runtime share: a lab's network, tiny guests and a real one."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import uuid
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from lab import disks
from lab.agent import AgentNotRunningError, ExecStatus, GuestAgent
from lab.cloudinit import CloudInitNic, CloudInitSettings, build_drive
from lab.network import Bridge, bridge_name, inside, tap_name
from lab.qemu import Disk, Guests, GuestSpec, Nic

NODE = "pve1"
GATEWAY = IPv4Interface("10.99.1.1/24")
ELSEWHERE = IPv4Interface("198.51.100.9/24")
BRIDGE = Bridge(NODE, bridge_name(0), (GATEWAY, ELSEWHERE))
BOOT_SECONDS = 300.0

IDLE_FOR_EVER = (b"\xfa\xf4\xeb\xfc").ljust(510, b"\0") + b"\x55\xaa"
"""A boot sector: no interrupts, halt, and again."""


@dataclass(frozen=True)
class BootedGuest:
    """A real Debian guest: how to reach it."""

    guests_dir: Path
    lab_name: str
    vmid: int
    address: str
    key: Path

    def guests(self) -> Guests:
        """The lab's guests, found again as a new server finds them."""
        return Guests(self.lab_name, self.guests_dir / "run", self.guests_dir / "log")

    def ssh(self, command: str) -> str:
        """Log in with the key that cloud-init was given, run a command and return what it printed."""
        options = (
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ConnectTimeout=60",
        )
        login = [
            "ssh",
            "-q",
            "-i",
            str(self.key),
            *(f"-o{option}" for option in options),
            f"admin@{self.address}",
        ]
        return subprocess.run(
            inside(self.lab_name, *login, command), check=True, capture_output=True, text=True, timeout=120
        ).stdout.strip()


def tiny_guest(folder: Path, vmid: int = 100, *, tap: bool = True) -> GuestSpec:
    """A guest whose whole system is one boot sector that halts: QEMU is real, the boot is over at once."""
    disk = folder / f"{vmid}.raw"
    disk.write_bytes(IDLE_FOR_EVER.ljust(1024 * 1024, b"\0"))
    nics = (Nic(tap_name(0, vmid, 0), "bc:24:11:00:00:64", BRIDGE.name),) if tap else ()
    return GuestSpec(
        NODE, vmid, f"tiny-{vmid}", 1, 32, str(uuid.uuid4()), (Disk("scsi0", disk, "raw"),), nics
    )


async def boot_debian(folder: Path, lab_name: str, image: Path, *, vmid: int, kvm: bool) -> BootedGuest:
    """Clone the image, grow its disk to 4 GiB, boot it with a cloud-init drive and wait for cloud-init's end."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    disk, drive = folder / f"vm-{vmid}-disk-0.qcow2", folder / f"vm-{vmid}-cloudinit.qcow2"
    await disks.copy(image, disk, source_format="qcow2", target_format="qcow2")
    await disks.resize(disk, size=4 * 1024**3, format="qcow2")
    mac, address = "bc:24:11:00:00:01", str(GATEWAY.ip + vmid)
    settings = CloudInitSettings(
        name="web-1",
        user="admin",
        ssh_keys=(key.with_suffix(".pub").read_text().strip(),),
        upgrade=False,
        nics=(CloudInitNic(0, mac, f"{address}/24", str(GATEWAY.ip)),),
    )
    build_drive(drive, settings)
    booted = BootedGuest(folder, lab_name, vmid, address, key)
    guests = booted.guests()
    attached = (Disk("scsi0", disk), Disk("scsi1", drive, cdrom=True))
    nic = Nic(tap_name(0, vmid, 0), mac, BRIDGE.name)
    await guests.start(GuestSpec(NODE, vmid, "web-1", 2, 512, str(uuid.uuid4()), attached, (nic,), kvm=kvm))
    async with asyncio.timeout(BOOT_SECONDS):
        agent = guests.agent(NODE, vmid)
        await answering(agent)
        await finished(agent, "systemctl", "start", "cloud-init.target")
        await finished(agent, "systemctl", "start", "ssh.service")
    agent.close()
    return booted


async def answering(agent: GuestAgent) -> None:
    """Wait until the agent answers; each ping waits for the answer itself."""
    while True:
        with contextlib.suppress(AgentNotRunningError):
            return await agent.ping(timeout=10)


async def finished(agent: GuestAgent, *argv: str) -> ExecStatus:
    """Run a program in the guest to its end."""
    pid = await agent.execute(argv)
    while not (status := await agent.exec_status(pid)).exited:
        await asyncio.sleep(0.3)
    return status
