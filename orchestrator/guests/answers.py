"""What a program in a guest printed: whoever is root there chooses every byte of it.

So it is split where a line ends and nowhere else, numbers are digits and have an end, and nothing gets longer than
what an honest machine says. What is something else is one machine's unreadable answer, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from orchestrator.errors import BadValue
from orchestrator.guests.limits import STDOUT_BYTES
from orchestrator.guests.playbooks import TaskResult

MOST_DIFFERENCES = 200
"""Lines that say what differs in a machine; of more, only how many there are."""

LONGEST_WORDS = 300
"""Characters of one line of a machine that a person is told."""

_NUMBER = re.compile(r"[0-9]{1,19}")
_HIGHEST = 2**63 - 1  # what databases hold


class UnreadableAnswer(BadValue):
    """A machine's answer is not what its program prints. The text says in what; it holds little of the answer."""


def lines_of(result: TaskResult, key: str = "stdout") -> list[str]:
    """Return the lines that a task printed in a guest, without their ends.

    Raises:
        UnreadableAnswer: it is no text, or longer than a command may print.
    """
    said = result.result.get(key)
    text = "" if said is None else said
    if not isinstance(text, str):
        raise UnreadableAnswer("its answer is not text")
    if len(text) > STDOUT_BYTES:
        raise UnreadableAnswer(
            f"its answer has {len(text)} characters, and {STDOUT_BYTES} at most make sense"
        )
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def first_line(result: TaskResult) -> str:
    """Return the first line that a task printed; empty if it printed none, or something that cannot be read."""
    try:
        return next(iter(lines_of(result)), "")
    except UnreadableAnswer:
        return ""


def whole_number(text: str, what: str) -> int:
    """Return a number written in ASCII digits, at most 2⁶³ - 1.

    Args:
        text: what a guest wrote.
        what: what is counted, for the reason.

    Raises:
        UnreadableAnswer: it is something else.
    """
    if _NUMBER.fullmatch(text) and int(text) <= _HIGHEST:
        return int(text)
    raise UnreadableAnswer(f"{what} is not a number: {shortened(text, 40)!a}")


def shortened(text: str, length: int = LONGEST_WORDS) -> str:
    """Return a text of a guest with at most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= length else text[: length - 1] + "…"


def told(lines: Iterable[str]) -> tuple[str, ...]:
    """Return lines of a guest that a person is told: each of a length, and not more than are read."""
    given = lines if isinstance(lines, Sequence) else list(lines)
    kept = tuple(shortened(line) for line in given[:MOST_DIFFERENCES])
    more = len(given) - len(kept)
    return (*kept, f"… and {more} more") if more else kept
