"""Server time of the pages that read the history: service level, history, alarms, one machine.

    python -m bench.records_pages [CLIENTS [ENTRIES]]

Five machines a client with 20 outages each, so many entries of nights besides. Prints of each page the first time,
the middle and the 95th percentile of the next ones, and its size. The month of everybody is computed beside the page.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from bench.service_level import LATER, MONTH, write_records
from bench.validate import write_files
from orchestrator.history.chain import stamp
from orchestrator.history.database import ENTRIES, HEAD
from orchestrator.interface.look_writing import keep_site
from orchestrator.interface.looked import LookedMachine, LookedSite
from orchestrator.operations.recent_files import RecentFiles
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.unit.test_sites import SITES
from tests.web.signed_in import signed_in

_SITES = SITES.replace("203.0.113.0/24, gateway: 203.0.113.1", "10.0.0.0/16, gateway: 10.0.255.254")
_SITES = _SITES.replace("203.0.113.10-203.0.113.200, nameservers: [203.0.113.2]", "10.0.0.1-10.0.250.254")
_TIMES = 40
_AT_ONCE = 20_000


def _fill(place: Path, first: int, count: int, clients: list[str]) -> None:
    """Entries as nights write them, at once: their chain is not what is measured."""
    engine = sa.create_engine(f"sqlite:///{place}")
    with engine.begin() as connection:
        for begins in range(first, first + count, _AT_ONCE):
            connection.execute(
                sa.insert(ENTRIES),
                [
                    {
                        "sequence": number, "at": stamp(LATER + dt.timedelta(seconds=number)), "who": "scheduler",
                        "why": "nightly", "client": clients[number % len(clients)], "machine": f"m{number % 5}",
                        "site": "paris", "action": ("backup", "snapshot", "verify")[number % 3], "details": "{}",
                        "result": "ok", "message": "", "upid": "UPID:pve1:0:0:0:vzdump:100:a@b!c:", "seconds": 60.0,
                        "run": "night", "previous": "", "hash": "",
                    }
                    for number in range(begins, min(begins + _AT_ONCE, first + count))
                ],
            )  # fmt: skip
        connection.execute(sa.update(HEAD).values(sequence=first + count - 1))
    engine.dispose()


def _print(what: str, get: Callable[[], int]) -> None:
    times, size = [], 0
    for _ in range(_TIMES):
        begins = time.perf_counter()
        size = get()
        times.append((time.perf_counter() - begins) * 1000)
    first, rest = times[0], sorted(times[1:])
    print(
        f"  {what:45} first {first:8.1f} ms, middle {statistics.median(rest):6.1f}, "
        f"95th {rest[int(len(rest) * 0.95)]:6.1f} ms, {size / 1024:.0f} KiB"
    )


def main() -> None:
    """Run the measurement."""
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    entries = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    print(f"pages over records: {clients * 5:,} machines, {entries:,} entries of the history")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "files").mkdir()
        (folder / "sites.yaml").write_text(_SITES)
        write_files(folder / "files", clients, faulty=False)
        settings = Settings(
            public_url="https://panel.example",
            inventory=str(folder),
            files=(folder / "files",),
            history=str(folder / "h.db"),
            reports=folder,
        )
        begins = time.perf_counter()
        read = RecentFiles(settings.inventory, settings.files).read(LATER)
        print(f"  files read in {time.perf_counter() - begins:.1f} s, {len(read.errors)} errors")
        records = write_records(folder / "h.db", list(read.subscriptions))
        _fill(folder / "h.db", records + 1, entries, [item.client for item in read.subscriptions])
        with open_desk(settings) as desk:
            _pages(desk, read.subscriptions[0].client)


def _pages(desk: Desk, client: str) -> None:
    machine = LookedMachine(client=client, machine="m1", site="paris", state="running", node="n", vmid=100)
    keep_site(desk.database, LookedSite(site="paris"), [machine], LATER)
    with signed_in(desk, "rachel") as browser:

        def page(path: str) -> Callable[[], int]:
            return lambda: len(browser.get(path).text)

        begins = time.perf_counter()
        desk.levels.of(MONTH, desk.now(), wait=600)
        print(f"  the month was computed in {time.perf_counter() - begins:.1f} s, files read anew")
        for path in (
            f"/service-level?month={MONTH}",
            f"/service-level?month={MONTH}&sort=-amount&page=3",
            f"/service-level/{client}?month={MONTH}",
            "/history",
            f"/history?client={client}",
            f"/history?client={client}&machine=m1&action=backup",
            "/history?who=nobody",
            "/history?from=2027-01-03&to=2027-01-03",
            f"/machines/{client}/m1",
            "/alarms",
        ):
            _print(path, page(path))


if __name__ == "__main__":
    main()
