"""The program that answers requests: pages, the JSON API, consoles and what scripts and styles they need."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from orchestrator.errors import OrchestratorError, RequestRefused, told
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface.roles import Right, rights_of
from orchestrator.operations.signing_in import SignInRefused, TooManyAttempts
from orchestrator.reports.portal_words import PortalWords
from orchestrator.web import api
from orchestrator.web.api.problems import Problem, answer
from orchestrator.web.console_socket import PATH, ConsoleSocket
from orchestrator.web.desk import Desk
from orchestrator.web.page import Need, Page
from orchestrator.web.pages import every_page
from orchestrator.web.refusals import told_to
from orchestrator.web.security import BodyRefused, Guard, form_token, is_from_ours
from orchestrator.web.sign_in import Visitor, visitor_of
from orchestrator.web.visit import Missing, Visit

_LOG = logging.getLogger("orchestrator.web")
_MOST_FIELDS = 200
_STATIC = Path(__file__).parent / "static"

_WITH_INITIAL_PASSWORD = ("/account/password", "/logout", "/appearance")
"""What somebody may do before the password is his own."""

_ABOUT_WHO_ASKS = (RequestRefused, SignInRefused, TooManyAttempts)
"""What is said of somebody's own account and of what was typed; all else that goes wrong is the provider's."""

Endpoint = Callable[[Request], Awaitable[Response]]


def application(desk: Desk) -> FastAPI:
    """Make the program over a database that is open.

    Args:
        desk: what the pages work with; whoever opened it closes it.
    """

    app = FastAPI(
        title="orchestrator",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[
            *_routes(desk),
            WebSocketRoute(PATH, ConsoleSocket(desk).serve),
            Mount("/static", StaticFiles(directory=_STATIC), name="static"),
        ],
    )
    app.state.addresses = {
        page.path: page.need if isinstance(page.need, Right) else None
        for page in every_page()
        if page.method == "GET"
    }
    app.state.desk = desk
    app.add_middleware(Guard, host=desk.settings.host, body_seconds=desk.settings.body_seconds)

    async def missing(request: Request, _: Exception) -> Response:
        return await run_in_threadpool(_told_missing, request, desk)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  (registered for it)
        if request.url.path.startswith(f"{api.PREFIX}/"):
            code = HTTPStatus(error.status_code).name.lower().replace("_", "-")
            return answer(Problem(error.status_code, code, f"{error.detail}", error.headers))
        if error.status_code in (404, 405) and not request.url.path.startswith(("/api/", "/static/")):
            return await missing(request, error)
        return PlainTextResponse(f"{error.detail}\n", status_code=error.status_code, headers=error.headers)

    async def body_refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, BodyRefused)  # noqa: S101  (registered for it)
        return PlainTextResponse(f"{error}\n", status_code=error.status, headers={"connection": "close"})

    app.add_exception_handler(Missing, missing)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(BodyRefused, body_refused)
    api.mount(app)
    return app


def _routes(desk: Desk) -> list[BaseRoute]:
    return [
        Route(page.path, _endpoint(page, desk), methods=[page.method], name=f"{page.method} {page.path}")
        for page in every_page()
    ]


def _endpoint(page: Page, desk: Desk) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        form: dict[str, str] = {}
        if page.method == "POST":
            declared = request.headers.get("content-length", "")
            if declared.isdigit() and int(declared) > page.longest_body:
                raise BodyRefused(413, f"a form here has {page.longest_body} bytes at most")
            async with request.form(
                max_files=0, max_fields=_MOST_FIELDS, max_part_size=page.longest_body
            ) as sent:
                form = {name: value for name, value in sent.items() if isinstance(value, str)}
        return await run_in_threadpool(_answer, page, desk, request, form)

    return endpoint


def _answer(page: Page, desk: Desk, request: Request, form: dict[str, str]) -> Response:
    try:
        visitor = visitor_of(request, desk)
    except OrchestratorError as error:
        _LOG.error("the database: %s", error)  # its place is nothing for whoever has not signed in
        return PlainTextResponse("the database cannot be read: see the program's log\n", status_code=503)
    visit = Visit(
        request=request,
        desk=desk,
        account=visitor.account,
        session=visitor.session,
        form=form,
        form_token=form_token(visitor.cookie),
    )
    response = _admitted(page, visit)
    visitor.keep(response)
    return response


def _admitted(page: Page, visit: Visit) -> Response:
    if not _may(page, visit):
        if visit.account is None and page.method == "GET":
            return _to_login(visit.request)
        if _needs_second_factor(page, visit):
            return _to_second_factor(page, visit)
        raise Missing
    if page.method == "POST" and not (
        is_from_ours(visit.request, visit.desk.settings.origin) and _token_fits(visit)
    ):
        if visit.account is not None and visit.account.client is not None:
            return visit.refused(PortalWords(visit.language).portal_old_form, status=403)
        return visit.refused(
            "this form is too old, or not one of ours: nothing was changed; go back, reload the page and try again",
            status=403,
        )
    if visit.account is not None and visit.account.initial and page.path not in _WITH_INITIAL_PASSWORD:
        return visit.see("/account/password")
    try:
        response = page.answer(visit)
        _note_look(page, visit, response)
        return response
    except Missing:
        raise
    except Exception as error:
        return _told_failed(page, visit, error)


def _told_failed(page: Page, visit: Visit, error: Exception) -> Response:
    """What went wrong: all of it to the provider's people, and to nobody else what is none of its business."""
    is_known = isinstance(error, OrchestratorError)
    if not is_known:
        _LOG.error("%s %s", page.method, page.path, exc_info=error)
    if visit.account is None or visit.account.client is not None:
        if isinstance(error, _ABOUT_WHO_ASKS) and page.need is not Need.CLIENT:
            return visit.refused(told_to(visit, error, str(error)))
        if is_known:
            _LOG.error("%s %s: %s", page.method, page.path, error)
        return visit.refused(PortalWords(visit.language).portal_trouble, status=503)
    if is_known:
        return visit.refused(str(error), status=503 if isinstance(error, HistoryUnavailable) else 409)
    return visit.refused(told(error), status=500)


