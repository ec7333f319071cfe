"""The supervision of a machine: real apt, dpkg and systemd, real sshd, in a guest that is up in a second.

The exporter is one that the test builds: a service that listens on its port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.guests import PartOutcome
from orchestrator.guests.playbooks import run_playbook
from orchestrator.resources.node_exporter import SUPERVISION
from tests.lab.namespace_guest import (
    MANAGEMENT,
    NamespaceGuest,
    eventually,
    namespace_guest,
    policy,
    unique_name,
)
from tests.lab.package_repository import PackageRepository, serving

PACKAGE = "prometheus-node-exporter"
SERVICE = f"{PACKAGE}.service"
PROGRAM = "/usr/local/sbin/orchestrator-supervision"
REMEMBERED = "/var/lib/orchestrator/supervision"
_FILES = {
    f"/lib/systemd/system/{SERVICE}": (
        "[Service]\nExecStart=/usr/bin/test-exporter\n[Install]\nWantedBy=multi-user.target\n"
    ),
    "/usr/bin/test-exporter": "#!/bin/sh\nexec nc -lk 9100\n",
}


@dataclass
class Machine:
    """A guest with systemd that can install the exporter."""

    guest: NamespaceGuest

    def supervise(self, wanted: bool, *, check: bool = False) -> PartOutcome:
        """Run the playbook over it, as for a machine that was supervised before."""
        return supervise(self.guest, wanted, check=check)

    def program(self, *arguments: str) -> tuple[int, str]:
        """Run the program in it: exit status, and all that it said."""
        done = self.guest.inside(PROGRAM, *arguments, check=False)
        return done.returncode, done.stdout + done.stderr

    def state(self) -> tuple[str, str, bool]:
        """The exporter's service as systemd has it, and whether it is remembered as ours."""
        active, enabled = (
            self.guest.inside("systemctl", question, SERVICE, check=False).stdout.strip()
            for question in ("is-active", "is-enabled")
        )
        return active, enabled, self.has(REMEMBERED)

    def has(self, path: str) -> bool:
        return self.guest.inside("test", "-e", path, check=False).returncode == 0

    def systemctl(self, *arguments: str) -> None:
        self.guest.inside("systemctl", *arguments)

    def forget(self) -> None:
        """As a machine that nobody ever supervised."""
        self.guest.inside("dpkg", "--force-all", "--purge", PACKAGE, check=False)
        self.guest.inside("sh", "-ec", f"rm -rf {REMEMBERED} /etc/systemd/system/*/{SERVICE}")
        self.guest.inside("sh", "-ec", f"systemctl stop {SERVICE} || true; systemctl daemon-reload")


def supervise(guest: NamespaceGuest, wanted: bool, *, check: bool = False) -> PartOutcome:
    target = replace(
        guest.target(policy()),
        asked={"supervision": {"supervision_wanted": wanted, "supervision_before": True}},
    )
    run = run_playbook("supervision.yml", [target], guest.ssh(), check=check)
    results = [result for result in run.results if result.kind != "start"]
    assert len(results) == 1, "one round trip"
    found = SUPERVISION.part.outcome(target, {result.task: result for result in results}, "")
    assert found is not None
    assert bool(results[0].result.get("changed")) == (found.status == "changed")
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    repository = PackageRepository(tmp_path_factory.mktemp("repository") / "packages")
    repository.add(PACKAGE, "1.0", files=_FILES)
    with (
        namespace_guest(tmp_path_factory.mktemp("guest"), unique_name(), systemd=True) as guest,
        serving(repository.folder, MANAGEMENT, inside=guest.command_outside()) as url,
    ):
        guest.inside("sh", "-ec", "rm -rf /etc/apt/sources.list.d /etc/apt/apt.conf.d /var/lib/apt/lists/*")
        guest.inside("tee", "/etc/apt/sources.list", text=repository.sources(url))
        guest.inside("mkdir", "-p", "/etc/apt/apt.conf.d", "/var/lib/apt/lists/partial")
        yield Machine(guest)


@pytest.fixture
def machine(running: Machine) -> Machine:
    running.forget()
    return running


def test_a_new_machine_gets_the_exporter_and_a_second_run_changes_nothing(machine: Machine) -> None:
    machine.guest.inside("sh", "-ec", "rm -rf /var/lib/apt/lists/*")  # as in an image that was just unpacked
    looked = machine.supervise(True, check=True)
    assert (looked.status, looked.differences) == ("changed", (f"- package {PACKAGE}",))
    assert not machine.has(PROGRAM) and not machine.has(REMEMBERED), "check mode changes nothing"
    assert not machine.has("/usr/bin/test-exporter")

    assert machine.supervise(True).status == "changed"
    assert machine.state() == ("active", "enabled", True)
    assert machine.guest.probe(("tcp", MANAGEMENT, 9100)) == ["open"]
    assert machine.supervise(True) == PartOutcome(status="unchanged")
    assert machine.program("check", "on") == (0, "unchanged\n")


