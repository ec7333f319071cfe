"""What can be done for a machine in trouble, what each costs, and why something cannot be done. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import paris_time
from orchestrator.errors import Reason
from orchestrator.operations.restart import not_as_it_is, not_by_contract
from orchestrator.operations.start import not_to_start
from orchestrator.resources.machine_archives import newest_good

if TYPE_CHECKING:
    from orchestrator.operations.rescue_state import LostNode, RescueState
    from orchestrator.proxmox import VmSnapshot
    from orchestrator.resources.machine_archives import Archive

Name = Literal[
    "start",
    "restart",
    "rollback",
    "restore",
    "copy",
    "fail-over",
    "recreate",
    "mark",
    "put-aside",
    "nothing",
]
Loss = Literal["data", "memory"]

LOCK_OWNERS = {
    "backup": "a backup",
    "clone": "a clone",
    "create": "a creation or a restore",
    "migrate": "a migration",
    "rollback": "a rollback",
    "snapshot": "a snapshot",
    "snapshot-delete": "the removal of a snapshot",
    "suspending": "a suspension to disk",
}
"""What leaves each lock of Proxmox's."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that can be done.

    Attributes:
        words: what it does, human-readable.
        value: the snapshot or the archive that it takes; empty if it takes none.
        loses: what is lost by it, by kind, human-readable.
        refused: why it cannot be done; empty if it can.
    """

    name: Name
    words: str
    value: str = ""
    loses: Mapping[Loss, str] = field(default_factory=dict)
    refused: Reason = ""


def choices(state: RescueState, volid: str | None = None) -> list[Choice]:
    """Everything that can be done for a machine, the least drastic first.

    Args:
        state: of the machine.
        volid: the archive that is meant; None: the newest good one.
    """
    archive = _archive(state, volid)
    found = [_start(state), _restart(state), *_rollbacks(state)] if state.found else []
    found += [_copy(state, archive, volid), _restore(state, archive, volid)] if state.found else []
    if state.lost_node is not None:
        found.append(_fail_over(state.lost_node, state.now))
    if state.found is None and not state.lost_marks:
        found.append(_recreate(state, archive, volid))
    for lost in state.lost_marks:
        words = f"write the mark back into the notes of VM {lost.summary.vmid}, {lost.site}"
        if lost.archive:
            words += f", as the archive of {paris_time(lost.archive.taken_at)} proves it"
        found.append(Choice(name="mark", words=words, refused=lost.objection))
    for old in state.old:
        words = f"switch off the old {old.subject}, {old.site}, and take our mark off it; its disks stay"
        memory: Mapping[Loss, str] = {"memory": "what it has not written to its disks"}
        found.append(Choice(name="put-aside", words=words, loses=memory))
    return [*found, Choice(name="nothing", words="change nothing")]


def lock_words(state: RescueState) -> Reason:
    """What the lock on a machine means, and how it goes; empty if it has none."""
    summary = state.found.machine.summary if state.found else None
    if summary is None or not summary.lock:
        return ""
    made_by = LOCK_OWNERS.get(summary.lock, "a task")
    if state.tasks is None:
        return f"{made_by} locked it ({summary.lock}), and whether that still runs could not be read"
    if state.tasks:
        return f"{made_by} holds it ({summary.lock}): {state.tasks[0].upid}; wait for its end, or stop it in Proxmox"
    return (
        f"{made_by} locked it ({summary.lock}) and does not run any more. An API token may not remove a lock: as root "
        f"on {summary.node}, `qm unlock {summary.vmid}`"
    )


def _archive(state: RescueState, volid: str | None) -> Archive | None:
    if volid is None:
        return newest_good(state.archives, state.now)
    return next((item for item in state.archives if item.stored.volid == volid), None)


def _no_archive(state: RescueState, volid: str | None) -> Reason:
    if volid is not None:
        return f"{volid} is no archive of {state.target}"
    return (
        "it has archives, and each of them failed its restore test" if state.archives else "it has no archive"
    )


def _start(state: RescueState) -> Choice:
    assert state.found is not None  # noqa: S101
    why = (
        lock_words(state)
        or _half(state)
        or not_to_start(state.found.machine, state.found.mark, state.says, state.now)
    )
    return Choice(name="start", words="start it, and wait until its guest answers", refused=why)


def _restart(state: RescueState) -> Choice:
    assert state.found is not None  # noqa: S101
    words = "restart it: shut its guest down, start it, and wait until it answers"
    if state.says.machine is None:
        why: Reason = f"whether it may be restarted is not known: {state.says.problem}"
    else:
        why = not_by_contract(state.says.machine, state.now) or not_as_it_is(state.says.machine, state.found)
    return Choice(
        name="restart", words=words, loses=_memory(state), refused=lock_words(state) or _half(state) or why
    )


def _half(state: RescueState) -> Reason:
    """Why a machine is not started whose disks an interrupted restore was exchanging; empty if there was none."""
    if not state.half_restored:
        return ""
    return f"a restore of {state.half_restored} into it was interrupted: choose restore, which finishes it"


def _rollbacks(state: RescueState) -> Iterator[Choice]:
    assert state.found is not None  # noqa: S101
    for snapshot in reversed(state.found.machine.snapshots):
        age = age_words(state.now - snapshot.taken_at)
        yield Choice(
            name="rollback",
            words=f"go back to the snapshot {snapshot.name} of {paris_time(snapshot.taken_at)} ({age})",
            value=snapshot.name,
            loses={"data": _since(snapshot.taken_at) + _newer(state, snapshot), **_memory(state)},
            refused=lock_words(state),
        )


def _newer(state: RescueState, snapshot: VmSnapshot) -> str:
    assert state.found is not None  # noqa: S101
    newer = [item.name for item in state.found.machine.snapshots if item.taken_at > snapshot.taken_at]
    return f" (the newer {', '.join(newer)} cannot be combined with it)" if newer else ""


def _copy(state: RescueState, archive: Archive | None, volid: str | None) -> Choice:
    words = "restore an archive beside it, as a copy that is stopped and unplugged"
    if archive is None:
        return Choice(name="copy", words=words, refused=_no_archive(state, volid))
    return Choice(name="copy", words=f"{words}: {_words(archive, state.now)}", value=archive.stored.volid)


def _restore(state: RescueState, archive: Archive | None, volid: str | None) -> Choice:
    assert state.found is not None  # noqa: S101
    words = "restore an archive into it"
    if state.half_restored:
        return Choice(
            name="restore",
            words=f"finish the restore of {state.half_restored} into it, which was interrupted",
            value=state.half_restored,
            loses=_memory(state),
            refused=lock_words(state),
        )
    if archive is None:
        return Choice(name="restore", words=words, refused=_no_archive(state, volid))
    why = lock_words(state)
    if snapshots := [item.name for item in state.found.machine.snapshots]:
        why = why or (
            f"its snapshots {', '.join(snapshots)} keep its disks where they are: delete them first (orchestrator "
            "snapshot delete), or restore beside it"
        )
    return Choice(
        name="restore",
        words=f"{words}: {_words(archive, state.now)}",
        value=archive.stored.volid,
        loses={"data": _since(archive.taken_at), **_memory(state)},
        refused=why,
    )


def _fail_over(lost: LostNode, now: dt.datetime) -> Choice:
    words = f"start it from its replica on another node: {lost.node} is off"
    replica = lost.replica
    if replica is None:
        return Choice(name="fail-over", words=words, refused=lost.why)
    age = age_words(now - replica.synced_at)
    return Choice(
        name="fail-over",
        words=f"start it on {replica.node} from its replica of {paris_time(replica.synced_at)} ({age}): {lost.node} "
        "is off",
        value=replica.node,
        loses={"data": f"{_since(replica.synced_at)}, when it was last replicated"},
    )


def _recreate(state: RescueState, archive: Archive | None, volid: str | None) -> Choice:
    words = "make it again from an archive: no site has it"
    if state.away:
        sites = " ".join(f"--lost-site {site}" for site in state.away)
        words = f"make it again from an archive, if it is not to run again where nobody answers ({sites})"
    if archive is None:
        return Choice(name="recreate", words=words, refused=_no_archive(state, volid))
    there = next((item for item in state.seeming if item.kind == "machine" and not item.copy), None)
    return Choice(
        name="recreate",
        words=f"{words}: {_words(archive, state.now)}",
        value=archive.stored.volid,
        loses={"data": _since(archive.taken_at)},
        refused=f"{there.subject}, {there.site}, may be it: {there.reason}" if there else "",
    )


def _memory(state: RescueState) -> Mapping[Loss, str]:
    if not state.running or state.found is None:
        return {}
    since = state.now - dt.timedelta(seconds=state.found.machine.summary.uptime)
    return {"memory": f"what its programs have in memory: it runs, since {paris_time(since)}"}


def _since(moment: dt.datetime) -> str:
    return f"everything written since {paris_time(moment)}"


def _words(archive: Archive, now: dt.datetime) -> str:
    return (
        f"that of {paris_time(archive.taken_at)} ({age_words(now - archive.taken_at)}), {test_words(archive)}"
    )


def test_words(archive: Archive) -> str:
    """How an archive's restore test ended, for people."""
    if not archive.stored.size:
        return "empty"
    test = archive.mark.test
    if test is None:
        return "never restored"
    return f"restored {test.on}: {'sound' if test.sound else 'FAILED'}"


def age_words(age: dt.timedelta) -> str:
    """How old something is, for people: ``25 min``, ``7 h``, ``3 days``."""
    minutes = max(int(age.total_seconds() // 60), 0)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
