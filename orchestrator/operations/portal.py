"""A client as its portal has it: its contract today, its machines by the last look, what it may do. Changes nothing.

Everything is asked for with the client's name, and nothing with a name that a page was given: what is another client's
cannot be asked for here. Whatever there is, it is a constant number of queries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.life import ContractLife, Standing
from orchestrator.contract.offers import Offer
from orchestrator.contract.portal_rights import Act, Level, Position, Refusal, may, refusal
from orchestrator.contract.probation import probation_ends
from orchestrator.interface import looks
from orchestrator.operations.inventory import DEFAULT_FOLDER
from orchestrator.resources.desired import life_of
from orchestrator.subscriptions.glance import clients_named

if TYPE_CHECKING:
    from orchestrator.history.database import Database
    from orchestrator.interface.looked import LookedMachine
    from orchestrator.operations.recent_files import FilesRead
    from orchestrator.subscriptions.model import Machine, Subscription

State = Literal["running", "stopped", "suspended", "retired", "missing", "unknown"]

_STATES: Mapping[str, State] = {
    "running": "running",
    "stopped": "stopped",
    "suspended": "suspended",
    "retired": "retired",
    "unfinished": "missing",
    "missing": "missing",
}
"""Of a machine, by the state of the last look; what is not here could not be read."""


@dataclass(frozen=True, kw_only=True)
class PortalClient:
    """A client today.

    Attributes:
        subscription: its file; None if it has errors, or there is none.
        life: of its contract; None if the file says nothing.
        now: the time (aware).
        broken: its file has errors: what it may do is not known, so it reads and does nothing.
    """

    client: str
    subscription: Subscription | None
    life: ContractLife | None
    now: dt.datetime
    broken: bool

    @property
    def standing(self) -> Standing:
        """Of its contract: without a file there is none any more."""
        if self.life is not None:
            return self.life.standing(self.now)
        return Standing.SUSPENDED if self.broken else Standing.ENDED

    @property
    def level(self) -> Level | None:
        """Of its managed services; None without any."""
        managed = self.subscription.managed_services if self.subscription else None
        return managed.level if managed else None

    @property
    def days_left(self) -> int | None:
        """Working days of article 10 that are left; None if nobody ended the contract."""
        return self.life.days_left(self.now) if self.life and self.life.last_day else None

    @property
    def probation_ends(self) -> dt.date | None:
        """The first day with a service level (article 4.2); None if there was no probation."""
        found = self.subscription
        if found is None or found.managed_services is None or found.contract.taken_over is None:
            return None
        return probation_ends(found.contract.taken_over)

    @property
    def probation_last(self) -> dt.date | None:
        """The last day of the probation; None if there is none, or it is over."""
        ends = self.probation_ends
        return ends - dt.timedelta(days=1) if ends is not None and day_in_paris(self.now) < ends else None

    def position(self, offer: Offer) -> Position:
        """Where it stands with a machine of an offer."""
        return Position(offer=offer, standing=self.standing, level=self.level)

    def asks_for(self, act: Act) -> Refusal | None:
        """Why it may not ask for something of any of its machines; None if it may for one of them."""
        found = [refusal(act, self.position(offer)) for offer in self.offers or tuple(Offer)]
        return None if None in found else found[0]

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Of its file, each once."""
        machines = self.subscription.machines() if self.subscription else []
        return tuple(dict.fromkeys(offer for offer, _ in machines))


