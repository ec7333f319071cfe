"""Entry point: ``orchestrator`` and ``python -m orchestrator``."""

import atexit
import gc
import os
import sys

from orchestrator.cli import app
from orchestrator.cli.diagnostics import write_on_any_terminal


def tune_collector() -> None:
    """Let the garbage collector look less often: a plan's values are many, make no cycles, and live to its end.

    With the usual thresholds, ten times the machines took sixteen times as long (``bench.plan_size``). At the very end,
    after everything else that runs at exit, what is left is not looked through any more: the system takes it back. That
    look alone takes 0.1 s after a plan of 1,000 machines. Files and connections are closed by whoever opened them.
    """
    gc.set_threshold(200_000, 50, 50)
    atexit.register(gc.freeze)


def tune_threads() -> None:
    """Let a thread that got its answer go on within half a millisecond: ten times sooner than by default.

    While files are read and understood in one thread, the next call to a hypervisor waits for that.
    """
    sys.setswitchinterval(0.0005)


def leave_plugins_out() -> None:
    """Let no package that happens to be installed beside take part in reading files, nor pydantic look for one."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"


def open_standard_streams() -> None:
    """Let no file or connection take the number of a standard stream that was closed (``orchestrator plan >&-``).

    What is printed would end up in it. Python has no stream at all for a number that is closed. Nothing can be written
    to a standard output that was closed: who sends a result nowhere by mistake hears of it (``>/dev/null`` says it).
    """
    for number, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_RDONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def main() -> None:
    """Run the command line."""
    open_standard_streams()
    tune_collector()
    tune_threads()
    leave_plugins_out()
    write_on_any_terminal()
    if "_ORCHESTRATOR_COMPLETE" in os.environ:
        from orchestrator.cli.completion import answer_shells

        answer_shells()
    app()


if __name__ == "__main__":
    main()
