"""What the orchestrator needs in a cluster, as ``pveum`` lines that a person can read and run."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.proxmox.privileges import role_privileges

COMMENT = "hosting orchestrator"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The role, the user and the token.

    Attributes:
        token_id: ``USER@REALM!TOKEN``.
        role: the role's name.
        release: the major version of Proxmox VE.
        options: options of subscriptions that need privileges of their own.
    """

    token_id: str
    role: str
    release: int
    options: frozenset[str] = field(default_factory=frozenset)

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
        return role_privileges(self.release, self.options)


def pveum_lines(account: Account) -> list[str]:
    """The commands for any node of the cluster, as root. Each may be run again; the last prints the secret, once."""
    privileges = f'--privs "{" ".join(account.privileges)}"'
    return [
        f"pveum role add {account.role} {privileges} || pveum role modify {account.role} {privileges}",
        f'pveum user list --noborder | grep -q "^{account.user} " || pveum user add {account.user} '
        f'--comment "{COMMENT}"',
        f"pveum acl modify / --users {account.user} --roles {account.role}",
        f"pveum user token add {account.user} {account.token} --privsep 0",
    ]
