"""Locks of runs: two runs never change one client's machines at once, and runs on other clients do not wait.

A run's lock is a pool in the cluster itself, as the freeze is, so it holds whichever URL, inventory or computer a run
comes from. One pool per run and site; its comment names what the run keeps others from: clients, addresses that it
gives, the night. What makes this safe with nothing but "create a pool", "list the pools" and "delete a pool":

- **Announce, then look.** A run writes its claims first and lists the pools afterwards. Proxmox puts all writes of
  pools in one order, so of two runs that want the same at once at least one sees the other, and whoever sees another's
  claim does not have it. Of two that see each other the lower name waits for the higher one to withdraw.
- **A pool's name is never used twice**, so removing a dead run's lock cannot hit the lock of a living one.
- **A dead run's lock goes.** Its process is known to be gone (same computer), or its comment has not changed for
  ``STALE_SECONDS`` while the observer watched, by the observer's own steady clock: no two clocks are compared.
- **A living run renews its lock** every ``RENEW_SECONDS``, writes nothing when it could not for ``TRUST_SECONDS``, and
  counts its lock as lost before anybody may take it over. That is looked at before every write, in the middle of a step
  too: the computer may have slept there.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self

from orchestrator.applying.freezing import EVERYWHERE, Frozen
from orchestrator.applying.lock_note import LOCK_POOL, LockNote, Process
from orchestrator.applying.site_lock import (
    STALE_SECONDS,
    Held,
    LocksLost,
    OtherLock,
    SiteLock,
    Timing,
)
from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import ProxmoxError

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

_WATCH_SECONDS = 5.0
_NIGHT = "night"
_FREE = re.compile(rf"POST /pools|[A-Z]+ /pools/{LOCK_POOL.pattern}|POST .*/agent/ping")
"""Calls that need no lock: those that take, renew and give back locks, and a question that is sent as POST."""


def _no_lock(site: str, error: Exception) -> LocksLost:
    return LocksLost(f"no lock could be taken at {site}: {error}: nothing is changed there")


def _refuse(taken: Mapping[str, OtherLock]) -> None:
    """Refuse to go on if somebody has a client that is wanted.

    Raises:
        Held: somebody has.
    """
    for claim, other in taken.items():
        name = claim.removeprefix("client/")
        raise Held(f"{other.holder} is changing {name}: wait until that run has ended")


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
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._timing = timing or Timing()
        self._holder = holder
        self._tell = tell
        pool = f"orchestrator-lock-{secrets.token_hex(8)}"
        process = Process.this()
        moment = self._timing.now()
        self._sites = {
            site: SiteLock(
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

        def busy(site: str) -> dict[str, OtherLock]:
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

    def _usable(self) -> list[tuple[str, SiteLock]]:
        return [(site, lock) for site, lock in self._sites.items() if site not in self._without]

    def _claim(self, wanted: Collection[str]) -> dict[str, OtherLock]:
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

    def _claim_at(self, site: str, wanted: Collection[str]) -> dict[str, OtherLock]:
        try:
            return self._sites[site].claim(wanted, whole=True)
        except (Frozen, LocksLost) as error:
            self._without[site] = error
        except ProxmoxError as error:
            self._without[site] = _no_lock(site, error)
        return {}

    def _watch(self, site: str, wanted: Collection[str], taken: dict[str, OtherLock]) -> dict[str, OtherLock]:
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
