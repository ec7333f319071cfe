"""The lock of a run at one site: announced, looked at, renewed, given back (:mod:`orchestrator.applying.lock`)."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.lock_note import LOCK_POOL, LockNote, read_note
from orchestrator.applying.stopped import Stopped
from orchestrator.errors import OrchestratorError
from orchestrator.proxmox import AlreadyExists, NotFound, ProxmoxError, Uncertain, frozen_by, read_pools

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

RENEW_SECONDS = 60.0
"""How often a run gives a sign of life: one write per site."""

TRUST_SECONDS = 240.0
"""How old a run's last sign of life may be when it begins a step."""

STALE_SECONDS = 300.0
"""How long a lock's comment must stay the same, while it is watched, until its run counts as dead."""

_TRIES = 3
_RETRY_SECONDS = 10.0
_CONTEND_SECONDS = 5.0
_CONTEND_POLL = 0.1


class Held(OrchestratorError):
    """Somebody else's run holds a lock. The text says who and since when."""


class LocksUnavailable(OrchestratorError):
    """The locks cannot work: two sites of the inventory are one cluster. The text says what to do."""


class LocksLost(Stopped):
    """This run's lock is gone, or never was: another run may have it. Nothing more is changed."""


def steady_seconds() -> float:
    """A clock that only goes forward, also while the computer sleeps: others may have the lock when it wakes."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The clocks of a run.

    Attributes:
        steady: seconds that only go forward.
        now: the time, aware; only ever shown, and taken as a hint.
        pause: waits that many seconds.
    """

    steady: Callable[[], float] = steady_seconds
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class OtherLock:
    """Another run's lock as it was listed."""

    pool: str
    comment: str
    note: LockNote | None = field(compare=False)

    def wants(self, claim: str) -> bool:
        """Whether it keeps others from this; one that cannot be read keeps them from everything."""
        return self.note is None or claim in self.note.claims

    @property
    def holder(self) -> str:
        """Who runs it, for people."""
        return self.note.holder if self.note else f"an unknown run (pool {self.pool} in Proxmox)"


