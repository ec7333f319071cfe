"""A change: one difference between what a file asks for and what the hypervisor has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Literal, NamedTuple

Asked = Mapping[str, bool | int | str | None]
"""What a file asks of a kind of thing that belongs to a machine, as values."""


class Effect(StrEnum):
    """What ``apply`` does for a change. There is deliberately none that erases or replaces a machine."""

    CREATE = "create"
    ADOPT = "adopt"
    """An existing machine is taken over as it is: its notes, tags and pool say whose it is now (article 4.2)."""
    UPDATE = "update"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RETIRE = "retire"
    FIREWALL = "firewall"
    GUEST = "guest"
    """Something inside the machine besides its firewall: SSH keys, supervision."""
    SNAPSHOT = "snapshot"
    EXPIRE = "expire"
    """A snapshot of ours whose seven days are over is removed (articles 3.2 and 3.3)."""
    WAITING = "waiting"
    """Already made; takes effect later (at the next restart). Nothing for ``apply`` to do now."""
    NOTICE = "notice"
    """Worth knowing, nothing to do."""
    REFUSED = "refused"
    """Cannot be made in place, or is not safe: the reason and the way out stand in ``why``."""
    UNABLE = "unable"
    """Refused as well, but by itself: the machine's other changes are made."""


class State(StrEnum):
    """A side of a change that is no value of Proxmox's: what becomes of a machine, or of its guest."""

    ADOPTED = "adopted"
    NOT_MADE = "not made"
    KEPT = "kept"
    RETIRED = "retired"
    IN_SERVICE = "in service"
    OVER = "over"
    AT_NEXT_START = "at its next start"
    NEW_SETTINGS = "new settings"
    LEFT_ALONE = "left alone"
    NOT_READ = "not read"
    PARTLY_READ = "partly read"
    AS_FILE = "as its file says"
    LEARNT_ANEW = "learnt anew"
    INTERRUPTED = "interrupted"
    STILL_THERE = "still there"


FIREWALL = "firewall"
"""What a firewall's change changes."""

QUIET = frozenset({Effect.WAITING, Effect.NOTICE, Effect.REFUSED, Effect.UNABLE})
"""Those that ``apply`` does nothing for."""


@dataclass(frozen=True, kw_only=True)
class NewMachine:
    """A machine that is to be made, as the other side of its creation.

    Attributes:
        attributes: values by attribute (:mod:`orchestrator.resources.attributes`).
        disks: GiB, by name.
        nodes: the only ones where it can be made; empty where any will do.
        kinds: what is asked of each kind of thing that belongs to it, by the kind's name.
    """

    attributes: Mapping[str, object]
    disks: Mapping[str, int]
    address: IPv4Address
    image: str
    nodes: tuple[str, ...] = ()
    backup_days: int | None = None
    kinds: Mapping[str, Asked] = field(default_factory=dict)


RENAMED, CLIENT = "renamed", "client"
"""What a machine's new name, and its client's, change."""

MACHINE, SNAPSHOT, BACKUP, UPDATES = "machine", "snapshot", "backup", "updates"
THINGS = (MACHINE, SNAPSHOT, BACKUP, UPDATES)
"""What changes are attributes of, besides the kinds of :mod:`orchestrator.resources.kinds`: the KIND of addresses."""


ALL = "*"
"""All things of a kind, as the name in an address."""


@dataclass(frozen=True, kw_only=True, order=True)
class Address:
    """What a change is made to: ``CLIENT/KIND/NAME``, as plans name it and ``--only`` takes it.

    Attributes:
        name: the machine's; of one of several things of a machine ``MACHINE:PART``.
    """

    client: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.client}/{self.kind}/{self.name}"


class ChangeClass(StrEnum):
    """The class of a change in the contract's change management (article 3.8.4)."""

    STANDARD = "standard"
    SIGNIFICANT = "significant"
    MAJOR = "major"


class Judged(NamedTuple):
    """What changes of an attribute, or of a kind of thing, are to the contract (article 3.8.4).

    Attributes:
        counted: whether they are interventions for the client.
        ordered: whether they need an order's reference, and are then no interventions: ``larger`` where only a growing
            value does.
    """

    change_class: ChangeClass
    reason: str
    counted: bool = True
    ordered: Literal["no", "always", "larger"] = "no"


@dataclass(frozen=True, kw_only=True)
class Restart:
    """When a machine restarts for a change.

    Attributes:
        when: in this run, in its next maintenance window, or nobody knows, for no window was agreed.
        opens: when the next window opens (aware).
        closes: when the window that is open now closes (aware); None where a restart is told in any case.
    """

    when: Literal["now", "window", "not-planned"]
    opens: dt.datetime | None = None
    closes: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference, as data: :mod:`orchestrator.planning.words` says it to people.

    Attributes:
        effect: what kind of difference.
        what: the attribute that changes: ``memory``, ``disk data``, ``firewall``.
        thing: what kind of thing it is an attribute of: the machine itself, or something that belongs to it.
        part: which of several such things of the machine: a snapshot's name; None where there is one.
        before: the observed side, a value; None where there is none. Of which type follows from ``what``.
        after: the desired side.
        change_class: standard, significant or major (article 3.8.4); None where nothing is made. Given by
            :mod:`orchestrator.planning.classes`.
        class_reason: why it has that class.
        drift: true if the hypervisor differs though what we last applied did not ask for it.
        restart: when the machine restarts for it; None if it does not.
        erases: whether data goes that would have stayed without the change: never a machine's own.
        why: reason and way out, for refusals and notices; may name an article.
    """

    effect: Effect
    what: str
    thing: str = MACHINE
    part: str | None = None
    before: object = None
    after: object = None
    change_class: ChangeClass | None = None
    class_reason: str | None = None
    drift: bool = False
    restart: Restart | None = None
    erases: bool = False
    why: str | None = None

    @property
    def restart_at(self) -> dt.datetime | None:
        """When the window of a planned restart opens (aware); None if it is done now, not planned, or none."""
        return self.restart.opens if self.restart else None

    @property
    def effective(self) -> bool:
        """Whether ``apply`` does something for it."""
        return self.effect not in QUIET
