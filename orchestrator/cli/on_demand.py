"""The commands, each loaded when it is named: ``plan`` need not import what nights and restores are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import typer.main

from orchestrator.cli.ending import Commands
from orchestrator.cli.main_options import WithMainOptions


class Place(NamedTuple):
    """Where a command is, and what lists say of it, so that it need not be loaded for them.

    Attributes:
        where: ``MODULE:NAME`` below :mod:`orchestrator.cli`, of a function or of a Typer.
        summary: at most 60 characters.
    """

    where: str
    summary: str


class _Candidate(NamedTuple):
    """What a shell is offered."""

    value: str
    help: str
    type: str = "plain"


class _OnDemand(MutableMapping[str, Any]):
    """Commands by their names."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = dict(places)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._places[name].where)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._places.setdefault(name, Place("", ""))
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _load(name: str, where: str) -> Any:
    module, _, attribute = where.partition(":")
    found = getattr(import_module(f"orchestrator.cli.{module}"), attribute)
    above = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        above.add_typer(found, name=name, cls=WithMainOptions)
    else:
        above.command(name)(found)
    return typer.main.get_group(above).commands[name]


def commands_of(groups: Mapping[str, Mapping[str, Place]]) -> type[Commands]:
    """The kind of group that has these commands, by their names.

    Args:
        groups: the commands by the headings that help lists them under.
    """
    places = {name: place for group in groups.values() for name, place in group.items()}

    class CommandsOnDemand(Commands):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = _OnDemand(places)

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            """List the commands under their headings, without loading them; all summaries begin in one column."""
            widest = max(map(len, places))
            for heading, group in groups.items():
                with formatter.section(heading):
                    formatter.write_dl(
                        [(f"{name:<{widest}}", place.summary) for name, place in group.items()]
                    )

        def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
            """Complete the name of a command, without loading any."""
            return [
                _Candidate(name, place.summary)
                for name, place in places.items()
                if name.startswith(incomplete)
            ] or super().shell_complete(ctx, incomplete)

    return CommandsOnDemand
