"""Did a guest have the time that it was given? Its clock against ours.

A guest undoes rules and keys that are not confirmed in time, and counts the seconds itself. If its clock runs too fast
(the kernel measured it at boot while the node was busy) it waits for a fraction of them and refuses every confirmation;
a slow guest answers when they are over. In neither case is the policy to blame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.errors import Reason
from orchestrator.guests.playbooks import TaskResult

TOO_FAST = 1.5
"""From this factor on a guest's clock is to blame."""

_UPTIME = re.compile(r"^uptime ([0-9]{1,9}(?:\.[0-9]{1,3})?)\r?$", re.ASCII | re.MULTILINE)
_TOO_LATE = "too late"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The time between two moments of a guest.

    Attributes:
        inside: seconds by the guest's own clock.
        here: seconds by ours, as nearly as is known.
        here_at_most: as many as they can have been: an answer is on its way for a while, longer on a busy computer.
    """

    inside: float
    here: float
    here_at_most: float

    @property
    def factor(self) -> float:
        """How many times too fast the guest's clock runs, as nearly as is known."""
        return self.inside / self.here

    @property
    def is_too_fast(self) -> bool:
        """Whether it runs too fast however long the answers were on their way."""
        return self.inside >= TOO_FAST * self.here_at_most


def pace_between(first: TaskResult, second: TaskResult) -> Pace | None:
    """Compare two answers that say how long the guest has been up; None if one of them does not."""
    begin, end = _uptime(first), _uptime(second)
    if begin is None or end is None or end <= begin or second.ended <= first.ended:
        return None
    return Pace(inside=end - begin, here=second.ended - first.ended, here_at_most=second.ended - first.began)


def why_too_late(
    what: str, changed: TaskResult, confirmed: TaskResult | None, afterwards: TaskResult | None
) -> Reason | None:
    """Why a change was undone before it could be confirmed, where the guest's pace is the reason; else None.

    Args:
        what: what was changed, in the plural: ``rules``.
        changed: what the guest said when it had changed them.
        confirmed: what it said to the confirmation; None if there was no answer.
        afterwards: what it said when it was asked what became of them; None if it was not, or did not answer.
    """
    paces = [pace_between(changed, answer) for answer in (confirmed, afterwards) if answer is not None]
    pace = next((found for found in paces if found is not None), None)
    if pace is None:
        return None
    if pace.is_too_fast:
        return (
            f"the guest's clock runs {pace.factor:.1f} times too fast ({pace.inside:.0f} s passed in the guest while "
            f"{pace.here:.0f} s passed here), so the {what} were undone before they could be confirmed. The policy is "
            "not the cause. Restart the machine while its node is not busy (the kernel measures the clock at boot), "
            "then apply again"
        )
    if confirmed is not None and str(confirmed.result.get("stderr", "")).startswith(_TOO_LATE):
        return (
            f"the guest is slow: the confirmation arrived {pace.inside:.0f} s after the {what} were changed, and they "
            "had been undone by then. The policy is not the cause. Apply again when its node is less busy, or give "
            "the machine more CPU"
        )
    return None


def _uptime(result: TaskResult) -> float | None:
    """The last one counts: whoever is root in the guest can print others, and fools nobody but those who read of it."""
    said = result.result.get("stdout")
    found = _UPTIME.findall(said) if isinstance(said, str) else []
    return float(found[-1]) if found else None
