"""How long a month's service level takes for 1,000 machines of 200 clients with 20 outages each.

    python -m bench.service_level

Counts what a monthly run does once its files are read: records and observations from the history, and the reckoning of
every client. Prints the seconds of CPU and of the clock; then those of one client's month beside all others' records.
"""

from __future__ import annotations

import datetime as dt
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from bench.validate import write_files
from orchestrator.contract.months import Month
from orchestrator.history import open_history
from orchestrator.history.chain import stamp
from orchestrator.history.database import ENTRIES
from orchestrator.history.declared import ExcusableEvent, Outage
from orchestrator.history.details import details_as_json
from orchestrator.history.records import kind_of
from orchestrator.operations.service_level import months_of
from orchestrator.reports.client_month import ClientMonth
from orchestrator.subscriptions.loading import load
from orchestrator.subscriptions.model import Subscription

CLIENTS, OUTAGES, EVENTS = 200, 20, 2
MONTH = Month(2026, 11)
LATER = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def _said(subscriptions: list[Subscription]) -> Iterator[Outage | ExcusableEvent]:
    chance = random.Random(1)
    span = MONTH.span
    for subscription in subscriptions:
        for _, machine in subscription.machines():
            for number in range(OUTAGES + EVENTS):
                start = span.start + (span.end - span.start) * chance.random()
                end = start + dt.timedelta(seconds=chance.randrange(60, 40_000))
                client, machines = subscription.client, (machine.name,)
                if number < OUTAGES:
                    yield Outage(
                        client=client,
                        machines=machines,
                        start=start,
                        end=end,
                        notified_by="noc",
                        notified_at=start,
                    )
                else:
                    yield ExcusableEvent(
                        client=client, machines=machines, start=start, end=end, cause="v", reference="OP-1"
                    )


def write_records(place: Path, subscriptions: list[Subscription]) -> int:
    """Put the records into a history at once: their chain is not what is measured."""
    with open_history(place):
        pass
    rows = [
        {
            "sequence": number,
            "at": stamp(LATER),
            "who": "bench",
            "why": "bench",
            "client": said.client,
            "machine": said.machines[0],
            "site": "",
            "action": kind_of(said),
            "details": details_as_json(
                {"version": 1, "said": said.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
            ),
            "result": "ok",
            "message": "",
            "seconds": 0.0,
            "run": "bench",
            "previous": "",
            "hash": "",
        }
        for number, said in enumerate(_said(subscriptions), start=1)
    ]
    engine = sa.create_engine(f"sqlite:///{place}")
    with engine.begin() as connection:
        connection.execute(sa.insert(ENTRIES), rows)
    engine.dispose()
    return len(rows)


def _measure(place: Path, subscriptions: list[Subscription], client: str | None) -> list[ClientMonth]:
    wall, cpu = time.perf_counter(), time.process_time()
    with open_history(place) as history:
        months = months_of(subscriptions, MONTH, history, LATER, str(place), client=client)
    services = sum(len(month.services) for month in months)
    parts = sum(
        len(outage.parts)
        for month in months
        for service in month.services
        for outage in service.level.outages
    )
    print(
        f"  {services:,} services, {parts:,} parts of outages: {time.process_time() - cpu:.2f} s of CPU, "
        f"{time.perf_counter() - wall:.2f} s"
    )
    return months


def main() -> None:
    """Run the measurement."""
    print(f"service level: {CLIENTS * 5:,} machines with {OUTAGES} outages each")
    with tempfile.TemporaryDirectory() as folder:
        files, place = Path(folder) / "files", Path(folder) / "h.db"
        files.mkdir()
        write_files(files, CLIENTS, faulty=False)
        subscriptions = [item.subscription for item in load([files]).subscriptions]
        print(f"  {write_records(place, subscriptions):,} records")
        _measure(place, subscriptions, None)
        _measure(place, subscriptions[:1], subscriptions[0].client)


if __name__ == "__main__":
    main()
