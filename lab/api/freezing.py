"""Holding a guest's file systems still through its agent, so that what is on its disks is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab.agent import AgentError, AgentNotRunningError, GuestAgent
from lab.api.options import agent_enabled, freezes_on_backup
from lab.api.tasks import Log

_SECONDS = 60.0


@asynccontextmanager
async def frozen(agent: GuestAgent, option: str | None, log: Log) -> AsyncIterator[None]:
    """Freeze a guest's file systems while the block runs; a guest without a working agent is left as it is.

    Args:
        agent: the guest's.
        option: the machine's option `agent`.
        log: is told what is done, in the words of a backup's log.
    """
    if not agent_enabled(option) or not await _may_freeze(agent, option, log):
        yield
        return
    try:
        await _ask(agent, "freeze", log)
        yield
    finally:  # also after an error: a guest that stays frozen is lost
        await _ask(agent, "thaw", log)


async def _may_freeze(agent: GuestAgent, option: str | None, log: Log) -> bool:
    try:
        await agent.ping()
    except (AgentNotRunningError, AgentError):
        log("INFO: skipping guest-agent 'fs-freeze', agent configured but not running?")
        return False
    if not freezes_on_backup(option):
        log("INFO: skipping guest-agent 'fs-freeze', disabled in VM options")
        return False
    return True


async def _ask(agent: GuestAgent, what: str, log: Log) -> None:
    log(f"INFO: issuing guest-agent 'fs-{what}' command")
    try:
        await agent.command(f"guest-fsfreeze-{what}", timeout=_SECONDS)
    except (AgentNotRunningError, AgentError) as error:
        log(f"ERROR: {error}")
