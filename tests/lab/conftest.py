"""What the tests of the lab's API share: a lab, and one tiny machine in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.lab.lab_handle import TINY, Client, Lab
from tests.lab.unchanged import keep, passed_days_ago


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab for all of one module."""
    started = Lab(tmp_path_factory.mktemp("lab"), "10.96.1.0/24,10.96.2.0/24")
    started.start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def api(lab: Lab) -> Iterator[Client]:
    """Paris, where nothing is but VM 100, stopped; whatever is there then is removed afterwards."""
    client = lab.client()
    client.run("POST", "/nodes/pve1/qemu", vmid=100, **TINY)
    yield client
    for vmid in sorted((vm["vmid"] for vm in client.get("/nodes/pve1/qemu")), reverse=True):
        client.run("POST", f"/nodes/pve1/qemu/{vmid}/status/stop")
        client.run("DELETE", f"/nodes/pve1/qemu/{vmid}", purge=1, **{"destroy-unreferenced-disks": 1})


_LONGEST = ("test_updates", "test_acceptance", "test_pages", "test_runtime")
"""The modules that boot machines, from minutes down; `make lab` lets two workers take whole files in this order."""

_ran: defaultdict[Path, list[bool]] = defaultdict(list)
"""For each file whether its tests passed, as far as they ran in this process."""
_collected: Counter[Path] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first: one that begins last leaves the other worker idle until it ends.

    The lab's own tests are skipped where they have passed and nothing has changed (``tests.lab.unchanged``).
    """
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    _collected.update(item.path for item in own)
    days = {path: passed_days_ago(path) for path in _collected}
    for item in own:
        if (ago := days[item.path]) is not None:
            text = f"{item.path.name}: the lab and its tests are as they were {ago:.1f} days ago, when all of it passed"
            item.add_marker(pytest.mark.skip(reason=text))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count what passes."""
    report = yield
    if report.when == "call" or not report.passed:
        _ran[item.path].append(report.passed)
    return report


def pytest_sessionfinish() -> None:
    """Note which files passed as a whole."""
    for path, count in _collected.items():
        if _ran[path] == [True] * count:
            keep(path)
