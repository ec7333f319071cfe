"""Hashing `cipassword`, as Proxmox does before it stores it."""

from __future__ import annotations

import re
import secrets
import subprocess

_HASHED = re.compile(r"\$(?:[156]|2[ay])(\$.+){2}")


def hash_password(password: str) -> str:
    """The SHA-256 crypt hash of a password; one that is hashed already is kept.

    Python lost `crypt`; `openssl`, which Debian's Python depends on, has it.
    """
    if _HASHED.match(password):
        return password
    command = ["openssl", "passwd", "-5", "-salt", secrets.token_hex(4), "-stdin"]
    done = subprocess.run(command, input=f"{password}\n", text=True, capture_output=True, check=True)
    return done.stdout.strip()
