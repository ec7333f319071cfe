"""``orchestrator completion``: what a shell completes after ``orchestrator``."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer._completion_shared import get_completion_script

from orchestrator.cli import session

_MOST = 1000
"""Names that a shell is offered at once."""


class Shell(StrEnum):
    """Shells that can be completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def answer_shells() -> None:
    """Let the program answer the scripts that it prints."""
    from typer._click.shell_completion import add_completion_class, split_arg_string
    from typer._completion_classes import BashComplete, completion_init

    class WholeWords(BashComplete):
        """For bash, which parts words at colons, and puts what it gets in the place of the last part."""

        def get_completion_args(self) -> tuple[list[str], str]:
            words = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
            words = [next(iter(split_arg_string(word)), "") for word in words]
            joined: list[str] = []
            for place, word in enumerate(words):
                if joined and (word == ":" or (place and words[place - 1] == ":")):
                    joined[-1] += word
                else:
                    joined.append(word)
            self._before = joined[-1].rpartition(":")[0] if len(joined) < len(words) else ""
            return joined[1:-1], joined[-1]

        def format_completion(self, item: Any) -> str:
            return super().format_completion(item).removeprefix(f"{self._before}:" if self._before else "")

    completion_init()
    add_completion_class(WholeWords, "bash")


def offer_names(command: Any) -> None:
    """Let a shell complete the machines, snapshots and archives in a command's words, as they were seen last.

    Which words they are is told by how help calls them: ``CLIENT/MACHINE``, ``VOLID``, the ``NAME`` of a snapshot.
    """
    for parameter in command.params:
        if complete := _names_for(command.name, parameter):
            parameter._custom_shell_complete = complete


_Complete = Callable[[Any, Any, str], list[Any]]


def _names_for(command: str, parameter: Any) -> _Complete | None:
    called = str(parameter.metavar or "").strip("[]")
    if called.startswith("CLIENT/MACHINE") or called.startswith("CLIENT[/MACHINE"):
        return _machines
    if parameter.name == "client" and parameter.param_type_name == "argument" and command != "new":
        return _clients
    if called == "VOLID":
        return _archives
    if called == "NAME" and parameter.name == "name" and command in ("delete", "rollback"):
        return _snapshots
    return None


def _machines(_context: Any, _parameter: Any, incomplete: str) -> list[Any]:
    from orchestrator.operations.names_seen import machines_seen

    return _offered(machines_seen(), incomplete)


def _clients(_context: Any, _parameter: Any, incomplete: str) -> list[Any]:
    from orchestrator.operations.names_seen import machines_seen

    return _offered(sorted({name.partition("/")[0] for name in machines_seen()}), incomplete)


def _archives(context: Any, _parameter: Any, incomplete: str) -> list[Any]:
    from orchestrator.operations.names_seen import archives_seen

    return _offered(archives_seen(_named(context)), incomplete)


def _snapshots(context: Any, _parameter: Any, incomplete: str) -> list[Any]:
    from orchestrator.operations.names_seen import snapshots_seen

    return _offered(snapshots_seen(_named(context)), incomplete)


def _named(context: Any) -> str:
    """The machine that the words before name. Where an option still lacks its value, no argument was told apart."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return str(context.params.get("target") or next((word for word in words.split() if "/" in word[1:]), ""))


def _offered(names: list[str], incomplete: str) -> list[Any]:
    from typer._click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(incomplete)][:_MOST]


def completion(shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print a shell completion script.

    Clients, machines, snapshots and archives are completed as `plan`, `show`, `nightly`, `snapshot list` and
    `backup list` saw them last; nothing is called.

    eval "$(orchestrator completion bash)"                                in ~/.bashrc
    orchestrator completion zsh > "${fpath[1]}/_orchestrator"
    orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """
    session.echo(
        get_completion_script(
            prog_name="orchestrator", complete_var="_ORCHESTRATOR_COMPLETE", shell=shell.value
        )
    )
