"""Errors of the API as ``application/problem+json`` (RFC 9457): for programs a code, for people what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from orchestrator.errors import OrchestratorError, RequestRefused, told
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.web.security import BodyRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.requests import Request

_LOG = logging.getLogger("orchestrator.web")
OF_PROVIDER = "of_provider"
"""In a request's state: whether a token of the provider asked."""

_MOST_MISTAKES = 20
_LONGEST = 300


class ProblemBody(BaseModel):
    """An error."""

    type: str = Field(description="about:blank: the status says what kind of error it is")
    title: str = Field(description="of the status")
    status: int = Field(description="of HTTP")
    detail: str = Field(description="what happened and what to do, for people")
    code: str = Field(description="the kind of error, for programs")


class Problem(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        code: for programs.
        detail: for people.
        headers: of the answer.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


def missing() -> Problem:
    """What does not exist, and what is another client's: the answer is the same."""
    return Problem(404, "not-found", "there is nothing of that name or number")


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}},
        },
    }
    for status in (400, 401, 403, 404, 405, 408, 409, 413, 422, 500, 503)
}
"""What every operation may answer."""


def answer(problem: Problem) -> Response:
    """The answer that tells a problem."""
    body = ProblemBody(
        type="about:blank",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
    )
    return JSONResponse(
        body.model_dump(),
        status_code=problem.status,
        headers=dict(problem.headers or {}),
        media_type="application/problem+json",
    )


def problem_of(error: BaseException, *, of_provider: bool) -> Problem:
    """How an error is told: a defect of the program as one.

    Args:
        of_provider: whether a token of the provider asked. Nobody else is told what went wrong on its computers.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return Problem(422, "invalid-request", _mistakes(error))
    if isinstance(error, BodyRefused):
        return Problem(error.status, "body-refused", str(error), {"connection": "close"})
    if not (of_provider or isinstance(error, RequestRefused)):
        _LOG.warning("told as unavailable: %s", told(error))
        return Problem(503, "unavailable", "this cannot be done at the moment: try again later")
    if isinstance(error, HistoryUnavailable):
        return Problem(503, error.code, str(error))
    if isinstance(error, OrchestratorError):
        return Problem(409, error.code, str(error))
    return Problem(500, "internal-error", told(error))


def _mistakes(error: RequestValidationError) -> str:
    """What is wrong where, without the values: they may be secrets."""
    found = error.errors()[:_MOST_MISTAKES]
    return "; ".join(f"{'.'.join(map(str, one['loc']))[:_LONGEST]}: {one['msg'][:_LONGEST]}" for one in found)


def tell_problems(app: FastAPI, prefix: str) -> None:
    """Have errors below an address told as problems; elsewhere as they were told before.

    Args:
        app: the program, its other handlers in place.
        prefix: ``/api/v1``.
    """
    for kind in (Problem, RequestValidationError, OrchestratorError, BodyRefused):
        earlier: Any = app.exception_handlers.get(kind)
        app.add_exception_handler(kind, _handler(prefix, earlier))
    app.add_exception_handler(Exception, _defect(prefix))


def _of_provider(request: Request) -> bool:
    return bool(getattr(request.state, OF_PROVIDER, False))


def _handler(prefix: str, earlier: Any) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        if not request.url.path.startswith(f"{prefix}/"):
            if earlier is None:
                raise error
            told_before: Response = await earlier(request, error)
            return told_before
        return answer(problem_of(error, of_provider=_of_provider(request)))

    return handle


def _defect(prefix: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        if not request.url.path.startswith(f"{prefix}/"):
            raise error
        _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        return await run_in_threadpool(answer, problem_of(error, of_provider=_of_provider(request)))

    return handle
