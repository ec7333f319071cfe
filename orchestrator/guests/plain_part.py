"""A part of what is cared for inside machines that one task brings about, and that says in lines how it went."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.guests.answers import UnreadableAnswer, lines_of, told
from orchestrator.guests.guest import Guest
from orchestrator.guests.outcome import PartOutcome, has_timed_out, reason_of
from orchestrator.guests.part import Part
from orchestrator.guests.playbooks import TaskResult


def plain_part(name: str, *, task: str) -> Part:
    """A part whose task prints ``unchanged``, or ``changed`` (in check mode ``would-change``) and a line for each
    difference: ``+`` is there and should not be, ``-`` should be there and is not.

    Args:
        name: in messages, in the history, and in :attr:`Guest.asked`, where the variables of its role are. A guest that
            has none there is not asked.
        task: the task's name in the playbooks.
    """

    def outcome(guest: Guest, results: Mapping[str, TaskResult], _output: str) -> PartOutcome | None:
        result = results.get(task)
        if result is None:
            return None
        if result.kind == "unreachable" or has_timed_out(result):
            why = f"{guest.name}: SSH failed while the {name} was set up: {reason_of(result)}"
            return PartOutcome(status="unreachable", message=why)
        if result.kind == "failed":
            return PartOutcome(status="failed", message=f"{guest.name}: {reason_of(result)}")
        try:
            said = lines_of(result) or [""]
        except UnreadableAnswer as error:
            why = f"{guest.name}: what it says of its {name} cannot be read: {error}"
            return PartOutcome(status="failed", message=why)
        if said[0] == "unchanged":
            return PartOutcome(status="unchanged")
        return PartOutcome(status="changed", differences=told(said[1:]))

    return Part(
        name=name,
        task=task,
        outcome=outcome,
        concerns=lambda guest: name in guest.asked,
        details=lambda guest: guest.asked.get(name, {}),
    )
