"""The one loop that changes things: act on what is seen, look again, until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import (
    AlreadyExists,
    DigestMismatch,
    LockTimeout,
    NotFound,
    TaskFailed,
    Uncertain,
)

if TYPE_CHECKING:
    from orchestrator.applying.journal import Step as JournalStep
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.kind import Call

Seen = TypeVar("Seen")

ROUNDS = 8
"""Looks before giving up: one creation needs two or three; the rest is for other people's hands."""

PAUSE_SECONDS = 1.0

PASSING = (AlreadyExists, NotFound, DigestMismatch, LockTimeout, Uncertain)
"""Somebody was faster, or nobody knows whether the write took effect: looking again tells."""


def settle(
    seen: Seen,
    act: Callable[[Seen], bool],
    look: Callable[[Seen], Seen],
    *,
    pause: Callable[[float], None],
    what: str,
    where: str,
) -> Seen:
    """Act until nothing is left to do.

    Args:
        seen: what was seen before the first act.
        act: makes what is left to do; returns whether to look again. Safe to repeat.
        look: looks again, given what was seen before.
        pause: waits that many seconds.
        what: what is changed, for people: "its configuration".
        where: where people see who else changes it.

    Returns:
        What was seen last.

    Raises:
        Stopped: after :data:`ROUNDS` looks there is still something to do.
        ProxmoxError: the hypervisor refused.
    """
    for _ in range(ROUNDS):
        try:
            if not act(seen):
                return seen
        except PASSING:
            pause(PAUSE_SECONDS)
        except TaskFailed as error:
            if not isinstance(error.cause, LockTimeout):
                raise
            pause(PAUSE_SECONDS)
        seen = look(seen)
    raise Stopped(f"{what} keeps changing, so there is another writer: look at {where}, and apply again")


def make_call(cluster: Cluster, call: Call, step: Callable[..., AbstractContextManager[JournalStep]]) -> None:
    """Make a write to the API as a step that is shown and recorded, comments aside.

    Raises:
        ProxmoxError: the hypervisor refused.
    """
    writes = {"POST": cluster.post, "PUT": cluster.put, "DELETE": cluster.delete}
    told = {key: value for key, value in call.params.items() if key != "comment"}
    with step(call.action, **told):
        writes[call.method](call.path, params=call.params)
