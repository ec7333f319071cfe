"""The account on a node that reads all configurations at once, as lines that a person can read and run."""

from __future__ import annotations

import shlex
from importlib.resources import files

PROGRAM = "/usr/local/sbin/orchestrator-read-configurations"
_END = "END-OF-PROGRAM"


def program() -> str:
    """The program that the node runs, as a text."""
    return (files(__package__) / "read-configurations.pl").read_text()


def authorized_key(public_key: str, command: str = PROGRAM) -> str:
    """The line of authorized_keys: whoever has the key gets this command's output, whatever they ask for.

    Args:
        public_key: type and key, checked; a comment is left out.
        command: what sshd runs.
    """
    return f'restrict,command="{command}" {" ".join(public_key.split()[:2])}'


def node_lines(user: str, public_key: str) -> list[str]:
    """The commands for a node, as root; they may be run again.

    The account is in the group that may read the cluster's files (``/etc/pve`` belongs to root and www-data); it has no
    password, and its only key no shell.
    """
    home = f"/var/lib/{user}"
    return [
        f"id {user} >/dev/null 2>&1 || useradd --system --shell /bin/sh --home-dir {home} --create-home {user}",
        f"usermod --append --groups www-data {user}",
        f"cat > {PROGRAM} <<'{_END}'",
        *program().rstrip("\n").split("\n"),
        _END,
        f"chown root:root {PROGRAM} && chmod 755 {PROGRAM}",
        f"install -d -m 755 -o root -g root {home}/.ssh",
        f"printf '%s\\n' {shlex.quote(authorized_key(public_key))} > {home}/.ssh/authorized_keys",
        f"chmod 644 {home}/.ssh/authorized_keys",
    ]
