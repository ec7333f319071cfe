"""Going back to a snapshot, and giving the guest afterwards what it needs: its mark, its firewall, its clock."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.applying.guest_of_machine import guest_of
from orchestrator.applying.guests_stage import configure_guests
from orchestrator.applying.host_keys import key_holders
from orchestrator.applying.limits import Limits
from orchestrator.applying.machine_work import MachineWork, Surroundings, Waiting
from orchestrator.applying.marking import change_mark
from orchestrator.applying.placement import Placement
from orchestrator.applying.snapshots import roll_back
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.errors import OrchestratorError, Reason
from orchestrator.guests import learn_host_keys, set_clock
from orchestrator.guests.keys import fingerprints
from orchestrator.planning.plan import MachinePlan
from orchestrator.proxmox import Disk, ProxmoxError, VmSnapshot, newest_only, parse_disk
from orchestrator.resources.machine import is_drive, new_mark, size_words
from orchestrator.resources.observed import ObservedMachine, addresses_unknown
from orchestrator.resources.observing import observe
from orchestrator.resources.register import with_register
from orchestrator.resources.snapshot import owned
from orchestrator.resources.ssh_keys import keys_in
from orchestrator.resources.static_addresses import static_address

if TYPE_CHECKING:
    from orchestrator.guests import SshSettings
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedSite

_UNTOLD = frozenset({"description", "parent", "snaptime", "digest", "vmgenid", "meta", "runningmachine"})

_ADDRESS_KEY = re.compile(r"ipconfig[0-9]+")
_LISTED = 5
"""How many machines are named whose addresses are not known."""

_UNSET = "not set"
"""Not ``none``, which is a value of some settings."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a rollback loses.

    Attributes:
        disks: those that go back to what they held.
        settings: settings that go back too: name, now, then.
        newer: snapshots taken since; they stay, but lead away from the state that the machine will have.
    """

    disks: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]
    newer: tuple[str, ...]


def what_is_lost(vm: Vm, machine: ObservedMachine, snapshot: VmSnapshot) -> Loss:
    """Compare a machine with what it was at a snapshot: one call.

    Raises:
        ProxmoxError: it could not be read.
    """
    then = {
        key: str(value) for key, value in vm.cluster.get(f"{vm.path}/snapshot/{snapshot.name}/config").items()
    }
    now = {
        key: value for key in machine.config.current if (value := machine.config.effective(key)) is not None
    }
    changed = [
        (key, now.get(key, _UNSET), then.get(key, _UNSET))
        for key in sorted(then.keys() | now.keys())
        if key not in _UNTOLD and not key.startswith("unused") and then.get(key) != now.get(key)
    ]
    disks = tuple(
        words for key, value in sorted(then.items()) if is_drive(key) and (words := _disk_words(key, value))
    )
    newer = tuple(other.name for other in _newer(machine.snapshots, snapshot))
    return Loss(disks=disks, settings=tuple(changed), newer=newer)


def _newer(snapshots: Sequence[VmSnapshot], snapshot: VmSnapshot) -> list[VmSnapshot]:
    """The snapshots that were taken after one: later, or, within the same second, on top of it."""
    above = {snapshot.name}
    for _ in snapshots:
        above |= {other.name for other in snapshots if other.parent in above}
    return [
        other
        for other in snapshots
        if other.taken_at > snapshot.taken_at or (other.name in above and other.name != snapshot.name)
    ]


def address_of_another(vm: Vm, machine: ObservedMachine, loss: Loss) -> Reason | None:
    """Why a machine must not have the address again that it had at a snapshot; None if it may, or has it still.

    Reads the whole site, but only where the address changed.

    Raises:
        ProxmoxError: the site could not be read.
    """
    then = (static_address(value) for name, _, value in loss.settings if _ADDRESS_KEY.fullmatch(name))
    former = sorted({address for address in then if address} - set(machine.addresses))
    if not former:
        return None
    site = with_register(vm.cluster, observe(vm.cluster, vm.site))
    for address in former:
        if holder := site.register.get(address):
            return (
                f"{holder} is configured with {address}, which this machine had at the snapshot, so both would use it: "
                "give that one another address first, or restore a backup with --in-place, which keeps today's address"
            )
    if unknown := addresses_unknown(site):
        return (
            f"it would have {former[0]} again, and it is unknown whether that is free: addresses could not be read "
            f"({'; '.join(unknown[:_LISTED])}). See that they can be read, then run this again"
        )
    return None


def _disk(value: str) -> Disk | None:
    try:
        return parse_disk(value)
    except ValueError:
        return None


def _disk_words(key: str, value: str) -> str | None:
    """A disk in words; None for a drive with exchangeable media. One that cannot be understood is told all the same."""
    disk = _disk(value)
    if disk is None:
        return key
    return None if disk.is_cdrom else f"{key} ({size_words(disk.size_bytes)})"


def cannot_go_back(vm: Vm, machine: ObservedMachine, snapshot: VmSnapshot) -> Reason | None:
    """Why a machine cannot be brought back to a snapshot, and what to do; None if it can.

    ZFS, and volumes chained as snapshots, go back to the newest snapshot only: Proxmox says so when the rollback has
    begun. Costs a call, and only where there are newer ones.

    Raises:
        ProxmoxError: it could not be read.
    """
    newer = _newer(machine.snapshots, snapshot)
    if not newer:
        return None
    used = {
        disk.storage
        for key, value in machine.config.current.items()
        if is_drive(key) and (disk := _disk(value)) and not disk.is_cdrom and disk.storage
    }
    rigid = [
        str(entry["storage"])
        for entry in vm.cluster.get("/storage")
        if entry["storage"] in used and newest_only(entry)
    ]
    if not rigid:
        return None
    names = ", ".join(other.name for other in newer)
    foreign = ", ".join(other.name for other in newer if owned(other) is None)
    by_hand = f" ({foreign}, made by others, in Proxmox)" if foreign else ""
    return (
        f"{snapshot.name} is not its newest snapshot, and the storage {', '.join(sorted(rigid))} can only go back to "
        f"the newest: delete {names} first (`orchestrator snapshot delete {vm.client}/{vm.machine} NAME`){by_hand}, "
        "which loses them; or restore a backup with `orchestrator backup restore`"
    )


def go_back(vm: Vm, machine: ObservedMachine, snapshot: VmSnapshot) -> None:
    """Roll a machine back and keep its power state.

    Proxmox keeps the notes of now, and so the mark; but the firewall that it knows of is not in the guest any more.

    Raises:
        ProxmoxError: Proxmox refused.
        Stopped: its storage cannot go back to that snapshot, or its notes keep changing.
    """
    if why := cannot_go_back(vm, machine, snapshot):
        raise Stopped(why)
    running = machine.running

    def is_back() -> bool:
        config = vm.cluster.get(f"{vm.path}/config")
        status = vm.cluster.get(f"{vm.path}/status/current")
        # A second rollback does no harm; only one that surely happened is not repeated.
        return (
            "lock" not in config
            and config.get("parent") == snapshot.name
            and config.get("digest") != machine.config.digest
            and (status["status"] != "stopped") is running
        )

    roll_back(vm, snapshot.name, start=running, back=is_back)
    forget_guest(vm)


def forget_guest(vm: Vm, *, delivered: str | None = None) -> None:
    """Note that nothing is known of the inside of the guest: its disks are those of another day.

    Every key that the file may have put into it counts as put in: those that the file has no longer go from it again.

    Args:
        vm: the machine.
        delivered: Proxmox's setting ``sshkeys`` of the day of these disks, where it is not the machine's own.

    Raises:
        Stopped, ProxmoxError: the notes could not be changed.
    """
    own = vm.cluster.get(f"{vm.path}/config").get("sshkeys")
    there = fingerprints((*keys_in(own), *keys_in(delivered)))

    def forget(mark: Mark) -> Mark:
        keys = tuple(sorted({*there, *(mark.keys or ())}))
        return mark.with_(firewall=None, keys=keys, supervised=False, inside={})

    change_mark(vm, forget)


def remember_guest(vm: Vm, before: Mark) -> None:
    """Note again what was known of the guest's firewall: its own disks are back.

    Raises:
        Stopped, ProxmoxError: the notes could not be changed.
    """

    def remember(mark: Mark) -> Mark:
        return mark.with_(
            firewall=before.firewall, keys=before.keys, supervised=before.supervised, inside=before.inside
        )

    change_mark(vm, remember)


def refresh_guest(
    vm: Vm,
    desired: DesiredMachine,
    observed: ObservedMachine,
    site: ObservedSite,
    ssh: SshSettings,
    *,
    boot_seconds: float,
) -> str | None:
    """Wait for the guest, learn its host keys, load the firewall that its file asks for, and set its clock.

    Returns:
        None if all went well, else the reason.
    """
    address = observed.address
    if address is None:
        return "the machine has no address that could be reached"
    try:  # everybody's: the site may have been read for this client alone
        holders = key_holders([observe(vm.cluster, vm.site)])
    except ProxmoxError as error:
        return str(error)
    now = dt.datetime.now(dt.UTC)
    around = Surroundings(
        clusters={vm.site: vm.cluster},
        states={vm.site: site.state},
        limits=Limits(),
        placement=Placement(),
        journal=vm.journal,
        now=now,
        restart_now=False,
        clock=lambda: dt.datetime.now(dt.UTC),
        key_holders=lambda: holders,
    )
    plan = MachinePlan(
        client=vm.client,
        machine=vm.machine,
        site=vm.site,
        offer=str(desired.offer),
        contract=desired.contract,
        vmid=vm.vmid,
        node=vm.node,
        digest=observed.config.digest,
        address=address,
        changes=(),
        desired=desired,
        observed=observed,
    )
    waiting = Waiting(work=MachineWork(plan, around), desired=desired, observed=observed, inside=True)
    problem = configure_guests([waiting], ssh, boot_seconds=boot_seconds)[waiting.key]
    if problem is not None:
        return problem
    try:
        target = guest_of(
            desired,
            observed,
            observed.mark or new_mark(desired),
            address=str(address),
            host_keys=learn_host_keys(vm.cluster, vm.node, vm.vmid),
        )
        with vm.step("set clock") as step:
            behind = set_clock(target, ssh)
            step.message = f"it was {behind:.0f} s behind" if behind else "it was right"
    except OrchestratorError as error:
        return str(error)
    return None
