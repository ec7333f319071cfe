"""Machines that are, or claim to be, ours and that nothing is done to: each is named, with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.doctor.findings import Finding, Place
from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.unreadable import Unreadable
from orchestrator.resources.without_file import without_file

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine

_SUBJECT = "machines"

_NAMED = 5
"""How many machines are named that have one reason in common."""


def judge_machines(place: Place, observed: ObservedSite) -> Iterator[Finding]:
    """Whether every machine that is or claims to be ours can be read and is what it claims to be.

    Args:
        place: the site.
        observed: what every plan and night starts from.
    """
    by_reason: dict[str, list[Unreadable]] = defaultdict(list)
    for item in observed.unreadable:
        if item.kind == "machine" and item.claims:
            by_reason[item.reason].append(item)
    for reason, items in by_reason.items():
        named = ", ".join(item.subject for item in items[:_NAMED])
        more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
        found = f"not touched: {named}{more}"
        make = place.error if any(item.holds_up for item in items) else place.warning
        yield make(_SUBJECT, found, reason)
    ours = sum(machine.mark is not None for machine in observed.machines)
    if not by_reason:
        yield place.ok(_SUBJECT, f"{counted(ours, 'machine')} of ours, nothing skipped")


def judge_files(
    place: Place,
    observed: ObservedSite,
    desired: Collection[DesiredMachine],
    others: Collection[str],
    *,
    everybody: bool,
) -> Iterator[Finding]:
    """Whether every client with machines has a file.

    Args:
        place: the site.
        observed: what every plan and night starts from.
        desired: all machines of all files; none if no files were read: then nothing is said.
        others: further clients that have a file: it could not be used.
        everybody: whether the files are meant to be all there are.
    """
    if not desired:
        return
    states = {observed.site: observed.state}
    for missing in without_file(states, desired, everybody=everybody, others=others):
        yield place.warning(f"client {missing.client}", missing.found, missing.remedy)
