"""One machine named on the command line: finding it at the sites, and what commands about it share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from orchestrator.applying.vm import Vm
    from orchestrator.history import History
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine, ObservedSite

Target = Annotated[str, typer.Argument(metavar="CLIENT/MACHINE", help="One machine.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option(help="Why: goes into the history (article 3.8.1).")]
Files = Annotated[
    list[Path] | None,
    typer.Option("--files", "-f", help="Subscription files or folders.  [default: ./subscriptions]"),
]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A machine of ours, where it was found."""

    machine: ObservedMachine
    mark: Mark
    cluster: Cluster
    site: ObservedSite


def find_machine(target: str, clusters: Mapping[str, Cluster]) -> Found:
    """Find a machine by the hypervisors' own records. Ends with an error if there is none, or more than one."""
    from orchestrator.resources.survey import Asked, observe_sites

    chosen = session.selection(target)
    if chosen.client is None or chosen.machine is None:
        session.fail(f"name one machine, CLIENT/MACHINE, not {target!r}")
    found: list[Found] = []
    seeming: list[str] = []
    read = observe_sites(clusters, Asked(selection=chosen, snapshots=True))
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
        session.fail(f"{target} is not touched; what seems to be it: {'; '.join(seeming)}{not_read}")
    if not found:
        session.fail(f"no machine of ours is {target}{not_read}")
    if len(found) > 1:
        where = ", ".join(f"VM {one.machine.summary.vmid} on {one.machine.summary.node}" for one in found)
        session.fail(f"{where} all carry the mark of {target}: remove it from the notes of the copies")
    return found[0]


def wanted(target: str, desired: tuple[DesiredMachine, ...]) -> DesiredMachine:
    """What the files ask for of a machine. Ends with an error if none names it."""
    client, _, machine = target.partition("/")
    found = next((item for item in desired if item.key == (client, machine)), None)
    if found is None:
        session.fail(f"no file has a machine {target}: its firewall afterwards would not be known (--files)")
    return found


def vm_of(found: Found, history: History, *, reason: str, run: session.Run) -> Vm:
    """The machine as steps address it, with a journal of its own run.

    Args:
        found: the machine.
        history: where steps are recorded.
        reason: that the history keeps.
        run: the run, which has the lock of the machine's client.
    """
    from orchestrator.applying.freezing import Frozen
    from orchestrator.applying.vm import Vm

    site = found.machine.site
    if found.site.state.frozen:
        session.fail(str(Frozen(site, found.site.state.frozen)))
    out = session.console()
    journal = session.journal(
        history,
        reason,
        lambda client, machine, text: out.print(f"{client}/{machine}  {text}"),
        {site: found.cluster},
        known=[site],
        run=run,
    )
    return Vm.of(found.cluster, journal, found.machine, found.mark, pause=journal.stopping.pause)


def confirm(question: str, *, yes: bool) -> None:
    """Ask; end if the answer is no, or if nobody can answer."""
    if yes:
        return
    if not session.interactive():
        session.fail("nobody can answer here: give --yes to do it without being asked")
    if not session.agreed(question):
        session.console().print("nothing was changed")
        raise typer.Exit(0)
