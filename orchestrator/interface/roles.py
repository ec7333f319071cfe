"""Who may do what in the Interface: roles, and the rights that each has."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Of an account."""

    READER = "reader"
    """Of the provider: sees everything, changes nothing."""
    CLIENT = "client"
    """Of one client: sees its own machines, and asks for things."""
    OPERATOR = "operator"
    """Of the provider: makes plans, answers requests, opens consoles, acknowledges alarms."""
    APPROVER = "approver"
    """Of the provider: an operator who also approves plans, but never those made by himself."""
    ADMINISTRATOR = "administrator"
    """Of the provider: an approver who also manages accounts and tokens."""


class Right(StrEnum):
    """What a page or an act asks of the provider's people."""

    LOOK = "look"
    ACT = "act"
    APPROVE = "approve"
    ACCOUNTS = "accounts"


_RIGHTS: dict[Role, frozenset[Right]] = {
    Role.READER: frozenset({Right.LOOK}),
    Role.CLIENT: frozenset(),
    Role.OPERATOR: frozenset({Right.LOOK, Right.ACT}),
    Role.APPROVER: frozenset({Right.LOOK, Right.ACT, Right.APPROVE}),
    Role.ADMINISTRATOR: frozenset(Right),
}


def rights_of(role: Role) -> frozenset[Right]:
    """The rights of a role at the provider's pages; a client's account has none there."""
    return _RIGHTS[role]