class SiteLock:
    """A run's lock at one site. Thread-safe."""

    def __init__(
        self, cluster: Cluster, pool: str, note: LockNote, timing: Timing, tell: Callable[[str], None]
    ) -> None:
        self.cluster = cluster
        self.note = note
        self._tell = tell
        self._stuck: set[str] = set()
        self._pool = pool
        self._timing = timing
        self._guard = threading.RLock()
        self._made = False
        self._lost = ""
        self._renewed = timing.steady()
        self._seen: dict[str, tuple[str, float]] = {}

    # What others hold

    def others(self) -> tuple[str, list[OtherLock]]:
        """List the pools once. Return who froze the site, and the locks of other runs, dead ones left out.

        Raises:
            LocksLost: our own is not there any more.
            ProxmoxError: they could not be listed.
        """
        made, began = self._made, self._timing.steady()
        pools = read_pools(self.cluster)
        with self._guard:
            if made and not self._lost and self._pool not in pools:
                self._lose("it is not there any more, somebody has removed it or taken it over")
            locks = {
                name: comment
                for name, comment in pools.items()
                if LOCK_POOL.fullmatch(name) and name != self._pool
            }
            moment = self._timing.steady()
            for name, comment in locks.items():
                if name not in self._seen or self._seen[name][0] != comment:
                    self._seen[name] = (comment, moment)
            self._seen = {name: self._seen[name] for name in locks}
            found = [OtherLock(name, comment, read_note(comment)) for name, comment in sorted(locks.items())]
            dead = [other for other in found if self._dead(other, began)]
        for other in dead:
            self._remove(other)
        return frozen_by(pools), [other for other in found if other not in dead]

    def _remove(self, other: OtherLock) -> None:
        """Remove a dead run's lock. Where that cannot be done somebody has to: every run watches it again."""
        if other.pool in self._stuck:
            return
        try:
            self.cluster.delete(f"/pools/{other.pool}")
        except (NotFound, Uncertain):
            pass  # another run was faster; or the next list says whether it is gone
        except ProxmoxError as error:
            self._stuck.add(other.pool)
            self._tell(
                f"the lock of a dead run at {self.note.site}, the pool {other.pool}, could not be removed: {error}. "
                f"Remove that pool in Proxmox: until then every run waits {STALE_SECONDS:.0f} s for it"
            )

    def _dead(self, other: OtherLock, looked: float) -> bool:
        if other.note is not None and other.note.process.dead:
            return True
        return looked - self._seen[other.pool][1] >= STALE_SECONDS

    def surely_lives(self, other: OtherLock) -> bool:
        """Whether a sign of life seems to be recent. If it does not, it is worth watching."""
        if other.note is None:
            return False
        age = (self._timing.now() - other.note.at).total_seconds()
        return abs(age) < STALE_SECONDS

    def busy(self, wanted: Collection[str]) -> dict[str, OtherLock]:
        """Who has which of these and seems to live.

        Raises:
            ProxmoxError: nobody knows.
        """
        taken = taken_of(wanted, self.others()[1])
        return {claim: other for claim, other in taken.items() if self.surely_lives(other)}

    # What we hold

    def claim(self, wanted: Collection[str], *, whole: bool) -> dict[str, OtherLock]:
        """Claim things that are not ours yet.

        Args:
            wanted: what.
            whole: claim nothing where somebody has a part of it.

        Returns:
            Who has those that others have; they are not claimed.

        Raises:
            Frozen: somebody stopped every change at the site.
            LocksLost, LocksUnavailable, ProxmoxError: nothing more is claimed.
        """
        with self._guard:
            wanted = frozenset(wanted) - self.note.claims
            frozen, others = self.others()
            if frozen:
                raise Frozen(self.note.site, frozen)
            taken = taken_of(wanted, others)
            free = wanted - taken.keys()
            if not free or (whole and taken):
                return taken
            self._announce(self.note.claims | free)
            if rivals := self._contend(free):
                withdrawn = free if whole else rivals.keys()
                self._announce(self.note.claims - withdrawn)
            return taken | rivals

    def give_back(self, claims: Iterable[str]) -> None:
        """Claim these no longer."""
        with self._guard:
            if self._made and not self._lost:
                self._announce(self.note.claims - frozenset(claims))

    def _contend(self, fresh: frozenset[str]) -> dict[str, OtherLock]:
        """Look whether others claim the same as we have just done. Of two at once the higher name withdraws."""
        until = self._timing.steady() + _CONTEND_SECONDS
        while True:
            rivals = taken_of(fresh, self.others()[1])
            mightier = any(other.pool < self._pool for other in rivals.values())
            if not rivals or mightier or self._timing.steady() >= until:
                return rivals
            self._timing.pause(_CONTEND_POLL)

    def _announce(self, claims: frozenset[str]) -> None:
        """Write what we claim: our pool with its comment, made where it is not there yet."""
        note = self.note.renewed(at=self._timing.now(), claims=claims)
        if self._made:
            self.note = note
            self.renew()
            return
        began = self._timing.steady()
        for attempt in range(1, _TRIES + 1):
            try:
                self.cluster.post("/pools", poolid=self._pool, comment=note.write())
                break
            except AlreadyExists:
                self._refuse_two_names()
                break
            except Uncertain:  # made or not: asked for again, it is there afterwards
                if attempt == _TRIES:
                    raise
        self.note, self._made, self._renewed = note, True, began

    def _refuse_two_names(self) -> None:
        """The pool of this run is there already: an answer was lost, or another site of ours is the same cluster."""
        there = read_note(read_pools(self.cluster).get(self._pool, ""))
        if there is not None and there.site != self.note.site:
            raise LocksUnavailable(
                f"the sites {there.site} and {self.note.site} of the inventory are one cluster: name each cluster once "
                "in the site file"
            )

    def renew(self) -> None:
        """Give a sign of life.

        Raises:
            LocksLost: the lock is gone, or was not renewed for so long that another run may count it as dead.
            ProxmoxError: nobody knows.
        """
        with self._guard:
            began = self._timing.steady()
            self.note = self.note.renewed(at=self._timing.now(), claims=self.note.claims)
            try:
                self.cluster.put(f"/pools/{self._pool}", comment=self.note.write())
            except NotFound:
                self._lose("it is not there any more, somebody has removed it or taken it over")
            # A look that came late may have been too late: whoever watched saw no change for long enough.
            if self._timing.steady() - self._renewed >= STALE_SECONDS:
                self._lose(f"it could not be renewed for {STALE_SECONDS:.0f} s, and another run may have it")
            self._renewed = began

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        raise self._loss(self._lost)

    def _loss(self, why: str) -> LocksLost:
        return LocksLost(
            f"this run's lock at {self.note.site} is lost: {why}: nothing more is changed there; run the same "
            "command again"
        )

    def check(self) -> None:
        """Make sure that the lock is ours: one call if the last sign of life was long ago, else none.

        Raises:
            LocksLost, ProxmoxError: it may not be.
        """
        with self._guard:
            if self._lost or not self._made:
                raise self._loss(self._lost or "none was taken")
            if self._timing.steady() - self._renewed >= TRUST_SECONDS:
                self.renew()

    def release(self) -> None:
        """Remove our pool. Where that fails it counts as dead after a while.

        Raises:
            ProxmoxError: it stays.
        """
        with self._guard:
            if not self._made or self._lost:
                return
            self._lost = "it was given back"
            for attempt in range(1, _TRIES + 1):
                try:
                    self.cluster.delete(f"/pools/{self._pool}")
                    return
                except NotFound:
                    return
                except Uncertain:
                    if attempt == _TRIES:
                        raise

    def keep_alive(self, ended: threading.Event) -> None:
        """Renew the lock until the run has ended."""
        wait = RENEW_SECONDS
        while not ended.wait(wait):
            try:
                with self._guard:
                    if self._lost:
                        return  # the next step is told
                    if self._made:
                        self.renew()
                wait = RENEW_SECONDS
            except LocksLost:
                return
            except ProxmoxError:
                wait = _RETRY_SECONDS


def taken_of(wanted: Iterable[str], others: Collection[OtherLock]) -> dict[str, OtherLock]:
    """Who claims which of these."""
    return {claim: other for claim in sorted(wanted) for other in others if other.wants(claim)}
