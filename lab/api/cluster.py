"""One site's cluster of a single node: everything its API reads and changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lab.api.access import Credentials
from lab.api.consoles import Consoles
from lab.api.locks import VmLocks
from lab.api.pools import Pools
from lab.api.reports import Reports
from lab.api.storage import Storage, Storages
from lab.api.tasks import Tasks
from lab.api.vm_config import Configurations
from lab.guest_ends import GuestEnds
from lab.qemu import Guests
from lab.settings import LabSettings, SiteSettings

BRIDGE = "vmbr0"
"""The one bridge of each node."""

_WORKERS = 3
_LOCAL = ("images", "import", "backup", "iso", "snippets")


class Cluster:
    """A site's cluster.

    Attributes:
        settings, site, index: the lab, this site, and its number in the lab.
        node: name of its node.
        credentials: who may log in; the same at both sites.
        configurations, tasks, locks, storages, pools: what the node keeps.
        reports: what the cluster's list knows of its VMs.
        consoles: those that were asked for.
        guests: the running machines of the lab.
        guest_ends: how those ended that run no more.
        kvm_works: asks whether hardware virtualization works here; slow the first time.
        workers: a node answers three writing requests at a time, the others wait in line.
        backup_lock: a node makes one backup at a time, the others wait in line.
        scratch: where a backup keeps the disks as they were at its moment.
    """

    def __init__(
        self,
        settings: LabSettings,
        site: SiteSettings,
        guests: Guests,
        credentials: Credentials,
        kvm_works: Callable[[], Awaitable[bool]],
        guest_ends: GuestEnds,
    ) -> None:
        folder = settings.node_dir(site)
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.site = site
        self.index = settings.sites.index(site)
        self.node = site.node
        self.credentials = credentials
        self.guests = guests
        self.kvm_works = kvm_works
        self.configurations = Configurations(folder / "qemu-server", site.node)
        self.tasks = Tasks(folder / "tasks", site.node)
        self.locks = VmLocks()
        self.pools = Pools(folder / "pools.json", self.configurations.exists)
        self.reports = Reports()
        self.consoles = Consoles()
        self.guest_ends = guest_ends
        self.storages = storages_of(settings, site)
        self.workers = asyncio.Semaphore(_WORKERS)
        self.backup_lock = asyncio.Lock()
        self.scratch = folder / "backup"

    async def is_running(self, vmid: int) -> bool:
        """Whether a VM's guest runs."""
        return await self.guests.is_running(self.node, vmid)


def storages_of(settings: LabSettings, site: SiteSettings) -> Storages:
    """`local` here, and a backup storage that stands at the other site."""
    other = settings.other(site)
    local = Storage("local", settings.site_dir(site) / "local", _LOCAL, shared=False)
    folder = settings.site_dir(other) / f"backup-of-{site.name}"
    return Storages([local, Storage(f"backup-{other.name}", folder, ("backup",), shared=True)])
