"""What all tests share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# No test asserts how long something takes: a busy machine proves nothing. The examples are the same in every
# run: a change is never refused for what it did not touch. HYPOTHESIS_PROFILE=explore looks for new ones.
_NO_CLOCK: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("orchestrator", derandomize=True, **_NO_CLOCK)
settings.register_profile("explore", print_blob=True, **_NO_CLOCK)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "orchestrator"))

# No test depends on the configuration file of whoever runs it.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"

# Whatever runs in the background has these ignored, and so has all that it starts: a command that a test interrupts
# would go on for ever.
if threading.current_thread() is threading.main_thread():
    for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(_number) is signal.SIG_IGN:
            signal.signal(_number, _usual)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports of tests hold any text: half a surrogate pair in a log would end the whole run, not the test."""
    report = yield
    report.sections = [(name, _encodable(text)) for name, text in report.sections]
    if report.longrepr is not None and not isinstance(report.longrepr, tuple):
        text = str(report.longrepr)
        if text != _encodable(text):
            report.longrepr = _encodable(text)
    return report


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what became of every fault at every call; write docs/faults.md if WRITE_FAULTS says so."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    columns = [value for report in reports for name, value in report.user_properties if name == "fault table"]
    if not columns:
        return
    from tests.api import fault_table  # it needs much that most runs do without

    results = fault_table.in_order(columns)
    terminalreporter.section("every fault at every call (docs/faults.md)")
    for line in fault_table.summary(results):
        terminalreporter.write_line(line)
    if "WRITE_FAULTS" in os.environ and not terminalreporter.stats.get("failed"):
        fault_table.PAGE.write_text(fault_table.render(results))
