"""What a night would do, for people: ``orchestrator nightly --dry-run``."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from orchestrator.contract.calendar import paris_time
from orchestrator.nightly.step import Work


def render_night_plan(work: Work) -> Iterator[Text]:
    """Yield the lines of a night's plan, in the order of the work."""
    yield Text(
        f"night of {work.tonight}: begins {paris_time(work.started_at, weekday=True)}, "
        f"window closes {paris_time(work.night.closes_at, weekday=True)}",
        "bold",
    )
    for problem in work.problems:
        yield Text(f"  ✗ {problem}", "red")
    for reading in work.readings.values():
        for item in reading.observed.unreadable:
            if item.kind == "machine" and item.claims:
                yield Text(f"  ✗ {item.subject} is left as it is: {item.reason}", "red")
    for step in work.steps:
        yield from step.preview()
    yield Text()
    yield Text(", ".join(filter(None, (step.summary() for step in work.steps))), "bold")
