"""What goes wrong while updates are installed: real sshd, real dpkg and apt, in a guest that is up in a second."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.guests import SshSettings
from orchestrator.guests.packages import (
    DueUpdates,
    UpdateOrder,
    UpdateResult,
    install_updates,
    look_for_updates,
)
from tests.lab.namespace_guest import (
    MANAGEMENT,
    NamespaceGuest,
    eventually,
    make_key,
    namespace_guest,
    opening,
    policy,
    unique_name,
)
from tests.lab.package_repository import PackageRepository, serving

_APT = "/etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /var/lib/apt/lists"


@dataclass
class Patient:
    """A guest with packages of a repository that the test may damage."""

    guest: NamespaceGuest
    repository: PackageRepository

    def install(self, *names: str, version: str = "1.0", scripts: dict[str, str] | None = None) -> None:
        """Put packages into the guest that the repository does not have (yet)."""
        built = [str(self.repository.add(name, version, part="", scripts=scripts)) for name in names]
        self.guest.inside("dpkg", "-i", *built)

    def look(self, ssh: SshSettings | None = None, **options: float) -> DueUpdates | str:
        target = self.guest.target(policy())
        return look_for_updates([target], ssh or self.guest.ssh(), **options)[target.key]  # type: ignore[arg-type]

    def update(self, *exclude: str, order: UpdateOrder | None = None) -> UpdateResult:
        target = replace(self.guest.target(policy(opening(8080))), exclude=exclude)
        given = order or UpdateOrder(settle_seconds=2)
        return install_updates([target], {target.key: given}, self.guest.ssh())[target.key]

    def versions(self) -> dict[str, str]:
        """The versions of the tests' packages, half installed ones with a mark."""
        shown = self.guest.inside(
            "dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n"
        ).stdout
        rows = [line.split() for line in shown.splitlines() if "-lab " in line]
        return {
            name: version if state in ("ii", "hi") else f"{version} {state}" for name, version, state in rows
        }


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Patient]:
    (tmp_path / "guest").mkdir()
    repository = PackageRepository(tmp_path / "packages")
    with (
        namespace_guest(tmp_path / "guest", unique_name(), own_root=True) as guest,
        serving(repository.folder, MANAGEMENT, inside=guest.command_outside()) as url,
    ):
        guest.inside("sh", "-ec", f"rm -rf {_APT}; mkdir -p /etc/apt/apt.conf.d /var/lib/apt/lists/partial")
        guest.inside("tee", "/etc/apt/sources.list", text=repository.sources(url))
        yield Patient(guest, repository)


def test_what_is_due_is_told_and_only_what_may_be_is_installed(patient: Patient) -> None:
    patient.install("plain-lab", "secure-lab", "held-lab", "kept-lab")
    patient.guest.inside("apt-mark", "hold", "held-lab")
    patient.repository.add("plain-lab", "1.1", published=1_795_000_000)
    patient.repository.add("secure-lab", "1.1", part="security")
    patient.repository.add("held-lab", "1.1")
    patient.repository.add("kept-lab", "1.1", depends="held-lab (>= 1.1)")
    found = patient.look()
    assert isinstance(found, DueUpdates), found
    told = {package.name: (package.new, package.security, package.state) for package in found.packages}
    assert told == {
        "held-lab": ("1.1", False, "held"),
        "kept-lab": ("1.1", False, "kept-back"),
        "plain-lab": ("1.1", False, "ready"),
        "secure-lab": ("1.1", True, "ready"),
    }
    assert set(patient.versions().values()) == {"1.0"}, "looking changes nothing"

    secure = patient.update(order=UpdateOrder(security_only=True))
    assert secure.status == "well" and [item.name for item in secure.installed] == ["secure-lab"], secure
    none = patient.update("plain-*")
    assert none.status == "well" and none.installed == (), "excluded by the file"
    rest = patient.update()
    assert [(item.name, item.old, item.new) for item in rest.installed] == [("plain-lab", "1.0", "1.1")]
    assert rest.installed[0].published is not None
    assert rest.installed[0].published.timestamp() == 1_795_000_000, "the time that the mirror has for it"
    assert patient.versions() == {
        "held-lab": "1.0",
        "kept-lab": "1.0",
        "plain-lab": "1.1",
        "secure-lab": "1.1",
    }
    again = patient.update()
    assert again.status == "well" and again.installed == () and again.tried == ()


def test_an_excluded_package_is_not_dragged_along_by_another_one(patient: Patient) -> None:
    patient.install("base-lab", "app-lab", "other-lab")
    patient.repository.add("base-lab", "1.1")
    patient.repository.add("app-lab", "1.1", depends="base-lab (>= 1.1)")
    patient.repository.add("other-lab", "1.1")
    result = patient.update("base-*")
    assert result.status == "well", result
    assert patient.versions() == {"base-lab": "1.0", "app-lab": "1.0", "other-lab": "1.1"}, (
        "nor does it stop others"
    )


def test_a_mirror_that_goes_down_in_the_middle_leaves_everything_as_it_was(patient: Patient) -> None:
    patient.install("first-lab", "second-lab")
    patient.repository.add("first-lab", "1.1")
    patient.repository.add("second-lab", "1.1").unlink()  # in the lists, and no longer there
    broken = patient.update()
    assert broken.status == "untouched", broken
    assert "the packages could not be fetched, nothing was installed" in broken.message
    assert "404" in broken.message
    assert patient.versions() == {"first-lab": "1.0", "second-lab": "1.0"}
    patient.repository.add("second-lab", "1.1")
    assert patient.update().status == "well"
    assert set(patient.versions().values()) == {"1.1"}


