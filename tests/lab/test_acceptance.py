"""The acceptance suite against the lab, as anybody runs it against a cluster: it passes, and it never leaves anything.

Nothing of the suite knows the lab; it is given an inventory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.lab_handle import ROOT, TINY, Client
from tests.lab.stage import Stage

pytestmark = pytest.mark.timeout(1800)

_PATIENCE_SECONDS = 240.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("acceptance"))
    made.open()
    try:
        api = made.lab.client()
        api.run("POST", f"/nodes/{_node(api)}/qemu", vmid=990500, **TINY)
        yield made
    finally:
        made.close()


def _node(api: Client) -> str:
    return str(api.get("/nodes")[0]["node"])


def _suite(stage: Stage, report: Path) -> subprocess.Popen[bytes]:
    """Begin the suite; what it says goes to a file, so that it can be read however the run ends."""
    with report.open("w") as said:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                "-v",
                "--durations=0",
                "-p",
                "no:cacheprovider",
                "tests/acceptance",
            ],
            cwd=ROOT,
            env={**os.environ, "ACCEPTANCE_INVENTORY": str(stage.folder / "lab" / "inventory")},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def _left(api: Client) -> list[str]:
    """What there is beside the image and a stranger's machine, whose number is in the suite's range."""
    vms = [vm for vm in api.machines() if not vm["template"]]
    pools = [pool["poolid"] for pool in api.get("/pools")]
    return [f"{vm['vmid']} {vm['name']}" for vm in vms if vm["vmid"] != 990500] + pools


def _wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def test_a_run_that_is_killed_leaves_nothing_behind(stage: Stage) -> None:
    """Its guard cleans up; a run that ends in any other way is cleaned up by its fixtures, as below."""
    api = stage.lab.client()
    process = _suite(stage, stage.folder / "killed.txt")
    _wait(lambda: any("web" in item for item in _left(api)), "no machine of the suite appears")
    process.kill()
    process.wait()
    _wait(lambda: not _left(api), f"still there: {_left(api)}")
    assert any(vm["vmid"] == 990500 for vm in api.get(f"/nodes/{_node(api)}/qemu")), (
        "a stranger's machine is never touched"
    )


def test_every_scenario_passes_against_the_lab(stage: Stage) -> None:
    report = ROOT / "build" / "acceptance.txt"  # shown by `make lab`
    report.parent.mkdir(exist_ok=True)
    _suite(stage, report).wait()
    out = report.read_text()
    assert re.search(r"\b12 passed\b", out) and "skipped" not in out, out
    assert _left(stage.lab.client()) == []
