"""What the tests of the lab's API share: a lab, and one tiny machine in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.lab_handle import TINY, Client, Lab


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


_LONGEST = ("test_updates", "test_nights", "test_subscription", "test_pages", "test_runtime")
"""The modules that boot machines, from minutes down; `make lab` lets two workers take whole files in this order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first: one that begins last leaves the other worker idle until it ends."""
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
