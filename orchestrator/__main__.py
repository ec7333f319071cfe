"""Entry point: ``orchestrator`` and ``python -m orchestrator``."""

from orchestrator.cli import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
