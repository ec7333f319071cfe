"""Removing what the suite made: machines, copies, archives, pools. Nothing that does not carry its mark is touched.

    python -m tests.acceptance.cleaning            everything that runs of the suite left behind, whichever they were
    python -m tests.acceptance.cleaning --guard    wait until standard input ends, then what one run left behind

A VM is the suite's if its notes name a client that begins with ``acceptance-`` and its number is in the suite's range:
both. A guard is started beside each run; it also lives through a ``kill -9`` of the run.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from orchestrator.applying.lock_note import LOCK_POOL, read_note
from orchestrator.operations.run import connect
from orchestrator.proxmox import (
    Cluster,
    ClusterState,
    NotFound,
    ProxmoxError,
    read_archives,
    read_cluster,
    read_pools,
)
from orchestrator.resources.copies import read_copy_mark
from orchestrator.resources.machine_archives import read_archive_mark
from orchestrator.resources.notes import read_mark
from orchestrator.sites.secrets import resolve
from tests.acceptance.settings import PREFIX, Run, read_run

_PATIENCE_SECONDS = 900.0
_PAUSE_SECONDS = 2.0
_TASK_SECONDS = 600.0
_QUIET_LOOKS = 2
"""So many looks have to find nothing: a clone that was asked for a moment ago may not be listed yet."""


@contextmanager
def clusters(run: Run) -> Iterator[dict[str, Cluster]]:
    """Every site's API, as the inventory's token."""
    made = {
        name: connect(name, site, resolve(site.api.token_secret)) for name, site in run.provider.sites.items()
    }
    try:
        yield made
    finally:
        for cluster in made.values():
            cluster.close()


def is_ours(client: str | None, prefix: str) -> bool:
    """Whether a client is one of the suite's, or of one run of it."""
    return client is not None and client.startswith(PREFIX) and client.startswith(prefix)


def clean(run: Run, prefix: str = PREFIX) -> list[str]:
    """Remove everything whose client begins with a prefix, until nothing is found any more. Return what was removed.

    Raises:
        TimeoutError: something is still there after a quarter of an hour.
    """
    removed: list[str] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS
    quiet = 0
    with clusters(run) as reached:
        while quiet < _QUIET_LOOKS:
            found = [item for cluster in reached.values() for item in _round(cluster, run, prefix, removed)]
            quiet = 0 if found else quiet + 1
            if quiet < _QUIET_LOOKS:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"still there: {', '.join(found)}")
                time.sleep(_PAUSE_SECONDS)
    return removed


def _round(cluster: Cluster, run: Run, prefix: str, removed: list[str]) -> list[str]:
    """Look once, and remove what can be removed now. Return what was found."""
    found = []
    state = read_cluster(cluster)
    for vm in state.vms:
        if vm.vmid not in run.ids or vm.template:
            continue
        path = f"/nodes/{vm.node}/qemu/{vm.vmid}"
        try:
            config = cluster.get(f"{path}/config")
            notes = str(config.get("description") or "")
            mark = read_mark(notes) or read_copy_mark(notes)
            if mark is None or not is_ours(mark.client, prefix):
                continue
            found.append(f"VM {vm.vmid} {vm.name} at {cluster.site}")
            if config.get("lock"):
                continue  # its task is at work: the next round sees what became of it
            if cluster.get(f"{path}/status/current")["status"] != "stopped":
                cluster.run_task("POST", f"{path}/status/stop", timeout_seconds=_TASK_SECONDS)
            if str(config.get("protection", "0")) != "0":
                cluster.put(f"{path}/config", protection=0)
            cluster.run_task(
                "DELETE",
                path,
                params={"purge": 1, "destroy-unreferenced-disks": 1},
                timeout_seconds=_TASK_SECONDS,
            )
            removed.append(found[-1])
        except NotFound:
            continue
        except ProxmoxError:  # locked, busy: the next round tries again, and the deadline tells
            continue
    found += _archives(cluster, state, run, prefix, removed)
    found += _locks(cluster, prefix, removed)
    for pool in state.pools:
        if is_ours(pool.removeprefix("client-"), prefix) and pool.startswith("client-"):
            found.append(f"pool {pool} at {cluster.site}")
            with suppress(ProxmoxError):  # not empty yet
                cluster.delete(f"/pools/{pool}")
                removed.append(found[-1])
    return found


def _archives(cluster: Cluster, state: ClusterState, run: Run, prefix: str, removed: list[str]) -> list[str]:
    found = []
    for storage in run.provider.sites[cluster.site].backup_storages:
        node = next(
            (s.node for s in state.storages if s.name == storage.name and s.status == "available"), None
        )
        if node is None:
            continue
        for archive in read_archives(cluster, node, storage.name):
            mark = read_archive_mark(archive.notes)
            if mark is not None and is_ours(mark.client, prefix) and archive.vmid in run.ids:
                found.append(f"archive {archive.volid}")
                with suppress(ProxmoxError):
                    cluster.delete(archive.path)
                    removed.append(found[-1])
    return found


def _locks(cluster: Cluster, prefix: str, removed: list[str]) -> list[str]:
    """Remove the locks of killed commands: the next run would, but nothing is to be left."""
    found = []
    for pool, comment in read_pools(cluster).items():
        note = read_note(comment) if LOCK_POOL.fullmatch(pool) else None
        if note is None or not note.process.dead:
            continue
        clients = [claim.removeprefix("client/") for claim in note.claims if claim.startswith("client/")]
        if all(is_ours(client, prefix) for client in clients):
            found.append(f"lock {pool} at {cluster.site}")
            with suppress(ProxmoxError):
                cluster.delete(f"/pools/{pool}")
                removed.append(found[-1])
    return found


def guard(run: Run) -> int:
    """Wait until the run ends, however it does; end what it started and remove what it made, unless it said ``clean``.

    Lines on standard input: ``+PID`` and ``-PID`` of the commands that it starts, ``clean`` at its end.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what ends the run must not end its guard
    pids: set[int] = set()
    for line in sys.stdin:
        text = line.strip()
        if text == "clean":
            return 0
        (pids.add if text[0] == "+" else pids.discard)(int(text[1:]))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    clean(run, run.client)
    return 0


def main() -> int:
    """Clean, or guard a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--guard", action="store_true")
    arguments = parser.parse_args()
    run = read_run()
    if run is None:
        parser.error("ACCEPTANCE_INVENTORY names no inventory: make acceptance-clean INVENTORY=FOLDER")
    if arguments.guard:
        return guard(run)
    removed = clean(run)
    print("\n".join(f"removed {item}" for item in removed) or "nothing was left behind")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
