"""The options of a VM: their kinds, the privilege to change each, and when a change takes effect.

What Proxmox knows and the lab cannot bring about in a guest is listed as lacking and answered with 501.
"""

from __future__ import annotations

import re

from lab.api import formats
from lab.api.access import Caller
from lab.api.drives import DISK_SLOTS, check_drive, check_net
from lab.api.errors import Refused
from lab.api.values import Property, lacking, parse_properties, words

_BOOLEAN = Property("boolean")

MEMORY = {"current": Property("integer", optional=False, minimum=16)}
AGENT = {
    "enabled": Property("boolean", optional=False),
    "fstrim_cloned_disks": _BOOLEAN,
    "freeze-fs-on-backup": _BOOLEAN,
    "type": Property(choices=("virtio", "isa")),
}
IPCONFIG = {
    "ip": Property(check=formats.ipv4_network),
    "gw": Property(check=formats.ipv4),
    "ip6": Property(check=formats.ipv6_network),
    "gw6": Property(check=formats.ipv6),
}
BOOT = {"order": Property(), "legacy": Property(pattern=r"[acdn]{1,4}")}
CICUSTOM = {part: Property(pattern=r"[^:]+:.+") for part in ("meta", "network", "user", "vendor")}
CPU = {"cputype": Property(optional=False), **lacking("flags", "hidden", "hv-vendor-id", "phys-bits")}
VGA = {"type": Property(choices=("none", "serial0", "serial1", "serial2", "serial3", "std"))} | lacking(
    "memory", "clipboard"
)
SMBIOS = {"uuid": Property(pattern=r"[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}")} | lacking(
    "version", "serial", "manufacturer", "product", "sku", "family", "base64"
)

EMULATED_MODELS = words(
    "486 Broadwell Cascadelake-Server Conroe EPYC EPYC-Milan EPYC-Rome Haswell "
    "Icelake-Server IvyBridge KnightsMill Nehalem Opteron_G1 Opteron_G2 Opteron_G3 "
    "Opteron_G4 Opteron_G5 Penryn SandyBridge Skylake-Client Skylake-Server Westmere athlon "
    "core2duo coreduo host kvm32 kvm64 max pentium pentium2 pentium3 phenom qemu32 qemu64"
)


def _property_string(
    name: str, schema: dict[str, Property], default_key: str | None = None, max_length: int | None = None
) -> Property:
    def check(text: str) -> None:
        parse_properties(text, schema, name=name, default_key=default_key)

    return Property(check=check, max_length=max_length)


def _check_cpu(text: str) -> None:
    model = parse_properties(text, CPU, name="cpu", default_key="cputype")["cputype"]
    if model not in EMULATED_MODELS:
        raise ValueError(f"Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)\n")


OPTIONS: dict[str, Property] = {
    "agent": _property_string("agent", AGENT, "enabled"),
    "args": Property(),
    "balloon": Property("integer", minimum=0),
    "bios": Property(choices=("seabios", "ovmf")),
    "boot": _property_string("boot", BOOT, "legacy"),
    "cicustom": _property_string("cicustom", CICUSTOM),
    "cipassword": Property(),
    "citype": Property(choices=("configdrive2", "nocloud", "opennebula")),
    "ciupgrade": _BOOLEAN,
    "ciuser": Property(),
    "cores": Property("integer", minimum=1),
    "cpu": Property(check=_check_cpu),
    "description": Property(max_length=8192),
    "kvm": _BOOLEAN,
    "lock": Property(
        choices=words("backup clone create migrate rollback snapshot snapshot-delete suspending suspended")
    ),
    "machine": Property(pattern=r"pc|pc-i440fx-[0-9.]+|q35|pc-q35-[0-9.]+"),
    "memory": _property_string("memory", MEMORY, "current"),
    "name": Property(check=formats.dns_name),
    "nameserver": Property(check=formats.address_list),
    "onboot": _BOOLEAN,
    "ostype": Property(choices=words("other wxp w2k w2k3 w2k8 wvista win7 win8 win10 win11 l24 l26 solaris")),
    "protection": _BOOLEAN,
    "scsihw": Property(choices=words("lsi lsi53c810 virtio-scsi-pci virtio-scsi-single megasas pvscsi")),
    "searchdomain": Property(),
    "serial0": Property(pattern=r"(/dev/.+|socket)"),
    "smbios1": _property_string("smbios1", SMBIOS, max_length=512),
    "sockets": Property("integer", minimum=1),
    "sshkeys": Property(check=formats.url_encoded),
    "tags": Property(check=formats.tag_list),
    "vga": _property_string("vga", VGA, "type"),
    "vmgenid": Property(pattern=r"(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])"),
    **{f"ipconfig{index}": _property_string(f"ipconfig{index}", IPCONFIG) for index in range(32)},
    **{f"net{index}": Property(check=check_net(f"net{index}")) for index in range(32)},
    **{slot: Property(check=check_drive(slot)) for slot in DISK_SLOTS},
    **{f"unused{index}": Property(check=check_drive(f"unused{index}")) for index in range(256)},
}
"""Options that the lab has."""

