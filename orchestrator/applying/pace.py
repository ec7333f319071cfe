"""How many things of one kind run at a time: more while all goes well, half as many at the first lock time-out.

What it goes by (Proxmox VE's own numbers): a disk allocation locks its storage, and whoever wants that lock waits 10 s
for it, then fails with "can't lock file ... got timeout". Things that were begun together and end within
:data:`SPREAD_SECONDS` of each other did not queue up behind one another, so three times as many would wait for less
than those 10 s.
"""

from __future__ import annotations

SPREAD_SECONDS = 3.0
"""Ends that lie closer together show no queue: see the text above."""

_FASTER = 3
_MOST_HALVINGS = 8


class Pace:
    """The limit of one lane. Pure arithmetic: no clock and no threads; see :class:`orchestrator.applying.limits.Lane`.

    A window is as many things that went well as run at a time. After a window without a sign of a queue the limit is
    multiplied, after another one it grows by one. At a time-out it is halved, and from then on it only grows by one,
    after longer windows each time: so n things meet about log2(n) time-outs after the first, not one in every few.

    Attributes:
        limit: how many may run at a time now.
        quickest: seconds that the quickest took so far; None before the first has ended.
        halvings: how often the limit was halved. Whoever began before the last halving says nothing new by timing out.
    """

    def __init__(self, first: int, most: int) -> None:
        """Begin.

        Args:
            first: how many may run at a time at first, at least 1.
            most: how many at most.
        """
        self.limit = first
        self.quickest: float | None = None
        self.halvings = 0
        self._most = most
        self._window: list[float] = []

    def went_well(self, seconds: float) -> None:
        """Take into account that one ended well.

        Args:
            seconds: how long it took.
        """
        self.quickest = seconds if self.quickest is None else min(seconds, self.quickest)
        self._window.append(seconds)
        if len(self._window) < self.limit << min(self.halvings, _MOST_HALVINGS):
            return
        queued = max(self._window) - min(self._window) > SPREAD_SECONDS
        grown = self.limit + 1 if self.halvings or queued else self.limit * _FASTER
        self.limit = min(grown, self._most)
        self._window.clear()

    def timed_out(self, began: int, at_work: int) -> None:
        """Take into account that one met a lock time-out.

        Args:
            began: :attr:`halvings` when it began: those that time out together halve the limit once.
            at_work: how many ran, this one included.
        """
        self._window.clear()
        if began == self.halvings:
            self.limit = max(1, min(self.limit, at_work) // 2)
            self.halvings += 1
