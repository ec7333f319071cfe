"""Run one part of the tests; a test or two that fail get a second run, alone, and are named.

python -m tools.tests_of PART [ARGUMENTS OF PYTEST]

Of thousands of tests on a busy computer, one that hangs on chance fails now and then, and says nothing about the
change it turned red for. So up to three failed tests are run once more, one by one, after all others. One that fails
again fails the part, and so does anything else that went wrong: a file that could not be collected, a worker that
died, a run that did not end, a fourth failed test. Tests that passed alone are faults of the tests, to be mended:
they are printed, and kept in ``build/unsteady.txt``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

UNSTEADY = Path("build/unsteady.txt")
MOST = 3
_ONE_FAILED = 1
"""The exit status of pytest where tests failed, and nothing else went wrong."""


def main(arguments: list[str]) -> int:
    """Run the part; returns the exit status, 0 if every test passed, if need be alone."""
    part, *options = arguments
    _keep(part, [])
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "failed.json")
        status = _pytest("-p", "tools.failed_tests", f"--failed-to={found}", *options)
        if status != _ONE_FAILED or not found.exists():
            return status
        result = json.loads(found.read_text())
    failed: list[str] = result["failed"]
    for text in result["broken"]:
        _say(f"{part}: {text}")
    if result["broken"] or not 0 < len(failed) <= MOST:
        return status
    _say(f"{part}: {len(failed)} failed; each is run once more, alone")
    unsteady = [test for test in failed if _passes_alone(test)]
    again = [test for test in failed if test not in unsteady]
    _keep(part, unsteady)
    if unsteady:
        _say(f"\n{part}: failed once and passed alone, mend {'it' if len(unsteady) == 1 else 'them'}:")
        _say("".join(f"  {test}\n" for test in unsteady).removesuffix("\n"))
    for test in again:
        _say(f"{part}: failed twice: {test}")
    return status if again else 0


def _pytest(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    status = subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
    return status if status >= 0 else 128 - status  # ended by a signal


def _passes_alone(test: str) -> bool:
    # LAB_TESTED: the lab keeps which of its files passed; one test is not its file.
    return _pytest("-q", "-n", "0", test, LAB_TESTED="") == 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _keep(part: str, tests: list[str]) -> None:
    """Replace what the file says about this part; without a line, there is no file."""
    lines = UNSTEADY.read_text().splitlines() if UNSTEADY.exists() else []
    lines = [line for line in lines if not line.startswith(f"{part}: ")]
    lines += [f"{part}: failed once and passed alone: {test}" for test in tests]
    if lines:
        UNSTEADY.parent.mkdir(exist_ok=True)
        UNSTEADY.write_text("".join(f"{line}\n" for line in lines))
    else:
        UNSTEADY.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
