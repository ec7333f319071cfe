"""The same over the API, with an administrator's token: what is there already is left, what is missing is added."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.bootstrap.account import COMMENT, Account
from orchestrator.errors import OrchestratorError
from orchestrator.proxmox import AlreadyExists, ProxmoxError

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


class CannotSetUp(OrchestratorError):
    """It cannot go on: the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was looked at: what it is, and what was done about it."""

    what: str
    done: str


def carry_out(cluster: Cluster, account: Account, secret_file: Path, *, renew: bool) -> Iterator[Step]:
    """Make the role, the user, the grant and the token, as far as they are not there. Yield each step when it is done.

    Args:
        cluster: the API, as an administrator.
        account: what to make.
        secret_file: where a new token's secret goes, for its owner alone. Made before the token is.
        renew: take an existing token away and make it again: its secret is lost, or known to others.

    Raises:
        CannotSetUp: something is in the way.
        ProxmoxError: Proxmox refused: the administrator may not do it, or cannot be reached.
    """
    yield Step(what=f"role {account.role}", done=_role(cluster, account))
    yield Step(what=f"user {account.user}", done=_user(cluster, account))
    yield Step(what=f"role of {account.user} on /", done=_grant(cluster, account, account.user, "user"))
    token = _token(cluster, account)
    if token is not None and not renew:
        if not _has_text(secret_file):
            raise CannotSetUp(
                f"the token {account.token_id} is there, and its secret is not in {secret_file}: Proxmox shows it once "
                "only. Put it there, or make the token again with --renew-token (whoever uses the old one is shut out)"
            )
        yield Step(what=f"token {account.token_id}", done="there already")
        if int(token.get("privsep", 1) or 0):
            yield Step(
                what=f"role of {account.token_id} on /",
                done=_grant(cluster, account, account.token_id, "token"),
            )
        return
    with _new_file(secret_file, replace=renew) as save:
        path = f"/access/users/{account.user}/token/{account.token}"
        if token is not None:
            cluster.delete(path)
        save(str(cluster.post(path, privsep=0, comment=COMMENT)["value"]))
    yield Step(
        what=f"token {account.token_id}", done=f"made; its secret is in {secret_file}, for its owner alone"
    )


def _has_text(path: Path) -> bool:
    try:
        return bool(path.read_text(encoding="utf-8").strip())
    except OSError:
        return False


def _role(cluster: Cluster, account: Account) -> str:
    found = next((entry for entry in cluster.get("/access/roles") if entry["roleid"] == account.role), None)
    wanted = account.privileges
    if found is None:
        cluster.post("/access/roles", roleid=account.role, privs=",".join(wanted))
        return f"made, with {len(wanted)} privileges"
    if int(found.get("special") or 0):
        raise CannotSetUp(f"{account.role} is a role of Proxmox's own: name another one with --role")
    held = set(filter(None, str(found.get("privs") or "").split(",")))
    more = sorted(held - set(wanted))
    extra = f"; it also has {', '.join(more)}, which the orchestrator does not need" if more else ""
    missing = sorted(set(wanted) - held)
    if not missing:
        return f"there already{extra}"
    cluster.put(f"/access/roles/{account.role}", privs=",".join(missing), append=1)
    return f"given {', '.join(missing)}{extra}"


def _user(cluster: Cluster, account: Account) -> str:
    if any(entry["userid"] == account.user for entry in cluster.get("/access/users")):
        return "there already"
    with suppress(AlreadyExists):
        cluster.post("/access/users", userid=account.user, comment=COMMENT)
    return "made, without a password: it cannot log in"


def _grant(cluster: Cluster, account: Account, who: str, kind: str) -> str:
    for entry in cluster.get("/access/acl"):
        if (
            (entry["path"], entry["ugid"], entry["roleid"]) == ("/", who, account.role)
            and entry["type"] == kind
            and int(entry.get("propagate", 1) or 0)
        ):
            return "there already"
    params: dict[str, str | int] = {"path": "/", "roles": account.role, f"{kind}s": who, "propagate": 1}
    cluster.put("/access/acl", params=params)
    return "given"


def _token(cluster: Cluster, account: Account) -> dict[str, Any] | None:
    listed = cluster.get(f"/access/users/{account.user}/token")
    return next((dict(entry) for entry in listed if entry["tokenid"] == account.token), None)


@contextmanager
def _new_file(path: Path, *, replace: bool) -> Iterator[Any]:
    """Make the file before the secret is: a secret that could not be kept would be lost."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        if path.exists() and not replace:
            raise CannotSetUp(
                f"{path} is there already, though the token is not: move it away, or name another with --secret-file"
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CannotSetUp(
            f"{path} cannot be written: {error.strerror}. The token was not made: name another file with --secret-file"
        ) from None

    def save(secret: str) -> None:
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream:
            stream.write(secret + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)

    try:
        yield save
    except ProxmoxError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
