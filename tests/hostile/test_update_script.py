"""What the program for updates says of packages: by origin and architecture, not by what they are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "playbooks" / "roles" / "update" / "files" / "orchestrator-update"


def said(tmp_path: Path, run: str, programs: dict[str, str], **files: str) -> list[str]:
    """Run functions of the program, with stand-ins for the package managers, which are not those of a guest here."""
    functions = PROGRAM.read_text().partition('\ncase "${1-} $#" in')[0]
    (tmp_path / "functions").write_text(functions)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        (tmp_path / name).chmod(0o755)
    where = f"PATH={tmp_path}:$PATH RUN={tmp_path} preferences={tmp_path}/preferences EXCLUDE="
    script = f". {tmp_path}/functions\n{where}\n{run}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


APT = {"apt-get": "cat inst", "apt-mark": "cat held"}
DNF = {
    "dnf": 'case "$*" in *updateinfo*) cat info ;; *versionlock*) : ;; *) cat list; exit 100 ;; esac',
    "rpm": 'case "$*" in *absent*) echo "package absent is not installed"; exit 1 ;; *) echo 1-1.el9 ;; esac',
}


@pytest.mark.parametrize(
    ("line", "sort"),
    [
        ("debian-security-support [1] (2 Debian:12.8/stable [all])", "regular"),
        ("x [1-security] (2-security Debian:12.8/stable [all])", "regular"),
        ("openssl [1] (2 Debian:12.8/stable, Debian-Security:12/stable-security [amd64])", "security"),
        ("openssl [1] (2 Debian-Security:10/oldstable [amd64]) []", "security"),
        ("curl [1] (2 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])", "security"),
        ("curl [1] (2 UbuntuESMApps:22.04/jammy-apps-security [amd64])", "security"),
        ("curl [1] (2 Ubuntu:22.04/jammy-updates [amd64])", "regular"),
        ("agent [1] (2 Acme-security-tools:1/stable [amd64])", "regular"),
        ("agent [1] (2 Acme:1/stable-security-tools [amd64])", "regular"),
    ],
)
def test_security_is_what_comes_from_a_security_archive(tmp_path: Path, line: str, sort: str) -> None:
    (due,) = said(tmp_path, "apt_due", APT, inst=f"Inst {line}\n", held="")
    assert due.split()[3:] == [sort, "ready"]


def test_a_hold_or_an_exclusion_is_of_an_architecture_or_of_all(tmp_path: Path) -> None:
    inst = "".join(
        f"Inst {name} [1] (2 Debian:12.8/stable [{architecture}])\n"
        for name, architecture in (
            ("libc6:i386", "i386"),
            ("libc6", "amd64"),
            ("bash", "amd64"),
            ("zlib:i386", "i386"),
        )
    )
    run = "EXCLUDE='zlib'; apt_due >$RUN/possible; with_exclusions <$RUN/possible"
    due = dict(line.split()[::4] for line in said(tmp_path, run, APT, inst=inst, held="libc6:i386\nbash\n"))
    assert due == {"libc6:i386": "held", "libc6": "ready", "bash": "held", "zlib:i386": "excluded"}


def test_of_dnf_security_is_the_package_itself_not_one_whose_name_ends_alike(tmp_path: Path) -> None:
    info = "A Important/Sec. openssl-1:3.0.7-2.el9.x86_64\nB Low/Sec. kernel-tools-5.14-2.el9.x86_64\n"
    listed = (
        "openssl.x86_64 1:3.0.7-2.el9 baseos\ntools.x86_64 5.14-2.el9 baseos\nabsent.x86_64 2-1.el9 baseos\n"
    )
    assert said(tmp_path, "dnf_due", DNF, info=info, list=listed) == [
        "openssl 1-1.el9 1:3.0.7-2.el9 security ready",
        "tools 1-1.el9 5.14-2.el9 regular ready",
    ]
