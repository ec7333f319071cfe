"""Who is told what a run does while it does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

End = Literal["done", "failed", "interrupted"]


class Progress:
    """Told of machines and their steps; this one tells nobody. Called from any thread.

    Attributes:
        wants_shares: whether :meth:`share` is worth its price: a call more at each look at a task.
    """

    wants_shares = False

    def expect(self, machines: Iterable[tuple[str, str]]) -> None:
        """These machines, by client and name, are what the run has to do."""

    def step(self, client: str, machine: str, what: str) -> None:
        """A step begins at a machine; at a client if ``machine`` is empty."""

    def share(self, client: str, machine: str, share: float) -> None:
        """So much of the machine's step is done: 0 to 1."""

    def step_ended(self, client: str, machine: str) -> None:
        """The step is over, well or not; the machine has others, or :meth:`ended` follows."""

    def ended(self, client: str, machine: str, end: End, message: str = "") -> None:
        """The run is through with a machine, and will not name it again. ``message``: why it did not end well."""
