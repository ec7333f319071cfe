"""What the orchestrator needs in a cluster, as ``pveum`` lines that a person can read and run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.proxmox import Need
from orchestrator.resources.privileges import role_privileges

COMMENT = "hosting orchestrator"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The role, the user and the token.

    Attributes:
        token_id: ``USER@REALM!TOKEN``.
        role: the role's name.
        release: the major version of Proxmox VE.
        extra: privileges that are needed besides, for what files ask.
        consoles: whether consoles are wanted.
    """

    token_id: str
    role: str
    release: int
    extra: tuple[Need, ...] = ()
    consoles: bool = True

    @property
    def user(self) -> str:
        """``USER@REALM``."""
        return self.token_id.partition("!")[0]

    @property
    def token(self) -> str:
        """The token's own name."""
        return self.token_id.partition("!")[2]

    @property
    def privileges(self) -> list[str]:
        """Those of the role."""
        return role_privileges(self.release, self.extra, consoles=self.consoles)


def pveum_lines(account: Account) -> list[str]:
    """The commands for any node of the cluster, as root. Each may be run again; the last prints the secret, once.

    What is there is looked for first: to make it again, ``pveum`` would print an error that means nothing.
    """
    role, user, token = account.role, account.user, account.token
    privileges = f'--privs "{" ".join(account.privileges)}"'
    there = f"the token {account.token_id} is there already, its secret was printed when it was made"
    renew = f"pveum user token remove {user} {token}"
    return [
        _unless(
            _listed("role list", role),
            f"pveum role add {role} {privileges}",
            f"pveum role modify {role} {privileges}",
        ),
        f'{_listed("user list", user)} || pveum user add {user} --comment "{COMMENT}"',
        f"pveum acl modify / --users {user} --roles {role}",
        _unless(
            _listed(f"user token list {user}", token),
            f"pveum user token add {user} {token} --privsep 0",
            f'echo "{there}; to make it anew: {renew}"',
        ),
    ]


def _listed(listing: str, name: str) -> str:
    """A test whether a list of ``pveum`` has a line of that name."""
    return f"pveum {listing} --noborder | grep -qE '^{re.escape(name)}( |$)'"


def _unless(found: str, make: str, otherwise: str) -> str:
    return f"if {found}; then {otherwise}; else {make}; fi"
