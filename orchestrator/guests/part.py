"""The parts of what is cared for inside machines, as tasks of one playbook bring them about: firewall, keys, …"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.guests.guest import Guest, SshSettings
    from orchestrator.guests.outcome import PartOutcome
    from orchestrator.guests.playbooks import TaskResult

Tell = Callable[[tuple[str, str], str], None]
"""Called with client and machine and what begins there."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part.

    Attributes:
        name: in messages and in the history.
        task: the task that brings it to what is wanted, or in check mode tells what differs.
        outcome: reads how it fared in a guest: from the last result of each task by the task's name, and the reason
            where Ansible did not get as far as to a task; None if the play did not come to it.
        objection: why nothing must be sent to a guest; None if it may.
        concerns: whether there is anything to do about it in a guest. Ansible tells the start of skipped tasks too.
        details: what the history keeps of what was wanted.
        then: what comes when the task has changed something; empty if nothing does.
    """

    name: str
    task: str
    outcome: Callable[[Guest, Mapping[str, TaskResult], str], PartOutcome | None]
    objection: Callable[[Guest, SshSettings, Tell], PartOutcome | None] = lambda guest, ssh, tell: None
    concerns: Callable[[Guest], bool] = lambda guest: True
    details: Callable[[Guest], Mapping[str, Any]]
    then: str = ""
