"""Clients that have machines and no file among those that were given: a file is missing, or its name is misspelt.

The cluster's lists tell, by pool and tags, so nothing more is read. Nothing is done for such a client: a missing file
is not the end of a contract (article 10). Without a word of it, a misspelt ``client:`` would make a second estate.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.resources.ownership import CLONING
from orchestrator.resources.scope import certain_owner
from orchestrator.resources.tags import OWNER_TAG, RETIRED_TAG

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState, VmSummary
    from orchestrator.resources.desired import DesiredMachine

_ALIKE = 0.75
"""How much of two names has to be the same (:mod:`difflib`): ``dupont`` and ``dupond`` share five of six letters."""

_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, kw_only=True)
class WithoutFile:
    """A client that has machines and no file among those that were given.

    Attributes:
        client: whose machines they are, by their pool and tags.
        sites: where they are.
        machines: how many; retired ones are not counted.
        meant: the client of a file that has no machine yet and is spelt almost the same; None if there is none.
    """

    client: str
    sites: tuple[str, ...]
    machines: int
    meant: str | None = None

    @property
    def found(self) -> str:
        """What was found, in words."""
        where = " and ".join(self.sites)
        return f"client {self.client} has {counted(self.machines, 'machine')} at {where} and no file among those given"

    @property
    def remedy(self) -> str:
        """What to do, in words."""
        if self.meant is None:
            return "nothing is changed there: add its file, or name the folder that has it"
        return (
            f"did you mean {self.client}? A file has the client {self.meant}, which has no machine yet: correct its "
            f"client:, write was: {self.client} below it to rename the client, or add the file of {self.client}"
        )


def without_file(
    states: Mapping[str, ClusterState],
    desired: Collection[DesiredMachine],
    *,
    everybody: bool,
    only: str | None = None,
    others: Collection[str] = (),
) -> tuple[WithoutFile, ...]:
    """Find the clients that have machines at some sites and no file.

    Args:
        states: the sites that were read.
        desired: all machines of all files.
        everybody: whether the files that were given are meant to be all there are. Else somebody named a client's file
            on purpose, and only a client is told whose name was probably misspelt there.
        only: the client that was asked for, if one was: only its name is looked at.
        others: further clients that have a file: it could not be used.
    """
    site_of = {machine.client: machine.site for machine in desired}
    renamed = {key: machine.client for machine in desired for key in machine.former_keys}
    there = {site: _counted(state.vms, renamed) for site, state in states.items()}
    known = {client for found in there.values() for client in found}
    fresh = [
        client
        for client, site in site_of.items()
        if client not in known and site in there and only in (None, client)
    ]
    found = []
    for client in sorted(known - site_of.keys() - set(others)):
        meant = next((name for name in fresh if alike(name, client)), None)
        if meant is None and (not everybody or only is not None):
            continue
        sites = tuple(site for site in there if there[site][client])
        count = sum(there[site][client] for site in sites)
        found.append(WithoutFile(client=client, sites=sites, machines=count, meant=meant))
    return tuple(found)


def alike(one: str, other: str) -> bool:
    """Whether two names are probably one that was misspelt; names that differ in their numbers alone are not."""
    if one == other or _DIGITS.sub("0", one) == _DIGITS.sub("0", other):
        return False
    return difflib.SequenceMatcher(None, one, other).ratio() >= _ALIKE


def _counted(vms: Iterable[VmSummary], renamed: Mapping[tuple[str, str], str]) -> Counter[str]:
    """How many machines each client has, by the cluster's list; those that a file renames have its client's name."""
    return Counter(
        renamed.get((owner, vm.name), owner)
        for vm in vms
        if OWNER_TAG in vm.tags and RETIRED_TAG not in vm.tags and not vm.template and vm.lock not in CLONING
        if (owner := certain_owner(vm)) is not None
    )
