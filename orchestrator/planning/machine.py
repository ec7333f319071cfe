"""The changes of one machine that exists and is ours: settings, power, firewall, mark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from orchestrator.contract.life import Standing
from orchestrator.guests.inside import InsideReading
from orchestrator.planning.inside import inside_changes
from orchestrator.planning.window import is_open, restart_of
from orchestrator.resources.change import BACKUP, SNAPSHOT, UPDATES, Change, Effect, Restart, State
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import CLIENT_KINDS, KINDS
from orchestrator.resources.machine import (
    EXCLUDED,
    RESTART_KEYS,
    edits,
    new_mark,
)
from orchestrator.resources.machine_archives import (
    archives_going,
    what_retention_does,
)
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.restart_hold import held_for, hold_words
from orchestrator.resources.snapshot import snapshot_changes

COPIES = "copies of the backup"
"""How plans name the redundancy of the backup itself."""

_UPTIME_LAG = 11.0
"""Seconds that a machine may run longer than the cluster's list says: it is up to ten seconds old, and truncated."""


def machine_changes(
    desired: DesiredMachine,
    observed: ObservedMachine,
    address: IPv4Address,
    now: dt.datetime,
    *,
    restart_now: bool = False,
    inside: InsideReading | None = None,
) -> tuple[Change, ...]:
    """Every change for one machine that exists and is ours.

    Args:
        desired: the file's side.
        observed: the hypervisor's side.
        address: the address that it has or shall have.
        now: the time, aware.
        restart_now: restart also outside its maintenance window, where its offer has a restart on the client's behalf.
        inside: what was seen in the guest; None if nobody looked.
    """
    if desired.life.standing(now) in (Standing.SUSPENDED, Standing.ENDED):
        return _out_of_service(desired, observed, address, now)
    if why := desired.life.not_begun(now):
        waiting = _edits_waiting(desired, observed, address, now)
        return (Change(effect=Effect.NOTICE, what="edits", after=waiting, why=why),) if waiting else ()
    return _in_service(desired, observed, address, now, restart_now=restart_now, inside=inside)


def _out_of_service(
    desired: DesiredMachine, observed: ObservedMachine, address: IPv4Address, now: dt.datetime
) -> tuple[Change, ...]:
    """Articles 9 and 10: the machine is stopped, and that is all. What else its file asks for waits."""
    why = desired.life.why(now)
    changes = []
    if observed.running:
        again = observed.mark is not None and observed.mark.suspended is not None
        changes.append(replace(_power(Effect.STOP, "running", "stopped", drift=again), why=why))
    if waiting := _edits_waiting(desired, observed, address, now):
        changes.append(Change(effect=Effect.NOTICE, what="edits", after=waiting, why=f"not made: {why}"))
    elif not changes:
        changes.append(Change(effect=Effect.NOTICE, what="service", after=State.KEPT, why=why))
    return tuple(changes)


def _edits_waiting(
    desired: DesiredMachine, observed: ObservedMachine, address: IPv4Address, now: dt.datetime
) -> str:
    """What its file asks for and is not made now, in words; empty if nothing is."""
    others = _in_service(desired, observed, address, now, restart_now=False, inside=None)
    waiting = [change.what for change in others if change.effective and change.effect not in _POWER]
    return ", ".join(dict.fromkeys(waiting))


def _in_service(
    desired: DesiredMachine,
    observed: ObservedMachine,
    address: IPv4Address,
    now: dt.datetime,
    *,
    restart_now: bool,
    inside: InsideReading | None,
) -> tuple[Change, ...]:
    mark = observed.mark or new_mark(desired)
    told = restart_now
    restart_now = told and desired.offer.terms.power
    found = edits(desired, observed, mark, address)
    restart = restart_of(desired.window, now, told=restart_now)
    changes = [
        replace(change, thing=SNAPSHOT, part=change.what.removeprefix("snapshot "))
        for change in snapshot_changes(desired, observed, mark, now)
    ]
    changes += [_with_restart(edit.change, edit.params, observed, restart) for edit in found if edit.change]
    if any(edit.change is None for edit in found) and mark.ready and not mark.suspended:
        changes += [_settings(edit.params) for edit in found if edit.change is None and edit.params]
    changes += [change for kind in CLIENT_KINDS if (change := kind.joining(desired, observed))]
    changes += _elsewhere(desired, observed)
    changes += _mark_changes(desired, observed, mark)
    changes += _backup_changes(desired, observed, mark, now)
    changes += _copies_changes(desired, mark)
    changes += _exclusion_changes(desired, mark)
    changes += [
        replace(step.change, thing=kind.name)
        for kind in KINDS
        if kind.name in observed.kinds
        for step in kind.steps(desired, observed, observed.kinds[kind.name])
    ]
    late = any(edit.params.keys() & RESTART_KEYS for edit in found)
    waiting = waits_for_start(observed, mark, now)
    power = _power_changes(desired, observed, mark, now, late=late, waiting=waiting, restart_now=restart_now)
    starts = any(change.effect in (Effect.START, Effect.RESTART) for change in power)
    moves = any(change.what == "address" for change in changes) or cloud_init_waits(observed, mark, now)
    changes += power
    if told and late and not restart_now and not power:
        why = f"--restart-now has no effect: {_by_the_client(desired)}"
        changes.append(Change(effect=Effect.NOTICE, what="restart", after=State.AT_NEXT_START, why=why))
    reachable = desired.power == "running" and (starts or (observed.running and not moves))
    within = inside_changes(desired, observed, mark, inside, reachable=reachable)
    # One line for both places: what cloud-init has, and what is in the guest.
    both = {change.what for change in within if change.effect is not Effect.NOTICE}
    changes = [change for change in changes if change.what not in both]
    return (*changes, *within)


