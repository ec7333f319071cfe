"""What apply says at its end counts every machine once, and what was done in part as that."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.applying.apply import Outcome
from orchestrator.cli.apply import _counts

_MORE = ": see above; the next run continues from here"


def _outcome(machine: str, result: Any) -> Outcome:
    return Outcome(client="dupont", machine=machine, result=result)


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([("a", "done"), ("b", "done")], "2 done"),
        ([("a", "done"), ("b", "partly")], f"1 done, 1 done in part{_MORE}"),
        ([("a", "done"), ("a", "refused")], f"0 done, 1 done in part{_MORE}"),
        ([("a", "refused"), ("b", "failed"), ("c", "interrupted")], f"0 done, 3 not{_MORE}"),
        ([("a", "refused"), ("a", "refused"), ("b", "done")], f"1 done, 1 not{_MORE}"),
    ],
)
def test_each_machine_counts_once(results: list[tuple[str, str]], said: str) -> None:
    assert _counts([_outcome(machine, result) for machine, result in results]) == said
