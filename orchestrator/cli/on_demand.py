"""The commands, each loaded when it is named: ``plan`` need not import what nights and restores are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer.main

from orchestrator.cli.ending import Commands
from orchestrator.cli.main_options import WithMainOptions


class _OnDemand(MutableMapping[str, Any]):
    """Commands by their names.

    Args:
        places: where each is: ``MODULE:NAME`` below :mod:`orchestrator.cli`, of a function or of a Typer.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._places[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._places.setdefault(name, "")
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"orchestrator.cli.{module}"), attribute)
    above = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        above.add_typer(found, name=name, cls=WithMainOptions)
    else:
        above.command(name)(found)
    return typer.main.get_group(above).commands[name]


def commands_of(places: Mapping[str, str]) -> type[Commands]:
    """The kind of group that has these commands.

    Args:
        places: where each is, as ``MODULE:NAME`` below :mod:`orchestrator.cli`, by its name.
    """

    class CommandsOnDemand(Commands):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = _OnDemand(places)

    return CommandsOnDemand
