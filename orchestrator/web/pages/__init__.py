"""The pages, one module a subject: each has ``PAGES`` and is listed here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from orchestrator.web.page import Page

MODULES: tuple[str, ...] = (
    "appearance",
    "overview",
    "clients",
    "machines",
    "nights",
    "search",
    "history",
    "service_level",
    "alarms",
    "plans",
    "jobs",
    "login",
    "account",
    "accounts",
    "tokens",
    "machine",
    "portal",
    "portal_reports",
    "portal_requests",
    "requests",
    "console",
)
"""Below this package."""


def every_page() -> Iterator[Page]:
    """Every page of the program."""
    for module in MODULES:
        yield from import_module(f"{__name__}.{module}").PAGES
