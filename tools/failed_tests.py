"""A plugin of pytest: which tests failed, as JSON, for whoever started the run.

pytest -p tools.failed_tests --failed-to FILE …

The file holds ``{"failed": [TEST, …], "broken": [TEXT, …]}``. What is broken is no failure of a test: a file that
could not be collected, a worker that died. Without the file, the run did not come to its end.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

_GROUP = re.compile(r"@[^@\]]*$")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that says where the file goes."""
    parser.addoption("--failed-to", metavar="FILE", help="write the failed tests there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Listen where results come together: not in the workers of pytest-xdist."""
    target = config.getoption("--failed-to")
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Listener(Path(target)))


class _Listener:
    def __init__(self, target: Path) -> None:
        self._target = target
        self._failed: dict[str, None] = {}
        self._broken: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            # pytest-xdist notes the group of a test behind its name, with --dist loadgroup
            self._failed[_GROUP.sub("", report.nodeid)] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken.append(f"not collected: {report.nodeid}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self._broken.append(f"a worker died: {node.gateway.id}")

    def pytest_sessionfinish(self) -> None:
        self._target.write_text(json.dumps({"failed": [*self._failed], "broken": self._broken}))