def test_one_that_was_stopped_or_disabled_by_hand_is_shown_and_switched_on(machine: Machine) -> None:
    assert machine.program("apply", "on") == (0, f"changed\n- package {PACKAGE}\n")
    machine.systemctl("stop", SERVICE)
    assert machine.program("check", "on") == (0, f"would-change\n- {SERVICE} running\n")
    machine.systemctl("disable", SERVICE)
    both = f"- {SERVICE} enabled\n- {SERVICE} running\n"
    assert machine.program("check", "on") == (0, f"would-change\n{both}")
    assert machine.state() == ("inactive", "disabled", True), "looking changes nothing"
    assert machine.program("apply", "on") == (0, f"changed\n{both}")
    assert machine.state() == ("active", "enabled", True)


def test_when_the_service_ends_ours_is_switched_off_and_the_package_stays(machine: Machine) -> None:
    machine.program("apply", "on")
    both = f"+ {SERVICE} enabled\n+ {SERVICE} running\n"
    assert machine.program("check", "off") == (0, f"would-change\n{both}")
    assert machine.state() == ("active", "enabled", True), "looking changes nothing"
    assert machine.supervise(False).status == "changed"
    assert machine.state() == ("inactive", "disabled", False)
    assert machine.has("/usr/bin/test-exporter")
    assert machine.program("apply", "off") == (0, "unchanged\n")


def test_an_exporter_of_others_is_left_alone(machine: Machine) -> None:
    machine.guest.inside("apt-get", "update")
    machine.guest.inside("apt-get", "-y", "install", PACKAGE)
    machine.systemctl("enable", "--now", SERVICE)
    assert machine.program("apply", "on") == (0, "unchanged\n")
    assert machine.program("apply", "off") == (0, "unchanged\n")
    assert machine.state() == ("active", "enabled", False)


def test_one_that_a_killed_run_installed_is_ours(machine: Machine) -> None:
    """The run was killed when the package was there and its service not yet enabled."""
    machine.program("apply", "on")
    machine.systemctl("disable", "--now", SERVICE)
    assert machine.program("apply", "on")[1].startswith("changed\n")
    assert machine.program("apply", "off")[1].startswith("changed\n")
    assert machine.state() == ("inactive", "disabled", False)


def test_another_program_on_the_port_is_named_before_anything_is_installed(machine: Machine) -> None:
    machine.guest.inside("systemd-run", "--quiet", "--unit=other", "--collect", "nc", "-lk", "9100")
    try:
        eventually(lambda: machine.guest.probe(("tcp", MANAGEMENT, 9100)) == ["open"], "the port is taken")
        status, said = machine.program("apply", "on")
    finally:
        machine.systemctl("stop", "other")
    assert status == 1
    assert "something else listens on TCP 9100" in said and "stop and disable that one" in said
    assert not machine.has("/usr/bin/test-exporter") and not machine.has(REMEMBERED)


def test_an_exporter_that_does_not_stay_up_is_a_failure(machine: Machine) -> None:
    machine.program("apply", "on")
    machine.systemctl("stop", SERVICE)
    machine.guest.inside("tee", "/usr/bin/test-exporter", text="#!/bin/sh\nexit 1\n")
    status, said = machine.program("apply", "on")
    assert status == 1
    assert f"{SERVICE} does not come up on TCP 9100: see journalctl -u {SERVICE}" in said


def test_a_masked_service_is_a_failure_that_says_how_to_go_on(machine: Machine) -> None:
    machine.program("apply", "on")
    machine.systemctl("mask", "--now", SERVICE)
    try:
        status, said = machine.program("apply", "on")
    finally:
        machine.systemctl("unmask", SERVICE)
    assert status == 1
    assert "masked" in said and f"systemctl unmask {SERVICE}" in said


def test_an_interrupted_dpkg_is_told_with_the_way_out(machine: Machine) -> None:
    machine.guest.inside("touch", "/var/lib/dpkg/updates/0001")
    try:
        failed = machine.supervise(True)
    finally:
        machine.guest.inside("rm", "/var/lib/dpkg/updates/0001")
    assert failed.status == "failed"
    assert failed.message.startswith("dupont/web-1: an earlier installation of packages was interrupted")
    assert "run 'orchestrator update' for it, which repairs" in failed.message


def test_a_package_that_cannot_be_had_is_told_in_apts_words(machine: Machine) -> None:
    machine.guest.inside("sh", "-ec", "cp /etc/apt/sources.list /run/sources; rm -rf /var/lib/apt/lists/*")
    machine.guest.inside("tee", "/etc/apt/sources.list", text="")
    try:
        status, said = machine.program("apply", "on")
    finally:
        machine.guest.inside("cp", "/run/sources", "/etc/apt/sources.list")
    assert status == 1
    assert f"the package {PACKAGE} could not be installed: E: Unable to locate package" in said
    assert "see that the machine reaches its mirrors" in said
    assert machine.program("apply", "on")[1].startswith("changed\n"), "the next run finishes it"


def test_without_systemd_it_fails_and_says_why(tmp_path: Path) -> None:
    with namespace_guest(tmp_path, unique_name()) as guest:
        looked = supervise(guest, True, check=True)
        assert looked.status == "failed"
        assert "dupont/web-1: systemd does not run here" in looked.message
        assert "make it from an image that has it" in looked.message
        assert not (guest.folder / "sbin" / "orchestrator-supervision").exists()
        assert supervise(guest, True) == looked
        off = guest.inside(PROGRAM, "apply", "off")
        assert off.stdout == "unchanged\n", "nothing of ours is there"
