"""Entry point: ``orchestrator`` and ``python -m orchestrator``."""

import gc
import os

from orchestrator.cli import app
from orchestrator.cli.speaking import write_on_any_terminal


def tune_collector() -> None:
    """Let the garbage collector look less often: a plan's values are many, make no cycles, and live to its end.

    With the usual thresholds, ten times the machines took sixteen times as long (``bench.plan_size``).
    """
    gc.set_threshold(200_000, 50, 50)


def main() -> None:
    """Run the command line."""
    tune_collector()
    write_on_any_terminal()
    if "_ORCHESTRATOR_COMPLETE" in os.environ:
        from orchestrator.cli.completion import answer_shells

        answer_shells()
    app()


if __name__ == "__main__":
    main()
