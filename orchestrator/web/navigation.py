"""The navigation beside every page: what there is of it in the program, and what whoever asks may see of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestrator.interface.roles import Right, rights_of
from orchestrator.web.appearance import theme_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.interface.accounts import Account


@dataclass(frozen=True)
class Entry:
    """A link of the navigation.

    Attributes:
        path: of the page; pages below it are in its part.
        en: what it is called for the provider, and for a client who reads English.
        fr: what it is called for a client.
    """

    path: str
    en: str
    fr: str = ""


ENTRIES = (
    Entry("/", "Overview"),
    Entry("/clients", "Clients"),
    Entry("/machines", "Machines"),
    Entry("/plans", "Plans"),
    Entry("/jobs", "Jobs"),
    Entry("/requests", "Requests"),
    Entry("/nights", "Nights"),
    Entry("/alarms", "Alarms"),
    Entry("/service-level", "Service level"),
    Entry("/history", "History"),
    Entry("/accounts", "Accounts"),
    Entry("/tokens", "API tokens"),
)
"""Of the provider's people."""

PORTAL = (
    Entry("/portal", "Overview", "Vue d’ensemble"),
    Entry("/portal/machines", "Machines", "Machines"),
    Entry("/portal/backups", "Backups", "Sauvegardes"),
    Entry("/portal/snapshots", "Snapshots", "Snapshots"),
    Entry("/portal/requests", "Requests", "Demandes"),
    Entry("/portal/history", "History", "Historique"),
    Entry("/portal/service-level", "Service level", "Niveau de service"),
    Entry("/portal/reports", "Reports", "Rapports"),
)
"""Of a client."""


OWN = (Entry("/account", "Your account", "Votre compte"),)
"""Of everybody who has signed in."""

_TOPS = ("/", "/portal")
"""Pages that have no part of their own: what is below them has another entry, or none."""


@dataclass(frozen=True)
class Link:
    """A link as a page has it.

    Attributes:
        current: whether the page that is shown is in its part.
    """

    path: str
    words: str
    current: bool


def around(request: Request, account: Account | None, language: Literal["fr", "en"]) -> dict[str, object]:
    """What is around every page: its links, those to what somebody sets for himself, light or dark."""
    there: Mapping[str, Right | None] = request.app.state.addresses
    at = request.url.path
    return {
        "theme": theme_of(request),
        "here": at + (f"?{request.url.query}" if request.url.query else ""),
        "navigation": links(account, at, language, there),
        "account_links": () if account is None else _links(OWN, at, language, there),
        "searchable": "/search" in there,
    }


def links(
    account: Account | None, at: str, language: Literal["fr", "en"], there: Mapping[str, Right | None]
) -> tuple[Link, ...]:
    """Return the links for whoever asks: to pages that exist, and that answer.

    Args:
        account: who asks.
        at: the path that is shown.
        language: of the words.
        there: the paths of all pages, and the right that each needs of the provider's people.
    """
    if account is None:
        return ()
    if account.client is not None:
        return _links(PORTAL, at, language, there)
    rights = rights_of(account.role)
    return _links(
        ENTRIES, at, language, {path: None for path, need in there.items() if need in {None, *rights}}
    )


def _links(
    entries: Iterable[Entry], at: str, language: Literal["fr", "en"], there: Collection[str]
) -> tuple[Link, ...]:
    return tuple(
        Link(entry.path, entry.fr if language == "fr" else entry.en, _is_part(at, entry.path))
        for entry in entries
        if entry.path in there
    )


def _is_part(at: str, path: str) -> bool:
    return at == path or (path not in _TOPS and at.startswith(f"{path}/"))
