"""Answers of real Proxmox VE nodes to the calls that the product makes: 8.4.1 (one node), and 9.1.7 (two nodes).

A line of ``pve-VERSION.jsonl`` is a call and its answer. ``data`` is what a success held; ``is`` is the error that a
refusal, or the end of a task, has to be told as (null: none of its own); ``t`` is the time in a scenario, in seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSIONS = ("8.4.1", "9.1.7")


@dataclass(frozen=True)
class Call:
    """A recorded call with its answer."""

    method: str
    path: str
    params: dict[str, Any]
    status: int
    reason: str
    errors: dict[str, str]
    data: Any
    told_as: str | None
    scenario: str
    seconds: float | None

    @property
    def exitstatus(self) -> str | None:
        """How a task ended badly, if this says so."""
        ended = self.data.get("exitstatus") if isinstance(self.data, dict) else None
        return None if ended is None or ended == "OK" or str(ended).startswith("WARNINGS") else str(ended)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {json.dumps(self.params)}: {self.status} {self.reason}"


def calls(version: str, *, scenario: str = "") -> list[Call]:
    """What was recorded of a version; of one scenario if it is named."""
    lines = (Path(__file__).parent / f"pve-{version}.jsonl").read_text().splitlines()
    found = [_read(json.loads(line)) for line in lines]
    return [call for call in found if not scenario or call.scenario == scenario]


def _read(line: dict[str, Any]) -> Call:
    return Call(
        method=line["method"],
        path=line["path"],
        params=line["params"],
        status=line["status"],
        reason=line["reason"],
        errors=line.get("errors", {}),
        data=line.get("data"),
        told_as=line.get("is"),
        scenario=line.get("scenario", ""),
        seconds=line.get("t"),
    )
