"""The Interface's pages for 10,000 machines: server time, first byte and weight of each, from the last look.

    python -m bench.interface [MACHINES]

The store is written as a look of two sites writes it, with 31 backups of each machine. Pages are asked of the real
program over HTTP on loopback, one after the other, by an account that sees everything. The server time is that between
the request and the last byte; the processor's time beside it says what a computer with nothing else to do would need.
What it takes to keep such a look is printed, too: all of it, and a look that found nothing new.
"""

from __future__ import annotations

import datetime as dt
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from orchestrator.web import app
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from orchestrator.web.sign_in import Visitor
from tests.web import generated_looks
from tests.web.signed_in import ACCOUNTS

_MACHINES = 10_000
_ROUNDS = 40
_ASKED_MS = 100
_HEAVIEST = 300_000

PAGES = (
    "/",
    "/machines",
    "/machines?page=150",
    "/machines?q=m77",
    "/machines?q=10.0.7.7",
    "/machines?needs=backup&sort=-backup",
    "/machines?sort=-volume&page=7",
    "/machines?site=lyon&state=running&sort=node",
    "/machines/dupont/m1",
    "/clients",
    "/clients?sort=-machines&page=20",
    "/clients?q=d-3",
    "/clients/dupont",
    "/search?q=m9",
    "/nights",
    "/history",
    "/alarms",
    "/plans",
    "/jobs",
    "/requests",
    "/service-level",
    "/service-level/dupont",
    "/portal",
    "/portal/machines/m1",
    "/portal/history",
    "/portal/service-level",
)

Message = MutableMapping[str, Any]


class _Timed:
    """The program with the seconds that each answer took on the server, from the request to its last byte."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self.seconds: list[float] = []
        self.processor: list[float] = []

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        began, used = time.perf_counter(), time.process_time()
        await self.program(scope, receive, send)
        if scope["type"] == "http":
            self.seconds.append(time.perf_counter() - began)
            self.processor.append(time.process_time() - used)


@contextmanager
def _serving(desk: Desk) -> Iterator[tuple[str, _Timed]]:
    timed = _Timed(app.application(desk))
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # else asyncio leaves Nagle's algorithm on
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        server = uvicorn.Server(uvicorn.Config(timed, lifespan="off", log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", timed
        finally:
            server.should_exit = True
            thread.join(30)


def _fill(desk: Desk, machines: int) -> None:
    at = desk.now() - dt.timedelta(minutes=4)
    began = time.perf_counter()
    generated_looks.keep(desk.database, machines, at)
    first = time.perf_counter() - began
    began = time.perf_counter()
    generated_looks.keep(desk.database, machines, at)
    again = time.perf_counter() - began
    print(
        f"  keeping a look of {machines} machines, 31 backups each: {first:.1f} s; nothing new: {again:.1f} s"
    )


def _entries(desk: Desk, count: int) -> None:
    for number in range(count):
        desk.history.append(
            who="timer", why="night", client=generated_looks.client_of(number), machine=f"m{number}", site="paris",
            action="backup", result="ok", run="r",
        )  # fmt: skip


def _percentile(found: list[float]) -> float:
    return statistics.quantiles(found, n=20)[-1] * 1000


def _measure(base: str, timed: _Timed, host: str) -> None:
    worst = 0.0
    with httpx.Client(base_url=base, headers={"host": host}, timeout=60) as browser:
        print(f"  {'page':<46}{'p95':>9}{'median':>9}{'CPU p95':>9}{'1st byte':>10}{'weight':>11}")
        for path in PAGES:
            browser.get(path)  # the first reads the files, and what has to be read once
            timed.seconds.clear()
            timed.processor.clear()
            first_bytes, weight, status = [], 0, 0
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                with browser.stream("GET", path) as answer:
                    chunks = answer.iter_raw()
                    weight = len(next(chunks, b""))
                    first_bytes.append(time.perf_counter() - began)
                    weight += sum(map(len, chunks))
                    status = answer.status_code
            if status != 200:
                print(f"  {path:<46}{status:>9}")
                continue
            p95, median = _percentile(timed.seconds), statistics.median(timed.seconds) * 1000
            cpu = _percentile(timed.processor)
            worst = max(worst, p95)
            flag = ("  SLOW" if p95 > _ASKED_MS else "") + ("  HEAVY" if weight > _HEAVIEST else "")
            first = statistics.median(first_bytes) * 1000
            figures = f"{p95:>6.1f} ms{median:>6.1f} ms{cpu:>6.1f} ms{first:>7.1f} ms{weight / 1000:>8.1f} kB"
            print(f"  {path:<46}{figures}{flag}")
    print(f"  the slowest p95 is {worst:.0f} ms = {worst / _ASKED_MS:.2f} of what is asked")


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else _MACHINES
    print(f"the pages of the Interface for {machines} machines, {_ROUNDS} times each")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        generated_looks.write_files(place, machines)
        settings = Settings(
            public_url="https://panel.example",
            inventory=str(place / "sites.yaml"),
            files=(place / "subscriptions",),
            history=str(place / "history.db"),
            reports=place / "reports",
        )
        whole, client = ACCOUNTS["paula"], ACCOUNTS["camille"]
        app.visitor_of = lambda request, _: Visitor(  # type: ignore[assignment,attr-defined]
            cookie="x" * 43, fresh=False,
            account=client if request.url.path.startswith("/portal") else whole,
        )  # fmt: skip
        with open_desk(settings) as desk:
            _fill(desk, machines)
            _entries(desk, 2000)
            with _serving(desk) as (base, timed):
                _measure(base, timed, settings.host)


if __name__ == "__main__":
    main()
