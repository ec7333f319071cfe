"""Which machines may get updates now, and why the others may not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.applying.host_keys import EveryHolder, key_objection
from orchestrator.applying.machine_update import Updatable
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import Reason
from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.notes import UpdateNote
from orchestrator.resources.observed import ObservedMachine, ObservedSite

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


def candidates(
    desired: Iterable[DesiredMachine],
    sites: Mapping[str, ObservedSite],
    clusters: Mapping[str, Cluster],
    *,
    may_reboot: Callable[[DesiredMachine], bool],
    released: bool = False,
) -> tuple[list[Updatable], dict[tuple[str, str], str]]:
    """Sort machines into those that may be updated and those that may not.

    Args:
        desired: the machines that are asked for.
        sites: what was read of the clusters.
        clusters: their API.
        may_reboot: whether a machine may be restarted in this run.
        released: somebody has looked: what holds machines back counts no more.

    Returns:
        The machines, and the reason for each of the others.
    """
    found: list[Updatable] = []
    reasons: dict[tuple[str, str], str] = {}
    holders = EveryHolder(clusters, sites)
    for machine in desired:
        site = sites.get(machine.site)
        if site is None:
            reasons[machine.key] = f"the site {machine.site} could not be read"
            continue
        own = [
            item
            for item in site.machines
            if item.mark and (item.mark.client, item.mark.machine) == machine.key
        ]
        if reason := _objection(machine, own, released=released):
            reasons[machine.key] = reason
            continue
        observed = own[0]
        try:
            objection = key_objection(
                machine.client, observed.mark.host_keys if observed.mark else (), holders()
            )
        except ProxmoxError as error:
            objection = str(error)
        if objection:
            reasons[machine.key] = objection
            continue
        assert observed.mark is not None  # noqa: S101  (chosen by its mark)
        found.append(
            Updatable(
                desired=machine,
                observed=observed,
                mark=observed.mark,
                site=site,
                cluster=clusters[machine.site],
                reboot=may_reboot(machine),
            )
        )
    return found, reasons


def _objection(machine: DesiredMachine, own: list[ObservedMachine], *, released: bool) -> Reason | None:
    """Why a machine gets no updates; None if it may."""
    if machine.updates is None:
        return "installing updates is part of the managed services, which its client's file does not have (art. 3.8.3)"
    if len(own) > 1:
        where = ", ".join(f"VM {item.summary.vmid} on {item.summary.node}" for item in own)
        return f"{where} all carry its mark: remove it from the notes of the copies"
    mark = own[0].mark if own else None
    if mark is None or not mark.ready or mark.retired or not mark.host_keys or own[0].address is None:
        return "it is not in service yet: orchestrator apply brings it there"
    note = mark.update
    if note is not None and note.state == "going-back":
        return None  # whatever state it was left in
    if note is not None and note.state == "held" and not released:
        return held_in_words(machine, note)
    if mark.firewall is None:
        return "what its firewall lets in is not known since its disks went back: orchestrator apply loads it first"
    if not own[0].running:
        return "it is stopped: updates need a running machine"
    return None


def held_in_words(machine: DesiredMachine, note: UpdateNote) -> Reason:
    """Since when and why a machine is held back, and how that ends."""
    tried = f" (tried: {', '.join(note.packages)})" if note.packages else ""
    return (
        f"held back since {paris_time(note.since)}: {note.reason}{tried}; look at it, exclude "
        f"what is at fault (updates.exclude), then: orchestrator update {machine.client}/{machine.name} --release"
    )


def window_in_words(opens: dt.datetime, closes: dt.datetime) -> str:
    """A window for people: ``Tue 24 Nov 22:00 to 02:00``."""
    return f"{paris_time(opens, weekday=True)} to {paris_time(closes)}"
