"""A last look of as many machines as wanted, without a hypervisor: for tests that count queries, and for the bench."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import yaml

from orchestrator.contract.forecasts import Ending
from orchestrator.history.database import Database
from orchestrator.interface.look_writing import keep_clients, keep_site
from orchestrator.interface.looked import (
    LookedBackup,
    LookedBackups,
    LookedCard,
    LookedClient,
    LookedContract,
    LookedDisk,
    LookedFirewall,
    LookedHold,
    LookedMachine,
    LookedRule,
    LookedServices,
    LookedSite,
    LookedTerm,
)
from tests.api.desk import Desk, subscription
from tests.api.desk import machine as api_machine

if TYPE_CHECKING:
    from tests.api.fakepve_handle import FakePve

PER_CLIENT = 5
SITES = ("paris", "lyon")
_GIB = 1024**3


def client_of(number: int) -> str:
    """The client of a machine: ``dupont`` has the first ones, as the tests' client account."""
    return "dupont" if number < PER_CLIENT else f"c{number // PER_CLIENT}"


def _backups(at: dt.datetime, number: int, kept: int) -> LookedBackups:
    if number % 7 == 6:
        return LookedBackups(days=None)
    newest = at - dt.timedelta(hours=6 if number % 50 else 80)
    return LookedBackups(
        days=31,
        last_good=newest,
        last_test=None if number % 3 else at.date() - dt.timedelta(days=9),
        kept=tuple(
            LookedBackup(
                volume=f"backup-lyon:backup/vzdump-qemu-{10_000 + number}-{night}.vma.zst",
                storage="backup-lyon",
                taken_at=newest - dt.timedelta(days=night),
                size=5 * _GIB + number,
                days=31,
                ends=newest + dt.timedelta(days=31 - night),
                good=True,
            )
            for night in range(kept)
        ),
    )


def machine(number: int, at: dt.datetime, *, kept: int = 31) -> LookedMachine:
    """One machine; some of them need somebody."""
    state = ("running", "running", "running", "stopped", "suspended")[number % 5]
    address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
    unread = number % 400 == 399
    return LookedMachine(
        client=client_of(number),
        machine=f"m{number}",
        site=SITES[number % 2],
        data_centre="Paris",
        node=f"pve{number % 20 + 1}",
        vmid=10_000 + number,
        contract=f"C-{client_of(number)}",
        offer=("cloud-vm-advanced", "cloud-vm-essential", "cloud-datacenter")[number % 3],
        state="unreadable" if unread else state,
        problem="VM 1 on pve1: its mark cannot be read" if unread else "",
        running=state == "running",
        in_file=True,
        vcpus=number % 8 + 1,
        memory_mib=1024 * (number % 16 + 1),
        disk_gib=20.0 + number % 200,
        vcpus_now=number % 8 + 1,
        memory_mib_now=1024,
        image="debian-12",
        address=address,
        addresses=(address,),
        cards=(
            LookedCard(
                name="net0", model="virtio", mac="BC:24:11:00:00:01", bridge="vmbr0", vlan=None,
                address=f"{address}/8", gateway="10.0.0.1",
            ),
        ),
        disks=(
            LookedDisk(name="system", slot="scsi0", storage="local", size=20 * _GIB, asked_gib=20, in_backup=True),
        ),
        firewall=LookedFirewall(
            loaded=(LookedRule(kind="open", what="tcp 443", others=("any",)),),
            asked=(LookedRule(kind="open", what="tcp 443", others=("any",)),),
            limited=False,
        ),
        backups=_backups(at, number, kept),
        waiting_for=("memory",) if number % 60 == 59 else (),
        updates_due=number % 10 or None,
        hold=LookedHold(kind="updates", reason="nginx is down", since=at) if number % 90 == 89 else None,
        services=LookedServices(level="supervision", updates="automatic", fee=Decimal("40.00")),
    )  # fmt: skip


def client(number: int) -> LookedClient:
    """The client of a machine."""
    name = client_of(number)
    contract = LookedContract(
        reference=f"C-{name}",
        standing="active",
        starts=dt.date(2026, 3, 1),
        level="supervision",
        updates="automatic",
        free_changes=4,
        free_used=number % 4,
        quotes=(LookedTerm(reference=f"D-{number}", until=dt.date(2099, 12, 31)),),
    )
    return LookedClient(
        client=name, file="yes", contracts=(f"C-{name}",), offers=("cloud-vm-advanced",), sites=("paris",),
        contract=contract,
    )  # fmt: skip


def keep(database: Database, machines: int, at: dt.datetime, *, kept: int = 31) -> None:
    """Write a look of so many machines, half of them at each of two sites.

    Args:
        database: of the Interface.
        machines: how many.
        at: when it was made.
        kept: backups of each.
    """
    made = [machine(number, at, kept=kept) for number in range(machines)]
    for site in SITES:
        keep_site(
            database, LookedSite(site=site, version="9.1"), (one for one in made if one.site == site), at
        )
    clients = [client(number) for number in range(0, machines, PER_CLIENT)]
    keep_clients(database, clients, _endings(clients, at), SITES)


def write_files(folder: Path, machines: int) -> None:
    """Write a site file, whose clusters nobody can reach, and the file of each client.

    Args:
        folder: for ``sites.yaml`` and ``subscriptions/``.
        machines: how many the files ask for.
    """
    unreachable = {
        site: SimpleNamespace(
            url=f"https://127.0.0.1:{port}",
            token_id="a@pve!t",
            token_secret="none",
            ca_file=folder / "ca.pem",
        )
        for port, site in enumerate(SITES, 1)
    }
    files = Desk(folder, cast("dict[str, FakePve]", unreachable))
    for name, site in files.sites.items():
        site["networks"][0].update(subnet="10.0.0.0/8", gateway="10.255.255.254", range="10.0.0.1-10.200.0.0")
        site["backup_storages"] = [{"name": "backup", "site": "lyon" if name == "paris" else "paris"}]
    files.write_sites()
    for first in range(0, machines, PER_CLIENT):
        own = [
            api_machine(f"m{number}", fee="40.00", backup={"retention_days": 31})
            for number in range(first, first + PER_CLIENT)
        ]
        managed = {"level": "supervision", "standard_changes_per_month": 4}
        one = subscription(client_of(first), own, managed_services=managed)
        (folder / "subscriptions" / f"{client_of(first)}.yaml").write_text(
            yaml.safe_dump(one, sort_keys=False)
        )


def _endings(clients: list[LookedClient], at: dt.datetime) -> Iterator[Ending]:
    for number, one in enumerate(clients):
        if number % 20 == 0:
            last_day = at.date() + dt.timedelta(days=number % 40)
            yield Ending(kind="quote", name=f"D-{number}", client=one.client, last_day=last_day)
