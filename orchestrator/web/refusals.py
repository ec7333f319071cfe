"""Why something is not done, as whoever asks may read it: the provider as it is, a client in words of its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.reports.portal_words import PortalWords

if TYPE_CHECKING:
    from orchestrator.web.visit import Visit


def told_to(visit: Visit, error: BaseException, text: str) -> str:
    """What whoever asks is told of an error.

    Args:
        visit: the request.
        error: what was raised.
        text: what the provider's people are told: it may name files and computers.
    """
    if visit.account is None or visit.account.client is None:
        return text
    words = PortalWords(visit.language)
    reason = getattr(error, "reason", "")
    return str(getattr(words, f"own_{reason}")) if reason else words.portal_trouble
