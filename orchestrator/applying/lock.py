"""Locks of runs: two runs never change one client's machines at once, and runs on other clients do not wait.

A run's lock is a pool in the cluster itself, as the freeze is, so it holds whichever URL, inventory or computer a run
comes from. One pool per run and site; its comment names what the run keeps others from: clients, addresses that it
gives, the night. What makes this safe with nothing but "create a pool", "list the pools" and "delete a pool":

- **Announce, then look.** A run writes its claims first and lists the pools afterwards. Proxmox puts all writes of
  pools in one order, so of two runs that want the same at once at least one sees the other, and whoever sees another's
  claim does not have it. Of two that see each other the lower name waits for the higher one to withdraw.
- **A pool's name is never used twice**, so removing a dead run's lock cannot hit the lock of a living one.
- **A dead run's lock goes.** Its process is known to be gone (same computer), or its comment has not changed for
  :data:`STALE_SECONDS` while the observer watched, by the observer's own steady clock: no two clocks are compared.
- **A living run renews its lock** every :data:`RENEW_SECONDS`, writes nothing when it could not for
  :data:`TRUST_SECONDS`, and counts its lock as lost before anybody may take it over. That is looked at before every
  write, in the middle of a step too: the computer may have slept there.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self

from orchestrator.applying.freezing import EVERYWHERE, Frozen
from orchestrator.applying.lock_note import LOCK_POOL, LockNote, Process, read_note
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
_WATCH_SECONDS = 5.0
_CONTEND_SECONDS = 5.0
_CONTEND_POLL = 0.1
_NIGHT = "night"
_FREE = re.compile(rf"POST /pools|[A-Z]+ /pools/{LOCK_POOL.pattern}|POST .*/agent/ping")
"""Calls that need no lock: those that take, renew and give back locks, and a question that is sent as POST."""


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


def _nothing(_text: str) -> None:
    """Nobody listens."""


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
class _Other:
    """Another run's lock as it was listed."""

    pool: str
    comment: str
    note: LockNote | None = field(compare=False)

    def wants(self, claim: str) -> bool:
        """Whether it keeps others from this; one that cannot be read keeps them from everything."""
        return self.note is None or claim in self.note.claims

    @property
    def holder(self) -> str:
        return self.note.holder if self.note else f"an unknown run (pool {self.pool} in Proxmox)"


class _SiteLock:
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

    def others(self) -> tuple[str, list[_Other]]:
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
            found = [_Other(name, comment, read_note(comment)) for name, comment in sorted(locks.items())]
            dead = [other for other in found if self._dead(other, began)]
        for other in dead:
            self._remove(other)
        return frozen_by(pools), [other for other in found if other not in dead]

    def _remove(self, other: _Other) -> None:
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

    def _dead(self, other: _Other, looked: float) -> bool:
        if other.note is not None and other.note.process.dead:
            return True
        return looked - self._seen[other.pool][1] >= STALE_SECONDS

    def surely_lives(self, other: _Other) -> bool:
        """Whether a sign of life seems to be recent. If it does not, it is worth watching."""
        if other.note is None:
            return False
        age = (self._timing.now() - other.note.at).total_seconds()
        return abs(age) < STALE_SECONDS

    def busy(self, wanted: Collection[str]) -> dict[str, _Other]:
        """Who has which of these and seems to live.

        Raises:
            ProxmoxError: nobody knows.
        """
        taken = _taken(wanted, self.others()[1])
        return {claim: other for claim, other in taken.items() if self.surely_lives(other)}

    # What we hold

    def claim(self, wanted: Collection[str], *, whole: bool) -> dict[str, _Other]:
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
            taken = _taken(wanted, others)
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

    def _contend(self, fresh: frozenset[str]) -> dict[str, _Other]:
        """Look whether others claim the same as we have just done. Of two at once the higher name withdraws."""
        until = self._timing.steady() + _CONTEND_SECONDS
        while True:
            rivals = _taken(fresh, self.others()[1])
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


def _no_lock(site: str, error: Exception) -> LocksLost:
    return LocksLost(f"no lock could be taken at {site}: {error}: nothing is changed there")


