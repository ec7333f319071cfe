"""Choosing light or dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.web.appearance import THEMES, keep_theme
from orchestrator.web.local_address import local_address
from orchestrator.web.page import Need, Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit


def choose(visit: Visit) -> Response:
    """Keep what was chosen, and go back to where it was."""
    theme = visit.form.get("theme", "")
    if theme not in THEMES:
        return visit.refused(f"appearance {theme!r}: choose {', '.join(THEMES)}")
    response = visit.see(local_address(visit.form.get("back", "")))
    keep_theme(response, theme)
    return response


PAGES = [Page(path="/appearance", answer=choose, need=Need.PUBLIC, method="POST")]
