"""The bootstrap script of a real node gives the orchestrator's token what the program's own table says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.resources.privileges import role_privileges
from orchestrator.resources.redundancy import REDUNDANCY

_SCRIPT = Path(__file__).parents[2] / "vagrant" / "bootstrap.sh"


@pytest.mark.parametrize("release", [8, 9])
def test_the_role_has_what_is_needed_and_no_more(release: int) -> None:
    text = _SCRIPT.read_text()
    head = text[: text.index("\nstep()")]
    done = subprocess.run(
        ["bash", "-c", head + "\necho $privileges"],
        env={"PVE_RELEASE": str(release), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.split()) == role_privileges(release, REDUNDANCY.needs)


def test_a_release_that_is_not_known_is_refused() -> None:
    done = subprocess.run(
        ["bash", str(_SCRIPT)],
        env={"PVE_RELEASE": "7", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "PVE_RELEASE is 8 or 9, not 7" in done.stderr


def test_a_key_with_another_sum_stops_it_before_anything_is_installed(tmp_path: Path) -> None:
    """The script's own step, alone: a key that is not Proxmox's."""
    (tmp_path / "key.gpg").write_text("somebody else's")
    steps = _SCRIPT.read_text().partition("\ncheck_machine\n")[0]
    done = subprocess.run(
        ["bash", "-c", steps + "\ninstall_proxmox"],
        env={
            "PVE_RELEASE": "9",
            "PVE_KEY_URL": f"file://{tmp_path}/key.gpg",
            "PATH": "/usr/sbin:/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "another sum than Proxmox published" in done.stderr
    assert not Path("/etc/apt/sources.list.d/proxmox.list").exists()