@dataclass(frozen=True, kw_only=True)
class PortalMachine:
    """A machine as its client sees it.

    Attributes:
        offer: None of one that left the file, and of which the last look does not know it.
        wanted: what the file says; None if it has left it.
        seen: by the last look; None if there was none since it is in the file.
    """

    name: str
    offer: Offer | None
    wanted: Machine | None
    seen: LookedMachine | None
    client: PortalClient

    @property
    def state(self) -> State:
        """Its state for people."""
        return _STATES.get(self.seen.state, "unknown") if self.seen else "unknown"

    @property
    def vcpus(self) -> int:
        """That it has, or that its file asks for."""
        return self.wanted.vcpus if self.wanted else self.seen.vcpus if self.seen else 0

    @property
    def memory(self) -> int:
        """Bytes of RAM."""
        mib = self.wanted.memory if self.wanted else self.seen.memory_mib if self.seen else 0
        return mib * 1024**2

    @property
    def storage(self) -> int:
        """Bytes of all disks."""
        if self.wanted:
            return sum(disk.size for disk in self.wanted.disks) * 1024**3
        return round(self.seen.disk_gib * 1024**3) if self.seen else 0

    def may(self, act: Act) -> bool:
        """Whether its client may do something with it."""
        return self.refusal(act) is None

    def refusal(self, act: Act) -> Refusal | None:
        """Why its client may not do something with it; None if it may."""
        if self.offer is None:
            return None if act is Act.READ and self.client.standing is not Standing.ENDED else Refusal.OFFER
        return refusal(act, self.client.position(self.offer))

    @property
    def shows_backups(self) -> bool:
        """Whether its page has a part about backups: with the offer, or with backups that are there."""
        return self.may(Act.BACKUPS)


def portal_client(files: FilesRead, client: str, now: dt.datetime, paths: tuple[Path, ...]) -> PortalClient:
    """A client today, by its file.

    Args:
        files: as they were read last.
        client: whose: of the account that asks.
        now: the time (aware).
        paths: the clients' files; none: the usual folder.
    """
    subscription = files.by_client.get(client)
    broken = (
        subscription is None and bool(files.errors) and client in clients_named(paths or (DEFAULT_FOLDER,))
    )
    return PortalClient(
        client=client,
        subscription=subscription,
        life=life_of(subscription) if subscription else None,
        now=now,
        broken=broken,
    )


def portal_machines(database: Database, client: PortalClient) -> tuple[PortalMachine, ...]:
    """A client's machines, by name: those of its file, and those whose data is still kept. One query.

    What could not be read and is not in its file is left out: that it is the client's is not sure.

    Raises:
        HistoryUnavailable: the last look could not be read.
    """
    found: dict[str, PortalMachine] = {}
    seen = {one.machine: one for one in reversed(looks.machines_of(database, client.client))}
    for offer, wanted in client.subscription.machines() if client.subscription else ():
        found[wanted.name] = PortalMachine(
            name=wanted.name, offer=offer, wanted=wanted, seen=seen.pop(wanted.name, None), client=client
        )
    for name, one in seen.items():
        if one.state in _STATES and one.state != "missing":
            found[name] = PortalMachine(
                name=name, offer=_offer(one.offer), wanted=None, seen=one, client=client
            )
    return tuple(found[name] for name in sorted(found))


def _offer(name: str) -> Offer | None:
    return next((offer for offer in Offer if offer.value == name), None)


def may_read(client: PortalClient) -> bool:
    """Whether a client's portal shows anything (article 10: nothing once the thirty working days are over)."""
    return any(may(Act.READ, client.position(offer)) for offer in Offer)


@dataclass(frozen=True, kw_only=True)
class LastLook:
    """How fresh what is shown is.

    Attributes:
        at: the oldest look at a site of the client; None: one was never looked at.
        late: whether the last try to look at one of them failed.
    """

    at: dt.datetime | None
    late: bool


def last_look(database: Database, machines: tuple[PortalMachine, ...], client: PortalClient) -> LastLook:
    """How fresh the machines of a client are: one query.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    own = {one.seen.site for one in machines if one.seen}
    if client.subscription is not None:
        own.add(client.subscription.contract.site)
    sites = [site for site in looks.site_looks(database) if site.site in own]
    times = [site.at for site in sites if site.at is not None]
    return LastLook(
        at=min(times) if times and len(times) == len(sites) else None,
        late=any(site.problem for site in sites),
    )
