"""``orchestrator bootstrap``: the lines for a node's shell, and the same over the API."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.resources.privileges import role_privileges
from tests.api.desk import Answer, Desk
from tests.api.fakepve_handle import FakePve


class Beginning(Desk):
    """An inventory whose token does not exist yet, and an administrator's."""

    def __init__(self, folder: Path, fake: FakePve) -> None:
        super().__init__(folder, {"paris": fake})
        self.fake = fake
        self.secret = fake.control("administrator")
        self.file = folder / "paris.token"
        self.file.unlink()

    def set_up(self, *arguments: str) -> Answer:
        """Carry it out as the administrator."""
        return self.run(
            "bootstrap",
            "paris",
            "--run",
            "root@pam!setup",
            *arguments,
            environment={"ORCHESTRATOR_ADMIN_SECRET": self.secret},
        )

    @property
    def made(self) -> Any:
        """What the cluster has."""
        return self.fake.control("accounts")


@pytest.fixture
def beginning(fakepve: FakePve, tmp_path: Path) -> Beginning:
    fakepve.control("add_template", vmid=9000, name="debian-12")
    return Beginning(tmp_path, fakepve)


@pytest.mark.parametrize("release", [8, 9])
def test_the_lines_give_exactly_what_is_needed(beginning: Beginning, release: int) -> None:
    answer = beginning.run("bootstrap", "paris", "--pve", str(release))
    assert answer.code == 0
    assert set(re.findall(r'--privs "([^"]+)"', answer.out)) == {" ".join(role_privileges(release))}
    assert "pveum user token add orchestrator@pve apply --privsep 0" in answer.out
    assert "Sys.Console" not in answer.out
    assert "Sys.Console" in beginning.run("bootstrap", "paris", "--pve", str(release), "--redundancy").out


_PVEUM = """#!/bin/sh
# As pveum: lists have a name first, and to make what is there is an error.
cd "$(dirname "$0")"
case "$1 $2 $3" in
  "role list"*) cat roles 2>/dev/null ;;
  "user list"*) cat users 2>/dev/null ;;
  "user token list") cat tokens 2>/dev/null ;;
  "role modify"*) grep -q "^$3 " roles || { echo "role '$3' does not exist" >&2; exit 2; } ;;
  "acl modify"*) ;;
  "role add"*) grep -q "^$3 " roles 2>/dev/null && { echo "role '$3' already exists" >&2; exit 2; }
    echo "$3 VM.Audit 0" >>roles ;;
  "user add"*) echo "$3 hosting 1" >>users ;;
  "user token add") grep -q "^$5 " tokens 2>/dev/null && { echo "Token already exists." >&2; exit 2; }
    echo "$5 0" >>tokens; echo "value 1234" ;;
esac
"""


