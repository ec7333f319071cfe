"""Files of records: outages, excusable events and maintenance that were noted elsewhere, to be recorded together."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from orchestrator.history.declared import Declared, ExcusableEvent, Maintenance, Outage
from orchestrator.yaml_reader.checking import check
from orchestrator.yaml_reader.files import read_trusted_text
from orchestrator.yaml_reader.problems import Problem, ProblemsFound, count_errors, first_problems
from orchestrator.yaml_reader.reading import read
from orchestrator.yaml_reader.shape import keys_of
from orchestrator.yaml_reader.values import Strict

MOST = 1_000
"""Records of a kind in one file."""


class RecordsFile(Strict):
    """A file of records."""

    outages: tuple[Outage, ...] = Field(default=(), max_length=MOST, description="what was not available")
    events: tuple[ExcusableEvent, ...] = Field(
        default=(), max_length=MOST, description="excusable events of article 6"
    )
    maintenance: tuple[Maintenance, ...] = Field(
        default=(), max_length=MOST, description="planned, not begun"
    )


def read_records_file(path: Path) -> list[Declared]:
    """Read a file of records.

    Raises:
        ProblemsFound: it cannot be read, or has errors; every one of them is in the exception.
    """
    text = read_trusted_text(path)
    if isinstance(text, Problem):
        raise ProblemsFound([text])
    document = read(text, str(path), keys=keys_of(RecordsFile), kind="file of records")
    checked = check(document, RecordsFile)
    if checked.value is None or count_errors(checked.problems):
        raise ProblemsFound(first_problems(checked.problems))
    return [*checked.value.outages, *checked.value.events, *checked.value.maintenance]
