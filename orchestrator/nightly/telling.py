"""A night, told to somebody: the provider, who sees all of it, or one client, who sees only what is theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.nightly.result import LineOfMachine, NightReport
    from orchestrator.reports.language import Speech

MACHINE = ("client", "machine", "site")
"""The labels of a machine's figures; :func:`key` gives their values."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """A night, told to somebody.

    Attributes:
        report: what is told; for a client nothing else than the client's own lines.
        speech: in which language.
        client: to whom; None: the provider.
        incomplete: whether a client's lines may be missing: the night had problems that the client is not shown.
    """

    report: NightReport
    speech: Speech
    client: str | None
    incomplete: bool

    def name(self, line: LineOfMachine) -> str:
        """What a machine is called: a client needs not be told whose it is."""
        return line.machine if self.client is not None else f"{line.client}/{line.machine}"

    @property
    def provider(self) -> bool:
        """Whether it is told to the provider."""
        return self.client is None

    def failures(
        self,
        name: str,
        remedy: str,
        found: Iterable[tuple[LineOfMachine, str]],
        urgency: Urgency | None = None,
    ) -> Failures:
        """Machines that something failed at.

        Args:
            name: what failed.
            remedy: what the provider does about it.
            found: the lines, each with its reason; empty if none was given.
            urgency: LATER if None.
        """
        none = self.speech.words.no_reason
        rows = tuple((self.name(line), line.site, reason or none) for line, reason in found)
        return Failures(name, remedy, rows, Urgency.LATER if urgency is None else urgency)

    @property
    def unknown(self) -> bool:
        """Whether a client's machines may have gone unseen, all of them."""
        return self.incomplete and not any(line.sighting for line in self.report.lines)


class Urgency(IntEnum):
    """What a failure puts at risk: the most urgent are told first."""

    RUN = 0
    """The night itself: what else it tells may be incomplete."""

    SERVICE = 1
    """A machine's services may not run now."""

    BACKUP = 2
    """A backup is missing, or may be worth nothing."""

    LATER = 3
    """Nothing is lost by tomorrow."""


@dataclass(frozen=True)
class Failures:
    """Failures of one kind. All of them together are what the report counts.

    Attributes:
        name: what failed, in the reader's language.
        remedy: what the provider does about it.
        found: what is concerned, where, and the reason.
    """

    name: str
    remedy: str
    found: tuple[tuple[str, str, str], ...]
    urgency: Urgency = Urgency.LATER


def key(line: LineOfMachine) -> tuple[str, str, str]:
    """What tells one machine from another."""
    return line.client, line.machine, line.site
