"""From a VM's configuration to what really runs: the guest to start, and its cloud-init drive."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote

from lab.api.cluster import BRIDGE, Cluster
from lab.api.drives import parse_net
from lab.api.errors import NotImplementedHere, Refused
from lab.api.options import CICUSTOM, CPU, IPCONFIG, SMBIOS, VGA, agent_enabled
from lab.api.values import parse_properties, split_list
from lab.api.vm_config import VmConfig
from lab.cloudinit import CloudInitNic, CloudInitSettings, build_drive
from lab.network import bridge_name, tap_name
from lab.qemu import Disk, GuestSpec, Nic

_NO_KVM = (
    "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."
)
_CARD_OPTIONS = frozenset({"model", "macaddr", "bridge", "firewall", "link_down"})
"""What the lab can give a card. `firewall=1` has no effect while a node's own firewall is off, as it is here."""


async def guest_spec(cluster: Cluster, vmid: int, config: VmConfig) -> GuestSpec:
    """The guest that a configuration describes.

    Raises:
        Refused: it needs something that is not there: a volume, a bridge, KVM.
        NotImplementedHere: it needs something that the lab cannot give.
    """
    kvm = config.values.get("kvm", "1") == "1"
    if kvm and not await cluster.kvm_works():
        raise Refused(_NO_KVM)
    if config.values.get("bios", "seabios") != "seabios" or "q35" in config.values.get("machine", ""):
        raise NotImplementedHere("A machine with 'bios' ovmf or 'machine' q35")
    uuid = parse_properties(config.values.get("smbios1", ""), SMBIOS, name="smbios1").get("uuid")
    return GuestSpec(
        node=cluster.node,
        vmid=vmid,
        name=config.values.get("name", f"vm{vmid}"),
        vcpus=config.vcpus,
        memory_mib=config.memory_mib,
        uuid=str(uuid or f"00000000-0000-0000-0000-{vmid:012d}"),
        disks=_disks(cluster, config),
        nics=_nics(cluster, vmid, config),
        cpu=_cpu(config),
        kvm=kvm,
        agent=agent_enabled(config.values.get("agent")),
        screen=display_of(config) == "std",
    )


def display_of(config: VmConfig) -> str:
    """What a machine's console is: `std`, a graphics card; `serial0`, the serial port; `none`."""
    return str(
        parse_properties(config.values.get("vga", ""), VGA, name="vga", default_key="type").get("type", "std")
    )


def cloud_init_settings(cluster: Cluster, vmid: int, config: VmConfig) -> CloudInitSettings:
    """What the cloud-init drive of a configuration says.

    Raises:
        Refused: `cicustom` names a snippet that does not exist.
        NotImplementedHere: it names one that does.
    """
    values = config.values
    for volid in parse_properties(values.get("cicustom", ""), CICUSTOM, name="cicustom").values():
        if not cluster.storages.volume(str(volid)).path.exists():
            raise Refused(f"volume '{volid}' does not exist")
        raise NotImplementedHere("Option 'cicustom'")
    keys = unquote(values.get("sshkeys", "")).splitlines()
    return CloudInitSettings(
        name=values.get("name", f"VM{vmid}"),
        user=values.get("ciuser"),
        password=values.get("cipassword"),
        ssh_keys=tuple(key.strip() for key in keys if key.strip()),
        upgrade=values.get("ciupgrade", "1") == "1",
        nics=tuple(_cloud_init_nics(config)),
        nameservers=tuple(split_list(values.get("nameserver", ""))),
        search_domains=tuple(split_list(values.get("searchdomain", ""))),
    )


async def write_cloud_init_drive(cluster: Cluster, vmid: int, config: VmConfig) -> None:
    """Write the machine's cloud-init drive anew, where it has one; from then on it says what `config` says."""
    drive = next((drive for drive in config.drives().values() if drive.cloud_init), None)
    if drive is None:
        return
    path = cluster.storages.volume(drive.file).path
    settings = cloud_init_settings(cluster, vmid, config)
    await asyncio.to_thread(build_drive, path, settings)


def _disks(cluster: Cluster, config: VmConfig) -> tuple[Disk, ...]:
    disks: list[Disk] = []
    boot = config.boot_disk()
    for slot, drive in config.drives().items():
        if drive.file in ("none", "cdrom"):
            raise NotImplementedHere(f"An empty drive ({slot})")
        volume = cluster.storages.volume(drive.file)
        if not volume.path.exists():
            raise Refused(f"volume '{drive.file}' does not exist")
        disk = Disk(slot, volume.path, "raw" if volume.format == "iso" else volume.format, drive.cdrom)
        disks.insert(0 if drive == boot else len(disks), disk)
    return tuple(disks)


def _nics(cluster: Cluster, vmid: int, config: VmConfig) -> tuple[Nic, ...]:
    nics = []
    for slot in sorted((key for key in config.values if re.fullmatch(r"net\d+", key)), key=_number):
        card = parse_net(config.values[slot], slot)
        if beyond := sorted(key for key, value in card.items() if key not in _CARD_OPTIONS and value != 0):
            raise NotImplementedHere(f"Option '{beyond[0]}' of {slot}")
        if card.get("bridge") != BRIDGE:
            raise Refused(f"bridge '{card.get('bridge', '')}' does not exist")
        number = _number(slot)
        tap, bridge = tap_name(cluster.index, vmid, number), bridge_name(cluster.index)
        nics.append(Nic(tap, str(card["macaddr"]), bridge, number, bool(card.get("link_down"))))
    return tuple(nics)


def _cloud_init_nics(config: VmConfig) -> list[CloudInitNic]:
    nics = []
    for slot in sorted((key for key in config.values if re.fullmatch(r"ipconfig\d+", key)), key=_number):
        card = config.values.get(f"net{_number(slot)}")
        if card is None:
            continue
        addresses = parse_properties(config.values[slot], IPCONFIG, name=slot)
        ip, gateway, ip6, gateway6 = (
            str(addresses[key]) if key in addresses else None for key in ("ip", "gw", "ip6", "gw6")
        )
        mac = str(parse_net(card, f"net{_number(slot)}")["macaddr"])
        nics.append(CloudInitNic(_number(slot), mac, ip, gateway, ip6, gateway6))
    return nics


def _cpu(config: VmConfig) -> str | None:
    if "cpu" not in config.values:
        return None
    return str(parse_properties(config.values["cpu"], CPU, name="cpu", default_key="cputype")["cputype"])


def _number(key: str) -> int:
    return int(re.sub(r"\D", "", key))
