"""Updates inside machines: what is due there, and installing it, many machines in one Ansible run (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestrator.errors import Reason
from orchestrator.guests.answers import UnreadableAnswer, lines_of, shortened, told, whole_number
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.inventory import host_name
from orchestrator.guests.limits import REASON_CHARACTERS
from orchestrator.guests.outcome import reason_of
from orchestrator.guests.playbooks import TaskResult, run_playbook

_INSTALL = "Install what is due"
_RESTART = "Restart because of the updates"
_VERIFY = "See whether everything runs that ran before"

MOST_PACKAGES = 5000
"""Packages that a machine may name; a new release of a large desktop has three thousand."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~^_-]{0,199}")  # names, versions and our own words
_FIRST_PUBLISHED, _LAST_PUBLISHED = 946_684_800, 4_102_444_800  # the years 2000 to 2099
_NOTHING_CHANGED = 3
_NOT_AS_BEFORE = 5


@dataclass(frozen=True, kw_only=True)
class DuePackage:
    """A package of which there is a newer version.

    Attributes:
        security: whether the newer version comes from the distribution's security archive.
        state: ``ready`` to be installed; ``held`` by the machine's own administrator; ``excluded`` by the file;
            ``kept-back`` (installing it would remove something: that needs a person).
    """

    name: str
    old: str
    new: str
    security: bool
    state: Literal["ready", "held", "excluded", "kept-back"]


@dataclass(frozen=True, kw_only=True)
class InstalledPackage:
    """A package that an update replaced.

    Attributes:
        published: when the mirror got the new version (UTC); None if that is not known.
    """

    name: str
    old: str
    new: str
    security: bool
    published: dt.datetime | None

    def to_data(self) -> dict[str, Any]:
        """As the history keeps it."""
        return {
            "package": self.name,
            "from": self.old,
            "to": self.new,
            "security": self.security,
            "published": self.published.isoformat() if self.published else None,
        }


@dataclass(frozen=True, kw_only=True)
class DueUpdates:
    """What is due in one machine.

    Attributes:
        packages: by name.
        interrupted: an installation was interrupted there: the next update repairs it first.
        reboot: why it has to be restarted; None if it has not.
    """

    packages: tuple[DuePackage, ...] = ()
    interrupted: bool = False
    reboot: str | None = None

    @property
    def ready(self) -> tuple[DuePackage, ...]:
        """Those that an update would install."""
        return tuple(package for package in self.packages if package.state == "ready")


@dataclass(frozen=True, kw_only=True)
class UpdateOrder:
    """How one machine is updated.

    Attributes:
        security_only: leave the other updates for later.
        fresh: begin anew; false goes on with an update that an earlier run began.
        reboot: whether it may be restarted if that is needed.
        boot_seconds: how long it may take to come back.
        settle_seconds: how long its services may take to come back.
    """

    security_only: bool = False
    fresh: bool = True
    reboot: bool = False
    boot_seconds: float = 600.0
    settle_seconds: float = 60.0

    def variables(self) -> dict[str, Any]:
        """As the playbook's role reads it."""
        return {
            "update_scope": "security" if self.security_only else "all",
            "update_fresh": self.fresh,
            "update_reboot": self.reboot,
            "update_boot_seconds": int(self.boot_seconds),
            "update_settle_seconds": int(self.settle_seconds),
        }


@dataclass(frozen=True, kw_only=True)
class UpdateResult:
    """How an update went in one machine.

    Attributes:
        status: ``well`` (everything that ran before runs); ``untouched`` (nothing was changed, the message says why);
            ``broken`` (the installation broke off); ``unwell`` (something that ran before does not);
            ``gone`` (it did not come back from its restart); ``unreachable`` (the connection failed: what became of it
            is not known).
        tried: the versions that were to be installed: ``openssl 3.0.11``.
        reboot: why it still has to be restarted; None if it has not.
        restarted: whether it was restarted.
        message: what went wrong, and what to do; empty when all is well.
    """

    status: Literal["well", "untouched", "broken", "unwell", "gone", "unreachable"]
    installed: tuple[InstalledPackage, ...] = ()
    tried: tuple[str, ...] = ()
    reboot: str | None = None
    restarted: bool = False
    repaired: bool = False
    message: str = ""
    seconds: float = 0.0


