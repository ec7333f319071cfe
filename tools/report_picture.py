"""Draw docs/monthly-report.png: the first page of a client's report, from a model's figures and an invented history.

python -m tools.report_picture        (needs pdftocairo, from poppler-utils)
"""

from __future__ import annotations

import datetime as dt
import math
import os
import subprocess
import tempfile
from pathlib import Path

from orchestrator.contract.calendar import PARIS
from orchestrator.history import History, open_history
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

_GIB = 1024**3
_BEGINS = int(dt.datetime(2026, 10, 1, tzinfo=PARIS).timestamp())
_DAYS = 31
_STEP = 6 * 3600


def _measure(desk: Desk, name: str, share: float) -> None:
    """A month of days and nights."""
    vmid = desk.machines()[name]["vmid"]
    for step in range(_DAYS * 86400 // _STEP):
        wave = share * (1 + 0.6 * math.sin(step * math.pi / 2) + 0.2 * math.sin(step / 5))
        figures = {
            "cpu": wave,
            "mem": (1.5 + wave) * _GIB,
            "netin": 4e5 * wave,
            "netout": 9e5 * wave,
            "diskwrite": 5e5 * wave,
        }
        start = _BEGINS + step * _STEP
        desk.fakes["paris"].control(
            "measure", vmid=vmid, start=start, end=start + _STEP, figures=figures, stopped=False
        )


def _night(history: History, name: str, day: int) -> None:
    began = dt.datetime(2026, 10, day, 22, 10, tzinfo=PARIS)
    history.append(
        who="night", why="schedule", client="dupont", machine=name, site="paris", action="backup", run="night",
        result="failed" if day == 12 and name == "db-1" else "ok", at=began, seconds=540.0,
        message="the storage is full" if day == 12 and name == "db-1" else f"backup:{name}-{day}.zst, {2 * _GIB} bytes",
    )  # fmt: skip


def _declared(desk: Desk) -> None:
    """An outage that counts in part."""
    outage = ("--from", "2026-10-08 17:30", "--to", "2026-10-09 09:00", "--text", "panne d'un nœud")
    notified = ("--notified-at", "2026-10-08 17:40", "--notified-by", "Mme Durand")
    excused = (
        "--from",
        "2026-10-09 08:00",
        "--to",
        "2026-10-09 08:30",
        "--text",
        "coupure chez un autre opérateur",
    )
    for arguments in (
        ("outage", "add", "dupont/web-1", *outage, *notified),
        ("event", "add", "dupont/web-1", *excused, "--cause", "v", "--reference", "T-118"),
    ):
        answer = desk.run(*arguments)
        if answer.code:
            raise SystemExit(str(answer))


def main() -> None:
    """Set a scene, write the report, and draw its first page."""
    with tempfile.TemporaryDirectory() as temporary, FakePve() as fake:
        folder = Path(temporary)
        os.environ["ORCHESTRATOR_HISTORY"] = str(folder / "h.db")
        fake.control("add_template", vmid=9000, name="debian-12")
        fake.control("release", release="9")
        desk = Desk(folder, {"paris": fake})
        machines = [
            machine(name, vcpus=2, memory="4GiB", fee=fee)
            for name, fee in (("web-1", "400.00"), ("db-1", "250.00"))
        ]
        managed = {"level": "supervision", "standard_changes_per_month": 4}
        desk.write(subscription("dupont", machines, managed_services=managed))
        answer = desk.apply()
        if answer.code:
            raise SystemExit(str(answer))
        desk.put_in_service(firewall=True)
        for name, share in (("web-1", 0.35), ("db-1", 0.2)):
            _measure(desk, name, share)
        fake.set_clock(_BEGINS + (_DAYS + 2) * 86400)
        _declared(desk)
        with open_history(desk.folder / "h.db") as history:
            for day in range(1, _DAYS + 1):
                for name in ("web-1", "db-1"):
                    _night(history, name, day)
        answer = desk.run("report", "dupont", "--month", "2026-10", "--format", "pdf", "--output", "r.pdf")
        if answer.code:
            raise SystemExit(str(answer))
        picture = Path("docs/monthly-report.png").with_suffix("").resolve()
        page = ("-png", "-r", "70", "-f", "1", "-l", "1", "-singlefile")
        subprocess.run(["pdftocairo", *page, str(desk.folder / "r.pdf"), str(picture)], check=True)


if __name__ == "__main__":
    main()
