"""One machine that somebody named: finding it at the sites, and what operations on it share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.vm import Vm
from orchestrator.errors import RequestRefused
from orchestrator.operations.inputs import selection
from orchestrator.operations.names_seen import remember_sites
from orchestrator.operations.run import Run
from orchestrator.proxmox import Cluster, read_state
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.survey import Asked, observe_sites


@dataclass(frozen=True, kw_only=True)
class MachineRequest:
    """An operation on one machine.

    Attributes:
        target: ``CLIENT/MACHINE``.
        inventory: where the site file is.
        reason: why; the history keeps it (article 3.8.1).
        history: a file or URL; None: the usual one.
    """

    target: str
    inventory: str | None
    reason: str
    history: str | None = None

    @property
    def client(self) -> str:
        """Whose machine it is: the client whose lock is taken."""
        return self.target.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A machine of ours, where it was found."""

    machine: ObservedMachine
    mark: Mark
    cluster: Cluster
    site: ObservedSite


def find_machine(target: str, clusters: Mapping[str, Cluster], *, snapshots: bool = True) -> Found:
    """Find a machine by the hypervisors' own records.

    Args:
        target: ``CLIENT/MACHINE``.
        clusters: the API of each site.
        snapshots: whether its snapshots are listed: a call more.

    Raises:
        RequestRefused: there is none, or more than one, or it cannot be read.
    """
    chosen = selection(target)
    if chosen.client is None or chosen.machine is None:
        raise RequestRefused(f"name one machine, CLIENT/MACHINE, not {target!r}")
    found: list[Found] = []
    seeming: list[str] = []
    read = observe_sites(clusters, Asked(selection=chosen, snapshots=snapshots))
    remember_sites(read.observed.values(), snapshots_of=target if snapshots else None)
    unread = [f"{site}: {why}" for site, why in read.failures.items()]
    for site, observed in read.observed.items():
        found += [
            Found(machine=machine, mark=machine.mark, cluster=clusters[site], site=observed)
            for machine in observed.machines
            if machine.mark and chosen.includes(machine.mark.client, machine.mark.machine)
        ]
        seeming += [
            f"{item.subject}: {item.reason}"
            for item in observed.unreadable
            if item.client == chosen.client and item.machine in (None, chosen.machine) and not item.copy
        ]
    not_read = f"; not read: {'; '.join(unread)}" if unread else ""
    if not found and seeming:
        raise RequestRefused(f"{target} is not touched; what seems to be it: {'; '.join(seeming)}{not_read}")
    if not found:
        raise RequestRefused(f"no machine of ours is {target}{not_read}")
    if len(found) > 1:
        where = ", ".join(f"VM {one.machine.summary.vmid} on {one.machine.summary.node}" for one in found)
        raise RequestRefused(
            f"{where} all carry the mark of {target}: remove it from the notes of the copies"
        )
    return found[0]


def wanted(target: str, desired: Iterable[DesiredMachine]) -> DesiredMachine:
    """What the files ask for of a machine.

    Raises:
        RequestRefused: none names it.
    """
    client, _, machine = target.partition("/")
    found = next((item for item in desired if item.key == (client, machine)), None)
    if found is None:
        raise RequestRefused(
            f"no file has a machine {target}: its firewall afterwards would not be known (--files)"
        )
    return found


def vm_of(found: Found, run: Run, reason: str) -> Vm:
    """The machine as steps address it.

    Args:
        found: the machine.
        run: the run, which has the lock of the machine's client.
        reason: that the history keeps.

    Raises:
        Frozen: somebody stopped every change at its site.
    """
    site = found.machine.site
    if found.site.state.frozen:
        raise Frozen(site, found.site.state.frozen)
    journal = run.journal(reason, known=[site])
    return Vm.of(found.cluster, journal, found.machine, found.mark, pause=run.stopping.pause)


def as_it_is_now(found: Found) -> Found:
    """The machine with the state that its node tells at this moment: one call.

    The cluster's list may be ten seconds old, which is long for somebody who just stopped it.

    Raises:
        ProxmoxError: it is gone, or its node could not be asked.
    """
    summary = read_state(found.cluster, found.machine.summary)
    return replace(found, machine=replace(found.machine, summary=summary))
