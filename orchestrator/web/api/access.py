"""Who may use the API: a token with a scope, sent as ``Authorization: Bearer``. Cookies are not looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator.interface import tokens
from orchestrator.interface.scopes import Scope
from orchestrator.interface.tokens import Token
from orchestrator.web.api.problems import Problem, missing

if TYPE_CHECKING:
    from orchestrator.web.desk import Desk

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token of `orchestrator token add`."
)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        token: with the scope that is needed.
        desk: what answers.
    """

    token: Token
    desk: Desk

    @property
    def who(self) -> str:
        """As the history has it."""
        return f"token {self.token.name}"

    @property
    def client(self) -> str | None:
        """The one client whose things the token sees; None: everybody's."""
        return self.token.client

    def only(self, client: str | None) -> str | None:
        """The client that is asked for, or the token's own.

        Raises:
            Problem: it is another one: as if it did not exist.
        """
        if self.client is None or client in (None, self.client):
            return self.client or client
        raise missing()

    def may_see(self, client: str | None) -> None:
        """See that something of a client is for this token.

        Args:
            client: whose it is; None: the provider's.

        Raises:
            Problem: it is not: as if it did not exist.
        """
        if self.client is not None and client != self.client:
            raise missing()

    def of_provider(self) -> None:
        """See that the token is the provider's: of one client it sees nothing of what is all clients'.

        Raises:
            Problem: it is a client's: as if it did not exist.
        """
        if self.client is not None:
            raise missing()


def _caller_with(scope: Scope) -> Callable[..., Caller]:
    def caller(
        request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
    ) -> Caller:
        desk: Desk = request.app.state.desk
        token = None if sent is None else _found(sent.credentials, desk)
        if token is None:
            raise Problem(
                401,
                "token-needed",
                "send a valid token as Authorization: Bearer TOKEN; orchestrator token add makes one",
                {"www-authenticate": "Bearer"},
            )
        if scope not in token.scopes:
            raise Problem(
                403,
                "scope-missing",
                f"this token is not for {scope.value}: make one with --scope {scope.value}",
                {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope.value}"'},
            )
        _refuse_unknown_parameters(request)
        return Caller(token=token, desk=desk)

    return caller


def _refuse_unknown_parameters(request: Request) -> None:
    """A filter with a slip of the pen would filter nothing, and show all."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Problem(
            422,
            "invalid-request",
            f"there is no parameter {unknown[0][:80]!r}: there are {', '.join(sorted(known))}",
        )


def _found(sent: str, desk: Desk) -> Token | None:
    now = desk.now()
    with desk.database.reading() as connection:
        token = tokens.find(connection, sent, now)
    if token is not None and tokens.is_to_be_noted(token, now):
        with desk.database.writing() as connection:
            tokens.note_use(connection, token, now)
    return token


Reader = Annotated[Caller, Depends(_caller_with(Scope.READ))]
"""A parameter of operations that read."""

Requester = Annotated[Caller, Depends(_caller_with(Scope.REQUESTS))]
"""A parameter of operations that register and close requests."""

Planner = Annotated[Caller, Depends(_caller_with(Scope.PLANS))]
"""A parameter of operations that upload plans."""

AlarmSender = Annotated[Caller, Depends(_caller_with(Scope.ALARMS))]
"""A parameter of operations that send alarms."""
