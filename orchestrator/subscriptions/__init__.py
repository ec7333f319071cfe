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


_NAMES = {
    "loading": ("Loaded", "LoadedSubscription", "load"),
    "model": ("Subscription",),
    "writing": ("dump",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