def test_lists_that_cannot_be_fetched_change_nothing(patient: Patient) -> None:
    patient.install("some-lab")
    patient.repository.add("some-lab", "1.1")
    shutil.move(patient.repository.folder / "main", patient.repository.folder / "away")
    result = patient.update()
    assert result.status == "untouched" and "the package lists could not be fetched" in result.message
    assert patient.versions() == {"some-lab": "1.0"}


def test_a_full_disk_is_refused_before_anything_is_installed(patient: Patient) -> None:
    patient.install("some-lab")
    patient.repository.add("some-lab", "1.1")
    patient.guest.inside("sh", "-c", "fallocate -l 210M /var/filler")
    result = patient.update()
    assert result.status == "untouched", result
    assert "MiB are free on /, 64 are needed: nothing was changed" in result.message
    assert patient.versions() == {"some-lab": "1.0"}


def test_a_disk_that_fills_up_in_the_middle_is_told_as_what_it_is(patient: Patient) -> None:
    patient.install("big-lab")
    patient.repository.add("big-lab", "1.1", payload=120 * 1024 * 1024)
    patient.guest.inside("sh", "-c", "fallocate -l 160M /var/filler")
    result = patient.update()
    assert result.status == "broken" and result.tried == ("big-lab 1.1",), result
    assert "No space left on device" in result.message


def test_a_configuration_script_that_fails_is_named_and_repaired_by_the_next_round(patient: Patient) -> None:
    patient.install("script-lab")
    failing = {"postinst": "test -e /etc/repaired || { echo the database is down >&2; exit 7; }"}
    patient.repository.add("script-lab", "1.1", scripts=failing)
    result = patient.update()
    assert result.status == "broken", result
    assert (
        "script-lab package post-installation script subprocess returned error exit status 7"
        in result.message
    )
    assert patient.versions() == {"script-lab": "1.1 iF"}
    found = patient.look()
    assert isinstance(found, DueUpdates) and found.interrupted

    patient.guest.inside("touch", "/etc/repaired")
    mended = patient.update(order=UpdateOrder(fresh=False))
    assert mended.status == "well" and mended.repaired, mended
    assert patient.versions() == {"script-lab": "1.1"}
    assert [item.name for item in mended.installed] == ["script-lab"], "what the interrupted round had begun"


def test_an_update_outlives_the_connection_that_began_it_and_is_waited_for(patient: Patient) -> None:
    patient.install("slow-lab")
    slow = {"postinst": "touch /etc/unpacked; until test -e /etc/go-on; do sleep 0.1; done"}
    patient.repository.add("slow-lab", "1.1", scripts=slow)
    program = Path("playbooks/roles/update/files/orchestrator-update").read_text()
    patient.guest.inside("sh", "-c", "cat >/usr/local/sbin/orchestrator-update", text=program)
    patient.guest.inside("chmod", "755", "/usr/local/sbin/orchestrator-update")
    asking = patient.guest.begin("/usr/local/sbin/orchestrator-update", "apply", "all", "yes", "", "")
    try:
        eventually(lambda: (patient.guest.folder / "etc/unpacked").exists(), "the script of the package runs")
    finally:
        asking.kill()
        asking.wait()
    (patient.guest.folder / "etc/go-on").touch()
    result = patient.update(order=UpdateOrder(fresh=False))
    assert result.status == "well", result
    assert [item.name for item in result.installed] == ["slow-lab"]
    assert patient.versions() == {"slow-lab": "1.1"}


def test_a_port_of_the_file_that_is_served_no_more_is_noticed(patient: Patient) -> None:
    patient.install("web-lab")
    patient.repository.add("web-lab", "1.1", scripts={"postinst": "kill $(cat /run/web.pid)"})
    server = "nc -lk 8080 >/dev/null 2>&1 & echo $! >/run/web.pid; until ss -Hltn | grep -q :8080; do sleep 0.1; done"
    patient.guest.inside("sh", "-c", server)
    result = patient.update()
    assert result.status == "unwell" and "nothing serves TCP 8080 any more" in result.message, result


def test_ssh_that_hangs_after_connecting_is_given_up(patient: Patient) -> None:
    hangs = "printf '#!/bin/sh\\nexec sleep 1000\\n' >/usr/sbin/hangs; chmod 755 /usr/sbin/hangs"
    patient.guest.inside(
        "sh", "-c", f"{hangs}; sed -i 's|^root:\\(.*\\):.*|root:\\1:/usr/sbin/hangs|' /etc/passwd"
    )
    found = patient.look(timeout_seconds=3)
    assert isinstance(found, str)
    assert "SSH connected, but no answer came" in found and "look at its console" in found, found


def test_a_changed_host_key_is_refused_with_what_to_do(patient: Patient, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    target = patient.guest.target(policy(), host_key=(tmp_path / "other.pub").read_text())
    found = look_for_updates([target], patient.guest.ssh())[target.key]
    assert isinstance(found, str)
    assert "its SSH host key is not the one that the hypervisor told of, so nothing was sent" in found
    assert "orchestrator apply --guests learns them again" in found
