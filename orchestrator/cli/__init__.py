"""The command line: parse, call an operation, render its result. No decisions here.

A command's module is imported when the command is named: ``orchestrator --help`` answers at once, and no command pays
for another one.
"""

from __future__ import annotations

import typer

from orchestrator.cli.main_options import main_options
from orchestrator.cli.on_demand import Place, commands_of

app = typer.Typer(
    cls=commands_of(
        {
            "validate": Place(
                "validate:validate", "Check clients' files, show every error. Needs no network."
            ),
            "plan": Place("plan:plan", "Show what apply would change, and change nothing."),
            "apply": Place("apply:apply", "Show the plan, ask, and apply it."),
            "nightly": Place(
                "nightly:nightly", "Snapshots, backups, retention, restore tests, and a report."
            ),
            "update": Place("update:update", "Install updates in machines now, on request."),
            "updates": Place("updates:updates", "Show due updates, and how long installing took."),
            "show": Place("show:show", "Show machines as the hypervisors have them."),
            "history": Place("history:history", "Show or verify what was done, the latest first."),
            "freeze": Place("freeze:freeze", "Stop every change at every site at once."),
            "thaw": Place("freeze:thaw", "Resume changes at every site."),
            "reversibility": Place(
                "reversibility:reversibility", "Write a client's reversibility plan (article 10)."
            ),
            "export": Place("export:export", "Copy the disks of stopped machines as qcow2 files."),
            "inventory": Place("inventory:inventory", "Print our machines as an inventory for Ansible."),
            "targets": Place("targets:targets", "Print supervised machines for Prometheus."),
            "schema": Place("schema:schema", "Print the JSON Schema of the files."),
            "bootstrap": Place("bootstrap:bootstrap", "Create role, user and token in a cluster."),
            "doctor": Place("doctor:doctor", "Check every site and this computer."),
            "completion": Place("completion:completion", "Print a script for completion in a shell."),
            "import": Place("taking_over:import_", "Describe existing machines as a subscription file."),
            "snapshot": Place("snapshot:app", "Snapshots of one machine."),
            "backup": Place("backup:app", "Backups of machines: make, list, verify, restore."),
        }
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(main_options)