def _note_look(page: Page, visit: Visit, response: Response) -> None:
    """Record that somebody of the provider's is shown a client's data, before it is shown.

    Raises:
        HistoryUnavailable: it could not be recorded.
    """
    account, session = visit.account, visit.session
    client = visit.path.get("client") or visit.query.get("client", "")
    if account is None or account.client is not None or response.status_code != HTTPStatus.OK or not client:
        return
    visit.desk.client_looks.note(
        client,
        who=account.name,
        through="" if session is None else f"session {session.identity} {session.began.isoformat()}",
        page=page.path,
        details={"session": None if session is None else session.identity},
        known="client" in visit.path,
    )


def _may(page: Page, visit: Visit) -> bool:
    if page.need is Need.PUBLIC:
        return True
    if visit.account is None:
        return False
    if page.need is Need.SIGNED_IN:
        return True
    if page.need is Need.CLIENT:
        return visit.account.client is not None
    return visit.account.client is None and visit.may(page.need)


def _needs_second_factor(page: Page, visit: Visit) -> bool:
    """Whether whoever asks may, but for the second factor that was not shown."""
    account = visit.account
    return (
        account is not None
        and account.client is None
        and isinstance(page.need, Right)
        and account.looks_only
        and page.need in rights_of(account.role)
    )


def _to_second_factor(page: Page, visit: Visit) -> Response:
    if page.method == "GET":
        return visit.see("/account?second=needed")
    return visit.refused("this needs a second factor: set one up on the page Your account", status=403)


def _token_fits(visit: Visit) -> bool:
    return hmac.compare_digest(visit.form.get("form_token", "").encode(), visit.form_token.encode())


def _to_login(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?then={quote(wanted, safe='')}", status_code=303)


def _told_missing(request: Request, desk: Desk) -> Response:
    """The one answer to whatever does not exist, or is not for whoever asks."""
    try:
        visitor = visitor_of(request, desk)
    except OrchestratorError:
        visitor = Visitor()
    if visitor.account is None and request.method == "GET":
        return _to_login(request)
    visit = Visit(
        request=request,
        desk=desk,
        account=visitor.account,
        session=visitor.session,
        form_token=form_token(visitor.cookie),
    )
    return visit.page("missing.html", status=404)
