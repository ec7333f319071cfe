"""Fingerprints as OpenSSH computes them, and what is said before keys are sent anywhere."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.guests import FirewallPolicy, Guest, SshSettings
from orchestrator.guests.inventory import host_variables
from orchestrator.guests.keys import fingerprint, fingerprints, key_objection, outcome

KINDS = (("ed25519", "256"), ("rsa", "2048"), ("ecdsa", "384"))


def make_key(folder: Path, kind: str, bits: str) -> tuple[Path, str]:
    """A key pair: where its private half is, and the line of the public one."""
    path = folder / f"a {kind} key"
    command = ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "alice at home"]
    subprocess.run([*command, "-f", path], check=True)
    return path, path.with_name(f"{path.name}.pub").read_text()


def target(*keys: str) -> Guest:
    return Guest(
        client="dupont",
        machine="web-1",
        address="192.0.2.10",
        user="admin",
        host_keys=(),
        policy=FirewallPolicy(),
        keys=keys,
        former_keys=("SHA256:gone",),
    )


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_a_fingerprint_is_that_of_ssh_keygen(tmp_path: Path, kind: str, bits: str) -> None:
    path, public = make_key(tmp_path, kind, bits)
    said = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout
    assert fingerprint(public) == said.split()[1]
    assert fingerprints([public, public.rsplit(maxsplit=3)[0]]) == (said.split()[1],) * 2


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 AAAA!", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA"])
def test_what_is_no_public_key_has_no_fingerprint(line: str) -> None:
    with pytest.raises(ValueError, match=r"not an SSH public key: give the whole line of the \.pub file"):
        fingerprint(line)


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_the_key_that_we_connect_with_must_be_among_those_that_stay(
    tmp_path: Path, kind: str, bits: str
) -> None:
    path, public = make_key(tmp_path, kind, bits)
    (tmp_path / "other").mkdir()
    _, other = make_key(tmp_path / "other", "ed25519", "256")
    ssh = SshSettings(private_key=path)
    assert key_objection(target(other, public), ssh) is None
    assert key_objection(target(), ssh) is None
    said = key_objection(target(other), ssh) or ""
    assert said.startswith("dupont/web-1: the wanted SSH keys would not let the provider in")
    assert str(path) in said
    assert fingerprint(public) in said
    assert "management.ssh_public_key" in said


def test_a_key_that_cannot_be_read_is_an_objection(tmp_path: Path) -> None:
    _, public = make_key(tmp_path, "ed25519", "256")
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", locked], check=True)
    (tmp_path / "nonsense").write_text("nonsense")
    for path in (locked, tmp_path / "nonsense", tmp_path / "missing"):
        said = key_objection(target(public), SshSettings(private_key=path)) or ""
        assert said.startswith(f"dupont/web-1: the private key {path} cannot be read"), said
        assert "Nothing was sent" in said


def test_ansible_gets_the_keys_of_a_machine() -> None:
    variables = host_variables(
        target("ssh-ed25519 AAAA a"), SshSettings(private_key=Path("/key")), Path("/known")
    )
    assert variables["ssh_keys_wanted"] == ["ssh-ed25519 AAAA a"]
    assert variables["ssh_keys_former"] == ["SHA256:gone"]
    assert variables["ssh_keys_user"] == "admin"


def test_a_play_that_did_not_get_as_far_as_to_the_keys_says_nothing_of_them() -> None:
    assert outcome(target("ssh-ed25519 AAAA a"), {}) is None
    without = outcome(replace(target(), former_keys=()), {})
    assert without is not None
    assert without.status == "unchanged"