def look_for_updates(
    guests: Sequence[Guest],
    ssh: SshSettings,
    *,
    refresh: bool = True,
    timeout_seconds: float = 900.0,
) -> dict[tuple[str, str], DueUpdates | str]:
    """See what is due in machines, in one Ansible run. Nothing is installed.

    Args:
        guests: the machines.
        ssh: how they are reached.
        refresh: fetch the package lists first.
        timeout_seconds: how long one machine may take: one that hangs keeps nobody else waiting longer.

    Returns:
        For each machine what is due, or the reason why that cannot be said.
    """
    if not guests:
        return {}
    more = {"update_refresh": refresh, "update_seconds": int(timeout_seconds)}
    variables = {guest.key: more for guest in guests}
    run = run_playbook("update.yml", guests, ssh, check=True, variables=variables)
    found: dict[tuple[str, str], DueUpdates | str] = {}
    for guest in guests:
        results = run.of(host_name(guest))
        found[guest.key] = due_in(guest, results) or f"{guest.name}: Ansible could not reach it: {run.output}"
    return found


def due_in(guest: Guest, results: Mapping[str, TaskResult]) -> DueUpdates | str | None:
    """What the playbook said in check mode; the reason if it could not; None if it did not get there."""
    result = results.get(_INSTALL)
    if result is None:
        return None
    if result.kind in ("failed", "unreachable"):
        return f"{guest.name}: {_why(result)}"
    try:
        return parse_due(lines_of(result))
    except UnreadableAnswer as error:
        return f"{guest.name}: what it says of its updates cannot be read: {error}"


def parse_due(lines: Iterable[str]) -> DueUpdates:
    """Read the lines of ``orchestrator-update look``.

    Raises:
        UnreadableAnswer: a line of it holds what that program never prints, or there are too many packages.
    """
    packages: list[DuePackage] = []
    interrupted, reboot = False, None
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "due":
            name, old, new, sort, state = _package(rest, 5)
            if state not in ("ready", "held", "excluded", "kept-back"):
                raise UnreadableAnswer(
                    f"the package {name} is {shortened(state, 40)!a}, which is not a valid state"
                )
            if len(packages) == MOST_PACKAGES:
                raise UnreadableAnswer(f"more than {MOST_PACKAGES} packages are due")
            packages.append(
                DuePackage(name=name, old=old, new=new, security=_is_security(sort), state=state)  # type: ignore[arg-type]
            )
        elif word == "interrupted":
            interrupted = True
        elif word == "reboot":
            reboot = shortened(rest)
    return DueUpdates(
        packages=tuple(sorted(packages, key=lambda p: p.name)), interrupted=interrupted, reboot=reboot
    )


def _package(rest: str, count: int) -> list[str]:
    """The fields of a line about a package: name and versions of a form that packages have."""
    fields = rest.split(" ")
    if len(fields) != count or not all(map(_WORD.fullmatch, fields)):
        raise UnreadableAnswer(f"no line about a package: {shortened(rest, 60)!a}")
    return fields


def _is_security(sort: str) -> bool:
    if sort not in ("security", "regular"):
        raise UnreadableAnswer(f"no sort of update: {shortened(sort, 40)!a}")
    return sort == "security"


def install_updates(
    guests: Sequence[Guest],
    orders: Mapping[tuple[str, str], UpdateOrder],
    ssh: SshSettings,
    *,
    on_event: Callable[[tuple[str, str], str], None] | None = None,
) -> dict[tuple[str, str], UpdateResult]:
    """Install what is due in the machines of one wave: one Ansible run, failures kept apart.

    Args:
        guests: the machines.
        orders: how each is updated.
        ssh: how they are reached.
        on_event: called with client and machine and what begins there.

    Returns:
        How it went in each. Nothing is raised for what goes wrong in or on the way to a guest.
    """
    if not guests:
        return {}
    tell = on_event or (lambda key, step: None)
    by_host = {host_name(guest): guest for guest in guests}
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    words = {_INSTALL: "install updates", _VERIFY: "see whether all runs"}

    def follow(result: TaskResult) -> None:
        now = time.monotonic()
        begun.setdefault(result.host, now)
        ended[result.host] = now
        if result.kind == "start" and result.task in words:
            tell(by_host[result.host].key, words[result.task])
        elif result.task == _INSTALL and result.kind == "ok":
            key = by_host[result.host].key
            if orders[key].reboot and _said(result).reboot:
                tell(key, "restart")

    variables = {key: order.variables() for key, order in orders.items()}
    run = run_playbook("update.yml", guests, ssh, variables=variables, on_result=follow)
    outcomes = {}
    for host, guest in by_host.items():
        result = _result(guest, run.of(host), run.output)
        outcomes[guest.key] = replace(result, seconds=ended.get(host, 0.0) - begun.get(host, 0.0))
    return outcomes


