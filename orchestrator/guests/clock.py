"""The clock of a guest: a rollback, or a snapshot with memory, leaves it in the past."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.pace import Pace
from orchestrator.guests.ssh import GuestUnreachable, connected

_TOLERANCE_SECONDS = 2.0
_MEASURED_SECONDS = 3.0


def set_clock(guest: Guest, ssh: SshSettings) -> float:
    """Set a guest's clock to ours if they differ by more than two seconds.

    Returns:
        By how many seconds the guest was behind (negative: ahead); 0 if it was right.

    Raises:
        GuestUnreachable: it cannot be reached, or its clock could not be set.
    """
    with connected(guest, ssh) as connection:
        behind = time.time() - _reading(connection.run("date +%s", ssh.connect_timeout_seconds), guest)
        if abs(behind) <= _TOLERANCE_SECONDS:
            return 0.0
        sudo = "" if guest.user == "root" else "sudo -n "
        connection.run(f"{sudo}date -u -s @{time.time():.0f}", ssh.connect_timeout_seconds)
        left = time.time() - _reading(connection.run("date +%s", ssh.connect_timeout_seconds), guest)
        if abs(left) > _TOLERANCE_SECONDS:
            pace = _pace(lambda: connection.run("cat /proc/uptime", ssh.connect_timeout_seconds), guest)
            if pace.is_too_fast:
                raise GuestUnreachable(
                    f"{guest.name}: its clock was set, but runs {pace.factor:.1f} times too fast: restart the machine "
                    "while its node is not busy (the kernel measures the clock at boot)"
                )
    if abs(left) > _TOLERANCE_SECONDS:
        raise GuestUnreachable(
            f"{guest.name}: its clock is {left:.0f} s behind and could not be set: see that {guest.user} may become "
            "root by sudo without a password"
        )
    return behind


def _pace(uptime: Callable[[], str], guest: Guest) -> Pace:
    """How fast a guest's clock runs, by what it says of its uptime twice."""
    begun = time.monotonic()
    first, asked = _reading(uptime().split(".")[0], guest), time.monotonic()
    time.sleep(_MEASURED_SECONDS)
    second, ended = _reading(uptime().split(".")[0], guest), time.monotonic()
    return Pace(inside=second - first, here=ended - asked, here_at_most=ended - begun)


def _reading(text: str, guest: Guest) -> float:
    found = re.fullmatch(r"\s*(-?[0-9]{1,12})\s*", text, re.ASCII)
    if found is None:
        raise GuestUnreachable(
            f"{guest.name}: the guest did not report its time ({text.strip()[:100]!r}): see that the shell of "
            f"{guest.user} prints nothing of its own"
        )
    return float(found[1])
