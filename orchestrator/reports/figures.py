"""Figures for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from prometheus_client import CollectorRegistry, Gauge

from orchestrator.shown import label


class Figure(Gauge):
    """A gauge whose labels may come from marks and whose value may come from a guest: any text, any number."""

    def labels(self, *values: object, **named: object) -> Self:
        """The child of these labels, each in one line and of limited length."""
        return super().labels(*(label(str(value)) for value in values), **named)

    def set(self, value: float) -> None:
        """Set the figure; a number that is too large for Prometheus becomes +Inf."""
        try:
            super().set(float(value))
        except OverflowError:
            super().set(math.inf)


class Figures:
    """The figures of one file."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Figure:
        """A new figure.

        Args:
            name: as Prometheus knows it; there is one of each.
            meaning: what it says, with its unit.
            labels: the names of its labels.
        """
        return Figure(name, meaning, labels, registry=self._registry)
