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
            "Get started": {
                "init": Place("init:init", "Write an inventory: your sites and how they are reached."),
                "bootstrap": Place(
                    "bootstrap:bootstrap", "Print or run the commands that create role, user and token."
                ),
                "doctor": Place("doctor:doctor", "Check every site and this computer. Changes nothing."),
                "new": Place("new:new", "Write a new client's file, with comments."),
                "import": Place(
                    "taking_over:import_", "Describe existing machines in a file, to take them over."
                ),
                "taking-over": Place(
                    "taking_over_state:taking_over",
                    "Show how far a taking over is, or record it (article 4.2).",
                ),
                "schema": Place("schema:schema", "Print a JSON Schema, for editors and other programs."),
                "config": Place("config:config", "Show which defaults are in force, and where from."),
                "completion": Place("completion:completion", "Print a shell completion script."),
            },
            "Look (changes nothing)": {
                "validate": Place(
                    "validate:validate", "Check clients' files and report every error, offline."
                ),
                "plan": Place("plan:plan", "Show what would change. Changes nothing."),
                "show": Place("estate:show", "Show the whole estate, or machines with their history."),
                "figures": Place("figures:figures", "Show graphs of a machine: vCPU, RAM, disks, network."),
                "updates": Place(
                    "updates:updates", "Show due updates, held-back machines and average delays."
                ),
                "history": Place("history:history", "Show the history, or verify that nobody altered it."),
                "inventory": Place(
                    "inventory:inventory", "Print a dynamic Ansible inventory of our machines."
                ),
                "targets": Place(
                    "targets:targets", "Print the supervised machines for Prometheus (file_sd)."
                ),
            },
            "Change machines": {
                "apply": Place("apply:apply", "Show the plan, ask, and apply it."),
                "restart": Place(
                    "restart:restart", "Restart a machine on the client's request (article 3.2)."
                ),
                "update": Place("update:update", "Install updates now, with snapshot and rollback."),
                "snapshot": Place("snapshot:app", "Take, list, delete and roll back snapshots of a machine."),
                "backup": Place("backup:app", "Make, list, verify and restore backups."),
                "export": Place("export:export", "Copy the disks of stopped machines as qcow2 files."),
            },
            "Night and supervision": {
                "nightly": Place(
                    "nightly:nightly", "Run the nightly backups, updates, restore tests and report."
                ),
                "watch": Place("watch:watch", "Observe which machines run, and record it."),
                "alarms": Place("alarms:app", "Receive alarms, list and acknowledge them, record actions."),
            },
            "Emergency": {
                "rescue": Place(
                    "rescue:rescue", "Rescue a machine: show its state, ask what is wanted, do it."
                ),
                "fail-over": Place(
                    "fail_over:fail_over", "Start a machine from its replica after its node is lost."
                ),
                "freeze": Place("freeze:freeze", "Stop all changes at every site at once, backups included."),
                "thaw": Place("freeze:thaw", "Resume changes at every site."),
            },
            "Interface": {
                "serve": Place("serve:serve", "Serve the Interface: pages for the provider and its clients."),
                "runner": Place("runner:runner", "Carry out what is asked for in the Interface."),
                "user": Place("user:app", "Add, list, disable and reset accounts of the Interface."),
                "token": Place("token:app", "Add, list and revoke tokens of the JSON API."),
                "look": Place("look:look", "Renew what the Interface shows: read every site once."),
            },
            "Clients and contract": {
                "request": Place("request:app", "Register clients' requests, list and close them."),
                "report": Place("report:report", "Write a client's monthly report (HTML, PDF)."),
                "wording": Place(
                    "wording:wording", "Print every text of reports, to be corrected in a file."
                ),
                "service-level": Place(
                    "service_level:service_level",
                    "Show a client's service level of a month, with every outage.",
                ),
                "credit": Place("credit:app", "Record requests for credits, issue and list credits."),
                "outage": Place("declared:outage", "Record, end, correct and list outages (article 6)."),
                "event": Place("declared:event", "Record and list excusable events (article 6)."),
                "maintenance": Place(
                    "declared:maintenance", "Record and list planned maintenance (article 6)."
                ),
                "reversibility": Place(
                    "reversibility:reversibility", "Write a client's reversibility plan (article 10)."
                ),
            },
        }
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(main_options)