STORED_ONLY: dict[str, Property] = {
    "meta": Property(),
    "parent": Property(),
    "snaptime": Property("integer"),
    "snapstate": Property(),
    "template": _BOOLEAN,
    "vmstate": Property(),
    "running": Property("integer"),
}
"""Keys of a configuration file that no request sets."""

LACKING = lacking(
    *words("acpi affinity amd-sev arch audio0 autostart bootdisk cdrom cpulimit cpuunits efidisk0 freeze"),
    *words("hookscript hotplug hugepages import-working-storage ivshmem keephugepages keyboard localtime"),
    *words("migrate_downtime migrate_speed numa rng0 shares spice_enhancements startdate startup tablet tdf"),
    *words("template tpmstate0 vcpus vmstatestorage watchdog serial1 serial2 serial3 reboot"),
    *(f"{bus}{index}" for bus, count in (("ide", 4), ("sata", 6), ("virtio", 16)) for index in range(count)),
    *(f"{bus}{index}" for bus in ("usb", "hostpci", "parallel", "numa") for index in range(5)),
)

_PRIVILEGES = {
    **dict.fromkeys(("cores", "cpu", "sockets"), "VM.Config.CPU"),
    **dict.fromkeys(("memory", "balloon"), "VM.Config.Memory"),
    **dict.fromkeys(("kvm", "machine", "scsihw", "smbios1", "vga"), "VM.Config.HWType"),
    **dict.fromkeys(("agent", "bios", "description", "name", "onboot", "ostype"), "VM.Config.Options"),
    **dict.fromkeys(("protection", "vmgenid"), "VM.Config.Options"),
    "boot": "VM.Config.Disk",
}
CLOUD_INIT = frozenset(
    words("cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys")
) | {f"ipconfig{index}" for index in range(32)}

AT_ONCE = frozenset({"description", "lock", "name", "onboot", "protection", "tags"}) | CLOUD_INIT
"""Options whose change touches no running guest; every other change of a running one is pending."""

_VALUE_DEPENDENT = re.compile(r"(scsi|unused|serial)\d+|tags")


def parse_memory(text: str) -> int:
    """MiB of the option `memory`."""
    return int(str(parse_properties(text, MEMORY, name="memory", default_key="current")["current"]))


def agent_enabled(text: str | None) -> bool:
    """Whether the option `agent` gives the guest an agent's port."""
    return bool(text and parse_properties(text, AGENT, name="agent", default_key="enabled")["enabled"])


def freezes_on_backup(text: str | None) -> bool:
    """Whether the agent holds the guest's file systems still while a backup begins; it does by default."""
    agent = parse_properties(text or "0", AGENT, name="agent", default_key="enabled")
    return bool(agent.get("freeze-fs-on-backup", 1))


def check_option_privileges(caller: Caller, vmid: int, names: list[str]) -> None:
    """Demand the privilege for each option that a request sets or deletes.

    Raises:
        Forbidden: it is missing.
        Refused: only root itself may change it.
    """
    if caller.is_root:
        return
    path = f"/vms/{vmid}"
    for name in names:
        if _VALUE_DEPENDENT.fullmatch(name):
            continue
        if name in CLOUD_INIT:
            caller.check(path, "VM.Config.Cloudinit", "VM.Config.Network", any_of=True)
        elif name.startswith("net"):
            caller.check(path, "VM.Config.Network")
        elif name in _PRIVILEGES:
            caller.check(path, _PRIVILEGES[name])
        else:
            raise Refused(f"only root can set '{name}' config")
