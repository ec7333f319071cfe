"""Subscription files, the public face: what each client subscribed to, read, checked and written.

Names are loaded on first use: ``orchestrator --help`` must not pay for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.yaml_reader import Problem, render_problem

if TYPE_CHECKING:
    from orchestrator.subscriptions.loading import Loaded, LoadedSubscription, load
    from orchestrator.subscriptions.model import Subscription
    from orchestrator.subscriptions.writing import dump

__all__ = ["Loaded", "LoadedSubscription", "Problem", "Subscription", "dump", "load", "render_problem"]

_HOMES = {
    "Loaded": "loading",
    "LoadedSubscription": "loading",
    "Subscription": "model",
    "dump": "writing",
    "load": "loading",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