def _elsewhere(desired: DesiredMachine, observed: ObservedMachine) -> list[Change]:
    """Article 3.3: an offer without a second site stands in one single data centre, its site's."""
    node, offer = observed.summary.node, desired.offer
    if offer.terms.redundancy or node not in desired.foreign_nodes:
        return []
    why = (
        f"the node stands in another data centre than the site, and {offer} is in one single data centre "
        f"(art. {offer.terms.article}): migrate the machine back in Proxmox"
    )
    return [Change(effect=Effect.NOTICE, what="data centre", before=node, after=desired.site, why=why)]


def _settings(params: Mapping[str, str | int]) -> Change:
    return Change(
        effect=Effect.UPDATE,
        what="settings",
        after=dict(params),
        drift=True,
    )


def _with_restart(
    change: Change,
    params: Mapping[str, str | int],
    observed: ObservedMachine,
    restart: Restart,
) -> Change:
    needs_one = change.effect is Effect.UPDATE and observed.running and params.keys() & RESTART_KEYS
    return replace(change, restart=restart) if needs_one else change


def _mark_changes(desired: DesiredMachine, observed: ObservedMachine, mark: Mark) -> list[Change]:
    pairs = (("contract", mark.contract, desired.contract), ("offer", mark.offer, str(desired.offer)))
    changes = [
        Change(effect=Effect.UPDATE, what=what, before=before, after=after)
        for what, before, after in pairs
        if before != after
    ]
    if mark.suspended and observed.running:
        before = mark.suspended
        changes.append(Change(effect=Effect.UPDATE, what="suspension", before=before, after=State.OVER))
    if mark.retired:
        changes.append(
            Change(effect=Effect.UPDATE, what="service", before=mark.retired, after=State.IN_SERVICE)
        )
    return changes


def _backup_changes(
    desired: DesiredMachine, observed: ObservedMachine, mark: Mark, now: dt.datetime
) -> list[Change]:
    before, after = mark.backup_days, desired.backup_days
    if before == after or not mark.applied:
        return []
    return [
        Change(
            effect=Effect.UPDATE,
            what=BACKUP,
            thing=BACKUP,
            before=before,
            after=after,
            erases=bool(archives_going(desired, observed.archives or (), now, before=before)),
            why=None
            if observed.archives is None
            else what_retention_does(desired, observed.archives, now, before=before),
        )
    ]


def _copies_changes(desired: DesiredMachine, mark: Mark) -> list[Change]:
    """Redundancy of the backup itself (article 3.2): noted in the mark, made by the nights."""
    before, after = mark.backup_copies, desired.backup_copies
    if before == after or not mark.applied or desired.backup_days is None:
        return []
    where = " and ".join(sorted(storage.name for storage in desired.backup_storages))
    why = (
        f"from the next night on, one each on two of {where}"
        if after > 1
        else "the second ones run out their days"
    )
    return [Change(effect=Effect.UPDATE, what=COPIES, thing=BACKUP, before=before, after=after, why=why)]


def _exclusion_changes(desired: DesiredMachine, mark: Mark) -> list[Change]:
    """Packages that updates leave alone: noted in the mark, for playbooks that are run by hand."""
    before, after = mark.applied.update_exclude if mark.applied else (), desired.update_exclude
    if before == after or not mark.applied:
        return []
    return [Change(effect=Effect.UPDATE, what=EXCLUDED, thing=UPDATES, before=before, after=after)]


def cloud_init_waits(observed: ObservedMachine, mark: Mark, now: dt.datetime) -> bool:
    """Whether the guest was started before its cloud-init settings were last written."""
    return (
        observed.running
        and mark.restart_due is not None
        and now.timestamp() - observed.summary.uptime - _UPTIME_LAG < mark.restart_due
    )


