"""Changing a VM's configuration: `PUT` and `POST …/config`.

As on a node every change is first pending. For a stopped machine all of it is applied at once; for a
running one only what no guest sees (name, notes, tags, protection, cloud-init's settings), disks, which
are plugged in and out, and the cables of network cards. The rest waits for a restart. Unlike a node, the
lab does not change a running guest's cards themselves.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from qemu.qmp import ExecuteError

from lab.api import formats
from lab.api.disks import DiskMaker, check_drives
from lab.api.drives import Drive, parse_drive, parse_net, print_net
from lab.api.errors import ApiError, NotImplementedHere, Refused, WrongParameters
from lab.api.machine import write_cloud_init_drive
from lab.api.options import (
    AT_ONCE,
    BOOT,
    LACKING,
    OPTIONS,
    check_option_privileges,
    parse_memory,
)
from lab.api.passwords import hash_password
from lab.api.routing import Call
from lab.api.tasks import Log
from lab.api.values import Parameters, parse_properties, split_list
from lab.api.vm_config import VmConfig
from lab.commands import CommandFailedError
from lab.qemu import Disk

_DRIVE = re.compile(r"scsi\d+")
_UNPLUG_SECONDS = 5.0


@dataclass
class Update:
    """A change that was asked for and found well-formed.

    Attributes:
        values: options to set, as they will stand in the configuration.
        delete: options to delete.
        revert: options whose pending change is to be dropped.
        force: erase the disks that are deleted, instead of keeping them as `unusedN`.
        digest: refuse if the configuration's is another one.
    """

    values: dict[str, str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    revert: list[str] = field(default_factory=list)
    force: bool = False
    digest: str | None = None

    @property
    def drives(self) -> dict[str, Drive]:
        """The drives among the values."""
        return {slot: parse_drive(text, slot) for slot, text in self.values.items() if _DRIVE.fullmatch(slot)}


def root_only(call: Call, *names: str) -> None:
    """Refuse parameters that only root may use.

    Raises:
        WrongParameters: one was given by somebody else.
    """
    for name in names:
        if call.flag(name) and not call.caller.is_root:
            raise WrongParameters({name: "Only root may use this option."})


def option_values(parameters: Parameters) -> dict[str, str]:
    """The options among a request's parameters, as they are kept: tags sorted, cards with an address.

    Raises:
        Refused: `sshkeys` holds something else than public keys.
    """
    values = {name: str(value) for name, value in parameters.items() if name in OPTIONS}
    if "sshkeys" in values:
        formats.check_ssh_keys(values["sshkeys"])
    if "balloon" in values and values["balloon"] != "0":
        raise NotImplementedHere("Option 'balloon' (but for 0)")
    for name in values:
        if re.fullmatch(r"net\d+", name):
            values[name] = print_net(parse_net(values[name], name))
        elif name == "tags":
            values[name] = formats.unique_tags(values[name])
        elif name == "cipassword":
            values[name] = hash_password(values[name])
    return values


def read_update(call: Call) -> Update:
    """The change that a request asks for.

    Raises:
        WrongParameters, Refused, Forbidden: as a node answers before it looks at the machine.
    """
    root_only(call, "skiplock")
    update = Update(
        values=option_values(call.parameters),
        delete=_option_list(call, "delete"),
        revert=_option_list(call, "revert"),
        force=call.flag("force"),
        digest=call.text("digest"),
    )
    if not (update.values or update.delete or update.revert):
        raise Refused("no options specified")
    check_option_privileges(call.caller, call.vmid, update.delete)
    check_option_privileges(call.caller, call.vmid, sorted(update.values))
    check_drives(call.cluster, call.caller, call.vmid, update.drives)
    if "args" in update.values:
        raise NotImplementedHere("Option 'args'")
    return update


def _option_list(call: Call, name: str) -> list[str]:
    options = split_list(call.text(name) or "")
    for option in options:
        if option in call.parameters:
            # The stray quotation mark is Proxmox's own.
            raise WrongParameters(
                {"delete": f"you can't use '-{option}' and -{name} {option}' at the same time"}
            )
        if option not in OPTIONS and option not in LACKING:
            raise WrongParameters({name: f"unknown option '{option}'"})
    return options


def check_update(call: Call, update: Update) -> VmConfig:
    """The machine's configuration, if the change may be made to it now.

    Raises:
        Refused: no such VM, another digest, or a lock.
    """
    config = call.cluster.configurations.load(call.vmid)
    if update.digest and update.digest != config.digest:
        raise Refused("checksum mismatch (file change by other user?)")
    if not call.flag("skiplock"):
        config.check_lock()
    return config


async def apply_update(call: Call, update: Update, log: Log) -> None:
    """Make the change; the caller holds the machine's lock.

    Raises:
        Refused, WrongParameters: what a node answers; what was changed before stays changed.
    """
    cluster, vmid = call.cluster, call.vmid
    config = check_update(call, update)
    maker = DiskMaker(cluster, vmid, log)
    try:
        await _register(call, update, config, maker)
    except (ApiError, CommandFailedError) as error:
        maker.take_back()
        raise error if isinstance(error, ApiError) else Refused(str(error)) from error
    _drop_what_changes_nothing(config)
    cluster.configurations.save(vmid, config)
    if not (config.pending or config.pending_delete):
        return
    if await cluster.is_running(vmid):
        await _apply_to_running(call, config)
    else:
        await apply_pending(call, config)


async def _register(call: Call, update: Update, config: VmConfig, maker: DiskMaker) -> None:
    """Write the change into the pending section."""
    for option in update.revert:
        config.pending.pop(option, None)
        config.pending_delete.pop(option, None)
    for option in update.delete:
        _register_delete(call, config, option, update.force)
    drives = update.drives
    for option in sorted(update.values):
        value = update.values[option]
        config.pending_delete.pop(option, None)
        if option in drives:
            config.pending[option] = str(await maker.make(option, drives[option], config))
        elif option == "boot":
            _check_boot_order(config, update, value)
            config.pending[option] = value
        elif option == "cipassword":
            config.values[option] = value
        else:
            config.pending[option] = value
        if option == "memory":
            config.pending[option] = str(parse_memory(value))


def _register_delete(call: Call, config: VmConfig, option: str, force: bool) -> None:
    pending = config.pending.pop(option, None)
    if pending is not None and _DRIVE.fullmatch(option):
        config.values[config.free_unused_key()] = parse_drive(pending, option).file
    if option not in config.values:
        return
    order = split_list(str(_boot(config.values.get("boot", "")).get("order", "")))
    if option in order:
        config.pending["boot"] = "order=" + ";".join(item for item in order if item != option)
    if option.startswith("unused"):
        drive = parse_drive(config.values[option], option)
        config.check_protection(f"can't remove unused disk '{drive.file}'")
        call.caller.check(f"/vms/{call.vmid}", "VM.Config.Disk")
        erase(call, drive, config, option)
        del config.values[option]
        return
    if _DRIVE.fullmatch(option):
        config.check_protection(f"can't remove drive '{option}'")
    config.pending_delete[option] = force


def erase(call: Call, drive: Drive, config: VmConfig, key: str) -> None:
    """Erase the volume of a drive that is no longer used, if it is the machine's own.

    Raises:
        Forbidden: no space may be allocated (and freed) on its storage.
        Refused: a snapshot still needs it.
    """
    volume = call.cluster.storages.volume(drive.file)
    if volume.owner != call.vmid:
        return
    call.caller.check(f"/storage/{volume.storage.name}", "Datastore.AllocateSpace")
    for values in [{k: v for k, v in config.values.items() if k != key}, *config.snapshots.values()]:
        if any(value.split(",")[0] == drive.file for value in values.values()):
            raise Refused(f"unable to delete '{drive.file}' - volume is still in use (snapshot?)")
    call.cluster.storages.free(volume)


def _check_boot_order(config: VmConfig, update: Update, value: str) -> None:
    for device in split_list(str(_boot(value).get("order", ""))):
        known = device in config.values or device in config.pending or device in update.values
        if not known or device in update.delete:
            raise Refused(f"invalid bootorder: device '{device}' does not exist'")


def _boot(value: str) -> dict[str, object]:
    return dict(parse_properties(value, BOOT, name="boot", default_key="legacy"))


def _drop_what_changes_nothing(config: VmConfig) -> None:
    for option in [key for key, value in config.pending.items() if config.values.get(key) == value]:
        del config.pending[option]
    for option in [key for key in config.pending_delete if key not in config.values]:
        del config.pending_delete[option]


async def apply_pending(call: Call, config: VmConfig) -> None:
    """Bring all pending changes of a stopped machine into force, and save the configuration.

    Raises:
        Refused: a disk that is to be erased is still needed.
    """
    new_drive = False
    for option, force in sorted(config.pending_delete.items()):
        _detach(call, config, option, force)
    for option, value in sorted(config.pending.items()):
        if _DRIVE.fullmatch(option):
            if option in config.values:
                _keep_as_unused(config, option, except_for=value)
            new_drive |= parse_drive(value, option).cloud_init
        config.values[option] = value
    config.pending.clear()
    config.pending_delete.clear()
    call.cluster.configurations.save(call.vmid, config)
    if new_drive:
        await write_cloud_init_drive(call.cluster, call.vmid, config)


def _detach(call: Call, config: VmConfig, option: str, force: bool) -> None:
    if _DRIVE.fullmatch(option):
        drive = parse_drive(config.values[option], option)
        if force and not drive.cdrom:
            erase(call, drive, config, option)
        else:
            _keep_as_unused(config, option)
    del config.values[option]


def _keep_as_unused(config: VmConfig, slot: str, except_for: str = "") -> None:
    """Keep a replaced or deleted disk as `unusedN`; a cloud-init drive is written anew anyway."""
    drive = parse_drive(config.values[slot], slot)
    if not drive.cdrom and drive.file != except_for.split(",")[0]:
        config.values[config.free_unused_key()] = drive.file


async def _apply_to_running(call: Call, config: VmConfig) -> None:
    """Bring into force what can be changed under a running guest; the rest stays pending."""
    problems: dict[str, str] = {}
    for option in sorted(AT_ONCE & config.pending_delete.keys()):
        _detach(call, config, option, force=False)
        del config.pending_delete[option]
    for option in sorted(AT_ONCE & config.pending.keys()):
        config.values[option] = config.pending.pop(option)
    for slot in sorted(key for key in config.pending_delete if _DRIVE.fullmatch(key)):
        try:
            async with asyncio.timeout(_UNPLUG_SECONDS):
                await call.cluster.guests.remove_disk(call.cluster.node, call.vmid, slot)
            _detach(call, config, slot, config.pending_delete[slot])
            del config.pending_delete[slot]
        except (ExecuteError, TimeoutError) as error:
            problems[slot] = f"hotplug problem - error unplugging device '{slot}': {error}\n"
    for slot in sorted(key for key in config.pending if _DRIVE.fullmatch(key) and key not in config.values):
        try:
            await _plug_in(call, config, slot)
        except (ExecuteError, Refused) as error:
            problems[slot] = f"hotplug problem - adding drive failed: {error}\n"
    for slot in sorted(key for key in config.pending if re.fullmatch(r"net\d+", key)):
        await _plug_cable(call, config, slot)
    call.cluster.configurations.save(call.vmid, config)
    if problems:
        raise WrongParameters(problems)


async def _plug_cable(call: Call, config: VmConfig, slot: str) -> None:
    """Bring a card's change into force if it is one of its cable only."""
    if slot not in config.values:
        return
    old, new = parse_net(config.values[slot], slot), parse_net(config.pending[slot], slot)
    if {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} <= {"link_down"}:
        up = not new.get("link_down")
        await call.cluster.guests.set_link(call.cluster.node, call.vmid, int(slot[3:]), up=up)
        config.values[slot] = config.pending.pop(slot)


async def _plug_in(call: Call, config: VmConfig, slot: str) -> None:
    drive = parse_drive(config.pending[slot], slot)
    config.values[slot] = config.pending.pop(slot)
    if drive.cloud_init:
        await write_cloud_init_drive(call.cluster, call.vmid, config)
    volume = call.cluster.storages.volume(drive.file)
    disk = Disk(slot, volume.path, volume.format, drive.cdrom)
    try:
        await call.cluster.guests.add_disk(call.cluster.node, call.vmid, disk)
    except ExecuteError:
        config.pending[slot] = config.values.pop(slot)
        raise
