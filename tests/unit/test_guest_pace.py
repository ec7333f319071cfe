"""A guest's clock against ours: what is blamed, and that a guest's words fool nobody into more than a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests.pace import TOO_FAST, why_too_late
from orchestrator.guests.playbooks import TaskResult


def answer(stdout: str, arrived: float, stderr: str = "") -> TaskResult:
    """What a guest says at a moment of ours."""
    return TaskResult(
        host="web-1.dupont", task="", kind="ok", result={"stdout": stdout, "stderr": stderr}, arrived=arrived
    )


LATE = "too late: rolled-back 0123456789abcdef: no confirmation within 50 s"


@given(st.floats(0.1, 20), st.floats(20, 600), st.floats(0, 10**8), st.booleans())
def test_a_clock_is_blamed_from_a_factor_on_whoever_answers(
    factor: float, here: float, up: float, confirmed: bool
) -> None:
    first = answer(f"loaded 0123456789abcdef\nuptime {up:.2f}", 1000.0)
    then = answer(f"uptime {up + here * factor:.2f}", 1000.0 + here, LATE if confirmed else "")
    said = why_too_late("rules", first, then if confirmed else None, None if confirmed else then)
    if factor > TOO_FAST + 0.01:
        assert said is not None
        assert f"clock runs {factor:.1f} times too fast" in said or abs(factor * 10 % 1 - 0.5) < 0.02
    elif factor < TOO_FAST - 0.01 and confirmed:
        assert said is not None
        assert (
            f"the guest is slow: the confirmation arrived {here:.0f} s after the rules were changed" in said
        )
    elif factor < TOO_FAST - 0.01:
        assert said is None


@given(st.text(), st.text(), st.text())
def test_whatever_a_guest_prints_is_a_message_or_nothing(first: str, second: str, stderr: str) -> None:
    said = why_too_late(
        "rules", answer(first, 1.0), answer(f"uptime 12.5\n{second}", 2.0, stderr), answer(second, 3.0)
    )
    assert said is None or len(said) < 500


def test_answers_without_an_uptime_blame_nothing() -> None:
    assert why_too_late("rules", answer("loaded x", 1.0), answer("", 60.0, LATE), None) is None
    assert why_too_late("rules", answer("uptime 1.00", 1.0), None, None) is None
