"""Guests whose owner is root in them: what runs as their login shell is the owner's, whatever is asked."""

from __future__ import annotations

from tests.lab.namespace_guest import NamespaceGuest


def give_shell(guest: NamespaceGuest, user: str, script: str) -> None:
    """Let a user of a guest have a login shell that does this with every command (``"$2"``)."""
    shell = guest.folder / f"etc/shell-of-{user}"
    shell.write_text(f"#!/bin/sh\n{script}\n")
    shell.chmod(0o755)
    passwd = guest.folder / "etc/passwd"
    lines = []
    for line in passwd.read_text().splitlines():
        fields = line.split(":")
        if fields[0] == user:
            fields[6] = f"/etc/{shell.name}"
        lines.append(":".join(fields))
    passwd.write_text("\n".join(lines) + "\n")


def say(guest: NamespaceGuest, name: str, text: str) -> str:
    """Keep a text in a file that every user of a guest may read; return the shell command that prints it as it is."""
    (guest.folder / "homes" / name).write_text(text, encoding="utf-8")
    return f"cat /run/homes/{name}"
