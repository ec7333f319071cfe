"""Light or dark: what a browser asked for. A cookie keeps it, so that no page flashes and no script is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")

_COOKIE = "__Host-appearance"
_A_YEAR = 365 * 24 * 3600


def theme_of(request: Request) -> Theme:
    """What this browser asked for; as its system, if it never did."""
    kept = request.cookies.get(_COOKIE, "auto")
    return kept if kept in THEMES else "auto"


def keep_theme(response: Response, theme: Theme) -> None:
    """Have the browser keep it for a year."""
    response.set_cookie(_COOKIE, theme, max_age=_A_YEAR, secure=True, httponly=True, samesite="lax", path="/")
