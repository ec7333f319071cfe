"""The command line: parse, call, print. No decisions here.

Commands import what they need when they run, so that ``orchestrator --help`` answers at once.
"""

from __future__ import annotations

import typer

from orchestrator.cli.apply import apply
from orchestrator.cli.backup import app as backup
from orchestrator.cli.bootstrap import bootstrap
from orchestrator.cli.completion import completion
from orchestrator.cli.doctor import doctor
from orchestrator.cli.ending import Commands
from orchestrator.cli.export import export
from orchestrator.cli.freeze import freeze, thaw
from orchestrator.cli.history import history
from orchestrator.cli.inventory import inventory
from orchestrator.cli.main_options import WithMainOptions, main_options
from orchestrator.cli.nightly import nightly
from orchestrator.cli.plan import plan
from orchestrator.cli.reversibility import reversibility
from orchestrator.cli.schema import schema
from orchestrator.cli.show import show
from orchestrator.cli.snapshot import app as snapshot
from orchestrator.cli.taking_over import import_
from orchestrator.cli.targets import targets
from orchestrator.cli.update import update
from orchestrator.cli.updates import updates
from orchestrator.cli.validate import validate

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(main_options)
for command in (
    validate,
    plan,
    apply,
    nightly,
    update,
    updates,
    show,
    history,
    freeze,
    thaw,
    reversibility,
    export,
    inventory,
    targets,
    schema,
    bootstrap,
    doctor,
    completion,
):
    app.command()(command)
app.command("import")(import_)
app.add_typer(snapshot, name="snapshot", cls=WithMainOptions)
app.add_typer(backup, name="backup", cls=WithMainOptions)
