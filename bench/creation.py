"""Making many machines: seconds and API calls of the whole command, against one clone's time.

    python -m bench.creation [MACHINES] [CLONE_SECONDS]

The hypervisor is fakepve in a process of its own. Three storages: one whose clones do not get in each other's way, one
where each clone holds the storage's lock for a twentieth of its time, and one where it holds it all the time; others
wait for that lock as long as Proxmox does in relation to clones of 3 s (10 s). The floor is what no program can go
below: one clone's time, or, where the lock admits one after the other, the sum of the times that it is held.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

_LOCK_WAIT = 10 / 3
"""How long a request waits for a storage's lock, in clones."""


def measure(machines: int, clone_seconds: float, held: float) -> str:
    """Make machines on an empty cluster.

    Args:
        machines: how many.
        clone_seconds: how long one clone takes.
        held: for which part of that it holds its storage's lock, 0 to 1.

    Returns:
        One line of the table.
    """
    with FakePve() as fake, tempfile.TemporaryDirectory() as folder:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(Path(folder), {"paris": fake})
        fake.control("pace", time_scale=0.001, clone_seconds=clone_seconds * (1 - held))
        if held:
            patience = clone_seconds * _LOCK_WAIT
            fake.control("allocation", storage="local", seconds=clone_seconds * held, patience=patience)
        desk.write(subscription("dupont", [machine(f"m-{number}") for number in range(machines)]))
        fake.control("reset_calls")
        began = time.monotonic()
        answer = desk.apply()
        seconds = time.monotonic() - began
        if answer.code:
            raise RuntimeError(repr(answer))
        calls = sum(fake.calls().values())
        seen = fake.control("clones_seen")
    floor = max(clone_seconds, machines * clone_seconds * held)
    return (
        f"{machines} machines, clones of {clone_seconds:g} s that hold the storage's lock for {held:.0%}: "
        f"{seconds:.1f} s = {seconds / clone_seconds:.1f} clones = {seconds / floor:.1f} x the floor, "
        f"{calls / machines:.0f} calls a machine, up to {seen['at once']} at a time, "
        f"{seen['lock timeouts']} lock time-outs, 0 errors"
    )


def main() -> None:
    """Print the table."""
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    clone_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    for held in (0.0, 0.05, 1.0):
        print(measure(machines, clone_seconds, held))


if __name__ == "__main__":
    main()
