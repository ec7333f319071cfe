"""How long ``orchestrator validate`` takes for 1,000 clients with 5,000 machines, and how much memory.

    python bench/validate.py [CLIENTS]

Writes the files to a temporary folder, runs the command as a user would (a process of its own), and prints
what was read, the seconds and the peak resident memory. Once without mistakes, once with one in every file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MACHINES_PER_CLIENT = 5
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg1Bl/wH1SydQoVGPUVW0mIrhq6uCjSHOqPM3D1ETuc admin@client"

_HEAD = """client: client-{number}
contract: {{ reference: C-2026-{number:04d}, starts: 2026-03-01, site: paris }}
administration:
  ssh_keys: ["{key}"]
  allowed_from: [198.51.100.0/24]
managed_services:
  level: supervision
  updates: automatic
  maintenance_window: {{ days: [tuesday], from: "22:00", to: "02:00" }}
  standard_changes_per_month: 4
services:
  - offer: cloud-vm-advanced
    machines:
"""
_MACHINE = """      - name: web-{index}
        image: debian-12
        vcpus: {vcpus}
        memory: 4GiB
        disks: [{{ name: system, size: 20GiB }}, {{ name: data, size: 100GiB }}]
        address: {address}
        backup: {{ retention_days: 31 }}
        redundancy: {{ hardware: true, second_site: lyon }}
        firewall:
          engine: nftables
          open:
            - {{ port: 443, protocol: tcp, from: any }}
            - {{ ports: 5000-5010, protocol: udp, from: [10.0.0.0/8] }}
        snapshots: [{{ name: before-migration, taken_on: 2026-11-20 }}]
"""


@dataclass(frozen=True)
class Measured:
    """One run: what the command counted, how long it took, and its peak resident memory."""

    files: int
    problems: int
    seconds: float
    peak_mib: float


def write_files(folder: Path, clients: int, *, faulty: bool) -> None:
    """Write one file a client; with ``faulty`` the first machine of each has no vCPU."""
    for number in range(clients):
        text = _HEAD.format(number=number, key=_KEY)
        for index in range(MACHINES_PER_CLIENT):
            host = number * MACHINES_PER_CLIENT + index
            text += _MACHINE.format(
                index=index,
                vcpus=0 if faulty and index == 0 else 2,
                address=f"10.{host // 62500}.{host // 250 % 250}.{host % 250 + 1}",
            )
        (folder / f"client-{number}.yaml").write_text(text)


def measure(folder: Path) -> Measured:
    """Run the command on the folder."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "orchestrator", "validate", "--format", "json", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    seconds = time.perf_counter() - started
    document = json.loads(output)
    return Measured(document["files"], len(document["problems"]), seconds, usage.ru_maxrss / 1024)


def main() -> None:
    """Measure both cases and print them."""
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for faulty in (False, True):
        with tempfile.TemporaryDirectory() as name:
            write_files(Path(name), clients, faulty=faulty)
            run = measure(Path(name))
        print(
            f"{'one mistake a file' if faulty else 'no mistakes':20} {run.files} files, "
            f"{run.files * MACHINES_PER_CLIENT} machines, {run.problems} problems: "
            f"{run.seconds:.2f} s, peak {run.peak_mib:.0f} MiB"
        )


if __name__ == "__main__":
    main()
