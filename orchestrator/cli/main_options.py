"""Options of every command, before or after its name: ``orchestrator --quiet plan``, ``orchestrator plan --quiet``."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli import session
from orchestrator.cli.defaults import EMERGENCY, Defaults
from orchestrator.cli.diagnostics import LogFormat, begin, diagnostics
from orchestrator.errors import OrchestratorError


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        session.echo(f"orchestrator {version('orchestrator')}")
        raise typer.Exit


def main_options(
    log_format: Annotated[
        LogFormat,
        typer.Option(
            envvar="ORCHESTRATOR_LOG_FORMAT",
            help="Errors, steps, events: text or JSON lines. auto: text, but JSON for an unattended nightly run.",
        ),
    ] = LogFormat.AUTO,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only results and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every step and every call to Proxmox, on standard error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Hosting subscriptions as code on Proxmox VE.

    Exit codes: 0 done, 1 not or not all done (see the message), 2 wrong use; `plan --detailed-exitcode` and `doctor`
    have more, see their help. NO_COLOR, FORCE_COLOR and TERM=dumb are respected. The options below may also stand
    after a command's name.
    """
    begin(log_format, quiet=quiet, verbose=verbose)


class _Context(typer.Context):
    """A context whose help shows the program's own defaults, not those of the configuration file: it is not read."""

    def lookup_default(self, name: str, call: Any = True) -> Any:
        """The default of the configuration file, when a command is about to run."""
        return super().lookup_default(name) if call and not self.resilient_parsing else None


class WithMainOptions(TyperGroup):
    """A group whose commands take the options of :func:`main_options`, too, and defaults of the configuration file."""

    context_class = _Context

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the arguments of the group itself."""
        if not {"-h", "--help"} & {*args}:
            ctx.default_map = Defaults(lambda error: None)  # the command itself says what is wrong
        return super().parse_args(ctx, args)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments."""
        with _plainly():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of the command that was named, and run it."""
        with _plainly():
            return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, or None, with the main options; an option of its own goes before one of them."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.context_class = _Context
            ctx.default_map = {cmd_name: Defaults(_leave_out if cmd_name in EMERGENCY else None)}
            if ctx.resilient_parsing:  # a shell asks
                from orchestrator.cli.completion import offer_names

                offer_names(command)
            taken = {option for parameter in command.params for option in parameter.opts}
            command.params += [
                _after(parameter)
                for parameter in ctx.find_root().command.params
                if parameter.name in _MAIN and taken.isdisjoint(parameter.opts)
            ]
        return command


@contextmanager
def _plainly() -> Iterator[None]:
    """Say what is wrong with a value without the word that pydantic puts before it."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")
        raise


def _leave_out(error: OrchestratorError) -> None:
    session.complain(f"the configuration file is left out: {error}")


_MAIN = frozenset({"log_format", "quiet", "verbose", "version"})


def _after(parameter: Any) -> Any:
    """A main option as it stands after a command: only what was written there counts, and help shows it once."""
    after = copy.copy(parameter)
    after.hidden, after.envvar = True, None
    after.expose_value = False
    if parameter.name != "version":
        after.callback = _take_up
    return after


def _take_up(ctx: Any, parameter: Any, value: Any) -> Any:
    source = ctx.get_parameter_source(parameter.name)
    if source is not None and source.name == "COMMANDLINE":
        chosen: dict[str, Any] = {
            "log_format": diagnostics.form,
            "quiet": diagnostics.quiet,
            "verbose": diagnostics.verbose,
        }
        chosen[parameter.name] = value
        begin(LogFormat(chosen["log_format"]), quiet=bool(chosen["quiet"]), verbose=bool(chosen["verbose"]))
    return value
