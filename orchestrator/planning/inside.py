"""The changes inside a machine: firewall, SSH keys, supervision; and what somebody changed there by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.guests.inside import InsideReading
from orchestrator.guests.keys import fingerprints
from orchestrator.guests.rules import describe_changes, policy_from_data, policy_to_data
from orchestrator.resources.change import FIREWALL, MACHINE, SSH_KEYS, SUPERVISION, UPDATES, Change, Effect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.key_names import NamedKey, key_names
from orchestrator.resources.machine import keys_in_config
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.shown import quoted

KEYS = "SSH keys"
_THINGS = {
    FIREWALL: FIREWALL,
    KEYS: SSH_KEYS,
    SUPERVISION: SUPERVISION,
    "updates": UPDATES,
    "packages": UPDATES,
}


def inside_changes(
    desired: DesiredMachine,
    observed: ObservedMachine,
    mark: Mark,
    reading: InsideReading | None,
    *,
    reachable: bool,
) -> list[Change]:
    """Every change inside a machine that exists and is ours.

    Args:
        desired: the file's side.
        observed: the hypervisor's side.
        mark: what is known to have been brought into the guest.
        reading: what was seen in it; None if nobody looked.
        reachable: whether the guest can be worked on in this run; else its changes wait for its start.
    """
    if mark.adopted and mark.firewall is None and (reading is None or reading.problem):
        why = (
            "as it was taken over: apply --guests brings firewall, keys and supervision, once SSH lets us in"
        )
        if reading and reading.problem:
            why = f"{why}: {reading.problem}"
        return [Change(effect=Effect.NOTICE, what="guest", after="left alone", why=why)]
    found = [*_firewall(desired, mark), *_keys(desired, observed, mark), *_supervision(desired, mark)]
    if not reachable:
        found = [_waits(change) for change in found]
    elif reading is not None:
        found += _drift(reading, {change.what for change in found})
    return [replace(change, thing=_THINGS.get(change.what, MACHINE)) for change in found]


def _waits(change: Change) -> Change:
    why = (
        "loaded when the machine has started"
        if change.effect is Effect.FIREWALL
        else "done when the machine has started"
    )
    return replace(change, effect=Effect.WAITING, why=why)


def _firewall(desired: DesiredMachine, mark: Mark) -> Iterator[Change]:
    if mark.ready and mark.firewall == policy_to_data(desired.policy):
        return
    loaded = policy_from_data(mark.firewall) if mark.firewall else None
    yield Change(effect=Effect.FIREWALL, what=FIREWALL, after=tuple(describe_changes(loaded, desired.policy)))


def keys_known(observed: ObservedMachine, mark: Mark) -> tuple[str, ...]:
    """Fingerprints of the file's keys that are in the guest, as far as is known: put there by us, or by cloud-init."""
    if mark.keys is not None:
        return mark.keys
    return fingerprints(keys_in_config(observed))


def _keys(desired: DesiredMachine, observed: ObservedMachine, mark: Mark) -> Iterator[Change]:
    """Article 3.2: the file's keys are the machine's. Those of delivery are cloud-init's business."""
    if not mark.ready or not desired.offer.terms.keys:
        return
    known = keys_known(observed, mark)
    if set(known) == set(fingerprints(desired.ssh_keys)):
        return
    wanted = {NamedKey.of(key) for key in desired.ssh_keys}
    comments = {key.fingerprint: key.comment for key in map(NamedKey.of, keys_in_config(observed))}
    comments |= {key.fingerprint: key.comment for key in wanted}
    there = {NamedKey(item, comments.get(item, "")) for item in known}
    names = key_names([*there, *wanted])
    before, after = (tuple(sorted(keys)) or None for keys in (there, wanted))
    why = None
    gone = sorted(names[key] for key in there - wanted)
    if gone and not desired.direct_access:
        why = f"level full: the client has no direct access (art. 3.8.2), so {', '.join(gone)} goes from the machine"
    yield Change(
        effect=Effect.GUEST,
        what=KEYS,
        before=before,
        after=after,
        why=why,
    )


def _supervision(desired: DesiredMachine, mark: Mark) -> Iterator[Change]:
    if desired.supervised == mark.supervised:
        return
    yield Change(
        effect=Effect.GUEST,
        what=SUPERVISION,
        before=mark.supervised or None,
        after=desired.supervised,
    )


def new_supervision(desired: DesiredMachine) -> Iterator[Change]:
    """The supervision of a machine that is to be made."""
    if desired.supervised:
        effect = Effect.GUEST if desired.power == "running" else Effect.WAITING
        yield Change(effect=effect, what=SUPERVISION, thing=SUPERVISION, after=True)


def _drift(reading: InsideReading, changing: set[str]) -> Iterator[Change]:
    """What a look into the guest showed, but for what changes anyway."""
    if reading.other_host_key:
        yield Change(
            effect=Effect.GUEST,
            what="SSH host key",
            after="learnt anew through the hypervisor",
            drift=True,
            why="the guest answers with another key than the one known: it made new ones, or another machine has its "
            "address",
        )
        return
    if reading.problem:
        yield Change(
            effect=Effect.NOTICE, what="guest", after="not all could be looked at", why=reading.problem
        )
    for what, effect, lines in (
        (FIREWALL, Effect.FIREWALL, reading.firewall),
        (KEYS, Effect.GUEST, reading.keys),
        (SUPERVISION, Effect.GUEST, reading.supervision),
    ):
        if lines and what not in changing:
            yield Change(
                effect=effect,
                what=what,
                before=tuple(lines),
                after="as its file says",
                drift=True,
            )
    if reading.foreign_keys:
        people = ", ".join(map(_person, reading.foreign_keys))
        why = "in no file, put in by somebody in the machine: left alone"
        yield Change(effect=Effect.NOTICE, what=KEYS, after=people, why=why)
    yield from _packages(reading)


def _person(line: str) -> str:
    """Whose key it is, of ``? TYPE FINGERPRINT NAME``: the name was written by somebody in the machine."""
    fingerprint, *name = line.split()[2:] or [""]
    return f"{fingerprint} {quoted(' '.join(name))}" if name else fingerprint


def _packages(reading: InsideReading) -> Iterator[Change]:
    due = reading.due
    if due is None:
        return
    if due.ready:
        security = sum(package.security for package in due.ready)
        why = "orchestrator update installs them" if not due.interrupted else None
        words = f"{security} security, {len(due.ready) - security} other due"
        yield Change(effect=Effect.NOTICE, what="updates", after=words, why=why)
    if due.interrupted:
        why = "orchestrator update repairs it first"
        yield Change(effect=Effect.NOTICE, what="packages", after="an installation was interrupted", why=why)
    if due.reboot:
        yield Change(
            effect=Effect.NOTICE, what="restart", after=due.reboot, why="orchestrator update --restart-now"
        )
