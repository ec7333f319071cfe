"""This computer: Ansible, and the keys that open guests and nodes."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.doctor.findings import HERE, Finding, Place

if TYPE_CHECKING:
    from orchestrator.sites.model import Provider

OLDEST_ANSIBLE = (2, 19)
"""What the playbooks are written for."""

_PLACE = Place(HERE)


def judge_ansible(found: str | None, program: str | None) -> Iterator[Finding]:
    """Whether playbooks can be run.

    Args:
        found: the version of ansible-core; None if there is none.
        program: where ``ansible-playbook`` is; None if it is nowhere.
    """
    oldest = ".".join(map(str, OLDEST_ANSIBLE))
    remedy = f"install ansible-core {oldest} or newer beside the orchestrator, in the same Python"
    if found is None or program is None:
        missing = "ansible-core" if found is None else "ansible-playbook"
        yield _PLACE.error(
            "Ansible", f"there is no {missing}: nothing in a machine can be configured", remedy
        )
        return
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_ANSIBLE:
        yield _PLACE.error("Ansible", f"ansible-core {found} is too old", remedy)
    else:
        yield _PLACE.ok("Ansible", f"ansible-core {found}")


def ansible_version() -> str | None:
    """The version of ansible-core that is installed; None if there is none."""
    try:
        return version("ansible-core")
    except PackageNotFoundError:
        return None


def ansible_program() -> str | None:
    """Where ``ansible-playbook`` is: beside our Python, or in PATH."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    return str(beside) if beside.exists() else shutil.which("ansible-playbook")


def judge_keys(provider: Provider) -> Iterator[Finding]:
    """Whether the provider's SSH key is there, is nobody else's to read, and fits its public half."""
    management = provider.management
    path = Path(management.ssh_private_key)
    subject = "SSH key"
    problem = _unusable(path)
    if problem:
        yield _PLACE.error(subject, problem[0], problem[1])
        return
    public = _public_half(path)
    if public is None:
        yield _PLACE.warning(
            subject,
            f"{path} cannot be read without a passphrase, or is of a kind that is not known",
            "use a key without a passphrase, of this computer alone: nights have nobody to type one",
        )
    elif management.ssh_public_key.split()[1] != public:
        yield _PLACE.error(
            subject,
            f"{path} does not belong to management.ssh_public_key: machines would be made that nobody can enter",
            f"`ssh-keygen -y -f {path}` prints the right public key for the site file",
        )
    else:
        yield _PLACE.ok(subject, f"{path}, and its public half in the site file")
    for name, site in provider.sites.items():
        if site.node_access is None:
            continue
        place = Place(name)
        problem = _unusable(Path(site.node_access.ssh_private_key))
        if problem:
            yield place.error("node access", problem[0], problem[1])
        elif not Path(site.node_access.ssh_known_hosts).is_file():
            yield place.error(
                "node access",
                f"{site.node_access.ssh_known_hosts} does not exist: no node is trusted, so no disk can be exported",
                "put the nodes' host keys there (ssh-keyscan, compared with `ssh-keygen -lf` on the node)",
            )
        else:
            yield place.ok(
                "node access", f"key and host keys for {counted(len(site.node_access.addresses), 'node')}"
            )


def _unusable(path: Path) -> tuple[str, str] | None:
    try:
        about = path.stat()
    except OSError as error:
        return (
            f"{path} cannot be read: {error.strerror}",
            "make it with ssh-keygen, or correct the path in the site file",
        )
    if stat.S_IMODE(about.st_mode) & 0o077:
        return f"{path} can be read by others", f"chmod 600 {path}"
    if not os.access(path, os.R_OK):
        return f"{path} cannot be read by this account", f"run as its owner, or chown {path}"
    return None


def _public_half(path: Path) -> str | None:
    """The public half, in base64; None if it cannot be had."""
    import paramiko

    try:
        return str(paramiko.PKey.from_path(path).get_base64())
    except (paramiko.SSHException, OSError, ValueError, TypeError):
        return None
