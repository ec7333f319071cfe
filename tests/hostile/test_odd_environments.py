"""A shell that closed the standard streams, a terminal without a size: the command still does and says what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from tests.api.desk import Desk, machine, subscription


def _plan(desk: Desk, redirection: str, **environment: str) -> Any:
    return subprocess.run(
        f"{sys.executable} -m orchestrator plan {redirection}",
        shell=True,
        cwd=desk.folder,
        env={
            **os.environ,
            "ORCHESTRATOR_INVENTORY": str(desk.folder / "sites.yaml"),
            "XDG_STATE_HOME": str(desk.folder / "state"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_closed_streams_and_no_width_are_no_trouble(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        ended = _plan(desk, closed)
        assert ended.returncode == 0 and not ended.stderr, (closed, ended)
        assert "1 to create" in ended.stdout, (closed, ended)
    ended = _plan(desk, "", COLUMNS="0")
    assert ended.returncode == 0 and "1 to create" in ended.stdout, ended


def test_a_result_that_goes_nowhere_is_an_error_and_one_that_is_sent_nowhere_is_none(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    ended = _plan(desk, ">&-")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the output could not be written, and is lost: Bad file descriptor" in ended.stderr
    assert (
        "leave standard output open, or send it to /dev/null" in ended.stderr
        and "Traceback" not in ended.stderr
    )
    assert _plan(desk, "<&- >&- 2>&-").returncode == 1
    ended = _plan(desk, ">/dev/null")
    assert (ended.returncode, ended.stderr) == (0, "")
