"""One machine that exists, as the steps of a run address it: its tasks are waited for, and written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from orchestrator.applying.limits import is_lock_timeout
from orchestrator.applying.settle import PAUSE_SECONDS, ROUNDS
from orchestrator.proxmox import LockTimeout, TaskFailed, TaskResult, Uncertain

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal, Step
    from orchestrator.applying.limits import Turn
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.observed import ObservedMachine

TASK_SECONDS = 3600.0


class Named(Protocol):
    """What says whose machine it is, and its name: a mark."""

    @property
    def client(self) -> str:
        """Whose it is."""

    @property
    def machine(self) -> str:
        """Its name in the subscription file."""


@dataclass(frozen=True, kw_only=True)
class Vm:
    """A VM of a client's machine.

    Attributes:
        pause: waits that many seconds.
    """

    cluster: Cluster
    journal: Journal
    site: str
    client: str
    machine: str
    node: str
    vmid: int
    pause: Callable[[float], None] = time.sleep

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        journal: Journal,
        machine: ObservedMachine,
        mark: Named,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> Self:
        """A machine of ours, where it was observed."""
        return cls(
            cluster=cluster,
            journal=journal,
            site=machine.site,
            client=mark.client,
            machine=mark.machine,
            node=machine.summary.node,
            vmid=machine.summary.vmid,
            pause=pause,
        )

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/nodes/{self.node}/qemu/{self.vmid}"

    def step(self, action: str, **details: Any) -> AbstractContextManager[Step]:
        """Run a step of this machine: shown, and recorded in the history with its result."""
        return self.journal.step(self.client, self.machine, self.site, action, **details)

    def task(
        self,
        step: Step,
        method: Literal["POST", "PUT", "DELETE"],
        path: str,
        params: dict[str, str | int] | None = None,
        *,
        done: Callable[[], bool],
        timeout_seconds: float = TASK_SECONDS,
        turn: Turn | None = None,
    ) -> TaskResult | None:
        """Run a task of Proxmox until its effect is there.

        Asked again where a lock was not to be had, and where the answer was lost and the effect is not there.

        Args:
            step: the step that it belongs to.
            method, path, params: the call.
            done: looks whether the effect is there.
            timeout_seconds: how long the task may take.
            turn: its place in a lane, if it has one: given back while a lock is waited for.

        Returns:
            How the task ended; None if its answer was lost and its effect is there.

        Raises:
            TaskFailed, TaskTimeout, Uncertain, ProxmoxError: as the task ended.
        """
        expected = turn.usual_seconds if turn else None
        for attempt in range(1, ROUNDS + 1):
            try:
                result = self.cluster.run_task(
                    method, path, params=params, timeout_seconds=timeout_seconds, expected_seconds=expected
                )
            except (LockTimeout, Uncertain, TaskFailed) as error:
                if isinstance(error, TaskFailed) and done():
                    return None  # an earlier request, whose answer was lost, had done it
                locked = is_lock_timeout(error)
                if attempt == ROUNDS or (isinstance(error, TaskFailed) and not locked):
                    raise
            else:
                step.ended(result)
                return result
            if turn and locked:
                turn.again(partial(self.pause, PAUSE_SECONDS))
            else:
                self.pause(PAUSE_SECONDS)
            if done():
                return None
        raise AssertionError("the last attempt returns or raises")
