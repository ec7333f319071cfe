"""A guest to be reached, and how the provider reaches guests."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.guests.rules import FirewallPolicy


_NAME = re.compile("[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile("[A-Za-z_][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, kw_only=True)
class Guest:
    """One machine, as seen by what works inside it.

    Attributes:
        client: whose machine it is.
        machine: its name in the subscription file.
        address: where its SSH server is reached; IPv4 or IPv6.
        user: who logs in; anybody but root becomes root through sudo without a password.
        host_keys: its public SSH host keys (``ssh-ed25519 AAAA…``), learnt through the hypervisor.
        policy: what its firewall is to let in.
        keys: the public SSH keys that let people in as ``user``, the provider's first; none: keys are left alone.
        former_keys: fingerprints (``SHA256:…``) of keys that were put in from the file and are in it no longer.
        exclude: packages that no update touches; names may hold ``*`` and ``?``.
        asked: what else is asked of it: for each part by its name, the variables of the part's role.

    Raises:
        ValueError: client, machine, user or address is none. They name the machine in Ansible, in a file of known
            hosts and on command lines, and may come from a mark or a configuration that anybody wrote.
    """

    client: str
    machine: str
    address: str
    user: str
    host_keys: tuple[str, ...]
    policy: FirewallPolicy
    keys: tuple[str, ...] = ()
    former_keys: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, value, allowed in (
            ("client", self.client, _NAME),
            ("machine", self.machine, _NAME),
            ("user", self.user, _USER),
        ):
            if not allowed.fullmatch(value):
                raise ValueError(
                    f"{value!r} is not the name of a {what}: correct it in the file, or in Proxmox"
                )
        if "%" in self.address:
            raise ValueError(f"{self.address!r} is not an IP address")
        ipaddress.ip_address(self.address)

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine: what identifies a machine everywhere."""
        return self.client, self.machine

    @property
    def name(self) -> str:
        """The machine in messages: ``CLIENT/MACHINE``."""
        return f"{self.client}/{self.machine}"


@dataclass(frozen=True, kw_only=True)
class SshSettings:
    """How guests are reached.

    Attributes:
        private_key: the provider's key; only its path is ever handed on.
        proxy_command: as OpenSSH's ProxyCommand, with ``%h`` and ``%p``; None connects directly.
        connect_timeout_seconds: how long one attempt may take until the login is done (1 to 600).
        rollback_seconds: how long a guest waits for the proof that it is still reachable before it goes
            back to its previous rules (1 to 60).
    """

    private_key: Path
    proxy_command: str | None = None
    connect_timeout_seconds: float = 30.0
    rollback_seconds: int = 50
