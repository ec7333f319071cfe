"""A machine that does not exist any more, made again from its archive: what it becomes. Pure.

The archive's notes say whose it is, and anybody who may edit an archive may write them. The configuration inside it
says so too, and nobody can edit that: so both must agree, and both must speak of the archive's own VM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.life import ContractLife, Standing
from orchestrator.errors import RequestRefused
from orchestrator.guests.keys import fingerprints
from orchestrator.proxmox import parse_disk, parse_tags
from orchestrator.resources.attributes import BY_NAME, Params, Way
from orchestrator.resources.copies import COPY_TAG
from orchestrator.resources.machine import is_drive
from orchestrator.resources.marks import UnreadableMark
from orchestrator.resources.notes import Mark, parse_mark, read_mark, without_marks, write_mark
from orchestrator.resources.ssh_keys import keys_in
from orchestrator.resources.tags import OWNER_TAG, RETIRED_TAG, pool_of

if TYPE_CHECKING:
    import datetime as dt

    from orchestrator.proxmox import VmConfig
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.sites.model import SiteNetwork

_MAC = re.compile(r"^([a-z0-9-]+)=(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?=,|$)")


@dataclass(frozen=True, kw_only=True)
class Place:
    """How a machine is reached from now on, where that is not as it was backed up.

    Attributes:
        network: of the site where it comes back.
        address: in it.
        elsewhere: whether that is another site: then its network device and its identifier are new as well.
    """

    network: SiteNetwork
    address: IPv4Address
    elsewhere: bool


def mark_inside(archive: Archive, config: VmConfig) -> Mark:
    """The mark of a machine as its archive holds it.

    Args:
        archive: with the mark in its notes, which names client and machine.
        config: the configuration inside it.

    Raises:
        RequestRefused: it holds no mark, or that of another machine.
    """
    volid, claimed = archive.stored.volid, f"{archive.mark.client}/{archive.mark.machine}"
    try:
        mark = parse_mark(config.current.get("description", ""))
    except UnreadableMark as error:
        raise RequestRefused(
            f"the machine's mark inside {volid} cannot be read ({error}), so it is not proven to be {claimed}: choose "
            "another archive"
        ) from None
    if mark is None:
        raise RequestRefused(
            f"the configuration inside {volid} carries no mark of ours, so it is not proven to be {claimed}: choose "
            "another archive"
        )
    inside = f"{mark.client}/{mark.machine}"
    if inside != claimed or mark.vmid not in (None, archive.stored.vmid):
        raise RequestRefused(
            f"the notes of {volid} say {claimed}, the configuration inside it says {inside}, VM {mark.vmid}: it was "
            "not restored; choose another archive, and find out who changed its notes"
        )
    return mark


def called_today(mark: Mark, names: Sequence[tuple[str, str]]) -> Mark:
    """The mark of a machine that was renamed since its archive was made, under its name of today.

    Args:
        mark: the one inside the archive.
        names: clients and names that the machine has had, today's first.
    """
    for key in [*reversed(names[1:]), *names[:1]]:
        if key != mark.key:
            mark = mark.renamed(*key)
    return mark


def restored_mark(
    mark: Mark,
    config: VmConfig,
    vmid: int,
    life: ContractLife | None,
    now: dt.datetime,
    *,
    tested: dt.date | None = None,
    place: Place | None = None,
    replaces: tuple[str, ...] = (),
) -> Mark:
    """The mark that a machine gets whose disks are those of an archive.

    Nothing is known of the inside of its guest. A disk that the archive does not hold is not waited for.

    Args:
        mark: the mark inside the archive.
        config: the configuration inside it.
        vmid: its number from now on.
        life: of its contract, by its file; None: no file says.
        now: the time, aware.
        tested: the day one of its backups was last restored and found sound, as their
            notes say; None: they do not say, and the mark inside stands.
        place: how it is reached from now on; None: as before.
        replaces: sites that it was at, and that were lost.
    """
    lost = lost_disks(mark, config)
    keys = tuple(sorted({*fingerprints(keys_in(config.current.get("sshkeys"))), *(mark.keys or ())}))
    suspended = mark.suspended
    if life and life.standing(now) is Standing.SUSPENDED and mark.power_left == "running":
        suspended = day_in_paris(now)
    applied = mark.applied
    if applied is not None:
        disks = {name: size for name, size in applied.disks.items() if name not in lost}
        applied = replace(applied, disks=disks)
        if place is not None:
            network = (place.network.bridge, place.network.vlan)
            applied = replace(applied, network=network, address=place.address)
    return mark.with_(
        vmid=vmid,
        firewall=None,
        keys=keys,
        tested=tested or mark.tested,
        supervised=False,
        update=None,
        restart_due=None,
        restart=None,
        leaving=None,
        suspended=suspended,
        applied=applied,
        slots={name: slot for name, slot in mark.slots.items() if name not in lost},
        # Other network data are another instance to cloud-init, which then makes new host keys.
        host_keys=() if place else mark.host_keys,
        replaces=replaces or mark.replaces,
    )


def lost_disks(mark: Mark, config: VmConfig) -> tuple[str, ...]:
    """The disks that an archive does not hold, by their names in the file: left out of the backup (article 3.5)."""
    held = {key for key, value in config.current.items() if is_drive(key) and not parse_disk(value).left_out}
    return tuple(sorted(name for name, slot in mark.slots.items() if slot not in held))


def settings(mark: Mark, config: VmConfig, place: Place | None) -> Params:
    """What a restore is asked to set: the machine is whole, and ours, as soon as its task has ended.

    Args:
        mark: the one that it gets.
        config: the configuration inside the archive.
        place: how it is reached from now on; None: as before.

    Raises:
        BadValue: the mark does not fit into its notes.
    """
    inside = read_mark(config.current.get("description", ""))
    was = {pool_of(inside.client)} if inside else set()
    tags = {*parse_tags(config.current.get("tags", ""))} - was - {COPY_TAG} | {
        OWNER_TAG,
        pool_of(mark.client),
    }
    tags = tags | {RETIRED_TAG} if mark.retired else tags - {RETIRED_TAG}
    found: Params = {
        "pool": pool_of(mark.client),
        "tags": ";".join(sorted(tags)),
        "protection": 1,
        "description": write_mark(mark, without_marks(config.current.get("description", ""))),
    }
    if inside and inside.machine != mark.machine and not mark.adopted:
        found["name"] = mark.machine
    if place is None:
        return found
    network = place.network
    card = BY_NAME["network"].write(config, (network.bridge, network.vlan))
    gateway = str(network.gateway) if network.gateway else None
    found |= BY_NAME["address"].write(config, Way(f"{place.address}/{network.subnet.prefixlen}", gateway))
    if place.elsewhere:
        # The old machine may come back with its MAC address.
        found |= {key: _MAC.sub(r"\1", str(value)) for key, value in card.items()}
        if network.nameservers:
            found |= BY_NAME["name servers"].write(config, tuple(map(str, network.nameservers)))
    return found


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What the history says of the end of a client's contracts (article 10).

    Attributes:
        lives: contracts whose notice a night recorded.
        erased: references of contracts that were erased, and when.
    """

    lives: tuple[ContractLife, ...] = ()
    erased: tuple[tuple[str, dt.date], ...] = ()


def may_come_back(mark: Mark, life: ContractLife | None, ended: Ended, now: dt.datetime) -> None:
    """Refuse what article 10 erases: nothing comes back whose time is over, or whose erasing is in the history.

    Args:
        mark: of the machine, as its archive has it.
        life: of its client's contract, by its file; None: no file says.
        ended: what the history says.
        now: the time, aware.

    Raises:
        RequestRefused: it may not.
    """
    for reference, day in ended.erased:
        if reference == mark.contract:
            raise RequestRefused(
                f"the end of its contract {reference} was carried out on {day}, and its data were erased (art. 10): "
                "nothing of it is restored"
            )
    own = life is not None and life.reference == mark.contract
    lives: Iterable[ContractLife] = (life,) if own and life else ended.lives
    for known in lives:
        if known.reference == mark.contract and known.standing(now) is Standing.ENDED:
            raise RequestRefused(f"{known.why(now)}: its data are to be erased, so nothing of it is restored")
