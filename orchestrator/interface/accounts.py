"""Accounts of the Interface: the Codes d'Accès of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.interface.roles import Role


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody who may sign in.

    Attributes:
        name: as the history has it.
        client: whose machines it sees; None: the provider's.
        language: of a client's pages.
    """

    name: str
    role: Role
    client: str | None = None
    language: Literal["fr", "en"] = "fr"