def leaving(
    observed: ObservedMachine, mark: Mark, address: IPv4Address, now: dt.datetime
) -> IPv4Address | None:
    """The address that a running guest has besides its new one, until its next start; None if it has none.

    Args:
        observed: the machine before its new address is written.
        mark: its mark.
        address: the new one.
        now: the time, aware.
    """
    if mark.leaving is not None and cloud_init_waits(observed, mark, now):
        return mark.leaving  # it has been given several since
    before = observed.address
    return None if before == address else before


def waits_for_start(observed: ObservedMachine, mark: Mark, now: dt.datetime) -> Mapping[str, str] | None:
    """What is set already and waits for the next start, empty if it is cloud-init's; None if nothing waits."""
    if not observed.running:
        return None
    pending = {
        key: observed.config.pending[key] for key in sorted(observed.config.pending.keys() & RESTART_KEYS)
    }
    return pending if pending or cloud_init_waits(observed, mark, now) else None


_POWER = frozenset({Effect.START, Effect.STOP, Effect.RESTART, Effect.EXPIRE})
"""What is not told of a machine that is out of service: nothing in it is put off, or deleted meanwhile."""


def _power_changes(
    desired: DesiredMachine,
    observed: ObservedMachine,
    mark: Mark,
    now: dt.datetime,
    *,
    late: bool,
    waiting: Mapping[str, str] | None,
    restart_now: bool,
) -> list[Change]:
    if desired.power == "stopped":
        if observed.running:
            return [_power(Effect.STOP, "running", "stopped")]
        return []
    if not observed.running:
        if mark.suspended:  # everything resumes as it was (article 9), whatever the offer
            change = _power(Effect.START, "stopped", "running")
            return [replace(change, why=f"it ran before its suspension of {mark.suspended} (art. 9)")]
        in_service = mark.ready and not mark.retired
        if in_service and not desired.offer.terms.power:
            return [_stopped_by_the_client(desired, observed)]
        drift = in_service and mark.applied is not None and mark.applied.power == "running"
        return [_power(Effect.START, "stopped", "running", drift=drift)]
    if not late and waiting is None:
        return []
    held = held_for(mark, waiting) if waiting is not None and not late else None
    if restart_now or (is_open(desired.window, now) and held is None):
        at = restart_of(desired.window, now, told=restart_now)
        return [Change(effect=Effect.RESTART, what="restart", after=State.NEW_SETTINGS, restart=at)]
    if waiting is None:
        return []
    return [
        Change(
            effect=Effect.WAITING,
            what="restart",
            after=waiting,
            restart=None if held else restart_of(desired.window, now),
            why=hold_words(mark, held) if held else _when_it_restarts(desired),
        )
    ]


def _stopped_by_the_client(desired: DesiredMachine, observed: ObservedMachine) -> Change:
    """A machine of an offer without power that is stopped: the client's own act, no drift, and not undone.

    It is started for one reason: the client ordered other resources, which article 3.3 lists, and shut it down so that
    it takes them up. Proxmox keeps them as pending until the machine is started.
    """
    waiting = sorted(observed.config.pending.keys() & RESTART_KEYS)
    if waiting:
        why = f"the client shut it down; it takes up what was ordered: {', '.join(waiting)} (art. 3.3)"
        return replace(_power(Effect.START, "stopped", "running"), why=why)
    offer = desired.offer
    why = (
        "shut down from inside, as a rule by the client; starting it on the client's behalf is not part of "
        f"{offer} (art. {offer.terms.article})"
    )
    return Change(effect=Effect.NOTICE, what="power", before="stopped", after="running", why=why)


def _when_it_restarts(desired: DesiredMachine) -> str:
    if desired.offer.terms.power:
        return f"set already; to restart it at once: `{_restart_command(desired)}`"
    if desired.window is not None:
        return "set already"
    return f"set already, and taken up at its next start: {_by_the_client(desired)}"


def _by_the_client(desired: DesiredMachine) -> str:
    """How a machine restarts whose offer has no restart on the client's behalf."""
    offer = desired.offer
    return (
        "the client shuts it down from inside (a reboot from inside is not enough), and the next apply starts it; a "
        f"restart on the client's behalf is not part of {offer} (art. {offer.terms.article})"
    )


def _restart_command(desired: DesiredMachine) -> str:
    """The whole command that restarts a machine outside its maintenance window, which has to be allowed by name."""
    address = f"{desired.client}/{desired.name}"
    allow = "" if desired.window is None else f" --allow outside-window:{address}"
    return f"orchestrator apply --only {address} --restart-now{allow}"


def _power(effect: Effect, before: str, after: str, *, drift: bool = False) -> Change:
    return Change(effect=effect, what="power", before=before, after=after, drift=drift)
