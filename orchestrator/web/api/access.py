"""Who may use the API: a token with a scope, sent as ``Authorization: Bearer``. Cookies are not looked at."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator.errors import OrchestratorError
from orchestrator.interface import looks, tokens
from orchestrator.interface.scopes import Scope
from orchestrator.interface.tokens import Token
from orchestrator.operations.portal import PortalClient, may_read, portal_client
from orchestrator.operations.portal_discretion import discretion_of, people_of
from orchestrator.reports.discretion import Discretion
from orchestrator.web.api.problems import OF_PROVIDER, Problem, missing

if TYPE_CHECKING:
    from orchestrator.web.desk import Desk

_LOG = logging.getLogger("orchestrator.web")
_BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token of `orchestrator token add`."
)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        token: with the scope that is needed.
        desk: what answers.
        contract: of the one client of the token; None: it is the provider's.
    """

    token: Token
    desk: Desk
    contract: PortalClient | None = None

    @property
    def who(self) -> str:
        """As the history has it."""
        return f"token {self.token.name}"

    @property
    def client(self) -> str | None:
        """The one client whose things the token sees; None: everybody's."""
        return self.token.client

    def discretion(self, names: Iterable[str] = ()) -> Discretion:
        """What the client of the token may be shown of what somebody typed.

        Args:
            names: others that it may not be shown: of people in entries.

        Raises:
            Problem: the token is the provider's.
        """
        if self.contract is None:
            raise missing()
        files = self.desk.files.read(self.desk.now())
        machines = looks.machines_of(self.desk.database, self.contract.client)
        return discretion_of(
            self.contract.client,
            self.contract.subscription,
            files.provider,
            self.desk.database,
            people=people_of(self.desk.database, self.contract.client),
            clients=files.by_client,
            more=(*names, *(one.node for one in machines if one.node)),
            own=(address for one in machines for address in one.addresses),
        )

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
        setattr(request.state, OF_PROVIDER, token.client is None)
        if scope not in token.scopes:
            raise Problem(
                403,
                "scope-missing",
                f"this token is not for {scope.value}: make one with --scope {scope.value}",
                {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope.value}"'},
            )
        _refuse_unknown_parameters(request)
        made = Caller(token=token, desk=desk, contract=_contract_of(token, desk))
        request.state.caller = made
        return made

    return caller


def _contract_of(token: Token, desk: Desk) -> PortalClient | None:
    """The contract of a client's token: once its thirty working days are over (article 10), nothing is shown."""
    if token.client is None:
        return None
    now = desk.now()
    try:
        contract = portal_client(desk.files.read(now), token.client, now, desk.settings.files)
    except OrchestratorError as error:  # what is wrong with the provider's files is not for clients
        _LOG.warning("token %s: %s", token.name, error)
        raise Problem(503, "unavailable", "this cannot be read at the moment: try again later") from None
    if not may_read(contract):
        raise missing()
    return contract


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
