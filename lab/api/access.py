"""Who asks, and what they may do.

There are two users: `root@pam`, who may do everything, and `orchestrator@pve`, who has the role that a
provider would give the orchestrator on `/`. Each has an API token. A token of root has root's
privileges, but what Proxmox reserves for root itself is refused to it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from lab.api.errors import Forbidden, Unauthorized
from lab.api.values import words

ROOT = "root@pam"
ORCHESTRATOR = "orchestrator@pve"
ORCHESTRATOR_TOKEN = "orchestrator@pve!apply"  # noqa: S105 (a name)
ROOT_TOKEN = "root@pam!lab"  # noqa: S105 (a name)

_TICKET_SECONDS = 7200

_ROLE = frozenset(
    words(
        "VM.Allocate VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk "
        "VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.PowerMgmt VM.Snapshot "
        "VM.Snapshot.Rollback VM.Backup VM.Audit VM.Monitor VM.Console Datastore.AllocateSpace Datastore.Audit "
        "Pool.Allocate Pool.Audit Sys.Audit Sys.Syslog SDN.Use"
    )
)
_ADMINISTRATOR = _ROLE | frozenset(
    words(
        "Datastore.Allocate Datastore.AllocateTemplate Group.Allocate Mapping.Audit "
        "Mapping.Modify Mapping.Use Permissions.Modify Realm.Allocate Realm.AllocateUser "
        "SDN.Allocate SDN.Audit Sys.AccessNetwork Sys.Console Sys.Incoming Sys.Modify "
        "Sys.PowerMgmt Sys.Syslog User.Modify VM.Migrate"
    )
)
_PRIVILEGES = {ROOT: _ADMINISTRATOR, ORCHESTRATOR: _ROLE}
_PATH = re.compile(r"(/[A-Za-z0-9._-]+)+|/", re.ASCII)


@dataclass(frozen=True)
class Caller:
    """Who a request comes from: a user by a ticket, or one of the user's tokens."""

    user: str
    token: str | None = None

    @property
    def identity(self) -> str:
        """`USER` or `USER!TOKEN`, as it stands in UPIDs."""
        return f"{self.user}!{self.token}" if self.token else self.user

    @property
    def is_root(self) -> bool:
        """Root itself; its tokens are not."""
        return self.identity == ROOT

    @property
    def known(self) -> bool:
        """Whether there is such a user."""
        return self.user in _PRIVILEGES

    def may(self, path: str, *privileges: str, any_of: bool = False) -> bool:
        """Whether the privileges are held on `path`; roles are given on `/` and reach all that exists below."""
        if self.is_root:
            return True
        if not _PATH.fullmatch(path):
            return False
        held = _PRIVILEGES[self.user]
        return any(item in held for item in privileges) if any_of else held.issuperset(privileges)

    def check(self, path: str, *privileges: str, any_of: bool = False) -> None:
        """Demand privileges on `path`.

        Raises:
            Forbidden: not all of them (with `any_of`: none) are held.
        """
        if not self.may(path, *privileges, any_of=any_of):
            shown = path if _PATH.fullmatch(path) else ""
            raise Forbidden(f"{shown}, {'|'.join(privileges)}")

    def permissions(self) -> dict[str, int]:
        """All privileges on `/`, in the form of `GET /access/permissions`."""
        return dict.fromkeys(sorted(_PRIVILEGES[self.user]), 1)


class Credentials:
    """Secrets of the lab, each in a file of its own that only root can read; made once and kept."""

    def __init__(self, folder: Path) -> None:
        self.token_file = folder / "orchestrator-token.secret"
        self.root_token_file = folder / "root-token.secret"
        self.root_password_file = folder / "root-password.secret"
        self._key_file = folder / "ticket-key.secret"

    def ensure(self) -> None:
        """Make the secrets that are missing."""
        for path in (self.token_file, self.root_token_file, self.root_password_file, self._key_file):
            if not path.exists():
                write_secret(path, secrets.token_hex(18))

    def authenticate(self, header: str) -> Caller:
        """The caller behind an `Authorization: PVEAPIToken=USER@REALM!TOKEN=SECRET`.

        Raises:
            Unauthorized: there is no such token, or the secret is wrong.
        """
        name, separator, secret = header.removeprefix("PVEAPIToken=").rpartition("=")
        user, exclamation, token = name.partition("!")
        if not (separator and exclamation and token):
            raise Unauthorized("no tokenid specified")
        if user not in _PRIVILEGES:
            raise Unauthorized(f"no such user ('{user}')")
        path = {ORCHESTRATOR_TOKEN: self.token_file, ROOT_TOKEN: self.root_token_file}.get(name)
        if path is None:
            raise Unauthorized(f"no such token '{token}' for user '{user}'")
        if not hmac.compare_digest(secret.encode(), path.read_bytes()):
            raise Unauthorized("invalid token value!")
        return Caller(user, token)

    def log_in(self, user: str, password: str) -> tuple[str, str]:
        """A ticket and its CSRF prevention token.

        Raises:
            Unauthorized: wrong name or password; which of the two is not said.
        """
        if user != ROOT or not hmac.compare_digest(password.encode(), self.root_password_file.read_bytes()):
            raise Unauthorized("authentication failure\n")
        stamp = f"{int(time.time()):08X}"
        return f"PVE:{user}:{stamp}::{self._sign('ticket', user, stamp)}", self._csrf(user, stamp)

    def verify_ticket(self, ticket: str) -> Caller:
        """The caller behind a ticket.

        Raises:
            Unauthorized: it is not one of ours, or older than two hours.
        """
        found = re.fullmatch(r"PVE:([^:]+):([0-9A-F]{8})::(\w+)", ticket)
        if not found or not hmac.compare_digest(found[3], self._sign("ticket", found[1], found[2])):
            raise Unauthorized("permission denied - invalid PVE ticket")
        if time.time() - int(found[2], 16) > _TICKET_SECONDS:
            raise Unauthorized("permission denied - invalid PVE ticket")
        return Caller(found[1])

    def verify_csrf(self, user: str, token: str | None) -> None:
        """Demand the token that a write with a ticket needs.

        Raises:
            Unauthorized: it is missing or wrong.
        """
        stamp = (token or "").partition(":")[0]
        if not token or not hmac.compare_digest(token, self._csrf(user, stamp)):
            raise Unauthorized("Permission denied - invalid csrf token")

    def _csrf(self, user: str, stamp: str) -> str:
        return f"{stamp}:{self._sign('csrf', user, stamp)}"

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._key_file.read_bytes(), json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def write_secret(path: Path, content: str) -> None:
    """Write a file that nobody but its owner can read; in place of what was there, complete or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    scratch.replace(path)
