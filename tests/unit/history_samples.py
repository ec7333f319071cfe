"""What the tests of the history share."""

from pathlib import Path
from typing import Any

from orchestrator.history import open_history

BASE: dict[str, Any] = {"who": "alice", "why": "ticket 12", "site": "paris", "run": "r1"}


def write(path: Path | str, count: int, client: str = "dupont") -> None:
    """Append entries that differ in everything that can differ."""
    with open_history(path) as history:
        for number in range(count):
            history.append(
                **BASE,
                client=client,
                machine="web-1",
                action=f"step {number}",
                details={"number": number},
                result="ok",
                message=f"message {number}",
                upid=f"UPID:paris-1:{number}:",
                seconds=number + 0.25,
            )
