"""The command line: parse, call, print. No decisions here.

Commands are imported when they are named, and import what they need when they run: ``orchestrator --help`` answers at
once, and no command pays for another one.
"""

from __future__ import annotations

import typer

from orchestrator.cli.main_options import main_options
from orchestrator.cli.on_demand import commands_of

app = typer.Typer(
    cls=commands_of(
        {
            "validate": "validate:validate",
            "plan": "plan:plan",
            "apply": "apply:apply",
            "nightly": "nightly:nightly",
            "update": "update:update",
            "updates": "updates:updates",
            "show": "show:show",
            "history": "history:history",
            "freeze": "freeze:freeze",
            "thaw": "freeze:thaw",
            "reversibility": "reversibility:reversibility",
            "export": "export:export",
            "inventory": "inventory:inventory",
            "targets": "targets:targets",
            "schema": "schema:schema",
            "bootstrap": "bootstrap:bootstrap",
            "doctor": "doctor:doctor",
            "completion": "completion:completion",
            "import": "taking_over:import_",
            "snapshot": "snapshot:app",
            "backup": "backup:app",
        }
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(main_options)
