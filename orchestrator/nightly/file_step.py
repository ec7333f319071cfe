"""Clients that have machines and no file: named every night, for nothing in their machines is brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.nightly.result import Line
from orchestrator.nightly.step import Step
from orchestrator.reports.page import Section, table_of
from orchestrator.resources.without_file import WithoutFile, without_file

if TYPE_CHECKING:
    from orchestrator.nightly.step import Work
    from orchestrator.nightly.telling import Telling


@dataclass(frozen=True, kw_only=True)
class WithoutFileLine(Line):
    """A client that has machines and no file: told to the provider alone."""

    found: WithoutFile


class FileStep(Step):
    """Lists them. It is no failure: their machines are cared for as last applied."""

    name = "files"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.found: tuple[WithoutFile, ...] = ()

    def decide(self) -> None:
        """Compare the cluster's lists with the files; nothing is said where no file could be read."""
        night = self.work.night
        if night.desired:
            self.found = without_file(
                {site: reading.observed.state for site, reading in self.work.readings.items()},
                tuple(night.desired.values()),
                everybody=night.everybody,
                others=night.unusable_files,
            )

    def preview(self) -> Iterator[Text]:
        """Which would be listed."""
        for item in self.found:
            yield Text(f"  ? {item.found}: {item.remedy}", "yellow")

    def run(self) -> None:
        """Tell of each."""
        self.work.lines += [WithoutFileLine(found=item) for item in self.found]

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """All of them, to the provider; shown only if there are any."""
        words, speech = telling.speech.words, telling.speech
        rows = [
            (
                line.found.client,
                ", ".join(line.found.sites),
                speech.number(line.found.machines),
                line.found.meant or words.nothing,
            )
            for line in telling.report.of(WithoutFileLine)
        ]
        if rows and telling.provider:
            columns = (words.client, words.sites, words.machines, words.file_meant)
            note = words.what_to_do.format(remedy=words.without_file_remedy)
            tables = table_of(words.without_file, columns, rows, note=note)
            yield Section(title=words.without_file, empty=words.nothing, tables=tables)
