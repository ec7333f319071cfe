"""A client's files, history and observations for tests of the service level, in a folder of their own."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.contract.moments import read_moment
from orchestrator.history import open_history
from orchestrator.history.declared import ExcusableEvent, Maintenance, Outage
from orchestrator.history.intervals import Cause, Span
from orchestrator.history.observations import Known, Observations, Outcome
from orchestrator.history.records import Recorded
from orchestrator.operations.declaring import DeclareRequest, add_one, declared
from tests.unit.subscription_texts import HEAD, file_of, machine
from tests.unit.test_sites import SITES

LATER = "2028-01-01 00:00"


def moment(text: str) -> dt.datetime:
    """A time in Paris."""
    return read_moment(text).astimezone(dt.UTC)


@dataclass(frozen=True)
class World:
    """A provider with one client, dupont, and its history."""

    folder: Path

    @property
    def history(self) -> Path:
        return self.folder / "h.db"

    def write(self, fee: str | None = "400.00", contract: str = "", managed: str | None = None) -> None:
        """Write the client's file: web-1 with a fee, db-1 with one of its own."""
        extra = "" if fee is None else f'fee: "{fee}"'
        text = file_of(machine(extra) + machine('fee: "100.00"', name="db-1"))
        if managed is not None:
            head = HEAD[: HEAD.index("managed_services:")]
            text = text.replace(HEAD, f"{head}{managed}services:\n")
        text = text.replace("site: paris }", f"site: paris{contract} }}")
        (self.folder / "subscriptions" / "dupont.yaml").write_text(text)

    def observe(
        self,
        *gaps: tuple[str, str],
        machines: tuple[str, ...] = ("web-1", "db-1"),
        retired: dict[str, str] | None = None,
    ) -> None:
        """Let the machines have been seen up, from long ago until long after, but for gaps.

        Args:
            gaps: when nobody looked.
            machines: their names.
            retired: when some of them were taken out of service.
        """
        start, end = int(moment("2026-01-01 00:00").timestamp()), int(moment(LATER).timestamp())
        edges = [start, *(int(moment(edge).timestamp()) for gap in gaps for edge in gap), end]
        spans = [
            Span(
                start=begin,
                end=finish,
                state="up" if number % 2 == 0 else "unknown",
                cause=Cause.NONE if number % 2 == 0 else Cause.AWAY,
                source="export",
            )
            for number, (begin, finish) in enumerate(zip(edges, [*edges[1:-1], None], strict=False))
        ]
        known = {
            100 + number: Known(vmid=100 + number, client="dupont", machine=name, node="pve-1")
            for number, name in enumerate(machines)
        }
        seen = dict.fromkeys(known, spans)
        for vmid, name in enumerate(machines, start=100):
            if at := (retired or {}).get(name):
                left = int(moment(at).timestamp())
                ran = Span(start=start, end=left, state="up", cause=Cause.NONE, source="export")
                seen[vmid] = [
                    ran,
                    Span(start=left, end=None, state="down", cause=Cause.PLANNED, source="export"),
                ]
        outcome = Outcome(
            until=end,
            machines=known,
            spans=seen,
            listed=end,
            guests=2,
            source="export",
        )
        with Observations(self.history) as observations:
            observations.record("paris", lambda _: outcome)

    def down(self, start: str, end: str | None, *, whose: str = "web-1", at: str = LATER, **more: Any) -> int:
        """Record an outage that the client notified as it began; give its number."""
        values = {"notified_by": "client", "notified_at": start, **more}
        return self._add(Outage, {"from": start, "to": end, **values}, whose, at)

    def event(self, cause: str, start: str, end: str, *, whose: str = "web-1", at: str = LATER) -> int:
        """Record an excusable event; give its number."""
        return self._add(
            ExcusableEvent, {"cause": cause, "reference": "REF-1", "from": start, "to": end}, whose, at
        )

    def maintenance(self, start: str, end: str, *, announced: str) -> int:
        """Record planned maintenance when it was announced; give its number."""
        return self._add(Maintenance, {"from": start, "to": end, "announced": announced}, "web-1", announced)

    def _add(self, kind: Any, values: dict[str, Any], whose: str, at: str) -> int:
        said = declared(kind, {"client": "dupont", "machines": [whose], **values})
        recorded: Recorded[Any] = add_one(
            said, DeclareRequest(inventory="inv", history=str(self.history)), now=moment(at)
        ).recorded
        return recorded.number

    def made(self, machine: str, at: str) -> None:
        """Let the history say when a machine was created."""
        with open_history(self.history) as history:
            history.append(
                who="alice", why="order", client="dupont", machine=machine, site="paris", action="clone",
                result="ok", run="apply", details={}, at=moment(at),
            )  # fmt: skip

    def run(self, *arguments: str) -> Result:
        """Run the program in the world."""
        return CliRunner().invoke(app, list(arguments))

    def month(self, month: str, *, at: str = LATER) -> dict[str, Any]:
        """What the command says of a month, as JSON."""
        done = self.run("service-level", "dupont", "--month", month, "--format", "json", "--at", at)
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    def web_1(self, month: str, *, at: str = LATER) -> dict[str, Any]:
        """What the command says of the month of web-1."""
        return dict(self.month(month, at=at)["services"][0])


def make_world(folder: Path, monkeypatch: Any) -> World:
    """Make a world, and work in it."""
    (folder / "subscriptions").mkdir()
    (folder / "inv").mkdir()
    (folder / "inv" / "sites.yaml").write_text(SITES)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ORCHESTRATOR_INVENTORY", "inv")
    monkeypatch.setenv("ORCHESTRATOR_HISTORY", str(folder / "h.db"))
    monkeypatch.setenv("COLUMNS", "300")
    made = World(folder)
    made.write()
    return made