def _result(guest: Guest, results: Mapping[str, TaskResult], output: str) -> UpdateResult:
    """Read from what the tasks of the playbook said how it went in one guest."""
    install = results.get(_INSTALL)
    if install is None:
        return UpdateResult(
            status="untouched", message=f"Ansible did not get as far as to this machine: {output}"
        )
    if install.kind == "unreachable":
        return UpdateResult(
            status="unreachable", message=f"SSH failed while updates were installed: {reason_of(install)}"
        )
    said = _said(install)
    if install.kind == "failed":
        code = install.result.get("rc")
        if code is None:  # Ansible's own: the task took longer than it may
            return replace(said, status="unreachable", message=_why(install))
        status: Literal["untouched", "broken"] = "untouched" if code == _NOTHING_CHANGED else "broken"
        why = shortened(
            " ".join(str(install.result.get("stderr") or "no reason given").split()), REASON_CHARACTERS
        )
        return replace(said, status=status, message=why)
    restart = results.get(_RESTART)
    if restart is not None and restart.kind in ("failed", "unreachable"):
        return replace(
            said,
            status="gone",
            restarted=True,
            message=f"it did not come back from its restart: {reason_of(restart)}",
        )
    restarted = restart is not None and bool(restart.result.get("rebooted", restart.result.get("changed")))
    said = replace(said, restarted=restarted, reboot=None if restarted else said.reboot)
    verify = results.get(_VERIFY)
    if verify is None or verify.kind == "unreachable" or verify.result.get("rc") is None:
        why = reason_of(verify) if verify is not None else output
        return replace(said, status="unreachable", message=f"SSH failed after the updates: {why}")
    if verify.result.get("rc") == _NOT_AS_BEFORE:
        return replace(said, status="unwell", message=_lost_in_words(_lost(verify)))
    if verify.kind == "failed":
        return replace(said, status="broken", message=reason_of(verify))
    return said


def _why(result: TaskResult) -> Reason:
    """Why a task failed; one that Ansible gave up waiting for says so."""
    if result.kind == "failed" and result.result.get("rc") is None and "stderr" not in result.result:
        return (
            f"SSH connected, but no answer came ({reason_of(result)}): the machine hangs, or is very busy; look at its "
            "console"
        )
    return reason_of(result)


def _said(install: TaskResult) -> UpdateResult:
    """What an installation said it did. Where a line cannot be read the others count, and the message says so."""
    installed: list[InstalledPackage] = []
    tried: list[str] = []
    reboot, repaired, odd = None, False, ""
    try:
        lines = lines_of(install)
    except UnreadableAnswer as error:
        lines, odd = [], str(error)
    for line in lines:
        word, _, rest = line.partition(" ")
        try:
            if word == "installed" and _has_room(installed):
                installed.append(_installed(rest))
            elif word == "tried" and _has_room(tried):
                name, _, new = _package(rest, 3)
                tried.append(f"{name} {new}")
            elif word == "reboot":
                reboot = shortened(rest)
            elif word == "repaired":
                repaired = True
        except UnreadableAnswer as error:
            odd = odd or str(error)
    return UpdateResult(
        status="well",
        installed=tuple(installed),
        tried=tuple(tried),
        reboot=reboot,
        repaired=repaired,
        message=f"not all that it says of its packages can be read: {odd}" if odd else "",
    )


def _has_room(packages: Sequence[object]) -> bool:
    if len(packages) == MOST_PACKAGES:
        raise UnreadableAnswer(f"it names more than {MOST_PACKAGES} packages")
    return True


def _installed(rest: str) -> InstalledPackage:
    name, old, new, sort, at = _package(rest, 5)
    return InstalledPackage(
        name=name,
        old=old,
        new=new,
        security=_is_security(sort),
        published=_published(whole_number(at, "a time")),
    )


def _published(seconds: int) -> dt.datetime | None:
    """The time that a mirror gave a package; None where it is not known, or none that a mirror gives."""
    if not _FIRST_PUBLISHED <= seconds < _LAST_PUBLISHED:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _lost(verify: TaskResult) -> tuple[str, ...]:
    try:
        return told([line.removeprefix("lost ") for line in lines_of(verify) if line.startswith("lost ")])
    except UnreadableAnswer as error:
        return (f"more than can be read: {error}",)


def _lost_in_words(lost: Sequence[str]) -> str:
    words = {
        "service": "{} does not run any more",
        "port": "nothing serves TCP {} any more",
        "failed": "{} failed",
    }
    said = []
    for item in lost:
        kind, _, what = item.partition(" ")
        said.append(words.get(kind, "{}").format(what))
    return "; ".join(said) or "something that ran before does not"
