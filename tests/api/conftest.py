"""The Proxmox API as an independent package models it, for every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.proxmox import Cluster
from tests.api.desk import Desk
from tests.api.fakepve_handle import FakePve


@pytest.fixture
def fakepve() -> Iterator[FakePve]:
    """A cluster of one node ``pve1`` with storage ``local`` and nothing else, in a process of its own."""
    with FakePve() as fake:
        yield fake


@pytest.fixture
def cluster(fakepve: FakePve) -> Cluster:
    """A client of ``fakepve``."""
    return fakepve.cluster()


@pytest.fixture(scope="module")
def fakepve_module() -> Iterator[FakePve]:
    """A cluster shared by the tests of one module: for those that leave it as they found it."""
    with FakePve() as fake:
        yield fake


@pytest.fixture
def desk(fakepve: FakePve, tmp_path: Path) -> Desk:
    """One site with an image, and a folder for clients' files."""
    fakepve.control("add_template", vmid=9000, name="debian-12")
    return Desk(tmp_path, {"paris": fakepve})
