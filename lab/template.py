"""The template that machines are cloned from: VM 9000, `debian-12`, with a cloud-init drive and the guest image."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

from lab.api.cluster import BRIDGE, Cluster
from lab.api.disks import DiskMaker
from lab.api.drives import Drive, random_mac
from lab.api.sizes import format_size
from lab.api.vm_config import VmConfig
from lab.qemu import EMULATED_CPU

TEMPLATE_ID = 9000
TEMPLATE_NAME = "debian-12"


async def ensure_template(cluster: Cluster, image: Path) -> None:
    """Make the template on a node, where its number is free."""
    if cluster.configurations.exists(TEMPLATE_ID):
        return
    volume = cluster.storages.volume(f"local:{TEMPLATE_ID}/base-{TEMPLATE_ID}-disk-0.qcow2")
    volume.path.parent.mkdir(parents=True, exist_ok=True)
    volume.path.unlink(missing_ok=True)
    try:
        # Nobody writes to a base image: a second name for the same file takes neither time nor space.
        os.link(image, volume.path)
    except OSError:
        shutil.copyfile(image, volume.path)
    drive = await DiskMaker(cluster, TEMPLATE_ID, lambda line: None).make(
        "scsi1", Drive("local:cloudinit", {}), VmConfig()
    )
    processor = {} if await cluster.kvm_works() else {"kvm": "0", "cpu": EMULATED_CPU}
    values = {
        "agent": "enabled=1",
        "boot": "order=scsi0",
        "cores": "1",
        "memory": "512",
        "meta": f"creation-qemu=7.2.0,ctime={int(time.time())}",
        "name": TEMPLATE_NAME,
        "net0": f"virtio={random_mac()},bridge={BRIDGE}",
        "ostype": "l26",
        "scsi0": f"{volume.volid},size={format_size(volume.virtual_size())}",
        "scsi1": str(drive),
        "scsihw": "virtio-scsi-pci",
        "serial0": "socket",
        "smbios1": f"uuid={uuid.uuid4()}",
        "tags": "image",
        "template": "1",
        "vga": "serial0",
        "vmgenid": str(uuid.uuid4()),
    }
    cluster.configurations.save(TEMPLATE_ID, VmConfig(values | processor))
