"""The supervision of machines (article 3.8.1): how a change of it went in a guest."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.guests.answers import UnreadableAnswer, lines_of, told
from orchestrator.guests.guest import Guest
from orchestrator.guests.inside import SUPERVISION
from orchestrator.guests.outcome import PartOutcome, has_timed_out, reason_of
from orchestrator.guests.part import Part
from orchestrator.guests.playbooks import TaskResult

SUPERVISE = "Bring the supervision to what is wanted"
"""The task that installs, starts or stops the node exporter, or in check mode tells what differs."""


def outcome(guest: Guest, results: Mapping[str, TaskResult]) -> PartOutcome | None:
    """Read from what the task said how the supervision fared in one guest.

    Args:
        guest: the machine.
        results: the last result of each task on it by the task's name, without starts and skipped ones.

    Returns:
        None if the play did not get as far, or the machine is not supervised and never was.
    """
    result = results.get(SUPERVISE)
    if result is None:
        return None
    if result.kind == "unreachable" or has_timed_out(result):
        why = f"{guest.name}: SSH failed while the supervision was set up: {reason_of(result)}"
        return PartOutcome(status="unreachable", message=why)
    if result.kind == "failed":
        return PartOutcome(status="failed", message=f"{guest.name}: {reason_of(result)}")
    try:
        said = lines_of(result) or [""]
    except UnreadableAnswer as error:
        why = f"{guest.name}: what it says of its supervision cannot be read: {error}"
        return PartOutcome(status="failed", message=why)
    if said[0] == "unchanged":
        return PartOutcome(status="unchanged")
    return PartOutcome(status="changed", differences=told(said[1:]))


PART = Part(
    name=SUPERVISION,
    task=SUPERVISE,
    outcome=lambda guest, results, _: outcome(guest, results),
    concerns=lambda guest: guest.supervised or guest.supervised_before,
    details=lambda guest: {"supervised": guest.supervised},
)
"""The supervision, as the playbooks bring it about."""
