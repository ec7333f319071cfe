"""One request, as a page sees it: who asks, for what, and the ways to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from orchestrator.interface.roles import Right, rights_of
from orchestrator.web.navigation import around
from orchestrator.web.rendering import render

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.interface.accounts import Account
    from orchestrator.interface.sessions import Session
    from orchestrator.web.desk import Desk


class Missing(Exception):
    """What was asked for does not exist, or is not for whoever asks: the answer is the same."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request.

    Attributes:
        account: who has signed in; None: nobody has.
        session: in which; None: in none. Without an account: the password was right, and the second factor is awaited.
        form: the fields of a form, whose token was checked already; empty of a request without one.
        form_token: what forms of the answer carry.
    """

    request: Request
    desk: Desk
    account: Account | None = None
    session: Session | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    form_token: str = ""

    @property
    def who(self) -> str:
        """The account's name, as the history has it.

        Raises:
            Missing: nobody has signed in.
        """
        if self.account is None:
            raise Missing
        return self.account.name

    @property
    def client(self) -> str:
        """The client of a client's account.

        Raises:
            Missing: it is nobody's.
        """
        if self.account is None or self.account.client is None:
            raise Missing
        return self.account.client

    @property
    def language(self) -> Literal["fr", "en"]:
        """A client's pages are French where its account does not say otherwise, the provider's English.

        Whoever has not signed in reads what the browser asks for.
        """
        if self.account is None:
            wanted = self.request.headers.get("accept-language", "")
            return "fr" if wanted.strip().lower().startswith("fr") else "en"
        if self.account.client is None:
            return "en"
        return self.account.language

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters of the address."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark; of a name that stands there twice, the last."""
        return self.request.query_params

    def may(self, right: Right) -> bool:
        """Whether whoever asks has a right at the provider's pages."""
        if self.account is None or (self.account.looks_only and right is not Right.LOOK):
            return False
        return right in rights_of(self.account.role)

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> Response:
        """Answer with a page.

        Args:
            template: in ``templates/``.
            status: of HTTP.
            values: what it shows; they are escaped there.
        """
        whole = {**values, "visit": self, **around(self.request, self.account, self.language)}
        return HTMLResponse(render(template, whole), status_code=status)

    def see(self, path: str) -> Response:
        """Send the browser to another page of ours, after something was changed."""
        return RedirectResponse(path, status_code=303)

    def refused(self, text: str, *, status: int = 409) -> Response:
        """Answer that what was asked for is not done, and why."""
        return self.page("refused.html", status=status, text=text)

    def missing(self) -> NoReturn:
        """Answer as of an address that does not exist.

        Raises:
            Missing: always.
        """
        raise Missing

    def stream(self, events: AsyncIterator[str]) -> Response:
        """Answer with server-sent events, already written as such.

        They come from the loop and not from a thread: pages that wait would take all threads from those that answer.
        """
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
