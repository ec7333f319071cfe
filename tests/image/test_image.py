"""The container image, really built by the Containerfile and really run (root; `make image-test`).

Its base is made of Debian's packages here, for want of a public image: BASE of the Containerfile.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.image.podman import ROOT, Podman

IMAGE = "localhost/orchestrator"


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def podman(request: pytest.FixtureRequest) -> Iterator[Podman]:
    with Podman() as podman:
        podman.build(podman.debian(request.param), IMAGE)
        yield podman


class Container:
    """Docs/container.md's command, in a folder laid out as it says."""

    def __init__(self, podman: Podman, folder: Path, secret: str) -> None:
        self._podman = podman
        self._folder = folder
        self._secret = secret

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = (
            *("-v", "./inventories/mine:/srv/inventories/mine:ro"),
            *("-v", "./subscriptions:/srv/subscriptions:ro"),
            *("-v", "orchestrator-state:/state", "-e", "PVE_PARIS_TOKEN"),
        )
        secret = {"PVE_PARIS_TOKEN": self._secret}
        return self._podman.run(options, IMAGE, *arguments, cwd=self._folder, environment=secret)


@pytest.fixture
def site(podman: Podman, tmp_path: Path) -> Iterator[tuple[Container, Desk]]:
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path, {"paris": fake})
        desk.sites["paris"]["api"] |= {"ca_file": "ca.pem", "token_secret": {"env": "PVE_PARIS_TOKEN"}}
        desk.write_sites()
        mine = tmp_path / "inventories" / "mine"
        mine.mkdir(parents=True)
        text = (tmp_path / "sites.yaml").read_text().replace(str(tmp_path / "id"), "id")
        (mine / "sites.yaml").write_text(text)
        shutil.copy(fake.ca_file, mine / "ca.pem")
        yield Container(podman, tmp_path, fake.token_secret), desk
        podman("volume", "rm", "orchestrator-state")


def test_without_a_command_it_helps(podman: Podman) -> None:
    done = podman.run((), IMAGE)
    assert done.returncode == 0, done.stderr
    assert "Usage: orchestrator" in done.stdout


def test_it_is_an_account_of_its_own_and_ansible_works(podman: Podman) -> None:
    done = podman.run(
        ("--entrypoint", "/bin/sh"), IMAGE, "-c", "id -u && ssh -V && ansible-playbook --version"
    )
    assert done.returncode == 0, done.stderr
    user, ansible = done.stdout.splitlines()[:2]
    assert user == "10001"
    assert ansible.startswith("ansible-playbook [core 2.")


def test_files_become_machines_and_the_next_container_knows_the_history(site: tuple[Container, Desk]) -> None:
    run, desk = site
    desk.write(subscription("dupont", [machine("web")]))
    planned = run("plan", "--inventory", "mine", "--format", "json")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert json.loads(planned.stdout)["summary"]["create"] == 1
    applied = run("apply", "--inventory", "mine", "--yes", "--no-guests")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert list(desk.machines()) == ["web"]
    history = run("history")
    assert "dupont" in history.stdout, history.stderr
    assert run("history", "verify").returncode == 0


def test_the_image_has_the_program_and_nothing_else_of_the_repository(podman: Podman) -> None:
    done = podman.run(
        ("--entrypoint", "/bin/sh"),
        IMAGE,
        "-c",
        "ls -A /srv /state /src; find / -xdev -name '*.py' -path '*/tests/lab/*'",
    )
    assert done.stdout.split() == ["/srv:", "/state:"], done.stderr


def test_every_package_has_the_version_that_was_tested(podman: Podman) -> None:
    listed = podman.run(("--entrypoint", "pip"), IMAGE, "list", "--format", "freeze")
    installed = dict(line.split("==") for line in listed.stdout.splitlines() if "==" in line)
    python = podman.run(
        ("--entrypoint", "python3"), IMAGE, "-c", "import platform as p; print(p.python_version())"
    )
    version = python.stdout.strip()
    there = {"python_full_version": version, "python_version": ".".join(version.split(".")[:2])}
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    constraints = [Requirement(line) for line in lines if line]
    pinned = {
        canonicalize_name(item.name): str(item.specifier)
        for item in constraints
        if item.marker is None or item.marker.evaluate(there)
    }
    ours = {"pip", "setuptools", "orchestrator"}
    assert "ansible-core" in installed
    assert {name: f"=={number}" for name, number in installed.items() if name not in ours} == {
        name: pinned.get(canonicalize_name(name)) for name in installed if name not in ours
    }
