"""The login page, until it has one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.web.page import Need, Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit


def login(visit: Visit) -> Response:
    """Ask for the name and the password."""
    return visit.page("login.html")


def sign_in(visit: Visit) -> Response:
    """Nobody has an account yet."""
    return visit.missing()


PAGES = [
    Page(path="/login", answer=login, need=Need.PUBLIC),
    Page(path="/login", answer=sign_in, need=Need.PUBLIC, method="POST"),
]
