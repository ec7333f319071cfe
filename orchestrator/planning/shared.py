"""What a plan says of the things that clients have at sites for all their machines: pools, and what else there is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.contract.life import Standing
from orchestrator.planning.classes import classified
from orchestrator.resources.change import ALL, Address, Change, Effect
from orchestrator.resources.kinds import CLIENT_KINDS

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredClient, DesiredMachine
    from orchestrator.resources.kind import ClientKind, Step
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.scope import Selection


@dataclass(frozen=True, kw_only=True)
class SharedChange:
    """A change of what a client has at a site for all its machines.

    Attributes:
        owner: the client's file.
        change: its ``part`` is the thing's name.
        last: whether it is made after the machines.
        by_itself: whether it is planned for its own sake, not for a machine.
    """

    owner: DesiredClient
    change: Change
    last: bool = False
    by_itself: bool = True

    @property
    def client(self) -> str:
        """Whose it is."""
        return self.owner.client

    @property
    def site(self) -> str:
        """Where it is."""
        return self.owner.site

    @property
    def address(self) -> Address:
        """What it is made to; ``CLIENT/KIND/*`` where all things of a kind are."""
        return Address(client=self.client, kind=self.change.thing, name=self.change.part or ALL)

    @property
    def own_effect(self) -> bool:
        """Whether ``apply`` does something for it whatever the machines need."""
        return self.by_itself and self.change.effective


def shared_changes(
    owners: Iterable[DesiredClient],
    changing: Collection[DesiredMachine],
    observed: Mapping[str, ObservedSite],
    selection: Selection,
    now: dt.datetime,
) -> Iterator[SharedChange]:
    """Every change of what clients have at sites that were read.

    Args:
        owners: the clients of all files, at their sites.
        changing: the machines that the plan does something to.
        observed: the sites.
        selection: what is planned for.
        now: the time, aware.
    """
    for owner in sorted(owners, key=lambda owner: (owner.site, owner.client)):
        site = observed.get(owner.site)
        if site is None or selection.client not in (None, owner.client):
            continue
        machines = [
            machine for machine in changing if (machine.client, machine.site) == (owner.client, owner.site)
        ]
        for kind in CLIENT_KINDS:
            steps = list(_steps(kind, owner, site, machines, selection, now))
            for step in sorted(steps, key=lambda step: step.change.part or ""):
                (change,) = classified([step.change]) if kind.by_itself else (step.change,)
                yield SharedChange(owner=owner, change=change, last=step.last, by_itself=kind.by_itself)


def _steps(
    kind: ClientKind[Any],
    owner: DesiredClient,
    site: ObservedSite,
    machines: Collection[DesiredMachine],
    selection: Selection,
    now: dt.datetime,
) -> Iterator[Step]:
    used = {name for machine in machines for name in kind.uses(machine)}
    alone = kind.by_itself and _in_service(owner, now) and selection.machine is None
    if not (alone and selection.thing in (None, kind.name)) and not used:
        return
    if reason := site.unread.get(kind.name):
        yield kind.unable(reason)
        return
    found = site.kinds.get(kind.name, kind.listed(site.state))
    if found is None:
        return
    for step in kind.steps(owner, found):
        if step.change.part in used or (alone and selection.covers(step.change)):
            yield step


def _in_service(owner: DesiredClient, now: dt.datetime) -> bool:
    """Whether things are made and removed for a client (articles 9 and 10): else they stay as they are."""
    standing = owner.life.standing(now)
    return standing not in (Standing.SUSPENDED, Standing.ENDED) and not owner.life.not_begun(now)


def unable(changes: Iterable[SharedChange]) -> bool:
    """Whether one of them is refused."""
    return any(item.change.effect in (Effect.UNABLE, Effect.REFUSED) for item in changes)
