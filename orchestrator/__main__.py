"""Entry point: ``orchestrator`` and ``python -m orchestrator``."""

import gc

from orchestrator.cli import app


def tune_collector() -> None:
    """Let the garbage collector look less often: a plan's values are many, make no cycles, and live to its end.

    With the usual thresholds, ten times the machines took sixteen times as long (``bench.plan_size``).
    """
    gc.set_threshold(200_000, 50, 50)


def main() -> None:
    """Run the command line."""
    tune_collector()
    app()


if __name__ == "__main__":
    main()
