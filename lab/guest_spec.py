"""What a guest is made of, and the QEMU command line that says so.

The arguments are those that made guests quick without hardware virtualization: a processor model
without the vector extensions that emulation has to spell out, a small translation cache (memory is
what limits the number of guests), and virtio for everything. Debian's cloud kernel has no IDE or
SATA driver, so that the cloud-init drive hangs on virtio-scsi like the disks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

EMULATED_CPU = "Nehalem"
"""Processor of guests without KVM whose configuration names none: a fifth cheaper to emulate than `max`."""

_TRANSLATION_CACHE_MIB = 256


@dataclass(frozen=True)
class Disk:
    """A disk or CD drive of a guest.

    Attributes:
        slot: `scsi0` to `scsi30`.
        path: the image.
        format: `qcow2` or `raw`.
        cdrom: a read-only CD drive, as the cloud-init drive is.
    """

    slot: str
    path: Path
    format: str = "qcow2"
    cdrom: bool = False


@dataclass(frozen=True)
class Nic:
    """A network card.

    Attributes:
        tap: the tap that is made for it inside the lab's namespace.
        mac: its address.
        bridge: the tap's bridge.
        number: N of the configuration's `netN`.
        link_down: its cable is unplugged: nothing goes out or in.
    """

    tap: str
    mac: str
    bridge: str
    number: int = 0
    link_down: bool = False


@dataclass(frozen=True)
class GuestSpec:
    """A guest to start.

    Attributes:
        node, vmid: who it is; unique in a lab.
        name: shown in the process list.
        vcpus: virtual processors, from 1.
        memory_mib: memory in MiB.
        uuid: SMBIOS system UUID.
        disks: the first that is not a CD is booted from.
        cpu: QEMU's name of the processor, or None for what suits the accelerator.
        kvm: use hardware virtualization; ask `lab.kvm.kvm_works` first.
        agent: give it a port for the guest agent.
        screen: give it a graphics card, whose picture is shown by VNC; else its only console is the serial port.
    """

    node: str
    vmid: int
    name: str
    vcpus: int
    memory_mib: int
    uuid: str
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...] = ()
    cpu: str | None = None
    kvm: bool = False
    agent: bool = True
    screen: bool = False

    @property
    def held(self) -> bool:
        """Whether QEMU must not let it run at once: a cable is to be unplugged first."""
        return any(nic.link_down for nic in self.nics)


@dataclass(frozen=True)
class GuestFiles:
    """Where a running guest is reached: process id, QEMU's monitor, the agent's socket, its console's log.

    ``events`` is where it connects to and tells how it ends (:mod:`lab.guest_ends`). ``serial`` is its serial port, for
    one who types at a time; ``vnc`` its screen, for who knows the password that the monitor was last given.
    """

    pid: Path
    monitor: Path
    agent: Path
    console: Path
    events: Path
    serial: Path
    vnc: Path


def qemu_command(spec: GuestSpec, files: GuestFiles) -> list[str]:
    """The argument list that starts `spec` in the background; QEMU writes `files.pid` when it is up."""
    command = ["qemu-system-x86_64", "-name", f"guest={spec.name}", "-nodefaults", "-no-user-config"]
    # The HPET: what a kernel compares its time stamp counter with, and takes in its place. The timer of ACPI, the other
    # one for that, begins anew every 4.7 s, and costs twice as much to read.
    command += ["-machine", "pc,usb=off,vmport=off,hpet=on", *_processor(spec)]
    command += ["-m", str(spec.memory_mib), "-uuid", spec.uuid, "-rtc", "base=utc"]
    shown = (
        ["-vnc", f"unix:{files.vnc},password=on", "-device", "VGA"] if spec.screen else ["-display", "none"]
    )
    command += shown
    # What it prints goes to the log in any case, and to whoever is connected.
    serial = f"socket,id=console,path={files.serial},server=on,wait=off,logfile={files.console},logappend=on"
    command += ["-chardev", serial, "-serial", "chardev:console"]
    command += ["-chardev", f"socket,id=monitor,path={files.monitor},server=on,wait=off"]
    command += ["-mon", "chardev=monitor,mode=control"]
    command += ["-chardev", f"socket,id=events,path={files.events},reconnect=2"]
    command += ["-mon", "chardev=events,mode=control"]
    command += [
        "-object",
        "rng-random,id=entropy,filename=/dev/urandom",
        "-device",
        "virtio-rng-pci,rng=entropy",
    ]
    command += ["-device", "virtio-scsi-pci,id=scsihw0"]
    boots_from = next((disk.slot for disk in spec.disks if not disk.cdrom), None)
    for disk in spec.disks:
        command += ["-blockdev", json.dumps(block_node(disk))]
        device = scsi_device(disk) | ({"bootindex": 1} if disk.slot == boots_from else {})
        command += ["-device", json.dumps(device)]
    for nic in spec.nics:
        card = f"net{nic.number}"
        command += ["-netdev", f"tap,id={card},ifname={nic.tap},script=no,downscript=no,vhost=off"]
        command += ["-device", f"virtio-net-pci,netdev={card},mac={nic.mac},romfile="]
    if spec.agent:
        command += [
            "-device",
            "virtio-serial",
            "-chardev",
            f"socket,id=agent,path={files.agent},server=on,wait=off",
        ]
        command += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    held = ["-S"] if spec.held else []
    return [*command, *held, "-daemonize", "-pidfile", str(files.pid)]


def block_node(disk: Disk) -> dict[str, object]:
    """QMP's description of the image behind a disk.

    Flushes to the host's disk are left out: a lab's data is thrown away, and a guest waits long
    enough for its emulated processor.
    """
    return {
        "driver": disk.format,
        "node-name": node_name(disk.slot),
        "read-only": disk.cdrom,
        "discard": "ignore" if disk.cdrom else "unmap",
        "cache": {"direct": False, "no-flush": True},
        "file": {"driver": "file", "filename": str(disk.path), "cache": {"direct": False, "no-flush": True}},
    }


def scsi_device(disk: Disk) -> dict[str, object]:
    """QMP's description of the drive a guest sees; `device_id` makes Proxmox's `/dev/disk/by-id/scsi-0QEMU_…`."""
    return {
        "driver": "scsi-cd" if disk.cdrom else "scsi-hd",
        "id": disk.slot,
        "bus": "scsihw0.0",
        "scsi-id": int(disk.slot.removeprefix("scsi")),
        "drive": node_name(disk.slot),
        "device_id": node_name(disk.slot),
    }


def node_name(slot: str) -> str:
    """QEMU's name of the image behind a slot, as Proxmox names it."""
    return f"drive-{slot}"


def _processor(spec: GuestSpec) -> list[str]:
    if spec.kvm:
        accelerator, suitable = "kvm", "host"
    else:
        accelerator, suitable = f"tcg,thread=multi,tb-size={_TRANSLATION_CACHE_MIB}", EMULATED_CPU
    return ["-accel", accelerator, "-cpu", spec.cpu or suitable, "-smp", str(spec.vcpus)]
