"""Both sides of a change in words: the one place where values of plans become text for people.

Rewording anything here changes words and nothing else: no mark holds them and nothing compares them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.contract.calendar import paris_time
from orchestrator.contract.snapshots import SNAPSHOT_DAYS
from orchestrator.resources.attributes import BY_NAME
from orchestrator.resources.change import BACKUP, FIREWALL, Change, Effect, NewMachine, Restart, State
from orchestrator.resources.kinds import CLIENT_KINDS, GUEST_KINDS, KINDS
from orchestrator.resources.machine import EXCLUDED, size_words
from orchestrator.resources.machine_archives import retention_words

_STATES = {
    State.ADOPTED: "taken over as it is",
    State.KEPT: "stopped, kept as it is",
    State.RETIRED: "stopped, kept with its disks, marked retired",
    State.NEW_SETTINGS: "takes up the new settings",
    State.PARTLY_READ: "not all could be looked at",
    State.LEARNT_ANEW: "learnt anew through the hypervisor",
    State.INTERRUPTED: "an installation was interrupted",
}
"""Those that are told in more words than their own."""

BETWEEN_RULES = "; "
"""What stands between the rules of a firewall's change: no rule holds it. Where there is room, each has its line."""

_BETWEEN = {EXCLUDED: " ", "tags": ", "}
_OF_KINDS = {kind.part.name: kind.words for kind in GUEST_KINDS} | {
    kind.name: kind.words for kind in CLIENT_KINDS
}
_SINCE = {"suspension": "suspended ", "service": "retired "}
_NOTHING = {BACKUP: "off", EXCLUDED: "none", FIREWALL: "closed but for the provider"}
"""How nothing reads where it is a value of its own."""


def sides(change: Change) -> tuple[str | None, str | None]:
    """What is there and what is asked for; None where there is nothing. Two values that differ read differently."""
    before, after = change.before, change.after
    if change.what.startswith("snapshot "):
        return _snapshot(change)
    if change.what == "notes":
        return f"{before} characters of others" if before else None, f"about {after} characters"
    words = _OF_KINDS.get(change.what)
    if words and (told := words(before, after)):
        return told
    first, second = _words(change.what, before), _words(change.what, after)
    attribute = BY_NAME.get(change.what)
    if first == second and attribute and attribute.change_words and before is not None and after is not None:
        return attribute.change_words(before), attribute.change_words(after)
    return first, second


def _snapshot(change: Change) -> tuple[str | None, str | None]:
    if isinstance(change.before, dt.datetime):
        return f"taken {paris_time(change.before)}", f"removed: {SNAPSHOT_DAYS} days old (art. 3.2)"
    if not isinstance(change.after, dt.date):
        return None, None
    if change.effect is Effect.SNAPSHOT:
        return None, f"taken, kept {SNAPSHOT_DAYS} days"
    return None, f"missed on {change.after}" if change.effect is Effect.NOTICE else f"on {change.after}"


def _created(new: NewMachine) -> Iterator[str]:
    for name, value in new.attributes.items():
        if (words := BY_NAME[name].created) and value is not None:
            yield words(value)
    yield from (f"{name} {size} GiB" for name, size in new.disks.items())
    yield str(new.address)
    yield f"from {new.image}"
    if new.nodes:
        yield f"on {' or '.join(new.nodes)}, where its template is"
    if new.backup_days is not None:
        yield f"backup {retention_words(new.backup_days)}"
    yield from (kind.words(new.kinds[kind.name]) for kind in KINDS if kind.name in new.kinds)


def _words(what: str, value: object) -> str | None:
    if value is None:
        return _NOTHING.get(what) if what == BACKUP else None
    if isinstance(value, State):
        return _STATES.get(value, value.value)
    if isinstance(value, str):
        return value
    if what in BY_NAME:
        return BY_NAME[what].words(value)
    if what.startswith("disk ") and isinstance(value, int):
        return size_words(value)
    if what == BACKUP and isinstance(value, int):
        return retention_words(value)
    if what == "updates" and isinstance(value, Mapping):
        return f"{value['security']} security, {value['other']} other due"
    if isinstance(value, NewMachine):
        return ", ".join(_created(value))
    if what == "restart" and isinstance(value, Mapping):
        return setting_words(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, dt.date):
        return f"{_SINCE.get(what, '')}{value}"
    if isinstance(value, Sequence):
        return _BETWEEN.get(what, BETWEEN_RULES).join(map(str, value)) or _NOTHING.get(what)
    return str(value)


def setting_words(settings: Mapping[str, object]) -> str:
    """Settings that wait for a restart, as Proxmox keeps them; none are those of cloud-init."""
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "settings of cloud-init"


def when_words(restart: Restart | None) -> str | None:
    """When a machine restarts: ``in the window, Tue 2026-11-24 22:00 CET``; None if it does not."""
    if restart is None:
        return None
    if restart.opens is not None:
        return f"in the window, {paris_time(restart.opens, weekday=True)}"
    if restart.closes is not None:
        return f"now (window open until {paris_time(restart.closes)})"
    return "now, as told" if restart.when == "now" else "not planned (no maintenance window agreed)"


def rules_of(what: str, before: str | None, after: str | None) -> list[str]:
    """The rules that a firewall's change speaks of, in its order; none for other changes. Both sides in words.

    What was found in a guest, against its file, stands on the side of what is there.
    """
    if what != FIREWALL:
        return []
    text = after if before is None else before
    return text.split(BETWEEN_RULES) if text else []