def _refuse(taken: Mapping[str, _Other]) -> None:
    """Refuse to go on if somebody has a client that is wanted.

    Raises:
        Held: somebody has.
    """
    for claim, other in taken.items():
        name = claim.removeprefix("client/")
        raise Held(f"{other.holder} is changing {name}: wait until that run has ended")


def _taken(wanted: Iterable[str], others: Collection[_Other]) -> dict[str, _Other]:
    """Who claims which of these."""
    return {claim: other for claim in sorted(wanted) for other in others if other.wants(claim)}


class RunLocks:
    """The locks of one run, at every site that it may change. Use as a context manager.

    Args:
        clusters: by site.
        holder: who runs this, where and since when, for whoever comes second.
        timing: clocks, for tests.
        tell: called with a text while a lock is watched that may be a dead run's, and if one of ours stays behind.
    """

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        holder: str,
        *,
        timing: Timing | None = None,
        tell: Callable[[str], None] = _nothing,
    ) -> None:
        self._timing = timing or Timing()
        self._holder = holder
        self._tell = tell
        pool = f"orchestrator-lock-{secrets.token_hex(8)}"
        process = Process.this()
        moment = self._timing.now()
        self._sites = {
            site: _SiteLock(
                cluster,
                pool,
                LockNote(holder=holder, process=process, site=site, beat=0, at=moment, claims=frozenset()),
                self._timing,
                tell,
            )
            for site, cluster in clusters.items()
        }
        self._without: dict[str, Stopped] = {}
        self._changing: set[str] = set()
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._keepers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back."""
        self._ended.set()
        for site, lock in self._sites.items():
            try:
                lock.release()
            except ProxmoxError as error:
                self._tell(
                    f"this run's lock at {site} could not be removed: {error}. It counts as dead after "
                    f"{STALE_SECONDS:.0f} s"
                )

    # Taking

    def refuse_busy(self, names: Iterable[str]) -> None:
        """Look whether another run is changing clients now; take nothing. One call per site that can be reached.

        Raises:
            Held: another run has one of them, and seems to live.
        """
        wanted = {f"client/{name}" for name in names}

        def busy(site: str) -> dict[str, _Other]:
            try:
                return self._sites[site].busy(wanted)
            except (ProxmoxError, Stopped):
                return {}  # told when the site is read, or locked

        if not self._sites:
            return
        with ThreadPoolExecutor(len(self._sites), thread_name_prefix="lock") as pool:
            for found in pool.map(busy, self._sites):
                _refuse(found)

    def clients(self, names: Iterable[str]) -> None:
        """Take the locks of clients at every site. A site that cannot be reached gets none, and is not changed.

        Raises:
            Held: another run has one of them. What was taken goes with the end of this run.
            Frozen: somebody stopped every change at one of the sites.
            LocksUnavailable: two sites are one cluster.
        """
        _refuse(self._claim({f"client/{name}" for name in names}))
        for frozen in self._without.values():
            if isinstance(frozen, Frozen):
                raise frozen

    def night(self) -> None:
        """Take the night of every site: there is one night at a time. A frozen site gets none, and is not changed.

        Raises:
            Held: another run has it.
            LocksUnavailable: two sites are one cluster.
        """
        for other in self._claim({_NIGHT}).values():
            raise Held(f"{other.holder} is running: wait until it has ended")

    @contextmanager
    def changing(self, names: Collection[str]) -> Iterator[Mapping[str, str]]:
        """Hold the locks of clients as far as they are free. Gives who holds the others, by client.

        Where they cannot be had at a site, this run changes nothing more there, and goes on elsewhere.
        """
        with self._guard:
            others = {name: self._holder for name in names if name in self._changing}
            wanted = {f"client/{name}": name for name in names if name not in others}
            got: dict[str, frozenset[str]] = {}
            for site, lock in self._usable():
                try:
                    taken = lock.claim(wanted, whole=False)
                except (ProxmoxError, Stopped) as error:
                    self._without[site] = _no_lock(site, error)
                    continue
                others |= {wanted[claim]: other.holder for claim, other in taken.items()}
                got[site] = frozenset(wanted) - taken.keys()
            mine = {name for name in wanted.values() if name not in others}
            self._changing |= mine
        try:
            yield others
        finally:
            with self._guard:
                self._changing -= mine
                for site, claims in got.items():
                    with suppress(ProxmoxError, LocksLost):  # whoever comes next is told by its own check
                        self._sites[site].give_back(claims)

    def addresses(self, site: str, addresses: Collection[IPv4Address]) -> dict[IPv4Address, str]:
        """Take addresses that machines of a site are to be given. Return whose runs give the others.

        Raises:
            LocksLost, ProxmoxError: they could not be taken.
        """
        if site in self._without:
            raise self._without[site]
        wanted = {f"address/{address}": address for address in addresses}
        taken = self._sites[site].claim(wanted, whole=False)
        return {wanted[claim]: other.holder for claim, other in taken.items()}

    def _usable(self) -> list[tuple[str, _SiteLock]]:
        return [(site, lock) for site, lock in self._sites.items() if site not in self._without]

    def _claim(self, wanted: Collection[str]) -> dict[str, _Other]:
        """Claim something at every site, or find out who has it. Locks that may be dead are watched first."""
        todo = [site for site, _ in self._usable()]
        if not todo or not wanted:
            return {}
        with ThreadPoolExecutor(len(todo), thread_name_prefix="lock") as pool:
            found = dict(zip(todo, pool.map(lambda site: self._claim_at(site, wanted), todo), strict=True))
        for site in todo:
            if found[site]:
                found[site] = self._watch(site, wanted, found[site])
            if found[site]:
                return found[site]
        self._keep_alive()
        return {}

    def _claim_at(self, site: str, wanted: Collection[str]) -> dict[str, _Other]:
        try:
            return self._sites[site].claim(wanted, whole=True)
        except (Frozen, LocksLost) as error:
            self._without[site] = error
        except ProxmoxError as error:
            self._without[site] = _no_lock(site, error)
        return {}

    def _watch(self, site: str, wanted: Collection[str], taken: dict[str, _Other]) -> dict[str, _Other]:
        """Wait until a lock that gave no recent sign of life gives one, or is dead and gone.

        Returns:
            Who has which of what is wanted; empty if it is ours now.
        """
        lock, told = self._sites[site], False
        watched: dict[str, str] = {}
        while taken:
            if any(
                lock.surely_lives(other) or watched.setdefault(other.pool, other.comment) != other.comment
                for other in taken.values()
            ):
                return taken
            if not told:
                holder = next(iter(taken.values())).holder
                self._tell(
                    f"{holder} holds a lock at {site} and gave no sign of life lately: watching it for up to "
                    f"{STALE_SECONDS:.0f} s; it is removed if that run is dead"
                )
                told = True
            self._timing.pause(_WATCH_SECONDS)
            taken = self._claim_at(site, wanted)
        return taken

    def _keep_alive(self) -> None:
        if self._keepers:
            return
        for site, lock in self._usable():
            keeper = threading.Thread(
                target=lock.keep_alive, args=(self._ended,), name=f"lock-{site}", daemon=True
            )
            keeper.start()
            self._keepers.append(keeper)

    # Making sure

    def check(self, site: str) -> None:
        """Make sure that the lock of a site is still ours; ``*`` for all sites. Usually no call.

        Raises:
            Stopped: it is not, or was not to be had.
            ProxmoxError: nobody knows.
        """
        for name in self._sites if site == EVERYWHERE else (site,):
            if name in self._without:
                raise self._without[name]
            self._sites[name].check()

    def fence(self, site: str) -> Callable[[str, str], None]:
        """What a site's API asks before every write (:attr:`orchestrator.proxmox.Cluster.before_write`)."""

        def assure(method: str, path: str) -> None:
            if not _FREE.fullmatch(f"{method} {path}"):
                self.check(site)

        return assure

    def look(self, site: str) -> str:
        """List a site's pools: make sure that our lock is among them. Return who froze the site. One call.

        Raises:
            LocksLost: it is not.
            ProxmoxError: nobody knows.
        """
        return self._sites[site].others()[0]
