"""In which order machines are updated: a few first, the rest after they are well, members of a pair never together.

How an update ended is what a guest says. So one client's machines never stop those of others: where a wave did not end
well, machines of somebody else go first anew, and only if those are not well either are the packages to blame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Key = tuple[str, str]

FIRST_SHARE = 0.1
"""The first wave is a tenth of the machines, at least one."""

LARGEST = 50
"""Machines in one wave: what goes wrong in many machines at once, one engineer has to mend."""


@dataclass(frozen=True)
class Waves:
    """Machines in the order of their updates.

    Attributes:
        groups: the waves; each begins when the one before has ended.
    """

    groups: tuple[tuple[Key, ...], ...]


def plan_waves(machines: Sequence[Key], apart: Mapping[Key, Iterable[Key]]) -> Waves:
    """Group machines into waves.

    The first wave prefers machines that have another one beside them (``apart_from``): if an update breaks it, the
    other member still serves. It has machines of as many clients as can be. Members of a pair never share a wave, and
    neither do two of a ring.

    Args:
        machines: client and machine, in any order; the answer is the same for any.
        apart: for each, those that must not be in the same wave; need not be symmetric.
    """
    left = sorted(set(machines))
    foes: dict[Key, set[Key]] = {key: set() for key in left}
    for key, others in apart.items():
        for other in others:
            if key in foes and other in foes and key != other:
                foes[key].add(other)
                foes[other].add(key)
    groups: list[tuple[Key, ...]] = []
    turns: dict[str, int] = {}
    turn: dict[Key, int] = {}
    for key in left:  # each client's first machine comes before anybody's second one
        turn[key] = turns[key[0]] = turns.get(key[0], 0) + 1
    size = max(1, math.ceil(len(left) * FIRST_SHARE)) if left else 0
    order = sorted(left, key=lambda key: (not foes[key], turn[key], key))
    while order:
        group: list[Key] = []
        for key in order:
            if len(group) < size and not foes[key].intersection(group):
                group.append(key)
        groups.append(tuple(sorted(group)))
        order = [key for key in order if key not in group]
        size = LARGEST
    return Waves(tuple(groups))


class Course:
    """The waves of one round of updates, as they come: what did not end well decides who still has a turn.

    Args:
        machines: client and machine.
        apart: as for :func:`plan_waves`.
        last: those of them that come after all others: an earlier update has not ended, and may hang again.
    """

    def __init__(
        self, machines: Iterable[Key], apart: Mapping[Key, Iterable[Key]], last: Iterable[Key] = ()
    ) -> None:
        self._apart = apart
        self._last = frozenset(last)
        self._unwell: set[str] = set()
        self._groups = self._planned(machines)

    def __bool__(self) -> bool:
        """Whether another wave is to come."""
        return bool(self._groups)

    def next(self) -> tuple[Key, ...]:
        """Take the next wave."""
        return self._groups.pop(0)

    def postpone(self, machines: Sequence[Key]) -> None:
        """Let machines have their turn once more, in a wave after all others."""
        if machines:
            self._groups.append(tuple(machines))

    def ended(self, unwell: Iterable[Key]) -> list[Key]:
        """Take note of how a wave ended.

        Args:
            unwell: its machines that are a reason for not going on.

        Returns:
            The machines that have no turn any more: those of the same clients; all, once two clients are concerned.
        """
        clients = {client for client, _ in unwell}
        if not clients:
            return []
        self._unwell |= clients
        left = [key for group in self._groups for key in group]
        stopped = [key for key in left if len(self._unwell) > 1 or key[0] in self._unwell]
        self._groups = self._planned(set(left) - set(stopped))
        return stopped

    def _planned(self, machines: Iterable[Key]) -> list[tuple[Key, ...]]:
        keys = set(machines)
        return [
            group
            for part in (keys - self._last, keys & self._last)
            for group in plan_waves(sorted(part), self._apart).groups
        ]
