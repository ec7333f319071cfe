"""In which order machines are updated: a few first, the rest after they are well, members of a pair never together."""

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
        groups: the waves; each begins when all of the one before are well.
    """

    groups: tuple[tuple[Key, ...], ...]


def plan_waves(machines: Sequence[Key], apart: Mapping[Key, Iterable[Key]]) -> Waves:
    """Group machines into waves.

    The first wave prefers machines that have another one beside them (``apart_from``): if an update breaks it, the
    other member still serves. Members of a pair never share a wave, and neither do two of a ring.

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
    size = max(1, math.ceil(len(left) * FIRST_SHARE)) if left else 0
    order = sorted(left, key=lambda key: (not foes[key], key))
    while order:
        group: list[Key] = []
        for key in order:
            if len(group) < size and not foes[key].intersection(group):
                group.append(key)
        groups.append(tuple(sorted(group)))
        order = [key for key in order if key not in group]
        size = LARGEST
    return Waves(tuple(groups))
