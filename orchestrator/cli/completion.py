"""``orchestrator completion``: what a shell completes after ``orchestrator``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from orchestrator.cli import session


class Shell(StrEnum):
    """Shells that can be completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def answer_shells() -> None:
    """Let the program answer the scripts that it prints."""
    from typer._completion_classes import completion_init

    completion_init()


def completion(shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print a shell completion script.

    eval "$(orchestrator completion bash)"                                in ~/.bashrc
    orchestrator completion zsh > "${fpath[1]}/_orchestrator"
    orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """
    session.echo(
        get_completion_script(
            prog_name="orchestrator", complete_var="_ORCHESTRATOR_COMPLETE", shell=shell.value
        )
    )
