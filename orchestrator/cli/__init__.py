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
            "validate": Place("validate:validate", "Check clients' files and report every error, offline."),
            "plan": Place("plan:plan", "Show what would change. Changes nothing."),
            "apply": Place("apply:apply", "Show the plan, ask, and apply it."),
            "nightly": Place(
                "nightly:nightly", "Run the nightly backups, updates, restore tests and report."
            ),
            "update": Place("update:update", "Install updates now, with snapshot and rollback."),
            "updates": Place("updates:updates", "Show due updates, held-back machines and average delays."),
            "request": Place("request:app", "Register clients' requests, list and close them."),
            "show": Place("estate:show", "Show the whole estate, or machines with their history."),
            "report": Place("report:report", "Write a client's monthly report (HTML, PDF)."),
            "alarms": Place("alarms:app", "Receive alarms, list and acknowledge them, record actions."),
            "figures": Place("figures:figures", "Show graphs of a machine: vCPU, RAM, disks, network."),
            "watch": Place("watch:watch", "Observe which machines run, and record it."),
            "history": Place("history:history", "Show the history, or verify that nobody altered it."),
            "freeze": Place("freeze:freeze", "Stop all changes at every site at once, backups included."),
            "thaw": Place("freeze:thaw", "Resume changes at every site."),
            "reversibility": Place(
                "reversibility:reversibility", "Write a client's reversibility plan (article 10)."
            ),
            "export": Place("export:export", "Copy the disks of stopped machines as qcow2 files."),
            "inventory": Place("inventory:inventory", "Print a dynamic Ansible inventory of our machines."),
            "targets": Place("targets:targets", "Print the supervised machines for Prometheus (file_sd)."),
            "schema": Place("schema:schema", "Print a JSON Schema, for editors and other programs."),
            "wording": Place("wording:wording", "Print every text of reports, to be corrected in a file."),
            "bootstrap": Place(
                "bootstrap:bootstrap", "Print or run the commands that create role, user and token."
            ),
            "doctor": Place("doctor:doctor", "Check every site and this computer. Changes nothing."),
            "completion": Place("completion:completion", "Print a shell completion script."),
            "import": Place(
                "taking_over:import_", "Describe existing machines in a file, to take them over."
            ),
            "taking-over": Place(
                "taking_over_state:taking_over", "Show how far a taking over is, or record it (article 4.2)."
            ),
            "restart": Place("restart:restart", "Restart a machine on the client's request (article 3.2)."),
            "rescue": Place("rescue:rescue", "Rescue a machine: show its state, ask what is wanted, do it."),
            "snapshot": Place("snapshot:app", "Take, list, delete and roll back snapshots of a machine."),
            "service-level": Place(
                "service_level:service_level", "Show a client's service level of a month, with every outage."
            ),
            "credit": Place("credit:app", "Record requests for credits, issue and list credits."),
            "outage": Place("declared:outage", "Record, end, correct and list outages (article 6)."),
            "event": Place("declared:event", "Record and list excusable events (article 6)."),
            "maintenance": Place("declared:maintenance", "Record and list planned maintenance (article 6)."),
            "backup": Place("backup:app", "Make, list, verify and restore backups."),
        }
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(main_options)
