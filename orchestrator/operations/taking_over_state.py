"""How far a taking over is (article 4.2): shown, and recorded with who and when."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import RequestRefused
from orchestrator.history.declared import TakingOver
from orchestrator.history.errors import HistoryMissing
from orchestrator.history.records import add
from orchestrator.history.taking_over import Taking, takings
from orchestrator.operations.computer import operator
from orchestrator.operations.declaring import declared
from orchestrator.operations.inputs import open_subscriptions
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_history


@dataclass(frozen=True, kw_only=True)
class StateRequest:
    """What is known of a client's taking over.

    Attributes:
        client: whose estate.
        state: ``notified``, ``corrected``, ``impossible``; None: only documents came, or nothing is recorded.
        documents: names of documents that were received.
        reference: of the letter, message or quote that says so.
        day: when, ``2026-11-20``; None: today.
        inventory: where the site file is.
        files: subscription files or folders.
        history: a file or URL; None: the usual one.
    """

    client: str
    state: str | None
    documents: tuple[str, ...]
    reference: str | None
    day: str | None
    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None


def taking_over_state(request: StateRequest, events: Events = SILENT) -> Taking:
    """Record what is known, if anything is, and return how far the taking over is.

    Raises:
        RequestRefused: no file has the client, nothing of it was taken over, or what is said cannot be so.
        HistoryUnavailable: it could not be read or written.
    """
    provider = open_provider(request.inventory)
    subscriptions = open_subscriptions(request.files, provider, events.problems)
    own = next((item for item in subscriptions if item.client == request.client), None)
    if own is None:
        known = ", ".join(sorted(item.client for item in subscriptions)) or "none"
        raise RequestRefused(f"no file has a client {request.client}: there are {known}")
    if own.contract.taken_over is None:
        raise RequestRefused(
            f"{request.client} took nothing over: its file has no contract.taken_over (art. 4.2)"
        )
    recording = request.state is not None or bool(request.documents)
    try:
        with open_history(request.history, create=recording) as history:
            if recording:
                said = _said(request)
                add(history, said, who=operator(), why="taking over (art. 4.2)")
            found = takings(history, request.client)
    except HistoryMissing:
        found = {}
    return found.get(request.client, Taking(client=request.client))


def _said(request: StateRequest) -> TakingOver:
    if not request.reference:
        raise RequestRefused(
            "a state needs the letter, message or quote that says so: name it with --reference"
        )
    today = day_in_paris(dt.datetime.now(dt.UTC))
    values = {
        "client": request.client,
        "state": request.state or "documented",
        "documents": list(request.documents) or None,
        "day": request.day or today.isoformat(),
        "reference": request.reference,
    }
    said = declared(TakingOver, values)
    assert isinstance(said, TakingOver)  # noqa: S101  (it is what was asked for)
    if said.day > today:
        raise RequestRefused(f"--day {said.day} is in the future: today is {today}")
    return said
