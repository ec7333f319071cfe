"""Every fault at every call of a run: it converges, or it says what to do and the next run finishes.

``docs/faults.md`` holds the results; ``make faults`` writes it.
"""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.api.fakepve_handle import FakePve
from tests.api.fault_runs import ApplyRun, Ending, NightlyRun, ReferenceRun, TerminationRun
from tests.api.fault_table import (
    CONVERGED,
    FAULTS,
    LEFT_OUT,
    NEXT_RUN,
    PAGE,
    Column,
    FaultKind,
    Place,
    places,
    read_page,
)

_RUNS: tuple[type[ReferenceRun], ...] = (ApplyRun, NightlyRun, TerminationRun)
_WHAT = re.compile(r"(?:GET|POST|PUT|DELETE) /|task \w+|VM \d+|snapshot \w+|storage \w+|node \w+")
_REMEDY = re.compile(
    r"\b(?:check (?:that|token_id|its notes)|run the same command again|plan again|apply again|look at|see the|"
    r"see task|see Datacenter|See that|bring it back|restore its notes|Put its notes back)\b"
)


class Stage:
    """A reference run with what it is without faults."""

    def __init__(self, run: ReferenceRun) -> None:
        self.run = run
        names = run.names()
        run.fake.control("trace", on=True)
        ending = run.run()
        trace = run.fake.control("trace", on=False)
        assert ending.well, ending
        self.wanted = run.state()
        assert not self.wanted["volumes of nobody"] and not self.wanted["running tasks"], self.wanted
        self.places = places(trace, names | run.names())

    def cell(self, place: Place, fault: FaultKind) -> str:
        """Run with a fault at a call. Return the cell; what is wrong, if something is."""
        run = self.run
        run.begin_anew()
        run.fake.fault(**place.options(fault))
        ending = self._run(limits=fault.limits)
        if run.fake.control("clear_faults"):
            return "the fault met no call"
        if isinstance(ending, str):
            return ending
        if ending.well:
            return self._difference() or CONVERGED
        for text in ending.told:
            if not _WHAT.search(text) or not _REMEDY.search(text) or "internal error" in text:
                return f"no clear error: {text!r}"
            if run.fake.token_secret in text:
                return f"the token is told: {text!r}"
        again = self._run(again=True)
        if isinstance(again, str):
            return f"the next run: {again}"
        if not again.well:
            return f"{ending.told}; and the next run failed as well: {again.told}"
        return f"{ending.told}; {wrong}" if (wrong := self._difference()) else NEXT_RUN

    def _run(self, **options: Any) -> Ending | str:
        try:
            return self.run.run(**options)
        except Exception:
            return f"a traceback: {traceback.format_exc()}"

    def _difference(self) -> str:
        state = self.run.state()
        found = [
            f"{key}: {_less(state[key], self.wanted[key])}, not {_less(self.wanted[key], state[key])}"
            for key in self.wanted
            if state[key] != self.wanted[key]
        ]
        return "; ".join(found)


def _less(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return [item for item in one if item not in other] or one
    return one


@pytest.fixture(scope="session")
def stages() -> Iterator[Any]:
    """Make the stage of each run once. In memory: a history on a disk costs more than all the rest of a run."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder, ExitStack() as fakes:

        @cache
        def stage(kind: type[ReferenceRun]) -> Stage:
            own = Path(folder) / kind.name
            own.mkdir()
            return Stage(kind(fakes.enter_context(FakePve()), own))

        yield stage


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("kind", _RUNS, ids=lambda kind: kind.name)
def test_a_fault_at_every_call(
    stages: Any, kind: type[ReferenceRun], fault: FaultKind, record_property: Any
) -> None:
    stage: Stage = stages(kind)
    page = read_page(PAGE.read_text()) if PAGE.exists() else {}
    kept = page.get(kind.name, {}).get(fault.name, {})
    column: Column = dict.fromkeys((place.row for place in stage.places), LEFT_OUT)
    for place in stage.places:
        if place.can_have(fault):
            column[place.row] = stage.cell(place, fault)
            if fault.hurried and column[place.row] != kept.get(place.row):
                column[place.row] = stage.cell(place, fault.unhurried())
    record_property("fault table", [kind.name, fault.name, column])
    wrong = {row: cell for row, cell in column.items() if cell not in (CONVERGED, NEXT_RUN, LEFT_OUT)}
    assert not wrong, "\n\n".join(f"{row}: {cell}" for row, cell in wrong.items())
    # The end of a contract writes no configuration with a digest; every other fault meets a call in every run.
    meets = (kind, fault.name) != (TerminationRun, "stale digest")
    assert bool(set(column.values()) - {LEFT_OUT}) is meets, "which calls can have this fault has changed"
    if "WRITE_FAULTS" not in os.environ:
        assert column == kept, f"{PAGE} is out of date: see what changed, then `make faults`"
