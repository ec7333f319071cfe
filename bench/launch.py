"""Runs a command and prints, as JSON, what it took. A small process of its own.

    python -m bench.launch PROGRAM ARGUMENT…

The peak memory of a process begins with that of the one that forked it, so the measurement itself, which holds a whole
modelled cluster's files, must not be the one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Run it, and print its exit code, what it said, and its seconds, processor seconds and peak resident MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "code": process.returncode,
                "text": text,
                "seconds": seconds,
                "cpu": usage.ru_utime + usage.ru_stime,
                "mib": usage.ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
