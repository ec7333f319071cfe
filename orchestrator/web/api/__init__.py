"""The JSON API, for billing and ticket systems: the same operations and tables as the pages, by token."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.web.api.problems import tell_problems

if TYPE_CHECKING:
    from fastapi import FastAPI

MODULES: tuple[str, ...] = (
    "clients",
    "documents",
    "machines",
    "nights",
    "history",
    "levels",
    "plans",
    "requests",
    "alarms",
)
"""Below this package: each has ``ROUTER``."""

PREFIX = "/api/v1"


def mount(app: FastAPI) -> None:
    """Add the API to the program; how it tells errors comes with it."""
    for module in MODULES:
        app.include_router(import_module(f"{__name__}.{module}").ROUTER, prefix=PREFIX)
    tell_problems(app, PREFIX)
