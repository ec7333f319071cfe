"""The check of a restored copy: a command of the client's file, run in the copy, that shows that the backup is worth
something to the client.

The command is executed in the isolated copy and nowhere else: the guest agent starts ``/bin/sh`` there, which gets it
as an argument. No shell of this computer sees it. What it writes is whatever the guest wants: its size is limited in
the guest, a text of the file is searched for in it, and one short line of it is shown where the check failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError, Reason
from orchestrator.guests.soundness import Unsound
from orchestrator.proxmox import (
    AgentNotRunning,
    Execution,
    PermissionDenied,
    ServerError,
    Uncertain,
    execute_in_guest,
    execution_in_guest,
)
from orchestrator.redaction import without_secrets
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster
    from orchestrator.subscriptions.model import BackupCheck

OUTPUT_BYTES = 64 * 1024
"""So much of the command's output is read; what is beyond it is thrown away in the guest."""

_RUN_UNDER_LIMIT = (
    'exec 3>&1; exit "$( ( { /bin/sh -c "$1" 2>&1 3>&- 4>&-; echo "$?" >&4; } '
    f'| head -c {OUTPUT_BYTES} >&3 ) 4>&1 )"'
)
"""Runs its first argument, output and errors together, cut to the limit; its exit code is the command's.

A command that writes on and on loses its reader at the limit, and ends by that (exit code 141).
"""

_POLL_SECONDS = 2.0
_AGAIN_SECONDS = 5.0
_SHOWN = 100
"""Characters of the output that are shown: it may hold what is nobody's business."""


class CheckFailed(Unsound):
    """The check of the file did not pass in the restored machine; the text says why."""


class CheckNotRun(OrchestratorError):
    """The guest agent starts no commands: that says nothing about the backup."""

    default_remedy = (
        "let the agent in the machine start commands: see guest-exec in the allowed and blocked commands of "
        "qemu-guest-agent, and that there is a /bin/sh; or take the check out of the file"
    )


def arguments(run: str) -> list[str]:
    """What the guest agent is to start for a command."""
    return ["/bin/sh", "-c", _RUN_UNDER_LIMIT, "sh", run]


def carry_out(
    cluster: Cluster,
    node: str,
    vmid: int,
    check: BackupCheck,
    *,
    seconds: float,
    pause: Callable[[float], None] = time.sleep,
    going_on: Callable[[], None] = lambda: None,
) -> None:
    """Run a check until it passes: services may still be starting when the guest agent answers first.

    A command that hangs stays in the copy, which is erased.

    Args:
        cluster: the API.
        node, vmid: the copy, with its guest agent up.
        check: what the file says.
        seconds: how long it may take, all runs together.
        pause: waits that many seconds.
        going_on: called again and again; raises where the work is to end.

    Raises:
        CheckFailed: it did not pass within that time.
        CheckNotRun: the guest agent starts no commands.
        PermissionDenied: the token may not run commands in guests.
        ProxmoxError: the hypervisor could not be asked.
    """
    ends = time.monotonic() + seconds
    runs, why = 0, ""
    while True:
        runs += 1
        now = _run_once(cluster, node, vmid, check, ends=ends, pause=pause, going_on=going_on)
        if now is None:
            return
        # What an earlier run said tells more than that the last one had no time left.
        why = why if why and now == _TOO_LONG else now
        left = ends - time.monotonic()
        if left > 0:
            pause(min(_AGAIN_SECONDS, left))
        if time.monotonic() >= ends:
            times = "1 run" if runs == 1 else f"{runs} runs"
            raise CheckFailed(f"its check did not pass within {seconds:.0f} s ({times}): {why}")


_SILENT: Reason = "the guest agent fell silent"
_TOO_LONG: Reason = "the command did not end in time; it was left in the copy, which is erased"


def _run_once(
    cluster: Cluster,
    node: str,
    vmid: int,
    check: BackupCheck,
    *,
    ends: float,
    pause: Callable[[float], None],
    going_on: Callable[[], None],
) -> Reason | None:
    """Run it once. Returns why it did not pass; None if it did."""
    try:
        pid = execute_in_guest(cluster, node, vmid, arguments(check.run))
    except AgentNotRunning:
        return _SILENT
    except PermissionDenied:
        raise
    except Uncertain as error:
        return f"the answer to its start got lost: {error.text}"
    except ServerError as error:
        raise CheckNotRun(f"the guest agent starts no check: {error.text}") from error
    try:
        while (ended := execution_in_guest(cluster, node, vmid, pid)) is None:
            going_on()
            if time.monotonic() >= ends:
                return _TOO_LONG
            pause(_POLL_SECONDS)
    except AgentNotRunning:
        return _SILENT
    except ServerError as error:
        return f"the guest agent lost it: {error.text}"
    return _judged(ended, check)


def _judged(ended: Execution, check: BackupCheck) -> Reason | None:
    if ended.signal is not None:
        return f"the command was killed by signal {ended.signal}{_last_line(ended.output)}"
    if ended.code != 0:
        return f"the command ended with exit code {ended.code}{_last_line(ended.output)}"
    if check.expect is not None and check.expect not in ended.output:
        full = len(ended.output.encode(errors="replace")) >= OUTPUT_BYTES
        read = f" in its first {OUTPUT_BYTES // 1024} KiB" if full else ""
        return (
            f"exit code 0, but its output does not contain {visible(check.expect)!r}{read}"
            f"{_last_line(ended.output)}"
        )
    return None


def _last_line(output: str) -> str:
    """The last line that says something, short and printable, after a separator; empty if there is none."""
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines:
        return "; it wrote nothing"
    text = without_secrets(lines[-1].strip())
    shown = visible(text[:_SHOWN], longest=None)
    return f'; its last line: "{shown}{"…" if len(text) > _SHOWN else ""}"'
