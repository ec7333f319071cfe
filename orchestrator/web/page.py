"""What a page is: an address, what answers there, and what it needs of whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from orchestrator.interface.roles import Right

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

Handler = Callable[["Visit"], "Response"]


class Need(StrEnum):
    """What a page needs where it is no right of the provider's people."""

    PUBLIC = "public"
    SIGNED_IN = "signed in"
    CLIENT = "client"
    """A client's account: whatever is shown is its client's."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One address.

    Attributes:
        path: with parameters in braces, as Starlette writes them: ``/machines/{client}/{machine}``.
        answer: a plain function; it is run in a thread of its own.
        need: who may. Anybody else is told what is told of an address that does not exist; somebody who has not
            signed in is sent to do so.
        method: a page that changes something has POST, and the form's token is checked before it is called.
        longest_body: bytes that a form may have.
    """

    path: str
    answer: Handler
    need: Right | Need
    method: Literal["GET", "POST"] = "GET"
    longest_body: int = 256 * 1024
