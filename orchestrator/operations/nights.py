"""The nights that left a report: what each came to, and the report itself."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from orchestrator.contract.calendar import night_of
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.nightly.summary import NightSummary

_NAME = re.compile(
    r"night-(?P<night>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:-(?P<site>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?))?"
)
_LOOKED_BACK = 60
"""Reports that are looked through for the last night of each site."""

_LARGEST_SUMMARY = 1024 * 1024
_LARGEST_REPORT = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class NightKept:
    """A night that left a report.

    Attributes:
        name: of its files, without their endings.
        night: the day it began on.
        site: the only one it was about; empty: it says itself which.
        summary: None: it left none that can be read, as earlier versions did.
    """

    name: str
    night: dt.date
    site: str = ""
    summary: NightSummary | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """Those it was about, as far as that is known."""
        return self.summary.sites if self.summary else (self.site,) if self.site else ()

    @property
    def well(self) -> bool | None:
        """Whether nothing went wrong; None if that is not known."""
        return self.summary.well if self.summary else None


class NightReports:
    """The folder of the nights' reports. Its list is read again when a file came or went. Safe in several threads."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet.

        Args:
            folder: where nights write their reports; it need not be there.
        """
        self._folder = folder
        self._guard = threading.Lock()
        self._stamp: object = None
        self._names: tuple[NightKept, ...] = ()

    def listed(self, first: int, count: int) -> tuple[NightKept, ...]:
        """Some nights with their summaries, the latest first.

        Args:
            first: how many are passed over.
            count: how many at most.

        Raises:
            RequestRefused: the folder cannot be read.
        """
        return tuple(self._with_summary(kept) for kept in self._all()[first : first + count])

    def total(self) -> int:
        """How many nights left a report.

        Raises:
            RequestRefused: the folder cannot be read.
        """
        return len(self._all())

    def named(self, name: str) -> NightKept | None:
        """A night by the name of its files; None: there is none.

        Raises:
            RequestRefused: the folder cannot be read.
        """
        found = next((kept for kept in self._all() if kept.name == name), None)
        return self._with_summary(found) if found else None

    def report(self, kept: NightKept) -> bytes:
        """A night's whole report, HTML.

        Raises:
            RequestRefused: it cannot be read, or is larger than any report.
        """
        return self._read(kept, ".html", _LARGEST_REPORT)

    def latest(
        self, sites: Collection[str], now: dt.datetime
    ) -> tuple[tuple[NightKept, ...], tuple[str, ...]]:
        """The last night of each site, and the sites whose last whole night left no report.

        Args:
            sites: that are there.
            now: the time, aware.

        Raises:
            RequestRefused: the folder cannot be read.
        """
        wanted = night_of(now) - dt.timedelta(days=1)
        left, late, last = set(sites), set[str](), []
        for kept in self._all()[:_LOOKED_BACK]:
            if not left:
                break
            full = self._with_summary(kept)
            covered = left.intersection(full.sites) if full.sites else set(left)
            if covered:
                last.append(full)
                left -= covered
                late |= covered if kept.night < wanted else set()
        return tuple(last), tuple(sorted(late | left))

    def _all(self) -> tuple[NightKept, ...]:
        with self._guard:
            try:
                stamp = self._folder.stat().st_mtime_ns
            except FileNotFoundError:
                return ()
            except OSError as error:
                raise _unreadable(error) from None
            if stamp != self._stamp:
                self._names = tuple(
                    sorted(self._scan(), key=lambda kept: (kept.night, kept.name), reverse=True)
                )
                self._stamp = stamp
            return self._names

    def _scan(self) -> Iterator[NightKept]:
        try:
            for path in self._folder.iterdir():
                found = _NAME.fullmatch(path.stem) if path.suffix == ".html" else None
                if found is None:
                    continue
                try:
                    night = dt.date.fromisoformat(found["night"])
                except ValueError:
                    continue
                yield NightKept(name=path.stem, night=night, site=found["site"] or "")
        except OSError as error:
            raise _unreadable(error) from None

    def _with_summary(self, kept: NightKept) -> NightKept:
        try:
            summary = NightSummary.model_validate_json(self._read(kept, ".json", _LARGEST_SUMMARY))
        except (RequestRefused, ValidationError):
            return kept
        return NightKept(name=kept.name, night=kept.night, site=kept.site, summary=summary)

    def _read(self, kept: NightKept, ending: str, largest: int) -> bytes:
        path = self._folder / f"{kept.name}{ending}"
        try:
            with path.open("rb") as file:
                found = file.read(largest + 1)
        except OSError as error:
            raise _unreadable(error) from None
        if len(found) > largest:
            raise RequestRefused(f"{path} is larger than {largest} bytes: no night writes such a report")
        return found


def _unreadable(error: OSError) -> RequestRefused:
    return RequestRefused(
        f"the reports of the nights cannot be read: {local_reason(error)}: see to the folder of --report-dir"
    )
