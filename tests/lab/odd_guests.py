"""Guests that are not as they should be: a clock that runs too fast, a login that takes too long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.namespace_guest import NamespaceGuest

_FAST_CLOCK = """
import os, sys, time

factor, begun = float(sys.argv[1]), time.monotonic()
uptime = os.open("/run/uptime", os.O_RDWR | os.O_CREAT, 0o644)

def tell():
    os.pwrite(uptime, f"{begun + (time.monotonic() - begun) * factor:.2f} 0.00\\n".encode(), 0)

tell()
print(os.getpid(), flush=True)
while True:
    tell()
    time.sleep(0.02)
"""


_FAST_DATE = """
read -r now _ </proc/uptime
case $* in
+%s)
    [ -s /run/date-set ] || echo 1 "$now" >/run/date-set
    read -r set then </run/date-set
    was=$now # the next tick: between setting the clock and asking for it at least one has passed
    while [ "$now" = "$was" ]; do read -r now _ </proc/uptime; done
    awk -v set="$set" -v now="$now" -v then="$then" 'BEGIN { printf "%d", set + now - then }'
    ;;
*-s*) echo "${*##*@} $now" >/run/date-set ;;
esac
"""


@contextmanager
def fast_clock(guest: NamespaceGuest, factor: int) -> Iterator[None]:
    """Let the guest's clock run too fast, as one of a kernel that measured it wrongly.

    Namespaces share the computer's clock. So what is replaced is that by which the programs in the guest know the time:
    `sleep`, which is over too early, /proc/uptime, and `date`, whose clock begins at 1 and can be set.
    """
    programs = {
        "sleep": f'exec /bin/sleep "$(awk "BEGIN {{ print $1 / {factor} }}")"',
        "date": _FAST_DATE,
    }
    for name, commands in programs.items():
        program = guest.folder / "sbin" / name
        program.write_text(f"#!/bin/sh\n{commands}\n")
        program.chmod(0o755)
    command = guest.command_inside(sys.executable, "-c", _FAST_CLOCK, str(factor))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clock:
        try:
            assert clock.stdout is not None
            number = clock.stdout.readline().strip()
            guest.inside("mount", "--bind", "/run/uptime", "/proc/uptime")
            yield
        finally:
            guest.inside("umount", "/proc/uptime", check=False)
            guest.inside("kill", "-9", number)
            for name in programs:
                (guest.folder / "sbin" / name).unlink()


@contextmanager
def slow_login(guest: NamespaceGuest, user: str, pending: str) -> Iterator[None]:
    """Let the guest need so long for a login that what waits for its confirmation (a file) is decided before."""
    sshd_runs = guest.folder / "homes" / user / ".ssh/rc"
    sshd_runs.write_text(f"while sudo test -e {pending}; do /bin/sleep 0.1; done\n")
    try:
        yield
    finally:
        sshd_runs.unlink()
