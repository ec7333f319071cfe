"""An answer about a client to a program of the provider's is recorded before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.contract.calendar import day_in_paris


class RecordedRoute(APIRoute):
    """An operation whose answers about a client are in the history: one entry a token, client and day (of Paris)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers."""
        answer = super().get_route_handler()

        async def recorded(request: Request) -> Response:
            response = await answer(request)
            if response.status_code == HTTPStatus.OK:
                await run_in_threadpool(_note_look, self.path, request)
            return response

        return recorded


def _note_look(path: str, request: Request) -> None:
    caller = getattr(request.state, "caller", None)
    client = request.path_params.get("client") or request.query_params.get("client", "")
    if caller is None or caller.client is not None or not client:
        return
    caller.desk.client_looks.note(
        client,
        who=caller.who,
        through=f"token {caller.token.identity} {day_in_paris(caller.desk.now())}",
        page=path,
        details={"session": None},
        known="client" in request.path_params,
    )
