"""Alert rules that lack a procedure: listed in the first night of each month (article 3.8.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.nightly.bare_rule import BareRule
from orchestrator.nightly.step import Step
from orchestrator.reports.page import Section, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.step import Work
    from orchestrator.nightly.telling import Telling


class ProcedureStep(Step):
    """Lists them. It is no failure: each rule alerts all the same."""

    name = "procedures"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.found: tuple[BareRule, ...] = ()

    def decide(self) -> None:
        """Look at the rules, once a month."""
        if self.work.tonight.day == 1:
            self.found = tuple(self.work.night.bare_rules())

    def preview(self) -> Iterator[Text]:
        """Which would be listed."""
        for line in self.found:
            yield Text(f"  ? alert rule {line.rule} has no procedure", "yellow")

    def run(self) -> None:
        """Tell of each."""
        self.work.lines += self.found

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """All of them, to the provider; shown only if there are any."""
        words = telling.speech.words
        rows = [
            (line.rule, line.severity or words.nothing, line.procedure or words.nothing)
            for line in telling.report.of(BareRule)
        ]
        if rows and telling.provider:
            columns = (words.alert_rule, words.severity, words.procedure_named)
            note = words.what_to_do.format(remedy=words.bare_rules_remedy)
            tables = table_of(words.bare_rules, columns, rows, note=note)
            yield Section(title=words.bare_rules, empty=words.nothing, tables=tables)