def test_the_lines_print_no_error_however_often_they_are_run(beginning: Beginning, tmp_path: Path) -> None:
    (stand_in := tmp_path / "bin").mkdir()
    (stand_in / "pveum").write_text(_PVEUM)
    (stand_in / "pveum").chmod(0o755)
    (stand_in / "roles").write_text("Orchestrator-2 VM.Audit 0\n")
    printed = beginning.run("bootstrap", "paris", "--pve", "9").out
    lines = "\n".join(line for line in printed.splitlines() if "pveum" in line and not line.startswith("#"))
    said = []
    for _ in range(2):
        ended = subprocess.run(
            ["sh", "-e", "-c", lines],
            env={"PATH": f"{stand_in}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        said.append(ended.stdout)
    assert "value 1234" in said[0] and "is there already" in said[1]
    assert (stand_in / "roles").read_text().splitlines()[1:] == ["Orchestrator VM.Audit 0"]


def test_without_a_version_the_cluster_is_asked_or_both_are_printed(
    beginning: Beginning, fakepve: FakePve
) -> None:
    both = beginning.run("bootstrap", "paris").out
    assert "# Proxmox VE 8:" in both and "# Proxmox VE 9:" in both
    assert beginning.set_up().code == 0
    fakepve.control("release", release="8")
    asked = beginning.run("bootstrap", "paris").out
    assert "# Proxmox VE 8:" in asked and "# Proxmox VE 9:" not in asked


def test_over_the_api_everything_is_made_once_and_works(beginning: Beginning) -> None:
    answer = beginning.set_up()
    assert answer.code == 0, answer
    made = beginning.made
    assert made["roles"] == {"Orchestrator": role_privileges(9)}
    assert made["users"] == ["orchestrator@pve"]
    assert made["grants"] == [["/", "orchestrator@pve", "Orchestrator", "user"]]
    assert "orchestrator@pve!apply" in made["tokens"]
    assert stat.S_IMODE(beginning.file.stat().st_mode) == 0o600
    secret = beginning.file.read_text().strip()
    assert secret and secret not in answer.out + answer.err
    assert beginning.secret not in answer.out + answer.err
    assert "all" in answer.out and "privileges" in answer.out

    again = beginning.set_up()
    assert again.code == 0 and again.out.count("there already") == 4, again
    assert beginning.made == made and beginning.file.read_text().strip() == secret


def test_a_role_that_lacks_something_gets_it_and_keeps_the_rest(beginning: Beginning) -> None:
    assert beginning.set_up().code == 0
    answer = beginning.set_up("--redundancy")
    assert answer.code == 0 and "given Sys.Console, VM.Migrate, VM.Replicate" in answer.out
    fewer = beginning.set_up()
    assert (
        "it also has Sys.Console, VM.Migrate, VM.Replicate, which the orchestrator does not need"
        in " ".join(fewer.out.split())
    )


def test_a_lost_secret_is_said_and_the_token_is_made_again_only_when_told(beginning: Beginning) -> None:
    assert beginning.set_up().code == 0
    beginning.file.unlink()
    refused = beginning.set_up()
    assert refused.code == 1 and "--renew-token" in refused.err
    assert not beginning.file.exists()
    assert beginning.set_up("--renew-token").code == 0
    assert beginning.file.read_text().strip()


def test_a_secret_that_could_not_be_kept_is_not_made(beginning: Beginning) -> None:
    beginning.file.mkdir()
    answer = beginning.set_up()
    assert answer.code == 1 and "--secret-file" in answer.err
    assert "orchestrator@pve!apply" not in beginning.made["tokens"]
    (beginning.folder / "elsewhere").write_text("somebody else's\n")
    kept = beginning.set_up("--secret-file", str(beginning.folder / "elsewhere"))
    assert kept.code == 1 and "is there already" in kept.err
    assert (beginning.folder / "elsewhere").read_text() == "somebody else's\n"


def test_a_kill_before_the_secret_was_kept_is_mended_by_the_next_run(
    beginning: Beginning, fakepve: FakePve
) -> None:
    fakepve.fault("POST", "/access/users/.*/token/.*", "reset", after=True)
    assert beginning.set_up().code == 1
    assert "orchestrator@pve!apply" in beginning.made["tokens"]
    assert "--renew-token" in beginning.set_up().err
    assert beginning.set_up("--renew-token").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lille",), "there is no site lille"),
        (("paris", "--pve", "7"), "Proxmox VE 8 and 9"),
        (("paris", "--run", "root"), "USER@REALM!TOKEN"),
        (("paris", "--run", "root@pam!setup", "--role", "PVEAuditor"), "a role of Proxmox's own"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    beginning: Beginning, arguments: tuple[str, ...], words: str
) -> None:
    environment = {"ORCHESTRATOR_ADMIN_SECRET": beginning.secret}
    answer = beginning.run("bootstrap", *arguments, environment=environment)
    assert answer.code == 1 and words in " ".join(answer.err.split()), answer
    assert beginning.made["roles"] == {}
