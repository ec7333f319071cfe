"""The clocks are compared when a night begins, and again before anything is removed: hours have passed by then."""

from __future__ import annotations

from orchestrator.nightly.step import Step


class ClockStep(Step):
    """Compares the clocks with each other and with the history, before anything is decided."""

    name = "clocks"

    def decide(self) -> None:
        """Compare them."""
        work, night = self.work, self.work.night
        wall = night.wall_clock or night.clock
        work.problems += work.decided(
            self.name, lambda: night.clocks.compare_with_history(work.history, wall()), []
        )
        work.problems += night.look_at_clocks(list(work.readings))


class ClockAgainStep(Step):
    """Compares the clocks again."""

    name = "clocks"

    def run(self) -> None:
        """Compare them: one call per site."""
        self.work.problems += self.work.night.look_at_clocks(list(self.work.readings))
