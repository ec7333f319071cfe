"""A guest's clock against ours: what is blamed, and that a guest's words fool nobody into more than a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests.pace import why_too_late
from orchestrator.guests.playbooks import TaskResult


def answer(stdout: str, began: float, ended: float, stderr: str = "") -> TaskResult:
    """What a guest says, to a question that was asked and answered at moments of ours."""
    said = {"stdout": stdout, "stderr": stderr}
    return TaskResult(host="web-1.dupont", task="", kind="ok", result=said, began=began, ended=ended)


LATE = "too late: rolled-back 0123456789abcdef: no confirmation within 50 s"


@given(
    factor=st.floats(0.1, 20),
    here=st.floats(20, 600),
    asking=st.tuples(*[st.floats(0.01, 60)] * 4),
    confirmed=st.booleans(),
)
def test_a_clock_is_blamed_only_if_it_is_to_blame_however_long_answers_take(
    factor: float, here: float, asking: tuple[float, float, float, float], confirmed: bool
) -> None:
    """The guest reads its uptime at 1000 and `here` seconds later, somewhere between our question and its answer."""
    before, after, before_then, after_then = asking
    first = answer("loaded 0123456789abcdef\nuptime 5000.00", 1000 - before, 1000 + after)
    moment = 1000 + here
    then = answer(
        f"uptime {5000 + here * factor:.2f}",
        moment - before_then,
        max(moment + after_then, 1000.01 + after),
        LATE if confirmed else "",
    )
    said = why_too_late("rules", first, then if confirmed else None, None if confirmed else then) or ""
    if "too fast" in said:
        assert factor > 1.49
    elif confirmed:
        assert said.startswith("the guest is slow: the confirmation arrived ")
    else:
        assert said == ""
    if factor > 1.51 * (here + before + after_then + after) / here:
        assert "too fast" in said


@given(st.text(), st.text(), st.text())
def test_whatever_a_guest_prints_is_a_message_or_nothing(first: str, second: str, stderr: str) -> None:
    said = why_too_late(
        "rules",
        answer(first, 1.0, 2.0),
        answer(f"uptime 12.5\n{second}", 2.0, 3.0, stderr),
        answer(second, 3.0, 4.0),
    )
    assert said is None or len(said) < 500


def test_answers_without_an_uptime_blame_nothing() -> None:
    assert why_too_late("rules", answer("loaded x", 1.0, 2.0), answer("", 59.0, 60.0, LATE), None) is None
    assert why_too_late("rules", answer("uptime 1.00", 1.0, 2.0), None, None) is None
