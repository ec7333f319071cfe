"""What an examination finds: each thing with its place, and a remedy where there is something to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

HERE = "here"
"""The place of what concerns the computer that the program runs on."""


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works today, and will not always, or less than it could."""
    ERROR = "error"
    """Some command will fail, or already does."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        place: a site, or :data:`HERE`.
        subject: what was looked at: ``certificate``, ``storage local``.
        found: what was found.
        remedy: what to do; empty if there is nothing to do.
    """

    place: str
    subject: str
    severity: Severity
    found: str
    remedy: str = ""

    def to_data(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {**asdict(self), "severity": str(self.severity)}


@dataclass(frozen=True)
class Place:
    """Makes the findings of one place."""

    name: str

    def ok(self, subject: str, found: str) -> Finding:
        """Nothing to do."""
        return Finding(place=self.name, subject=subject, severity=Severity.OK, found=found)

    def warning(self, subject: str, found: str, remedy: str) -> Finding:
        """It works, and could be better."""
        return Finding(
            place=self.name, subject=subject, severity=Severity.WARNING, found=found, remedy=remedy
        )

    def error(self, subject: str, found: str, remedy: str) -> Finding:
        """It does not work."""
        return Finding(place=self.name, subject=subject, severity=Severity.ERROR, found=found, remedy=remedy)


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity; ok if nothing was found."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.OK)
