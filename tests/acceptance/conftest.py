"""One run: its machines are made once, used by every scenario in order, and removed at the end, however that comes."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from types import FrameType

import pytest

from orchestrator.proxmox import read_cluster
from orchestrator.yaml_reader import ProblemsFound, render_problem
from tests.acceptance.cleaning import clean, clusters
from tests.acceptance.settings import INVENTORY, Run, read_run
from tests.acceptance.workplace import Workplace

FAILED = pytest.StashKey[bool]()
"""Whether a test failed, for what comes after it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep how a test ended."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # pytest ends its fixtures then, which clean up


@pytest.fixture(scope="session")
def run() -> Run:
    """What it is run against."""
    try:
        found = read_run()
    except ProblemsFound as error:
        pytest.exit("\n".join(render_problem(problem) for problem in error.problems), returncode=2)
    except ValueError as error:
        pytest.exit(str(error), returncode=2)
    if found is None:  # `pytest` of everything, where nobody named a cluster
        pytest.skip(f"{INVENTORY} names no inventory: make acceptance INVENTORY=FOLDER")
    return found


def listed(run: Run) -> dict[str, set[str]]:
    """The cluster's VMs, pools and templates that are not the suite's, by site."""
    with clusters(run) as reached:
        states = {name: read_cluster(cluster) for name, cluster in reached.items()}
    return {
        name: {f"VM {vm.vmid}" for vm in state.vms if vm.vmid not in run.ids}
        | {f"pool {pool}" for pool in state.pools}
        for name, state in states.items()
    }


@pytest.fixture(scope="session")
def others(run: Run) -> dict[str, set[str]]:
    """What was there before."""
    return listed(run)


@pytest.fixture(scope="session")
def workplace(
    run: Run, others: dict[str, set[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workplace]:
    """The run's files; its machines are gone afterwards."""
    signal.signal(signal.SIGTERM, _interrupted)
    made = Workplace(run, tmp_path_factory.mktemp("acceptance"))
    made.write()
    try:
        yield made
    finally:
        clean(run, run.client)
        made.release_guard()
