"""Rescuing one machine: what somebody chose is done by the same operations as the single commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from orchestrator.errors import RequestRefused, about
from orchestrator.operations import (
    fail_over,
    lost_mark,
    put_aside,
    recreate,
    restart,
    restore,
    snapshot,
    start,
)
from orchestrator.operations.named_machine import MachineRequest
from orchestrator.operations.rescue_choices import Choice, choices
from orchestrator.operations.run import SILENT, Events

if TYPE_CHECKING:
    from orchestrator.operations.recreate import Proposal
    from orchestrator.operations.rescue_state import RescueState


@dataclass(frozen=True, kw_only=True)
class RescueRequest(MachineRequest):
    """What is wanted for a machine.

    Attributes:
        choice: the name of a :class:`Choice`.
        snapshot: the one to go back to.
        volid: the archive; None: the newest good one.
        copy_name: of a copy; None: the machine's with ``-rescue``.
        lose: what may be lost: ``data``, ``memory``.
        files: subscription files or folders.
        site, network, address, lost_sites: as in :class:`orchestrator.operations.recreate.RecreateRequest`.
        lost_node: the node of a machine that is failed over, named by somebody who knows that it is switched off.
        force: switch a guest off that ignores the power button.
        boot_seconds: how long a guest may take to answer.
    """

    choice: str
    snapshot: str | None = None
    volid: str | None = None
    copy_name: str | None = None
    lose: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    site: str | None = None
    network: str | None = None
    address: str | None = None
    lost_sites: tuple[str, ...] = ()
    lost_node: str | None = None
    force: bool = False
    boot_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Rescued:
    """What was done.

    Attributes:
        told: what there is now, human-readable.
        problem: what is not as it should be; None if all is well.
    """

    told: str
    problem: str | None = None


def chosen(request: RescueRequest, state: RescueState) -> Choice:
    """The choice that was made, if it can be carried out and what it costs was agreed to.

    Raises:
        RequestRefused: it cannot be, or it loses what nobody said may be lost.
    """
    with about(request.target):
        found = [
            item
            for item in choices(state, request.volid)
            if item.name == request.choice
            and (item.name != "rollback" or request.snapshot in (None, item.value))
        ]
        if not found:
            raise RequestRefused(_no_such_choice(request, state))
        if len(found) > 1 and request.choice == "rollback":
            names = ", ".join(item.value for item in found)
            raise RequestRefused(f"which snapshot? Name one with --snapshot: {names}")
        choice = next((item for item in found if not item.refused), found[0])
        if choice.refused:
            raise RequestRefused(f"{choice.name}: {choice.refused}")
        if choice.name == "fail-over" and state.lost_node and request.lost_node != state.lost_node.node:
            raise RequestRefused(fail_over.not_sure(state.lost_node.node))
        if lacking := [kind for kind in choice.loses if kind not in request.lose]:
            lost = "; ".join(f"{kind}: {choice.loses[kind]}" for kind in lacking)
            runs = "it runs, and " if state.running else ""
            raise RequestRefused(
                f"{runs}this loses {lost}. If that may be lost, say so: --lose {','.join(choice.loses)}"
            )
        return choice


def _no_such_choice(request: RescueRequest, state: RescueState) -> str:
    names = [item.name for item in choices(state, request.volid) if not item.refused]
    if request.choice == "rollback" and request.snapshot and state.found:
        there = ", ".join(item.name for item in state.found.machine.snapshots) or "none"
        return f"there is no snapshot {request.snapshot}: there are {there}"
    return f"{request.choice} is nothing that can be done for it now: {', '.join(dict.fromkeys(names))} can"


def rescue(
    request: RescueRequest,
    state: RescueState,
    agree: Callable[[Choice], bool],
    events: Events = SILENT,
    tell: Callable[[Proposal], None] = lambda proposal: None,
) -> Rescued | None:
    """Do what somebody chose.

    Args:
        request: what.
        state: of the machine, as it was shown.
        agree: asked before anything is changed.
        events: who is told what.
        tell: told how a machine is made again, before it is.

    Returns:
        What there is now; None if nobody agreed, or nothing was chosen.

    Raises:
        OrchestratorError: it could not be done; the text says what there is now.
    """
    choice = chosen(request, state)
    if choice.name == "nothing" or not agree(choice):
        return None
    return _Doing(request, state, choice, events, tell).done()


class _Common(TypedDict):
    """What every request about one machine holds."""

    target: str
    inventory: str | None
    reason: str
    history: str | None


class _Doing:
    """One choice, as a request to the operation that carries it out."""

    def __init__(
        self,
        request: RescueRequest,
        state: RescueState,
        choice: Choice,
        events: Events,
        tell: Callable[[Proposal], None],
    ) -> None:
        self._request = request
        self._state = state
        self._choice = choice
        self._events = events
        self._tell = tell

    def done(self) -> Rescued | None:
        """Carry it out."""
        match self._choice.name:
            case "start":
                return self._start()
            case "restart":
                return self._restart()
            case "rollback":
                return self._rollback()
            case "restore":
                return self._restore()
            case "copy":
                return self._copy()
            case "fail-over":
                return self._fail_over()
            case "recreate":
                return self._recreate()
            case "mark":
                return self._mark()
            case "put-aside":
                plain = MachineRequest(**self._common())
                return Rescued(told=f"put aside: {put_aside.put_aside(plain, self._events)}")
        return None

    def _common(self) -> _Common:
        request = self._request
        return {
            "target": request.target,
            "inventory": request.inventory,
            "reason": request.reason,
            "history": request.history,
        }

    def _start(self) -> Rescued:
        request = start.StartRequest(
            **self._common(), files=self._request.files, boot_seconds=self._request.boot_seconds
        )
        return Rescued(told="started", problem=start.start(request, self._events))

    def _restart(self) -> Rescued | None:
        request = restart.RestartRequest(
            **self._common(),
            files=self._request.files,
            lenient=True,
            force=self._request.force,
            boot_seconds=self._request.boot_seconds,
        )
        done = restart.restart(request, lambda waiting: True, self._events)
        return Rescued(told="restarted", problem=done.problem) if done else None

    def _rollback(self) -> Rescued | None:
        request = snapshot.RollbackRequest(
            **self._common(),
            name=self._choice.value,
            files=self._request.files,
            lenient=True,
            boot_seconds=self._request.boot_seconds,
        )
        done = snapshot.rollback(request, lambda snapshot, loss: True, self._events)
        if done is None:
            return None
        state = "and runs" if done.running else "and is stopped, as before"
        return Rescued(told=f"it is back at {request.name}, {state}", problem=done.problem)

    def _restore(self) -> Rescued:
        request = restore.InPlaceRequest(
            **self._common(),
            volid=self._request.volid,  # else that of an interrupted restore, which is finished
            files=self._request.files,
            lenient=True,
            boot_seconds=self._request.boot_seconds,
        )
        shown = self._choice.value
        restore.in_place(request, lambda archive: archive.stored.volid == shown, self._events)
        return Rescued(told="restored; it has booted, and its replaced disks are gone")

    def _copy(self) -> Rescued:
        name = self._request.copy_name or f"{self._request.target.partition('/')[2]}-rescue"[:63]
        request = restore.BesideRequest(**self._common(), name=name, volid=self._choice.value)
        copy = restore.beside(request, self._events)
        return Rescued(told=f"restored as {name}: VM {copy.vmid} on {copy.node}, stopped and unplugged")

    def _fail_over(self) -> Rescued:
        asked = self._request
        shown = self._state.lost_node.replica if self._state.lost_node else None
        request = fail_over.FailOverRequest(
            **self._common(), lost_node=asked.lost_node, files=asked.files, boot_seconds=asked.boot_seconds
        )

        def as_shown(replica: fail_over.Replica) -> bool:
            """Whether no more is lost than somebody agreed to."""
            return shown is not None and (replica.node, replica.synced_at) == (shown.node, shown.synced_at)

        done = fail_over.fail_over(request, as_shown, self._events)
        if done is None:
            raise RequestRefused(
                "its newest replica is another one meanwhile: run this again, and look at it"
            )
        return Rescued(
            told=f"VM {done.vmid} runs on {done.node}. When the lost node is back, Proxmox replicates to it; then: "
            f"orchestrator fail-over {asked.target} --back",
            problem=done.problem,
        )

    def _recreate(self) -> Rescued | None:
        asked = self._request
        request = recreate.RecreateRequest(
            **self._common(),
            volid=asked.volid,
            files=asked.files,
            site=asked.site,
            network=asked.network,
            address=asked.address,
            lost_sites=asked.lost_sites,
            boot_seconds=asked.boot_seconds,
        )

        def agree(proposal: Proposal) -> bool:
            self._tell(proposal)
            return True

        made = recreate.recreate(request, agree, self._events)
        if made is None:
            return None
        where = f"restored as VM {made.vmid} on {made.node}, {made.site}"
        return Rescued(
            told=f"{where}; {'it runs' if made.running else 'it is stopped'}", problem=made.problem
        )

    def _mark(self) -> Rescued | None:
        request = lost_mark.MarkRequest(**self._common(), files=self._request.files)
        lost = lost_mark.put_mark_back(request, lambda lost: True, self._events)
        if lost is None:
            return None
        return Rescued(
            told=f"VM {lost.summary.vmid} carries its mark again; what it differs in from its file: orchestrator plan "
            f"--only {request.target}"
        )
