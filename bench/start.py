"""How long ``orchestrator --help`` takes, and what it imports.

python -m bench.start
"""

from __future__ import annotations

import subprocess
import sys
import time

_ROUNDS = 10


def _seconds(*arguments: str) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Measure and print."""
    bare, helped = _seconds("-c", "pass"), _seconds("-m", "orchestrator", "--help")
    code = "import sys, orchestrator.cli; print(len(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(
        f"orchestrator --help   {helped:.2f} s = {helped / bare:.1f} times an empty Python, {modules} modules"
    )


if __name__ == "__main__":
    main()
